"""The top-level elements of every DICOM file under a folder, as pydicom reads them, one line each.

F <path> <transfer syntax UID>      a file; for one that does not name its syntax, what pydicom takes it for
E <tag> <VR> <length, or u for undefined> <CRC-32 of the value, without the delimiter>
                    where VR is -- in implicit VR, and a - is something that pydicom did not keep
X <path> <reason>                   a file that pydicom does not read
"""

import sys
import warnings
import zlib
from pathlib import Path

import pydicom
from pydicom.dataelem import RawDataElement

warnings.simplefilter("ignore")

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"


def syntax(ds):
    named = ds.file_meta.get("TransferSyntaxUID")
    if named:
        return str(named)
    implicit, little = ds.original_encoding
    return IMPLICIT if implicit else EXPLICIT if little else BIG


def elements(ds):
    for tag in list(dict(ds._dict)):
        e = ds._dict[tag]
        name = f"{tag >> 16:04X},{tag & 0xFFFF:04X}"
        if not isinstance(e, RawDataElement):
            yield f"E\t{name}\t-\t{'u' if e.is_undefined_length else '-'}\t-"
            continue
        length = "u" if e.length == 0xFFFFFFFF else e.length
        value = e.value if isinstance(e.value, bytes) else b""
        yield f"E\t{name}\t{e.VR or '--'}\t{length}\t{zlib.crc32(value)}"


def main(root):
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        head = path.open("rb").read(132)
        if path.suffix != ".dcm" and head[128:] != b"DICM":
            continue
        name = path.relative_to(root)
        try:
            ds = pydicom.dcmread(path, force=True)
            lines = list(elements(ds))
        except Exception as error:
            print(f"X\t{name}\t{type(error).__name__}: {error}".replace("\n", " "))
            continue
        print(f"F\t{name}\t{syntax(ds)}")
        for line in lines:
            print(line)


main(Path(sys.argv[1]))
