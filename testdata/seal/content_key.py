"""Writes content-key.txt: content keys by the formula of docs/FORMAT.md, with and without a key image."""

import hashlib
import hmac
import pathlib


def length(part):
    return len(part).to_bytes(8, "big")


def parts(*values):
    return b"".join(length(value) + value for value in values)


def content_key(r, g, suite, key_id, sop_class, sop_instance):
    prk = hmac.digest(b"sealgate content key v1", parts(r, g), "sha512")
    binding = suite.to_bytes(2, "big") + key_id + parts(sop_class, sop_instance)
    return hmac.digest(prk, b"sealgate content key v1" + binding + b"\1", "sha512")[:32]


g = hashlib.sha512(b"sealgate key image v1" + parts(b"generator", b"seed", b"image")).digest()
keys = [
    content_key(bytes([1]) * 32, value, 1, bytes([3]) * 16, b"1.2.840.10008.5.1.4.1.1.2", b"1.2.3")
    for value in (g, b"")
]
(pathlib.Path(__file__).parent / "content-key.txt").write_text("".join(key.hex() + "\n" for key in keys))
