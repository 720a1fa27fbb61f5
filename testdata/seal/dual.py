"""The inner layer of the suite `dual`, written from section 6.3 of docs/FORMAT.md alone; for open.py.

The dual key is that of the tests: its root is no secret.
"""

import struct
from math import fmod

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

ROOTS = {bytes([0xD1] * 16): bytes([0x5D] * 32)}
SQUARE = 16384
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def extract(salt, material):
    mac = HMAC(salt, SHA512())
    mac.update(material)
    return mac.finalize()


def expand(prk, info, length):
    return HKDFExpand(SHA512(), length, info).derive(prk)


class Orbit:
    """The logistic map of testdata/keygen and src/keygen/chaos.rs, in double precision."""

    def __init__(self, key):
        unit = [(word >> 11) / 2**53 for word in struct.unpack(">4Q", key)]
        self.x, self.rate = 0.1 + 0.8 * unit[0], 4.0 - (1.0 + unit[1]) / 1048576.0
        for _ in range(1000):
            self.word()

    def word(self):
        self.x = self.rate * self.x * (1.0 - self.x)
        return int(fmod(self.x * 65536.0, 1.0) * 2**32)

    def shuffled(self, count):
        values = list(range(count))
        for last in range(count - 1, 0, -1):
            drawn = self.word() * (last + 1) >> 32
            values[last], values[drawn] = values[drawn], values[last]
        return values


def static_key(root, parameters):
    """The static key with the bit flipped that the parameters tell of."""
    attempts = (expand(root, b"sealgate dual v1 elgamal key" + bytes([n]), 32) for n in range(256))
    scalar = next(d for d in (int.from_bytes(b, "big") for b in attempts) if 0 < d < ORDER)
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + parameters[16:80])
    agreed = ec.derive_private_key(scalar, ec.SECP256R1()).exchange(ec.ECDH(), point)
    pad = expand(extract(b"sealgate dual v1 elgamal", agreed), b"sealgate dual v1 position" + parameters[:80], 1)
    position = parameters[80] ^ pad[0]
    key = bytearray(expand(root, b"sealgate dual v1 static key", 32))
    key[position // 8] ^= 0x80 >> position % 8
    return bytes(key)


def times(a, b):
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


PRODUCT = {factor: [times(factor, x) for x in range(256)] for factor in (9, 11, 13, 14)}


def decrypt_block(block, keys, inverses):
    """FIPS 197 5.3 with a box for every round."""
    state = [a ^ b for a, b in zip(block, keys[14])]
    for number in range(14, 0, -1):
        shifted = [state[(i - 4 * (i % 4)) % 16] for i in range(16)]
        state = [inverses[number % 4][x] ^ k for x, k in zip(shifted, keys[number - 1])]
        if number > 1:
            rows = [(14, 11, 13, 9), (9, 14, 11, 13), (13, 9, 14, 11), (11, 13, 9, 14)]
            state = [
                PRODUCT[r[0]][state[c]] ^ PRODUCT[r[1]][state[c + 1]] ^ PRODUCT[r[2]][state[c + 2]] ^ PRODUCT[r[3]][state[c + 3]]
                for c in (0, 4, 8, 12)
                for r in rows
            ]
    return bytes(state)


def without_dual(plaintext, seed):
    parameters, layered = plaintext[:81], plaintext[81:]
    if len(parameters) < 81:
        raise ValueError("parameters")
    if parameters[:16] not in ROOTS:
        raise ValueError("this dual key is missing")
    if not layered or len(layered) % 16:
        raise ValueError("its length")
    prk = extract(b"sealgate dual v1", static_key(ROOTS[parameters[:16]], parameters) + seed)
    derived = expand(prk, b"sealgate dual v1 stream" + parameters, 320)
    keys = [derived[16 * i : 16 * i + 16] for i in range(15)]
    chain, structure, squares = derived[240:256], derived[256:288], derived[288:320]

    orbit = Orbit(structure)
    boxes = [orbit.shuffled(256) for _ in range(4)]
    order = orbit.shuffled(SQUARE)
    inverses = [[box.index(x) for x in range(256)] for box in boxes]

    out = bytearray()
    for number in range((len(layered) + SQUARE - 1) // SQUARE):
        part = layered[SQUARE * number : SQUARE * (number + 1)]
        mixed = bytearray()
        for at in range(0, len(part), 16):
            block = part[at : at + 16]
            mixed += bytes(a ^ b for a, b in zip(decrypt_block(block, keys, inverses), chain))
            chain = block
        orbit = Orbit(expand(squares, b"sealgate dual v1 square" + number.to_bytes(8, "big"), 32))
        start, shift = orbit.word() >> 18, orbit.word() >> 18
        places = [(order[(start + i) % SQUARE] + shift) % SQUARE for i in range(SQUARE)]
        places = [place for place in places if place < len(part)]
        plain, before = bytearray(len(part)), 0
        words = struct.unpack(f">{len(mixed) // 4}I", mixed)
        unmixed = []
        for word in words:
            unmixed.append(word ^ before ^ orbit.word())
            before = word
        clear = struct.pack(f">{len(unmixed)}I", *unmixed)
        for place, byte in zip(places, clear):
            plain[place] = byte
        out += plain
    end = out.rstrip(b"\0")
    if len(out) - len(end) > 15 or not end or end[-1] != 0x80:
        raise ValueError("its padding")
    return bytes(end[:-1])
