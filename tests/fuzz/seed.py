"""Fills corpus/scan with the hostile data sets, and with the small real files under the folders named: seed.py [FOLDER...]"""

import hashlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
ENCODINGS = ["explicit", "implicit", "big", "encapsulated", "deflated"]
SYNTAXES = {"1.2.840.10008.1.2": 1, "1.2.840.10008.1.2.1": 0, "1.2.840.10008.1.2.2": 2, "1.2.840.10008.1.2.1.99": 4}
corpus = HERE / "corpus" / "scan"
corpus.mkdir(parents=True, exist_ok=True)


def add(encoding, data):
    for flags in (0, 8, 16, 24):
        seed = bytes([encoding | flags, 63]) + data
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


for path in (HERE / "../../testdata/hostile/dataset").glob("*.bin"):
    if path.stat().st_size < 20_000:
        add(ENCODINGS.index(path.name.split(".")[1]), path.read_bytes())
for path in (p for folder in sys.argv[1:] for p in Path(folder).rglob("*") if p.is_file()):
    data = path.read_bytes()
    if len(data) > 20_000 or data[128:132] != b"DICM":
        continue
    end = 144 + int.from_bytes(data[140:144], "little")
    at = data.find(b"\2\0\x10\0UI", 132, end)
    if at > 0:
        uid = data[at + 8 : at + 8 + data[at + 6]].rstrip(b"\0 ").decode()
        add(SYNTAXES.get(uid, 3), data[end:])
print(len(list(corpus.iterdir())), "seeds")
