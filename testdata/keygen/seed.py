"""Known answers for section 5 of docs/GENERATOR.md, from the formulas: python3 seed.py > seed.txt (needs `cryptography`)."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derive(seed, info):
    return HKDF(SHA512(), 32, b"sealgate seed image v1", info).derive(seed)


seed = bytes(range(32))
image = Cipher(algorithms.AES(derive(seed, b"aes-256-ctr")), modes.CTR(bytes(16))).encryptor().update(bytes(196608))
print("first", image[:32].hex())
print("last", image[-32:].hex())
print("child 0", derive(seed, b"child" + bytes(8)).hex())
print("child max", derive(seed, b"child" + b"\xff" * 8).hex())
