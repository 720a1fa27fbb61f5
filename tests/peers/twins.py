"""Rewrites DICOM files so that dciodvfy can read them: inflated, and pixels of more than 16 bits as 16-bit zeros.

twins.py FOLDER FILE...      each FILE becomes FOLDER/<its name>
"""

import sys
from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian

for path in map(Path, sys.argv[2:]):
    ds = pydicom.dcmread(path)
    if ds.get("BitsAllocated", 0) > 16:
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit = 15
        ds.PixelData = bytes(2 * ds.Rows * ds.Columns * ds.SamplesPerPixel * int(ds.get("NumberOfFrames", 1) or 1))
        ds["PixelData"].VR = "OW"
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    pydicom.dcmwrite(Path(sys.argv[1]) / path.name, ds, implicit_vr=False, little_endian=True, force_encoding=True)
