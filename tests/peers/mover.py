"""A PACS that moves in its own way: `mover.py --port=N --folder=F --back=PORT [--silent] [--never] [--title=T] ...`.

--back    where the one node listens that it knows; it gets what is moved, whatever its name
--silent  its stores name neither the Move Originator nor its Message ID
--never   says that it has sent everything, and sends nothing
--title   how it calls itself when it sends
--pause   seconds before each instance
--deaf    goes on when it is asked to stop
--change  KEYWORD=VALUE: an attribute that it gives another value, in everything that has it; without a value it drops it

It gives the same by C-GET. "cancelled after N" is what it says of a cancel, and "sent N" at an end.
"""

import argparse
import pathlib
import time

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, StoragePresentationContexts, _config, build_context, evt, sop_class
from pynetdicom.association import Association

from say import say

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--folder", type=pathlib.Path)
parser.add_argument("--back", type=int)
parser.add_argument("--silent", action="store_true")
parser.add_argument("--never", action="store_true")
parser.add_argument("--title", default="PYNETDICOM")
parser.add_argument("--pause", type=float, default=0)
parser.add_argument("--deaf", action="store_true")
parser.add_argument("--change", default="")
ARGS = parser.parse_args()
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
KEPT = {}

_config.LOG_RESPONSE_IDENTIFIERS = False
_config.LOG_REQUEST_IDENTIFIERS = False
send = Association.send_c_store


def send_c_store(self, dataset, msg_id=1, priority=2, originator_aet=None, originator_id=None, **more):
    if ARGS.never:
        status = Dataset()
        status.Status = 0
        return status
    if not ARGS.silent:
        more.update(originator_aet=originator_aet, originator_id=originator_id)
    return send(self, dataset, msg_id, priority, **more)


Association.send_c_store = send_c_store


def handle_store(event):
    instance = str(event.request.AffectedSOPInstanceUID)
    path = ARGS.folder / instance
    path.write_bytes(event.encoded_dataset())
    KEPT[instance] = (str(event.dataset.StudyInstanceUID), str(event.request.AffectedSOPClassUID))
    return 0x0000


def of_study(asked):
    return [(instance, sop) for instance, (study, sop) in KEPT.items() if study == asked]


def changed(ds):
    keyword, _, value = ARGS.change.partition("=")
    if keyword and keyword in ds:
        if value:
            setattr(ds, keyword, value)
        else:
            delattr(ds, keyword)
    return ds


def instances(event, found):
    yield len(found)
    for number, (instance, _) in enumerate(found):
        time.sleep(ARGS.pause)
        if event.is_cancelled:
            say("cancelled after", number)
            if not ARGS.deaf:
                yield 0xFE00, None
                return
        yield 0xFF00, changed(dcmread(ARGS.folder / instance))
    say("sent", len(found))


def handle_move(event):
    found = of_study(event.identifier.StudyInstanceUID)
    contexts = [build_context(sop, SYNTAXES) for sop in sorted({sop for _, sop in found})]
    say("move", len(found))
    yield "127.0.0.1", ARGS.back, {"ae_title": event.move_destination, "contexts": contexts}
    yield from instances(event, found)


def handle_get(event):
    found = of_study(event.identifier.StudyInstanceUID)
    say("get", len(found))
    yield from instances(event, found)


ae = AE(ae_title=ARGS.title)
ae.maximum_pdu_size = 0
for context in StoragePresentationContexts:
    ae.add_supported_context(context.abstract_syntax, SYNTAXES, scu_role=True, scp_role=True)
ae.add_supported_context(sop_class.Verification)
ae.add_supported_context(sop_class.StudyRootQueryRetrieveInformationModelMove)
ae.add_supported_context(sop_class.StudyRootQueryRetrieveInformationModelGet)
ae.start_server(
    ("127.0.0.1", ARGS.port),
    block=True,
    evt_handlers=[(evt.EVT_C_STORE, handle_store), (evt.EVT_C_MOVE, handle_move), (evt.EVT_C_GET, handle_get)],
)
