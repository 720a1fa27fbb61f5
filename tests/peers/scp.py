"""A node with programmed answers: `scp.py --port=N --folder=F [--status=N --comment=TEXT --matches=N ...]`.

--syntax              the one transfer syntax that instances are taken in
--any-class           takes retired and private storage classes too, and then answers no role selection
--status, --comment   what every C-STORE is answered with
--while               a file as long as which is there --status holds; then all is taken
--delay               seconds before each answer to C-STORE
--matches             how many matches a C-FIND has; each has a Patient ID with its number and a name in ISO 2022
--pad                 bytes of a comment in each match
--issuers             all matches have the same Patient ID, of different issuers
--find-status         the final status of C-FIND
--pause               seconds before each match
--deaf                goes on with a query that was cancelled
--only-from           the one AE title that is taken as a caller
--commit              what storage commitment does: same (report on the same association), none
--fail                a SOP Instance UID that is not committed
"""

import argparse
import pathlib
import threading
import time

from pydicom.dataset import Dataset
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, _config, evt, sop_class
from pynetdicom.sop_class import _NON_PATIENT_OBJECT_CLASSES, _STORAGE_CLASSES

from say import say

parser = argparse.ArgumentParser()
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int)
parser.add_argument("--folder", type=pathlib.Path)
parser.add_argument("--status", type=int, default=0)
parser.add_argument("--comment")
parser.add_argument("--while", dest="refusing", type=pathlib.Path)
parser.add_argument("--delay", type=float, default=0)
parser.add_argument("--matches", type=int, default=3)
parser.add_argument("--pad", type=int, default=0)
parser.add_argument("--issuers", action="store_true")
parser.add_argument("--find-status", type=int, default=0)
parser.add_argument("--pause", type=float, default=0)
parser.add_argument("--deaf", action="store_true")
parser.add_argument("--only-from")
parser.add_argument("--commit", default="same")
parser.add_argument("--fail")
parser.add_argument("--syntax")
parser.add_argument("--any-class", action="store_true")
ARGS = parser.parse_args()

_config.UNRESTRICTED_STORAGE_SERVICE = ARGS.any_class
_config.LOG_RESPONSE_IDENTIFIERS = False
_config.LOG_REQUEST_IDENTIFIERS = False
_config.STORE_RECV_CHUNKED_DATASET = False

FIND = [
    sop_class.PatientRootQueryRetrieveInformationModelFind,
    sop_class.StudyRootQueryRetrieveInformationModelFind,
    sop_class.ModalityWorklistInformationFind,
]


def handle_store(event):
    request = event.request
    if request.MoveOriginatorApplicationEntityTitle:
        say("originator", request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID)
    time.sleep(ARGS.delay)
    status = Dataset()
    if ARGS.refusing:
        status.Status = ARGS.status if ARGS.refusing.exists() else 0
    else:
        status.Status = ARGS.status
    if not (ARGS.refusing and status.Status):
        (ARGS.folder / str(request.AffectedSOPInstanceUID)).write_bytes(request.DataSet.getvalue())
        say("kept", request.AffectedSOPInstanceUID, event.context.transfer_syntax)
    if ARGS.comment:
        status.ErrorComment = ARGS.comment
        status.OffendingElement = [0x00080018]
    return status


def handle_find(event):
    say("find", event.request.AffectedSOPClassUID.name, event.context.transfer_syntax.name)
    say("asked", event.request.Identifier.getvalue().hex())
    for number in range(ARGS.matches):
        time.sleep(ARGS.pause)
        if event.is_cancelled and not ARGS.deaf:
            say("cancelled after", number)
            yield 0xFE00, None
            return
        match = Dataset()
        match.QueryRetrieveLevel = "STUDY"
        match.SpecificCharacterSet = "ISO_IR 100"
        match.PatientID = "1" if ARGS.issuers else str(number)
        if ARGS.issuers:
            match.IssuerOfPatientID = f"HOSPITAL{number}"
        match.PatientName = "M\u00fcller^\u00c4nne"
        match.StudyInstanceUID = f"1.2.{number}"
        if ARGS.pad:
            match.PatientComments = "x" * ARGS.pad
        yield 0xFF01 if number % 2 else 0xFF00, match
    say("sent", ARGS.matches)
    if ARGS.find_status:
        yield ARGS.find_status, None


def handle_extended(event):
    for uid, asked in event.app_info.items():
        say("extended", uid, asked.hex())
    return event.app_info


def handle_action(event):
    information = event.action_information
    say("action", event.action_type, information.TransactionUID)
    reply = Dataset()
    reply.TransactionUID = information.TransactionUID
    reply.RetrieveAETitle = "PYNETDICOM"
    done, failed = [], []
    for item in information.ReferencedSOPSequence:
        if item.ReferencedSOPInstanceUID == ARGS.fail:
            item.FailureReason = 0x0112
            failed.append(item)
        else:
            done.append(item)
    if done:
        reply.ReferencedSOPSequence = done
    if failed:
        reply.FailedSOPSequence = failed
    if ARGS.commit == "same":
        REPORTS.append((event.assoc, reply, 2 if failed else 1))
    return 0x0000, None


REPORTS = []


def report_forever():
    while True:
        time.sleep(0.05)
        while REPORTS:
            association, reply, kind = REPORTS.pop()
            time.sleep(0.1)
            status, _ = association.send_n_event_report(
                reply, kind, sop_class.StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1"
            )
            say("report answered", status.Status if status else "with nothing")


def handle_create(event):
    say("create", event.request.AffectedSOPInstanceUID, event.attribute_list.PerformedProcedureStepStatus)
    if event.attribute_list.PerformedProcedureStepStatus != "IN PROGRESS":
        return 0x0106, None
    return 0x0000, event.attribute_list


def handle_set(event):
    say("set", event.request.RequestedSOPInstanceUID, event.modification_list.PerformedProcedureStepStatus)
    return 0x0000, event.modification_list


def handle_event_report(event):
    say("event", event.event_type, event.event_information.TransactionUID)
    return 0x0000, None


ae = AE(ae_title="PYNETDICOM")
ae.maximum_pdu_size = 0
if ARGS.only_from:
    ae.require_calling_aet = [ARGS.only_from]
ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
CLASSES = [context.abstract_syntax for context in AllStoragePresentationContexts]
CLASSES += [*_STORAGE_CLASSES.values(), *_NON_PATIENT_OBJECT_CLASSES.values()]
for uid in dict.fromkeys(CLASSES):
    ae.add_supported_context(uid, [ARGS.syntax] if ARGS.syntax else AllTransferSyntaxes)
for uid in FIND:
    ae.add_supported_context(uid)
ae.add_supported_context(sop_class.Verification)
ae.add_supported_context(sop_class.StorageCommitmentPushModel, scu_role=True, scp_role=True)
ae.add_supported_context(sop_class.ModalityPerformedProcedureStep)

threading.Thread(target=report_forever, daemon=True).start()
ae.start_server(
    (ARGS.host, ARGS.port),
    block=True,
    evt_handlers=[
        (evt.EVT_C_STORE, handle_store),
        (evt.EVT_C_FIND, handle_find),
        (evt.EVT_SOP_EXTENDED, handle_extended),
        (evt.EVT_N_ACTION, handle_action),
        (evt.EVT_N_CREATE, handle_create),
        (evt.EVT_N_SET, handle_set),
        (evt.EVT_N_EVENT_REPORT, handle_event_report),
    ],
)
