"""Negotiates with a gateway through pynetdicom: `negotiation.py CASE PORT`; it fails by assertion."""

import sys

from pydicom.uid import AllTransferSyntaxes, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, StoragePresentationContexts, build_role, evt
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.sop_class import _STORAGE_CLASSES

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
VERIFICATION = "1.2.840.10008.1.1"
PRIVATE = "1.2.826.0.1.3680043.9.9999.1"
# Pixels elsewhere, or never sent with C-STORE: the gateway does not take these.
NOT_TAKEN = {
    "1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205",
    "1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.7.1", "1.2.840.10008.1.2.7.2", "1.2.840.10008.1.2.7.3",
}


def associate(contexts, ext_neg=None, handlers=None, calling="TESTER"):
    ae = AE(ae_title=calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    for abstract, syntaxes in contexts:
        ae.add_requested_context(abstract, syntaxes)
    association = ae.associate(
        "127.0.0.1", PORT, ae_title="SEALGATE", ext_neg=ext_neg or [], evt_handlers=handlers or []
    )
    assert association.is_established, "no association"
    return association


def echo(association):
    status = association.send_c_echo()
    assert status and status.Status == 0, status


def contexts_128():
    wanted = [(VERIFICATION, [ImplicitVRLittleEndian])]
    wanted += [(uid, [ExplicitVRLittleEndian]) for uid in list(_STORAGE_CLASSES.values())[:127]]
    association = associate(wanted)
    assert len(association.accepted_contexts) == 128, association.rejected_contexts
    ids = [context.context_id for context in association.accepted_contexts]
    assert sorted(ids) == list(range(1, 256, 2)), ids
    echo(association)
    association.release()


def every_storage_class():
    known = [c.abstract_syntax for c in StoragePresentationContexts]
    every = known + [uid for uid in _STORAGE_CLASSES.values() if uid not in known] + [PRIVATE]
    assert len(every) > 140, len(every)
    for start in range(0, len(every), 128):
        part = every[start:start + 128]
        association = associate([(uid, [ExplicitVRLittleEndian]) for uid in part])
        refused = [context.abstract_syntax for context in association.rejected_contexts]
        assert not refused, refused
        association.release()


def every_transfer_syntax():
    taken = [uid for uid in AllTransferSyntaxes if uid not in NOT_TAKEN]
    assert len(taken) >= 34, len(taken)
    # One context for each syntax: what a sender does that has the same class in several encodings.
    association = associate([(CT, [uid]) for uid in taken])
    accepted = {context.transfer_syntax[0] for context in association.accepted_contexts}
    assert accepted == set(taken), set(taken) - accepted
    association.release()


def odd_proposals():
    answers = {}

    def note(event):
        primitive = event.assoc.acceptor.primitive
        for context in primitive.presentation_context_definition_results_list:
            answers[context.context_id] = (context.result, context.transfer_syntax)

    association = associate(
        [
            (VERIFICATION, [ImplicitVRLittleEndian]),             # 1: fine
            ("1.2.3.4.5", [ImplicitVRLittleEndian]),              # 3: nobody knows this class
            (CT, ["1.2.3.4.5.6"]),                                # 5: nobody knows this syntax
            (MR, ["1.2.3.4.5.6", JPEGBaseline8Bit, ExplicitVRLittleEndian]),  # 7: the first that is known
            (CT, [ExplicitVRLittleEndian]),                       # 9: a class twice
        ],
        handlers=[(evt.EVT_ESTABLISHED, note)],
    )
    # PS3.8 table 9-18: 0 acceptance, 3 abstract syntax, 4 transfer syntaxes not supported.
    assert answers[1][0] == 0, answers
    assert answers[3][0] == 3, answers
    assert answers[5][0] == 4, answers
    assert answers[7][0] == 0 and answers[7][1] == [JPEGBaseline8Bit], answers
    assert answers[9][0] == 0, answers
    echo(association)
    association.release()


def roles_and_window():
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 16
    window.maximum_number_operations_performed = 16
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid = CT
    extended.service_class_application_information = b"\x02\x00\x03\x00\x01\x00"
    association = associate(
        [(VERIFICATION, [ImplicitVRLittleEndian]), (CT, [ExplicitVRLittleEndian])],
        ext_neg=[build_role(CT, scu_role=True, scp_role=True), window, extended],
    )
    acceptor = association.acceptor
    assert acceptor.asynchronous_operations == (1, 1), acceptor.asynchronous_operations
    role = acceptor.role_selection[CT]
    assert role.scu_role and role.scp_role, role
    assert acceptor.implementation_class_uid.startswith("2.25."), acceptor.implementation_class_uid
    assert acceptor.implementation_version_name.startswith("SEALGATE"), acceptor.implementation_version_name
    assert acceptor.maximum_length >= 16384, acceptor.maximum_length
    echo(association)
    association.release()


def user_identity():
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.positive_response_requested = False
    identity.primary_field = b"reader"
    identity.secondary_field = b"correct horse"
    association = associate([(VERIFICATION, [ImplicitVRLittleEndian])], ext_neg=[identity])
    echo(association)
    association.release()


PORT = int(sys.argv[2])
{f.__name__: f for f in (
    contexts_128, every_storage_class, every_transfer_syntax, odd_proposals, roles_and_window, user_identity
)}[sys.argv[1]]()
