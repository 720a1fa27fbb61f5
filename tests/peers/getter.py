"""Retrieves studies by C-GET, and takes instances of one class each in one transfer syntax alone.

getter.py PORT FOLDER SYNTAX [CLASS STUDY ...]     writes the data sets as they came into FOLDER, by SOP Instance UID
Prints the final status for each study, in hexadecimal.
"""

import sys
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet as GET

port, folder, syntax, *wanted = sys.argv[1:]
_config.UNRESTRICTED_STORAGE_SERVICE = True


def handle_store(event):
    request = event.request
    (Path(folder) / str(request.AffectedSOPInstanceUID)).write_bytes(request.DataSet.getvalue())
    return 0x0000


def retrieve(sop_class, study):
    ae = AE(ae_title="VIEWER")
    ae.add_requested_context(GET)
    ae.add_requested_context(sop_class, [syntax])
    association = ae.associate(
        "127.0.0.1",
        int(port),
        ae_title="SEALGATE",
        ext_neg=[build_role(sop_class, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, handle_store)],
    )
    assert association.is_established
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study
    status = None
    for status, _ in association.send_c_get(identifier, GET):
        pass
    association.release()
    return status.Status


for sop_class, study in zip(wanted[::2], wanted[1::2]):
    print(f"{retrieve(sop_class, study):04X}")
