"""A RIS: `ris.py --port=N --folder=F [--items=N --end=N --status=N --implicit --slow=S]`.

Takes procedure steps and keeps their attribute lists as they came, in files INSTANCE.create and INSTANCE.set-N; answers
worklist queries with so many items.

--items      items of a worklist query; each has a Scheduled Procedure Step ID with its number, and PREFIX before it
--prefix     see above
--slow       seconds before each item
--end        the last status of a worklist query
--status     what steps are answered with; with 262 (0106H) a comment and a list of attributes come with it
--implicit   takes Implicit VR Little Endian only
--title      its AE title
"""

import argparse
import pathlib
import time

from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt, sop_class

from say import say

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--folder", type=pathlib.Path)
parser.add_argument("--items", type=int, default=2)
parser.add_argument("--end", type=int, default=0)
parser.add_argument("--prefix", default="STEP")
parser.add_argument("--slow", type=float, default=0)
parser.add_argument("--status", type=int, default=0)
parser.add_argument("--implicit", action="store_true")
parser.add_argument("--title", default="RIS")
ARGS = parser.parse_args()

_config.LOG_RESPONSE_IDENTIFIERS = False
_config.LOG_REQUEST_IDENTIFIERS = False
SETS = {}


def refused():
    status = Dataset()
    status.Status = ARGS.status
    status.ErrorComment = "the step is not as it should be"
    status.AttributeIdentifierList = [0x00400252, 0x00400270]
    return status


def handle_create(event):
    request = event.request
    instance = request.AffectedSOPInstanceUID or "1.2.826.0.1.77"
    say("create", instance, event.context.transfer_syntax.name, event.assoc.requestor.ae_title)
    if ARGS.status:
        return refused(), None
    (ARGS.folder / f"{instance}.create").write_bytes(request.AttributeList.getvalue())
    reply = event.attribute_list
    if not request.AffectedSOPInstanceUID:
        reply.AffectedSOPInstanceUID = instance
    return 0x0000, reply


def handle_set(event):
    request = event.request
    instance = request.RequestedSOPInstanceUID
    number = SETS[instance] = SETS.get(instance, 0) + 1
    say("set", instance, number)
    if ARGS.status:
        return refused(), None
    (ARGS.folder / f"{instance}.set-{number}").write_bytes(request.ModificationList.getvalue())
    return 0x0000, event.modification_list


def handle_find(event):
    say("find", event.assoc.requestor.ae_title)
    for number in range(ARGS.items):
        for _ in range(max(1, int(ARGS.slow / 0.05))):
            if event.is_cancelled:
                say("cancelled after", number)
                yield 0xFE00, None
                return
            time.sleep(min(0.05, ARGS.slow))
        item = Dataset()
        item.SpecificCharacterSet = "ISO_IR 100"
        item.PatientName = "M\u00fcller^\u00c4nne"
        item.PatientID = "1"
        step = Dataset()
        step.Modality = "CT"
        step.ScheduledProcedureStepID = f"{ARGS.prefix}{number}"
        item.ScheduledProcedureStepSequence = [step]
        yield 0xFF00, item
    say("told", ARGS.items)
    if ARGS.end:
        yield ARGS.end, None


ae = AE(ae_title=ARGS.title)
ae.maximum_pdu_size = 0
SYNTAXES = [ImplicitVRLittleEndian] if ARGS.implicit else None
for uid in [sop_class.ModalityPerformedProcedureStep, sop_class.ModalityWorklistInformationFind]:
    ae.add_supported_context(uid, SYNTAXES) if SYNTAXES else ae.add_supported_context(uid)
ae.start_server(
    ("127.0.0.1", ARGS.port),
    block=True,
    evt_handlers=[
        (evt.EVT_C_FIND, handle_find),
        (evt.EVT_N_CREATE, handle_create),
        (evt.EVT_N_SET, handle_set),
    ],
)
