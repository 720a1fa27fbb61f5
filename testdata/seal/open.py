"""Opens sealed DICOM files, written from docs/FORMAT.md alone: open.py [FILE...]

Without files it opens every golden file beside it, with the content key of its .json, and compares the result with the
original; then it makes sure that no fault file opens. Ends with 1 when something is not as it should be. Generators are
looked for in ../keygen.
"""

import hashlib
import hmac
import json
import sys
import zlib
from pathlib import Path

import pydicom
from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "keygen"))
import chaos  # noqa: E402
from dual import without_dual  # noqa: E402
from generator import key_image, read_model  # noqa: E402
from seed import derive, expand  # noqa: E402

LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"
CHUNK = 16384
DICTIONARY = Path(__file__).parents[2] / "docs/FORMAT-dictionary.bin"
SUITES = {
    b"\0\1": "deepkeygen",
    b"\0\2": "deepkeygen-xor",
    b"\0\x10": "logistic-resnet18",
    b"\0\x11": "logistic-mobilenetv2",
    b"\0\x12": "lorenz-resnet18",
    b"\0\x13": "lorenz-mobilenetv2",
    b"\0\x20": "dual",
}


class Refused(Exception):
    pass


def check(condition, reason):
    if not condition:
        raise Refused(reason)


def counted(part):
    return len(part).to_bytes(8, "big") + part


def sealed_bytes(data_set):
    """Section 7: what stands where the original has its pixels, or its document."""
    is_document = str(data_set.SOPClassUID).startswith("1.2.840.10008.5.1.4.1.1.104.")
    keyword = "EncapsulatedDocument" if is_document else "PixelData"
    check(keyword in data_set, "nothing sealed")
    return data_set[keyword].value


def stream_of(data_set):
    """Sections 3 and 7: the fixed header's claims, and the stream behind it."""
    pixels = sealed_bytes(data_set)
    check(pixels[:8] == b"\x93SGATE\r\0", "not sealed")
    check(pixels[8] == 1, "version")
    check(pixels[9] in (0, 1), "flags")
    check(pixels[10:12] in SUITES, "suite")
    length = int.from_bytes(pixels[28:36], "big")
    start = 36 + 33 * pixels[9]
    check(len(pixels) >= start + length, "shorter than the stream")
    check(not any(pixels[start + length + 64 * pixels[9] :]), "padding")
    return pixels[10:12], pixels[12:28], pixels[start : start + length], pixels[36:start]


def verify_signature(data_set):
    """Section 5.1."""
    pixels = sealed_bytes(data_set)
    if pixels[9] == 0:
        return
    length = int.from_bytes(pixels[28:36], "big")
    signer, stream, signature = pixels[36:69], pixels[69 : 69 + length], pixels[69 + length : 133 + length]
    uids = b"".join(counted(str(uid).encode()) for uid in (data_set.SOPClassUID, data_set.SOPInstanceUID))
    check(signer[0] == 1, "signature algorithm")
    try:
        message = b"sealgate signature v1" + pixels[:36] + uids + blake3(stream).digest()
        Ed25519PublicKey.from_public_bytes(signer[1:]).verify(signature, message)
    except InvalidSignature as error:
        raise Refused("signature") from error


def plaintext_of(stream, content_key, context):
    """Section 5."""
    check(len(stream) >= 56, "no salt and commitment")
    salt, commitment, chunks = stream[:24], stream[24:56], stream[56:]
    derived = HKDFExpand(SHA512(), 76, LABEL + salt + context).derive(content_key)
    key, base, expected = derived[:32], derived[32:44], derived[44:]
    check(hmac.compare_digest(commitment, expected), "commitment")
    aead, out = AESGCM(key), []
    for counter in range(len(chunks) // (CHUNK + 16) + 1):
        chunk = chunks[counter * (CHUNK + 16) : (counter + 1) * (CHUNK + 16)]
        nonce = (int.from_bytes(base, "big") ^ counter).to_bytes(12, "big")
        try:
            out.append(aead.decrypt(nonce, chunk, None))
        except (InvalidTag, ValueError) as error:
            raise Refused(f"chunk {counter}") from error
    check(len(out[-1]) < CHUNK, "cut off")
    return b"".join(out)


def without_layer(plaintext, suite, content_key, salt, context):
    """Sections 6.1 and 6.2."""
    if SUITES[suite] == "deepkeygen":
        return plaintext
    seed = HKDFExpand(SHA512(), 32, b"sealgate inner layer v1" + salt + context).derive(content_key)
    if SUITES[suite] == "dual":
        try:
            return without_dual(plaintext, seed)
        except ValueError as error:
            raise Refused(f"dual layer: {error}") from error
    if suite >= b"\0\x10":
        try:
            return chaos.opened(SUITES[suite].split("-")[0], plaintext, seed)
        except chaos.BadParameters as error:
            raise Refused(str(error)) from error
    check(len(plaintext) >= 32, "no generator id")
    generator, layered = plaintext[:32], plaintext[32:]
    files = [path.read_bytes() for path in sorted((HERE.parent / "keygen").glob("*.sgg"))]
    models = [data for data in files if hashlib.sha256(data).digest() == generator]
    check(models, f"generator {generator.hex()} is missing")
    layers = read_model(models[0])
    out = bytearray()
    for number in range((len(layered) + 196607) // 196608):
        image = key_image(layers, expand(derive(seed, b"child" + number.to_bytes(8, "big"))))
        part = layered[196608 * number : 196608 * (number + 1)]
        out += bytes(a ^ b for a, b in zip(part, image))
    return bytes(out)


def original_of(plaintext):
    """Section 6."""
    front, syntax, original, at, ended = 0, "", [], 0, False
    while at < len(plaintext):
        kind, size = plaintext[at], int.from_bytes(plaintext[at + 1 : at + 5], "big")
        body = plaintext[at + 5 : at + 5 + size]
        check(len(body) == size and not ended and (kind == 1) == (at == 0), "records")
        at += 5 + size
        if kind == 1:
            front, syntax = int.from_bytes(body[:4], "big"), body[5 : 5 + body[4]].decode()
        elif kind in (2, 5):
            dictionary = DICTIONARY.read_bytes() if kind == 5 else b""
            unpacker = zlib.decompressobj(wbits=-15, zdict=dictionary)
            unpacked = unpacker.decompress(body[4:])
            check(unpacker.eof and not unpacker.unused_data, "packed record")
            check(len(unpacked) == int.from_bytes(body[:4], "big"), "packed record")
            original.append(unpacked)
        elif kind == 3:
            original.append(body)
        elif kind == 4:
            data_set = b"".join(original)[front:]
            check(body == len(data_set).to_bytes(8, "big") + blake3(data_set).digest(), "digest")
            ended = True
        else:
            raise Refused("kind of record")
    check(ended, "no end")
    return syntax, b"".join(original)


def open_sealed(path, content_key):
    data_set = pydicom.dcmread(path)
    suite, key_id, stream, signer = stream_of(data_set)
    verify_signature(data_set)
    uids = [str(data_set.SOPClassUID).encode(), str(data_set.SOPInstanceUID).encode()]
    binding = suite + key_id + counted(uids[0]) + counted(uids[1])
    context = b"sealgate instance v1\1" + binding + (b"signed" + signer if signer else b"")
    plaintext = plaintext_of(stream, content_key, context)
    return original_of(without_layer(plaintext, suite, content_key, stream[:24], context))


def main(files):
    keys = {p.stem: json.loads(p.read_text()) for p in sorted((HERE / "golden").glob("*.json"))}
    for path in map(Path, files):
        _, original = open_sealed(path, bytes.fromhex(keys[path.stem]["content_key"]))
        print(path, hashlib.sha256(original).hexdigest())
    if files:
        return
    for name, facts in keys.items():
        syntax, original = open_sealed(HERE / "golden" / f"{name}.dcm", bytes.fromhex(facts["content_key"]))
        check(syntax == facts["transfer_syntax"], f"{name}: transfer syntax")
        check(original == (HERE / "golden" / f"{name}.original").read_bytes(), f"{name}: another original")
        print("opened", name)
    for path in sorted((HERE / "faults").iterdir()):
        suites = (suite for suite in SUITES.values() if suite != "dual" and f"--{suite}-" in path.name)
        is_document = "--document-" in path.name
        names = (name for name in ("xor", "dual", "signed") if f"--{name}-" in path.name)
        usual = "v1-deepkeygen-document" if is_document else "v1-deepkeygen-slice"
        name = next((f"v1-deepkeygen-{name}-fragments" for name in names), usual)
        name = next((f"v1-{suite}-fragments" for suite in suites), name)
        key = bytes.fromhex(keys[name]["content_key"])
        if "wrong-key" in path.name:
            key = bytes(32)
        try:
            open_sealed(path, key)
        except (Refused, pydicom.errors.InvalidDicomError, EOFError) as reason:
            print("refused", path.name, "-", reason)
        else:
            raise Refused(f"{path.name} opened")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Refused as refusal:
        sys.exit(str(refusal))
