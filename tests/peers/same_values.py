"""Whether pairs of files say the same: `same_values.py FOLDER` compares each NAME.was.dcm with its NAME.is.dcm, whatever their
transfer syntaxes: every element with its value, in every item, and all samples of the pixels.

Prints what differs, and at the end "N compared".
"""

import sys
from pathlib import Path

import numpy
from pydicom import config, dcmread

UNITS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
config.settings.reading_validation_mode = config.IGNORE


def little(element, is_little):
    """The value, and of binary ones the bytes in little endian."""
    value = element.value
    if isinstance(value, bytes) and not is_little and element.VR in UNITS:
        unit = f">u{UNITS[element.VR]}"
        return numpy.frombuffer(value, unit).astype(unit.replace(">", "<")).tobytes()
    return value


def compare(was, found, lengths, path):
    # Group lengths are retired, and would be wrong.
    tags = {tag for tag in [*was.keys(), *found.keys()] if tag.element != 0}
    for tag in sorted(tags):
        if (tag in was) != (tag in found):
            yield f"{path}{tag}: {'gone' if tag in was else 'new'}"
            continue
        one, other = was[tag], found[tag]
        if one.VR == "SQ" and other.VR == "SQ":
            if len(one.value) != len(other.value):
                yield f"{path}{tag}: {len(one.value)} items, {len(other.value)}"
            for number, items in enumerate(zip(one.value, other.value)):
                yield from compare(*items, lengths, f"{path}{tag}[{number}]/")
        elif tag == 0x7FE00010:
            if not same_samples(was, found) and little(one, lengths[0]) != little(other, lengths[1]):
                kind = (one.VR, other.VR, was.BitsAllocated, was.SamplesPerPixel, len(one.value), len(other.value))
                yield f"{path}{tag}: other samples {kind}"
        elif little(one, lengths[0]) != little(other, lengths[1]):
            yield f"{path}{tag} {one.VR} {other.VR}: {str(one.value)[:40]!r}, {str(other.value)[:40]!r}"


def same_samples(was, found):
    """As pydicom decodes them, where it knows that kind of image."""
    try:
        return numpy.array_equal(was.pixel_array, found.pixel_array)
    except Exception:
        return False


count = 0
for path in sorted(Path(sys.argv[1]).glob("*.was.dcm")):
    was, found = dcmread(path), dcmread(path.with_name(path.name.replace(".was.", ".is.")))
    endian = [ds.original_encoding[1] for ds in (was, found)]
    for problem in compare(was, found, endian, ""):
        print(path.name, problem)
    count += 1
print(count, "compared")
