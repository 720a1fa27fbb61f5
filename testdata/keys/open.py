"""Opens the wrapped keys beside it, written from docs/FORMAT.md ("Key record") alone: open.py [FILE...]

Prints one line for each file. Ends with 1 when a key does not come out, or comes out of an altered record.
The X-Wing key of the test is one made from a seed, since `cryptography` takes ML-KEM private keys as seeds only.
"""

import hashlib
import hmac
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, padding, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.serialization import load_der_private_key

ENCAPSULATED = {1: 1120, 2: 384, 3: 64, 4: 96}


def parse(record):
    assert record[:5] == b"SGKR\x01" and 1 <= record[5] <= 8 and len(record) <= 16384
    at, recipients = 24, []
    for _ in range(record[5]):
        length = int.from_bytes(record[at + 18 : at + 20], "big")
        body = record[at + 20 : at + 20 + length]
        recipients.append((record[at : at + 16], int.from_bytes(record[at + 16 : at + 18], "big"), body))
        at += 20 + length
    assert len(record) == at + 32
    return record[8:24], int.from_bytes(record[6:8], "big"), recipients


def x_wing(seed, enc):
    expanded = hashlib.shake_256(seed).digest(96)
    ss_m = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).decapsulate(enc[:1088])
    key = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
    ss_x = key.exchange(x25519.X25519PublicKey.from_public_bytes(enc[1088:]))
    pk_x = key.public_key().public_bytes_raw()
    return hashlib.sha3_256(ss_m + ss_x + enc[1088:] + pk_x + bytes.fromhex("5c2e2f2f5e5c")).digest()


def rsa(private, enc):
    oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
    return load_der_private_key(private, None).decrypt(enc, oaep)


def ecdh(curve):
    def secret(private, enc):
        peer = ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + enc)
        return ec.derive_private_key(int.from_bytes(private, "big"), curve).exchange(ec.ECDH(), peer)

    return secret


SECRET = {1: x_wing, 2: rsa, 3: ecdh(ec.SECP256R1()), 4: ecdh(ec.SECP384R1())}


def unwrap(record, private, public, number, key_id, suite, sop_class, sop_instance):
    found_id, found_suite, recipients = parse(record)
    assert (found_id, found_suite) == (key_id, suite)
    digest = hashlib.sha256(b"sealgate kek id v1" + number.to_bytes(2, "big") + public).digest()
    (body,) = [body for kek, algorithm, body in recipients if (kek, algorithm) == (digest[:16], number)]
    enc, wrapped = body[: ENCAPSULATED[number]], body[ENCAPSULATED[number] :]
    info = b"sealgate wrap v1 info\x01" + number.to_bytes(2, "big") + digest + key_id + suite.to_bytes(2, "big")
    for uid in (sop_class, sop_instance):
        info += bytes([len(uid)]) + uid.encode()
    secret = SECRET[number](private, enc)
    wrap_key = HKDF(SHA512(), 32, b"sealgate wrap v1", info + enc).derive(secret)
    content_key = AESGCM(wrap_key).decrypt(bytes(12), wrapped, None)
    seal_key = HKDFExpand(SHA512(), 32, b"sealgate key record v1 seal").derive(content_key)
    assert hmac.compare_digest(hmac.digest(seal_key, record[:-32], "sha256"), record[-32:])
    return content_key


NUMBER = {"x-wing": 1, "rsa-oaep-3072": 2, "ecdh-p256": 3, "ecdh-p384": 4}


def opens(path):
    v = json.loads(Path(path).read_text())
    args = (
        bytes.fromhex(v.get("seed", v["private_key"])), bytes.fromhex(v["public_key"]), NUMBER[v["algorithm"]],
        bytes.fromhex(v["key_id"]), v["suite"], v["sop_class"], v["sop_instance"],
    )  # fmt: skip
    record = bytes.fromhex(v["record"])
    good = unwrap(record, *args).hex() == v["content_key"]
    for at in (30, len(record) // 2, len(record) - 1):
        try:
            unwrap(record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :], *args)
            return False
        except (AssertionError, InvalidTag, ValueError):
            pass
    return good


if __name__ == "__main__":
    here = Path(__file__).parent
    files = sys.argv[1:] or [here / f"wrap-{name}.json" for name in NUMBER]
    results = {str(path): opens(path) for path in files}
    for path, good in results.items():
        print("opened " if good else "FAILED ", path)
    sys.exit(0 if all(results.values()) else 1)
