"""Requests that nobody should send: `poor_requests.py PORT`, as VIEWER to SEALGATE; prints how each was answered."""

import sys

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind as FIND,
    StudyRootQueryRetrieveInformationModelGet as GET,
    StudyRootQueryRetrieveInformationModelMove as MOVE,
)

ae = AE(ae_title="VIEWER")
for uid in (FIND, GET, MOVE, CTImageStorage):
    ae.add_requested_context(uid)
association = ae.associate("127.0.0.1", int(sys.argv[1]), ae_title="SEALGATE")
assert association.is_established


def without_identifier(primitive, uid):
    context = next(one for one in association.accepted_contexts if one.abstract_syntax == uid)
    primitive.AffectedSOPClassUID = uid
    primitive.MessageID = 7
    primitive.Priority = 2
    if isinstance(primitive, C_MOVE):
        primitive.MoveDestination = "VIEWER-IN"
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(primitive, context.context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return f"{answer.Status:04X}"


for name, primitive, uid in (("find", C_FIND(), FIND), ("get", C_GET(), GET), ("move", C_MOVE(), MOVE)):
    print(name, "without an identifier", without_identifier(primitive, uid))

study = Dataset()
study.QueryRetrieveLevel = "STUDY"
study.StudyInstanceUID = "1.2.3"
statuses = [f"{status.Status:04X}" for status, _ in association.send_c_get(study, GET)]
print("get without a role", *statuses)
association.release()
