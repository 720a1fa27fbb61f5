"""A viewer: gets and moves studies, and writes down what comes as it comes.

fetch.py --port=N --own=N --list=FILE --folder=F [--called=TITLE]

FILE has a line for each study, SOP Class and transfer syntax in it, between tabs. Each study is retrieved by C-GET
as VIEWER, proposing exactly what it holds, and by C-MOVE to PLAIN-IN, which listens on --own and takes everything.

get|move <study> <status> <completed> <failed>    how a retrieval ended
kept get|move <instance> <transfer syntax>        an instance that came; its data set is F/get or F/move, by its UID
"""

import argparse
import pathlib

from pydicom.dataset import Dataset
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, _config, build_role, evt, sop_class

from say import say

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--own", type=int)
parser.add_argument("--list", type=pathlib.Path)
parser.add_argument("--folder", type=pathlib.Path)
parser.add_argument("--called", default="SEALGATE")
ARGS = parser.parse_args()

_config.UNRESTRICTED_STORAGE_SERVICE = True
_config.LOG_RESPONSE_IDENTIFIERS = False
_config.LOG_REQUEST_IDENTIFIERS = False

GET = sop_class.StudyRootQueryRetrieveInformationModelGet
MOVE = sop_class.StudyRootQueryRetrieveInformationModelMove


def keeping(kind):
    folder = ARGS.folder / kind
    folder.mkdir(parents=True)

    def handle(event):
        request = event.request
        (folder / str(request.AffectedSOPInstanceUID)).write_bytes(request.DataSet.getvalue())
        say("kept", kind, request.AffectedSOPInstanceUID, event.context.transfer_syntax)
        return 0x0000

    return [(evt.EVT_C_STORE, handle)]


def asked(study):
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study
    return identifier


def tell(kind, study, responses):
    status = Dataset()
    for status, _ in responses:
        pass
    counts = [status.get(f"NumberOf{what}Suboperations") for what in ("Completed", "Failed")]
    say(kind, study, f"{status.get('Status', 0xFFFF):04X}", *counts)


def node(title):
    ae = AE(ae_title=title)
    ae.maximum_pdu_size = 0
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 120
    return ae


def get(study, needs, handlers):
    ae = node("VIEWER")
    ae.add_requested_context(GET)
    for cls, syntax in needs:
        ae.add_requested_context(cls, syntax)
    roles = [build_role(cls, scp_role=True) for cls in {cls for cls, _ in needs}]
    association = ae.associate(
        "127.0.0.1", ARGS.port, ae_title=ARGS.called, ext_neg=roles, evt_handlers=handlers
    )
    tell("get", study, association.send_c_get(asked(study), GET))
    association.release()


def move(studies):
    receiver = node("PLAIN-IN")
    for context in AllStoragePresentationContexts:
        receiver.add_supported_context(context.abstract_syntax, AllTransferSyntaxes)
    server = receiver.start_server(("127.0.0.1", ARGS.own), block=False, evt_handlers=keeping("move"))
    ae = node("VIEWER")
    ae.add_requested_context(MOVE)
    association = ae.associate("127.0.0.1", ARGS.port, ae_title=ARGS.called)
    for study in studies:
        tell("move", study, association.send_c_move(asked(study), "PLAIN-IN", MOVE))
    association.release()
    server.shutdown()


STUDIES = {}
for line in ARGS.list.read_text().splitlines():
    study, cls, syntax = line.split("\t")
    STUDIES.setdefault(study, []).append((cls, syntax))
handlers = keeping("get")
for study, needs in STUDIES.items():
    get(study, needs, handlers)
move(STUDIES)
