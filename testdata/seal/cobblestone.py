"""Writes cobblestone-LENGTH.bin: streams made by the Python package `cryptography`, to hold ours against."""

import pathlib

from cryptography.cobblestone import Cobblestone256Encryptor

for length in (0, 1000, 16384, 40000):
    encryptor = Cobblestone256Encryptor(bytes([0x2A]) * 32, context=b"sealgate test")
    message = bytes(i % 251 for i in range(length))
    sealed = encryptor.update(message) + encryptor.finalize()
    (pathlib.Path(__file__).parent / f"cobblestone-{length}.bin").write_bytes(sealed)
