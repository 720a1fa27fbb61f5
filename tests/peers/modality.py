"""A modality that asks for storage commitment: `modality.py --port=N --listen=N --transaction=UID CLASS:INSTANCE...`.

Asks the gateway on --port as --title, then waits --wait seconds for the report on the same association, and again as long
on one that the gateway asks for; with --release it does not wait on the first one. Says what it heard.
"""

import argparse
import time

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel

from say import say

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--listen", type=int)
parser.add_argument("--title", default="CT")
parser.add_argument("--called", default="SEALGATE")
parser.add_argument("--transaction")
parser.add_argument("--wait", type=float, default=30)
parser.add_argument("--release", action="store_true")
parser.add_argument("references", nargs="+")
ARGS = parser.parse_args()
HEARD = []


def handle(event, where):
    information = event.event_information
    committed = [item.ReferencedSOPInstanceUID for item in information.get("ReferencedSOPSequence", [])]
    failed = [
        f"{item.ReferencedSOPInstanceUID}={item.FailureReason:04X}" for item in information.get("FailedSOPSequence", [])
    ]
    requestor = event.assoc.requestor.ae_title
    called = event.assoc.requestor.primitive.called_ae_title
    say("report", where, event.event_type, information.TransactionUID, f"from {requestor} to {called}")
    say("retrieve from", information.get("RetrieveAETitle"))
    for uid in committed:
        say("committed", uid)
    for uid in failed:
        say("failed", uid)
    HEARD.append(where)
    return 0x0000, None


def wait():
    end = time.monotonic() + ARGS.wait
    while not HEARD and time.monotonic() < end:
        time.sleep(0.05)


server = AE(ae_title=ARGS.title)
server.require_called_aet = True
server.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
listening = server.start_server(
    ("127.0.0.1", ARGS.listen), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, handle, ["own"])]
)

ae = AE(ae_title=ARGS.title)
ae.add_requested_context(StorageCommitmentPushModel)
association = ae.associate(
    "127.0.0.1", ARGS.port, ae_title=ARGS.called, evt_handlers=[(evt.EVT_N_EVENT_REPORT, handle, ["same"])]
)
assert association.is_established, "no association"
request = Dataset()
request.TransactionUID = ARGS.transaction
request.ReferencedSOPSequence = []
for reference in ARGS.references:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference.split(":")
    request.ReferencedSOPSequence.append(item)
status, _ = association.send_n_action(
    request, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1"
)
say("action", f"{status.Status:04X}" if status else "no answer")
if not ARGS.release:
    wait()
association.release()
wait()
listening.shutdown()
