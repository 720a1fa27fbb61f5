"""A viewer that asks: `ask.py --port=N --called=T --model=study --level=STUDY [--key=00080060=CT ...]`.

Writes a line of JSON for each query: what was sent, what came with each status, how it ended.

--calling    its own AE title
--model      patient, study or patient-study (retired: Patient/Study Only)
--syntax     explicit or implicit
--extended   the service class application information of an extended negotiation, in hexadecimal
--charset    Specific Character Set of the keys
--key        a key with its value, which may be empty; several
--walk       every level from the top, each below what was found
--cancel     asks to stop after so many matches
"""

import argparse
import json
import socket
import time

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt, sop_class
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

MODELS = {
    "patient": (sop_class.PatientRootQueryRetrieveInformationModelFind, ["PATIENT", "STUDY", "SERIES", "IMAGE"]),
    "study": (sop_class.StudyRootQueryRetrieveInformationModelFind, ["STUDY", "SERIES", "IMAGE"]),
    "patient-study": (sop_class.PatientStudyOnlyQueryRetrieveInformationModelFind, ["PATIENT", "STUDY"]),
}
SYNTAXES = {"explicit": ExplicitVRLittleEndian, "implicit": ImplicitVRLittleEndian}
UNIQUE = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
PATIENT = ["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "IssuerOfPatientID", "PatientComments"]
KEYS = {
    "PATIENT": [*PATIENT, "EthnicGroup", "NumberOfPatientRelatedStudies", "RetrieveAETitle"],
    "STUDY": [
        *["StudyDate", "StudyTime", "AccessionNumber", "ModalitiesInStudy", "ReferringPhysicianName"],
        *["StudyDescription", "StudyInstanceUID", "StudyID", "NumberOfStudyRelatedSeries"],
        *["NumberOfStudyRelatedInstances", "ProcedureCodeSequence", "RetrieveAETitle"],
    ],
    "SERIES": [
        *["Modality", "SeriesNumber", "SeriesInstanceUID", "SeriesDescription", "BodyPartExamined", "ProtocolName"],
        *["OperatorsName", "InstitutionName", "PerformedProcedureStepStartDate", "RequestAttributesSequence"],
        *["NumberOfSeriesRelatedInstances", "RetrieveAETitle"],
    ],
    "IMAGE": [
        *["SOPInstanceUID", "SOPClassUID", "InstanceNumber", "ContentDate", "ImageType", "ImageComments"],
        *["ImagePositionPatient", "ReferencedImageSequence", "AcquisitionNumber", "RetrieveAETitle"],
    ],
}

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--called")
parser.add_argument("--calling", default="VIEWER")
parser.add_argument("--model", default="study")
parser.add_argument("--syntax", default="explicit")
parser.add_argument("--extended")
parser.add_argument("--charset")
parser.add_argument("--level")
parser.add_argument("--key", action="append", default=[])
parser.add_argument("--walk", action="store_true")
parser.add_argument("--cancel", type=int)
ARGS = parser.parse_args()

_config.LOG_RESPONSE_IDENTIFIERS = False
_config.LOG_REQUEST_IDENTIFIERS = False
CLASS, LEVELS = MODELS[ARGS.model]
SENT, CAME = [], []


def on_sent(event):
    message = event.message
    if type(message).__name__ == "C_FIND_RQ":
        SENT.append(message.data_set.getvalue().hex())


def on_received(event):
    message = event.message
    if type(message).__name__ == "C_FIND_RSP":
        CAME.append([message.command_set.Status, message.data_set.getvalue().hex()])


def identifier(level, values, wanted):
    keys = Dataset()
    if ARGS.charset:
        keys.SpecificCharacterSet = ARGS.charset.split("\\")
    keys.QueryRetrieveLevel = level
    for name in wanted:
        if name.endswith("Sequence"):
            setattr(keys, name, [])
        else:
            setattr(keys, name, None if dictionary_VR(name) == "IS" else "")
    for name, value in values.items():
        setattr(keys, name, value)
    return keys


def ask(keys):
    """Asks, and says what came; what was found, for going on."""
    # pynetdicom's own thread still resumes after the query before this one, and would take the first answer away.
    while association._is_paused:
        time.sleep(0.001)
    SENT.clear()
    CAME.clear()
    found, end = [], None
    for status, match in association.send_c_find(keys, CLASS, msg_id=7):
        if "Status" not in status:
            end = {"status": None}
        elif status.Status in (0xFF00, 0xFF01):
            found.append(match)
            if ARGS.cancel == len(found):
                association.send_c_cancel(7, None, CLASS)
        else:
            end = {"status": status.Status, "comment": status.get("ErrorComment", "")}
    line = {"sent": SENT[0], "found": [one for one in CAME if one[0] in (0xFF00, 0xFF01)], **end}
    print(json.dumps(line), flush=True)
    return found


def walk(levels, above):
    if not levels:
        return
    level = levels[0]
    wanted = KEYS[level] + (PATIENT if level == "STUDY" and ARGS.model == "study" else [])
    for match in ask(identifier(level, above, [name for name in wanted if name not in above])):
        unique = UNIQUE[level]
        walk(levels[1:], {**above, unique: match.get(unique, "")})


def key(text):
    name, value = text.split("=", 1)
    vr = dictionary_VR(name)
    if value and vr == "US":
        value = int(value)
    return int(name, 16), vr, value


ae = AE(ae_title=ARGS.calling)
ae.maximum_pdu_size = 0
ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
ae.add_requested_context(CLASS, SYNTAXES[ARGS.syntax])
items = []
if ARGS.extended:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = CLASS
    item.service_class_application_information = bytes.fromhex(ARGS.extended)
    items.append(item)
handlers = [(evt.EVT_DIMSE_SENT, on_sent), (evt.EVT_DIMSE_RECV, on_received)]
association = ae.associate(
    "127.0.0.1", ARGS.port, ae_title=ARGS.called, ext_neg=items, evt_handlers=handlers
)
assert association.is_established, "no association"
assert association.accepted_contexts, "no context"
# Or each request waits 40 ms for a delayed acknowledgement.
association.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
if ARGS.extended:
    print(json.dumps({"extended": {uid: told.hex() for uid, told in association.acceptor.sop_class_extended.items()}}))
if ARGS.walk:
    walk(LEVELS, {})
else:
    keys = identifier(ARGS.level, {}, [])
    for tag, vr, value in map(key, ARGS.key):
        keys.add_new(tag, vr, [] if vr == "SQ" else value)
    ask(keys)
association.release()
