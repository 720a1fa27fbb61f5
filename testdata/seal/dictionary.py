"""Makes docs/FORMAT-dictionary.bin, the preset dictionary of packed records: dictionary.py [OUT]

What images usually have in front of their pixels, in the order of the tags: element headers with usual lengths and usual
values, as the standard and vendors' conformance statements name them. Its bytes are part of the format: it is run again
only for another version of it.
"""

import sys
from pathlib import Path

from pydicom.datadict import dictionary_VR, tag_for_keyword

SHORT = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "AT": 4, "DA": 8, "AS": 4}
LONG = {"OB", "OW", "OF", "OD", "OL", "OV", "UN", "SQ", "UT", "UC", "UR"}
# Private blocks: creator, group, then elements of one VR after the other.
PRIVATE = """
0009 GEMS_IDEN_01|01 LO,02 SH,04 SH,27 SL,30 SH,31 SH,E6 SH,E7 UL,E9 SL
0011 SIEMENS MEDCOM HEADER|
0019 GEMS_ACQU_01|02 SL,03 DS,04 DS,0F DS,11 SS,13 SS,14 SS,15 SS,16 SS,17 SS,18 DS,1A DS,1B DS,1E DS,23 DS,24 DS,25 SS,26 SL,27 DS,2A DS,2B DS,2C SL,2E DS,2F DS,39 SS,40 SS,41 SS,42 SS,43 SS,44 SS,47 SS,4A SS,4B SS,52 SS,5A DS,6A SS,6B SS,70 SL,71 SL,72 DS,73 DS,76 DS,77 DS,78 DS,81 SS,84 DS,85 SL,86 SL,87 SL,8A SS,93 DS,94 DS,95 SS,96 DS,97 DS,98 DS,9E LO,A6 DS,B0 DS,C1 SS,D3 SH,DA SS,DB DS
0021 GEMS_RELA_01|03 SS,05 SH,07 SL,15 SS,18 LO,19 LO,35 SS,36 SS,37 SS,4A LO,90 SS,91 SS,92 FL,93 FL
0023 GEMS_STDY_01|01 SL,02 SL,10 SS,70 FD,71 SL,74 SL,7D SS
0025 GEMS_SERS_01|06 SS,07 SL,10 SL,11 SS,14 SL,17 SL,18 SL,19 SL,1A SH,1B OB
0027 GEMS_IMAG_01|06 SL,10 SS,1C SL,1D SS,1E FL,1F FL,20 FL,30 SH,31 SS,33 UL,35 SS,36 SS,40 SH,41 FL,42 FL,43 FL,44 FL,45 FL,46 FL,47 FL,48 FL,49 FL,4A FL,50 FL,51 FL,52 SH,53 SH,54 SH,55 SH,60 FL
0029 GEMS_IMPS_01|04 SL,05 DS,06 DS,07 SL,08 SH,09 SH,0A SS,15 SL,16 SL,17 SL,18 SL,1A SL,34 SL,35 SL
0029 SIEMENS CSA HEADER|08 CS,09 LO,10 OB,18 CS,19 LO,20 OB
0043 GEMS_PARM_01|10 US,11 US,12 SS,13 SS,14 SS,15 SS,16 SS,17 DS,18 DS,19 SS,1A SL,1B SS,1C SS,1D SS,1E DS,1F SL,20 DS,21 SS,25 SS,26 US,27 SH,28 OB,29 OB,2A OB,2B SS,31 DS,40 FL,41 FL,42 SL,43 SL,44 SL,45 SL,46 SL,47 SL,48 SL,49 SL,4A SS,4B SL,4C SL,4D FL,4E FL,6F DS
0045 GEMS_HELIOS_01|01 SS,02 FL,03 SS,04 SS,06 CS,09 SS,0A SS,0B SL,0E FL,0F FL,10 SS,11 SS,12 SS,13 SS,14 SS,15 SL,16 US,17 SS,18 SS,21 SS,22 SS,32 SS,3B LO
0051 SIEMENS MR HEADER|08 CS,09 LO,0A SH,0B SH,0C LO,0D SH,0E LO,0F LO,11 LO,12 SH,13 SH,15 SH,16 LO,17 SH,19 LO
2001 Philips Imaging DD 001|01 FL,02 IS,03 FL,04 CS,06 CS,07 CS,08 IS,09 FL,0A IS,0B CS,0C CS,0E CS,0F SS,10 CS,11 FL
2005 Philips MR Imaging DD 001|00 FL,01 FL,02 FL,04 CS,05 CS,06 CS,08 FL,09 FL,0A FL,0B FL,0C FL,0D FL,0E FL,0F FL,10 FL
7005 TOSHIBA_MEC_CT3|07 DS,08 SH,09 SH,0A SS,0B SS,0D US,0E US,0F US,10 US,11 US,12 OW
"""
# Keyword and usual values; a number before a star is a usual length of a value that is nothing special.
HEADERS = """
FileMetaInformationVersion \\0\\1
MediaStorageSOPClassUID
MediaStorageSOPInstanceUID
TransferSyntaxUID 1.2.840.10008.1.2.4.70 1.2.840.10008.1.2.4.90 1.2.840.10008.1.2.5 1.2.840.10008.1.2 1.2.840.10008.1.2.1
ImplementationClassUID 1.2.40.0.13.1.1 1.2.276.0.7230010.3.0.3.6
ImplementationVersionName DCM4CHE OFFIS_DCMTK_36
SourceApplicationEntityTitle
SpecificCharacterSet ISO_IR_192 ISO_IR_100
ImageType DERIVED\\SECONDARY\\OTHER ORIGINAL\\PRIMARY\\M\\ND\\NORM DERIVED\\PRIMARY\\ ORIGINAL\\PRIMARY\\LOCALIZER ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5_SPI ORIGINAL\\PRIMARY\\AXIAL
InstanceCreationDate 20
InstanceCreationTime 14*
InstanceCreatorUID
SOPClassUID 1.2.840.10008.5.1.4.1.1.7 1.2.840.10008.5.1.4.1.1.1 1.2.840.10008.5.1.4.1.1.1.1 1.2.840.10008.5.1.4.1.1.1.2 1.2.840.10008.5.1.4.1.1.6.1 1.2.840.10008.5.1.4.1.1.3.1 1.2.840.10008.5.1.4.1.1.12.1 1.2.840.10008.5.1.4.1.1.20 1.2.840.10008.5.1.4.1.1.128 1.2.840.10008.5.1.4.1.1.2.1 1.2.840.10008.5.1.4.1.1.4.1 1.2.840.10008.5.1.4.1.1.4 1.2.840.10008.5.1.4.1.1.2
SOPInstanceUID 1.2.276.0.7230010.3.1.4. 2.25. 1.3.46.670589.11. 1.2.392.200036.9116. 1.3.12.2.1107.5. 1.2.840.113704.1.111. 1.2.840.113619.2.
StudyDate 19 20
SeriesDate 19 20
AcquisitionDate 19 20
ContentDate 19 20
OverlayDate
CurveDate
AcquisitionDateTime 20
StudyTime 13* 14* 6*
SeriesTime 13* 14* 6*
AcquisitionTime 13* 14* 6*
ContentTime 13* 14* 6*
AccessionNumber 0*
Modality US CR DX MG XA NM PT OT MR CT
ConversionType WSD
PresentationIntentType FOR_PRESENTATION FOR_PROCESSING
Manufacturer Canon_Medical_Systems TOSHIBA Hitachi_Medical_Corporation FUJI_PHOTO_FILM_Co._ltd. Agfa Philips Philips_Medical_Systems Siemens_Healthineers SIEMENS GE_MEDICAL_SYSTEMS
InstitutionName
InstitutionAddress
ReferringPhysicianName 0* ^^^^
TimezoneOffsetFromUTC
StationName
StudyDescription CHEST ABDOMEN HEAD BRAIN
ProcedureCodeSequence
SeriesDescription
InstitutionalDepartmentName
PhysiciansOfRecord
PerformingPhysicianName
NameOfPhysiciansReadingStudy
OperatorsName
AdmittingDiagnosesDescription
ManufacturerModelName LightSpeed_VCT Discovery_CT750_HD LightSpeed16 Optima Sensation_64 SOMATOM_Definition_AS+ Aera Skyra Avanto Ingenia Achieva Brilliance_64 Aquilion_ONE GENESIS_SIGNA
ReferencedStudySequence
ReferencedPerformedProcedureStepSequence
ReferencedImageSequence
ReferencedSOPClassUID
ReferencedSOPInstanceUID
DerivationDescription
SourceImageSequence
IrradiationEventUID
AnatomicRegionSequence
CodeValue
CodingSchemeDesignator DCM SRT
CodeMeaning
PatientName Anonymized
PatientID
IssuerOfPatientID
PatientBirthDate 19
PatientBirthTime
PatientSex O F M
OtherPatientIDs
OtherPatientNames
PatientAge 000Y 045Y
PatientSize
PatientWeight 0.000000
EthnicGroup
AdditionalPatientHistory
PregnancyStatus
PatientComments
PatientIdentityRemoved YES
DeidentificationMethod
ContrastBolusAgent ISOVUE OMNIPAQUE ORAL NONE
BodyPartExamined CHEST ABDOMEN HEAD BRAIN SPINE PELVIS
ScanningSequence EP IR GR SE
SequenceVariant SS SK SP\\OSP SK\\SP\\OSP
ScanOptions FAST_GEMS PFP\\FS HELICAL_MODE AXIAL_MODE
MRAcquisitionType 3D 2D
SequenceName *tse2d1_ *fl2d1
AngioFlag N
SliceThickness 1.000000 2.500000 0.625 3 10.000000 5.000000
KVP 80 100 140 120
RepetitionTime
EchoTime
InversionTime
NumberOfAverages 1
ImagingFrequency 63. 127.
ImagedNucleus 1H
EchoNumbers 1
MagneticFieldStrength 3 1.5
SpacingBetweenSlices
NumberOfPhaseEncodingSteps
DataCollectionDiameter 500.000000
EchoTrainLength 1
PercentSampling 100
PercentPhaseFieldOfView 100
PixelBandwidth
DeviceSerialNumber
SoftwareVersions 07MW18.4 syngo_MR_ VA40 syngo_CT_
ProtocolName
ContrastBolusRoute IV
HeartRate 0
CardiacNumberOfImages 0
TriggerWindow 0
ReconstructionDiameter 250.000000 360.000000 500.000000
ReceiveCoilName HEAD BODY
DistanceSourceToDetector 949.075012 1040.000000 949.147
DistanceSourceToPatient 541.000000 541.0 570
GantryDetectorTilt 0.000000 0
TableHeight 150. 
RotationDirection CW
ExposureTime 1000 500
XRayTubeCurrent 200 300
Exposure 
FilterType BODY_FILTER 0
GeneratorPower
CollimatorGridName
FocalSpots 0.700000 1.2 1.200000
AcquisitionMatrix 0\\0
InPlanePhaseEncodingDirection COL ROW
FlipAngle 90
VariableFlipAngleFlag N
SAR
dBdt 0
ConvolutionKernel BONE LUNG SOFT B30f B70f STANDARD
PatientPosition HFP FFP FFS HFS
ViewPosition AP LL PA
SpiralPitchFactor
CTDIvol
StudyInstanceUID 1.2.840.113619.2. 1.3.12.2.1107.5. 2.25.
SeriesInstanceUID 1.2.840.113619.2. 1.3.12.2.1107.5. 2.25.
StudyID 
SeriesNumber 2 1
AcquisitionNumber 1
InstanceNumber 1
PatientOrientation A\\F L\\P L\\F
ImagePositionPatient -125.000000\\-125.000000\\ -180.000000\\-180.000000\\ -250\\-250\\
ImageOrientationPatient 0\\1\\0\\0\\0\\-1 1\\0\\0\\0\\1\\0 1.000000\\0.000000\\0.000000\\0.000000\\1.000000\\0.000000
FrameOfReferenceUID 1.2.840.113619.2. 1.3.12.2.1107.5. 2.25.
Laterality R L
ImagesInAcquisition 
PositionReferenceIndicator OM SN XY
SliceLocation -100.000000 000
ImageComments
SamplesPerPixel u3 u1
PhotometricInterpretation YBR_FULL_422 PALETTE_COLOR RGB MONOCHROME1 MONOCHROME2
PlanarConfiguration u0
NumberOfFrames 1
Rows u256 u512
Columns u256 u512
PixelSpacing 0.\\0. 1\\1 0.488281\\0.488281 0.703125\\0.703125 0.976562\\0.976562
PixelAspectRatio 1\\1
BitsAllocated u8 u16
BitsStored u8 u16 u12
HighBit u7 u15 u11
PixelRepresentation u1 u0
SmallestImagePixelValue u0
LargestImagePixelValue u4095
PixelPaddingValue u63536
BurnedInAnnotation NO
PixelIntensityRelationship LOG LIN
PixelIntensityRelationshipSign
WindowCenter 128 40 50 00040\\00300
WindowWidth 256 400 350 00400\\01500
RescaleIntercept 0 -1024
RescaleSlope 1 1.000000
RescaleType US HU
WindowCenterWidthExplanation WINDOW1\\WINDOW2
LossyImageCompression 00
StudyStatusID 
RequestingPhysician
RequestedProcedureDescription
RequestedProcedureCodeSequence
PerformedStationAETitle
PerformedProcedureStepStartDate 20
PerformedProcedureStepStartTime
PerformedProcedureStepEndDate 20
PerformedProcedureStepEndTime
PerformedProcedureStepID
PerformedProcedureStepDescription
RequestAttributesSequence
ScheduledProcedureStepDescription
ScheduledProcedureStepID
RequestedProcedureID
CommentsOnThePerformedProcedureStep
PresentationLUTShape INVERSE IDENTITY
ImagePlanePixelSpacing
"""


def header(tag, vr, length):
    raw = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + vr.encode()
    return raw + (b"\0\0" + length.to_bytes(4, "little") if vr in LONG else length.to_bytes(2, "little"))


def private(out):
    for line in PRIVATE.strip().splitlines():
        block, _, elements = line.partition("|")
        group, creator = int(block[:4], 16), block[5:].encode()
        creator += b" " * (len(creator) % 2)
        out += header(group << 16 | 0x10, "LO", len(creator)) + creator
        for element in filter(None, elements.split(",")):
            vr = element[3:]
            length = SHORT.get(vr, 0 if vr in LONG else 8)
            out += header(group << 16 | 0x1000 | int(element[:2], 16), vr, length)
            out += bytes(length) if vr in SHORT else b"0.000000"[:length]


def usual(out):
    for line in HEADERS.strip("\n").splitlines():
        keyword, *values = line.split(" ")
        tag = tag_for_keyword(keyword)
        vr = dictionary_VR(tag).split(" ")[0]
        for text in values or [""]:
            out += element_of(tag, vr, text.replace("_", " ").replace("\\\\", "\\"))


def implicit(out):
    """Headers of Implicit VR, which have the tag and four bytes of length, with what often stands in them."""
    for line in HEADERS.strip("\n").splitlines():
        keyword, *values = line.split(" ")
        tag = tag_for_keyword(keyword)
        vr = dictionary_VR(tag).split(" ")[0]
        if vr in LONG or tag >> 16 == 2:
            continue
        raw = element_of(tag, vr, values[-1].replace("_", " ").replace("\\\\", "\\") if values else "")
        out += raw[:4] + raw[6:8] + b"\0\0" + raw[8:]


def element_of(tag, vr, text):
    if text.endswith("*") and text[:-1].isdigit():
        return header(tag, vr, int(text[:-1]))
    if text.startswith("u") and vr in ("US", "SS"):
        return header(tag, vr, 2) + int(text[1:]).to_bytes(2, "little")
    if tag == 0x00020001:
        return header(tag, vr, 2) + b"\0\1"
    value = text.encode()
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return header(tag, vr, SHORT.get(vr, len(value))) + value


def main(out):
    made = bytearray()
    private(made)
    implicit(made)
    usual(made)
    Path(out).write_bytes(made)
    print(len(made), "bytes")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs/FORMAT-dictionary.bin")
