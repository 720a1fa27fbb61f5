"""Writes a small image of every kind of pixels for every image class that pydicom's dictionary knows.

classes.py FOLDER      writes FOLDER/<class>_<kind>.dcm; they have their Image Pixel Module and little else
"""

import sys
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID_dictionary, ExplicitVRLittleEndian

# Samples per Pixel, Photometric Interpretation, Bits Allocated, Bits Stored
KINDS = {
    "mono1": (1, "MONOCHROME2", 1, 1),
    "mono8": (1, "MONOCHROME2", 8, 8),
    "mono12": (1, "MONOCHROME2", 16, 12),
    "rgb8": (3, "RGB", 8, 8),
    "pal8": (1, "PALETTE COLOR", 8, 8),
    "pal16": (1, "PALETTE COLOR", 16, 16),
}
WORDS = ("Image Storage", "Segmentation Storage", "Dose Storage", "Map Storage")


def image(uid, number, samples, photometric, allocated, stored):
    ds = Dataset()
    ds.SOPClassUID = uid
    ds.SOPInstanceUID = f"1.2.3.{number}"
    ds.Modality = "OT"
    ds.PatientName = "A^B"
    ds.PatientID = "1"
    ds.StudyInstanceUID = "1.2.4"
    ds.SeriesInstanceUID = "1.2.5"
    ds.SamplesPerPixel = samples
    ds.PhotometricInterpretation = photometric
    if samples == 3:
        ds.PlanarConfiguration = 0
    ds.NumberOfFrames = 1
    ds.Rows = ds.Columns = 16
    ds.BitsAllocated = allocated
    ds.BitsStored = stored
    ds.HighBit = stored - 1
    ds.PixelRepresentation = 0
    if photometric == "PALETTE COLOR":
        for colour in ("Red", "Green", "Blue"):
            setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
            setattr(ds, f"{colour}PaletteColorLookupTableData", bytes(512))
    ds.PresentationLUTShape = "IDENTITY"
    ds.PixelData = bytes(16 * 16 * samples * allocated // 8)
    ds["PixelData"].VR = "OB" if allocated <= 8 else "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


number = 0
for uid, (name, kind, *_) in UID_dictionary.items():
    if kind == "SOP Class" and any(word in name for word in WORDS):
        for name, pixels in KINDS.items():
            number += 1
            image(uid, number, *pixels).save_as(Path(sys.argv[1]) / f"{uid}_{name}.dcm", enforce_file_format=True)
