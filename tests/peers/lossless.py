"""Decodes images that were compressed without losses with other people's codecs, and compares them with the originals.

lossless.py FOLDER     FOLDER/<n>.dcm is an original, native; FOLDER/<n>.<keyword>.dcm is it in that transfer syntax
Prints a line for each that differs; the last line is "N compared".
"""

import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.rle import _rle_decode_frame

MAY_CHANGE = {"PixelData", "PlanarConfiguration", "PhotometricInterpretation"}


def words(ds):
    kind = {8: "u1", 16: "<u2", 32: "<u4"}[ds.BitsAllocated]
    return np.dtype(kind)


def originals(ds):
    """The frames, with the samples of a pixel together."""
    count = int(ds.get("NumberOfFrames") or 1)
    shape = (count, ds.Rows, ds.Columns, ds.SamplesPerPixel)
    size = int(np.prod(shape))
    if ds.SamplesPerPixel > 1 and ds.PlanarConfiguration == 1:
        planes = np.frombuffer(ds.PixelData, words(ds), size).reshape(count, ds.SamplesPerPixel, ds.Rows, ds.Columns)
        return planes.transpose(0, 2, 3, 1)
    return np.frombuffer(ds.PixelData, words(ds), size).reshape(shape)


def jpeg_2000(ds, frame, _original):
    """What PS3.5 8.2.4 asks of the codestream, then its samples."""
    at = frame.index(b"\xff\x4f\xff\x51") + 40
    depth = frame[at + 2]
    if (depth & 0x7F) + 1 != ds.BitsStored or (depth >> 7) != ds.PixelRepresentation:
        raise ValueError(f"precision and sign {depth:#x}, Bits Stored {ds.BitsStored}")
    is_transformed = frame[frame.index(b"\xff\x52") + 8] == 1
    if is_transformed != (ds.PhotometricInterpretation == "YBR_RCT"):
        raise ValueError(f"{ds.PhotometricInterpretation}, and transformed: {is_transformed}")
    return imagecodecs.jpeg2k_decode(frame)


def rle(ds, frame, _original):
    planes = _rle_decode_frame(frame, ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.BitsAllocated)
    samples = np.frombuffer(bytes(planes), words(ds))
    return samples.reshape(ds.SamplesPerPixel, ds.Rows, ds.Columns).transpose(1, 2, 0)


def inflated(ds, frame, original):
    samples = np.frombuffer(zlib.decompressobj(-15).decompress(frame), words(ds))
    if ds.SamplesPerPixel > 1 and ds.PlanarConfiguration == 1:
        return samples.reshape(ds.SamplesPerPixel, ds.Rows, ds.Columns).transpose(1, 2, 0)
    return samples


CODECS = {
    "JPEGLSLossless": (lambda ds, frame, _: imagecodecs.jpegls_decode(frame), 0),
    "RLELossless": (rle, 1),
    "JPEG2000Lossless": (jpeg_2000, 0),
    "JPEGXLLossless": (lambda ds, frame, _: imagecodecs.jpegxl_decode(frame), 0),
    "DeflatedImageFrameCompression": (inflated, None),
}


def fault(native, path, keyword):
    """What is wrong with a compressed image; nothing if nothing is."""
    packed = dcmread(path)
    decode, planar = CODECS[keyword]
    changed = {
        str(element.tag)
        for one, other in ((native, packed), (packed, native))
        for element in one
        # Group lengths are retired, and would be wrong.
        if element.tag.element and element.keyword not in MAY_CHANGE and (element.tag not in other or other[element.tag].value != element.value)
    }
    if changed:
        return f"changed: {changed}"
    if native.SamplesPerPixel > 1:
        wanted = native.PlanarConfiguration if planar is None else planar
        if packed.PlanarConfiguration != wanted:
            return f"Planar Configuration {packed.PlanarConfiguration}"
    if keyword != "JPEG2000Lossless" and packed.PhotometricInterpretation != native.PhotometricInterpretation:
        return f"Photometric Interpretation {packed.PhotometricInterpretation}"
    frames = originals(native)
    count = 0
    for frame, original in zip(generate_frames(packed.PixelData, number_of_frames=len(frames)), frames):
        samples = np.asarray(decode(packed, frame, original)).reshape(original.shape)
        if samples.dtype.itemsize < original.dtype.itemsize:
            samples = samples.astype(original.dtype)
        if samples.astype(samples.dtype.newbyteorder("<")).tobytes() != original.tobytes():
            return f"frame {count} differs"
        count += 1
    return None if count == len(frames) else f"{count} of {len(frames)} frames"


def main(folder):
    compared = 0
    for path in sorted(Path(folder).glob("*.*.dcm")):
        number, keyword, _ = path.name.split(".")
        native = dcmread(path.with_name(f"{number}.dcm"))
        try:
            wrong = fault(native, path, keyword)
        except Exception as error:  # Whatever another decoder says of it is a fault.
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            print(f"{path.name}: {wrong}")
        compared += 1
    print(f"{compared} compared")


main(sys.argv[1])
