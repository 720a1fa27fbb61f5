"""An archive with C-STORE and C-GET that does something to what it keeps: `keeper.py --port=N [--do=WHAT]`.

keep     nothing (the default)
strip    removes every private element
coerce   gives every instance another patient, and an accession number
cut      shortens the pixels of what has 16 bits
lossy    clears the lowest bit of every byte of the pixels of what has 8 bits, and says so
lose     acknowledges instances of several frames and throws them away
refuse   refuses instances of one bit
late     has an instance only from the third question on
"""

import argparse

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt, sop_class
from pynetdicom.sop_class import _STORAGE_CLASSES

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--do", default="keep")
ARGS = parser.parse_args()

_config.LOG_RESPONSE_IDENTIFIERS = False
_config.LOG_REQUEST_IDENTIFIERS = False

KEPT = {}
QUESTIONS = 0


def harm(data_set):
    if ARGS.do == "strip":
        data_set.remove_private_tags()
    elif ARGS.do == "coerce":
        data_set.PatientName = "Coerced^Name"
        data_set.PatientID = "4711"
        data_set.AccessionNumber = "A1"
    elif ARGS.do == "cut" and data_set.BitsAllocated == 16:
        data_set.Rows = data_set.Rows // 2
        data_set.PixelData = data_set.PixelData[: len(data_set.PixelData) // 4 * 2]
    elif ARGS.do == "lossy" and data_set.BitsAllocated == 8:
        data_set.LossyImageCompression = "01"
        data_set.PixelData = bytes(byte & 0xFE for byte in data_set.PixelData)


def handle_store(event):
    data_set = event.dataset
    data_set.file_meta = event.file_meta
    if ARGS.do == "refuse" and data_set.BitsAllocated == 1:
        return 0xA900
    if ARGS.do == "lose" and int(data_set.get("NumberOfFrames", 1) or 1) > 1:
        return 0x0000
    harm(data_set)
    KEPT[data_set.SOPInstanceUID] = data_set
    return 0x0000


def handle_get(event):
    global QUESTIONS
    QUESTIONS += 1
    found = [one for one in KEPT.values() if one.StudyInstanceUID == event.identifier.StudyInstanceUID]
    if ARGS.do == "late" and QUESTIONS < 3:
        found = []
    yield len(found)
    for data_set in found:
        yield 0xFF00, data_set


ae = AE(ae_title="KEEPER")
ae.maximum_pdu_size = 0
for uid in _STORAGE_CLASSES.values():
    ae.add_supported_context(uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian], scu_role=True, scp_role=True)
ae.add_supported_context(sop_class.StudyRootQueryRetrieveInformationModelGet)
ae.add_supported_context(sop_class.Verification)
ae.start_server(
    ("127.0.0.1", ARGS.port),
    block=True,
    evt_handlers=[(evt.EVT_C_STORE, handle_store), (evt.EVT_C_GET, handle_get)],
)
