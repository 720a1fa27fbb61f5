"""A viewer that changes its mind: `canceller.py PORT STUDY AFTER [--to=TITLE] [--abort]`.

AFTER    after so many images it sends a C-CANCEL; in a C-MOVE images are counted by the pending responses
--to     by C-MOVE to this title; without it by C-GET
--abort  it aborts instead, while an image comes in

cancelled after N images          when it does
ended STATUS remaining completed failed warning MILLISECONDS NAMED    the last response, and how long after the cancel;
                                  NAMED is how many instances its list names
"""

import argparse
import os
import threading
import time

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.sop_class import CTImageStorage
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet as GET
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove as MOVE

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("study")
parser.add_argument("after", type=int)
parser.add_argument("--to")
parser.add_argument("--abort", action="store_true")
ARGS = parser.parse_args()
MODEL, ID = (MOVE if ARGS.to else GET), 7

_config.LOG_RESPONSE_IDENTIFIERS = False
_config.LOG_REQUEST_IDENTIFIERS = False

since = None
came = 0


def enough(count):
    global since
    if count < ARGS.after or since is not None:
        return
    since = time.monotonic()
    print("aborted" if ARGS.abort else "cancelled", "after", count, "images", flush=True)
    if ARGS.abort:
        # Not on the thread that has to answer for the association; nobody waits for the rest.
        threading.Thread(target=lambda: (association.abort(), os._exit(0))).start()
    else:
        association.send_c_cancel(ID, query_model=MODEL)


def handle_store(event):
    global came
    came += 1
    enough(came)
    return 0x0000


ae = AE(ae_title="VIEWER")
ae.maximum_pdu_size = 0
ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
ae.add_requested_context(MODEL)
roles = []
if not ARGS.to:
    ae.add_requested_context(CTImageStorage)
    roles.append(build_role(CTImageStorage, scp_role=True))
association = ae.associate(
    "127.0.0.1", ARGS.port, ae_title="SEALGATE", ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, handle_store)]
)
asked = Dataset()
asked.QueryRetrieveLevel = "STUDY"
asked.StudyInstanceUID = ARGS.study
if ARGS.to:
    responses = association.send_c_move(asked, ARGS.to, MODEL, msg_id=ID)
else:
    responses = association.send_c_get(asked, MODEL, msg_id=ID)
for status, identifier in responses:
    if status.get("Status") == 0xFF00 and ARGS.to:
        enough(status.NumberOfCompletedSuboperations)
    elif "Status" in status and status.Status != 0xFF00:
        names = ("Remaining", "Completed", "Failed", "Warning")
        counts = [status.get(f"NumberOf{name}Suboperations") for name in names]
        passed = round((time.monotonic() - (since or time.monotonic())) * 1000)
        failed = identifier.get("FailedSOPInstanceUIDList") if identifier else None
        named = 0 if not failed else 1 if isinstance(failed, str) else len(failed)
        print("ended", f"{status.Status:04X}", *counts, passed, named, flush=True)
association.release()
