"""Reads every sealed file of a folder with pydicom: one line each, with the shape and type of its pixels."""

import sys
from pathlib import Path

import pydicom

for path in sorted(Path(sys.argv[1]).glob("*.dcm")):
    ds = pydicom.dcmread(path)
    # Every element, not only those that the pixels need.
    ds.walk(lambda ds, element: None)
    pixels = ds.pixel_array
    print(path.name, "x".join(map(str, pixels.shape)), pixels.dtype)
