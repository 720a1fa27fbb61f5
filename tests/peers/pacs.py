"""What archives do to the sealed files of a folder, well or badly.

pacs.py DEED FROM TO      does it to every file of the folder FROM, and writes the outcome into the folder TO
"""

import sys
import warnings
from pathlib import Path

import numpy
import pydicom

warnings.simplefilter("ignore")

CREATOR = "SEALGATE 1"


def tags(ds):
    """Those of private elements and creators; nothing else is touched or decoded."""
    return [pydicom.tag.BaseTag(tag) for tag in ds.keys() if tag >> 16 & 1]


def ours(ds):
    """The creator, and the elements that it reserves."""
    for tag in tags(ds):
        if tag.is_private_creator and ds[tag].value == CREATOR:
            inside = [ds[t] for t in tags(ds) if t.group == tag.group and t.element >> 8 == tag.element]
            return ds[tag], inside
    raise ValueError("no block")


def move(ds, group, block):
    creator, inside = ours(ds)
    moved = [((group, block), "LO", creator.value)]
    moved += [((group, block << 8 | e.tag.element & 0xFF), e.VR, e.value) for e in inside]
    for element in [creator, *inside]:
        del ds[element.tag]
    for tag, vr, value in moved:
        ds.add_new(tag, vr, value)


def remove_private(ds):
    """Those in sequences too."""
    for tag in tags(ds):
        del ds[tag]
    for tag in list(ds.keys()):
        raw = ds.get_item(tag)
        if raw.VR == "SQ" or (raw.VR is None and pydicom.datadict.dictionary_has_tag(tag) and pydicom.datadict.dictionary_VR(tag) == "SQ"):
            for item in ds[tag].value:
                remove_private(item)


def renumber(ds):
    move(ds, 0x5347, 0x42)


def move_group(ds):
    move(ds, 0x7001, 0xFF)


def unknown(ds):
    """As a hop through implicit VR leaves private elements."""
    for element in [ds[tag] for tag in tags(ds) if not tag.is_private_creator]:
        if element.VR in ("OB", "OW", "LO"):
            value = element.value if isinstance(element.value, bytes) else str(element.value).encode()
            ds.add_new(element.tag, "UN", value + b"\0" * (len(value) % 2))


def utf8(ds):
    """Decodes every text and encodes it again."""
    ds.decode()
    ds.SpecificCharacterSet = "ISO_IR 192"


def pixels(ds):
    return numpy.frombuffer(ds.PixelData, numpy.uint16 if ds.BitsAllocated == 16 else numpy.uint8)


def crop(ds):
    frames, samples = int(ds.get("NumberOfFrames", 1) or 1), ds.SamplesPerPixel
    count = frames * ds.Rows * ds.Columns * samples
    image = pixels(ds)[:count].reshape(frames, ds.Rows, ds.Columns, samples)[:, 4:-4, 4:-4]
    ds.Rows, ds.Columns = image.shape[1:3]
    data = image.tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)


def zeros(ds):
    ds.PixelData = bytes(len(ds.PixelData))


def truncate(ds):
    """Fewer rows, from the end, and a header that says so."""
    rows = ds.Rows // 2
    ds.PixelData = ds.PixelData[: len(ds.PixelData) * rows // ds.Rows // 2 * 2]
    ds.Rows = rows


def eight_bits(ds):
    data = (pixels(ds) >> 8).astype(numpy.uint8).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OB"
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7


def twelve_bits(ds):
    """A compressor that zeroes the bits above the ones it was told to keep."""
    ds.PixelData = (pixels(ds) & 0x0FFF).tobytes()


def rgb(ds):
    data = pixels(ds).astype(numpy.uint16)
    data = (data >> (ds.BitsAllocated - 8)).astype(numpy.uint8).repeat(3).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OB"
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.SamplesPerPixel = 3
    ds.PlanarConfiguration = 0
    ds.PhotometricInterpretation = "RGB"


def swap(ds):
    """Bytes turned around, as a wrong big endian hop does."""
    ds.PixelData = pixels(ds).byteswap().tobytes()


def inverse(ds):
    ds.PixelData = (~pixels(ds)).tobytes()
    ds.PhotometricInterpretation = "MONOCHROME1"


def no_pixels(ds):
    del ds.PixelData


def burnt_in(ds):
    """A patient's name written into the last rows."""
    data = bytearray(ds.PixelData)
    data[len(data) // 2 : len(data) // 2 + 64] = b"\xff" * 64
    ds.PixelData = bytes(data)


def padded(ds):
    """A row more, of white."""
    ds.Rows += 1
    ds.PixelData += b"\xff" * (ds.Columns * ds.BitsAllocated // 8 // 2 * 2)


deed, source, target = globals()[sys.argv[1]], *map(Path, sys.argv[2:])
for path in sorted(source.glob("*.dcm")):
    ds = pydicom.dcmread(path)
    deed(ds)
    ds.save_as(target / path.name)
