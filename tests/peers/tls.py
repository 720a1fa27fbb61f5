"""TLS with a gateway through pynetdicom and Python's ssl (OpenSSL): `tls.py CASE PORT FOLDER`; it fails by assertion.

FOLDER has `ca.pem`, `ct.pem` and `ct.key`, and those of NAME where a case is `refused:NAME`. `serve` takes one association through TLS on a port it prints."""

import ssl
import sys

from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

CASE, _, NAME = sys.argv[1].partition(":")
PORT, FOLDER = int(sys.argv[2]), sys.argv[3]


def client_context(certificate="ct", minimum=None, maximum=None):
    context = ssl.create_default_context(cafile=f"{FOLDER}/ca.pem")
    if certificate:
        context.load_cert_chain(f"{FOLDER}/{certificate}.pem", f"{FOLDER}/{certificate}.key")
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    return context


def associate(context, title="CT"):
    ae = AE(ae_title=title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    ae.add_requested_context(Verification)
    tls = (context, "localhost") if context else None
    return ae.associate("127.0.0.1", PORT, ae_title="SEALGATE", tls_args=tls)


def echo():
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        association = associate(client_context(minimum=version, maximum=version))
        assert association.is_established, version
        for _ in range(3):
            status = association.send_c_echo()
            assert status and status.Status == 0, status
        association.release()
        assert association.is_released


def without_certificate():
    assert not associate(client_context(certificate=None)).is_established


def refused():
    assert not associate(client_context(certificate=NAME)).is_established


def plain():
    assert not associate(None).is_established


def wrong_title():
    association = associate(client_context(), title="MR")
    assert association.is_rejected, "rejected through TLS"
    answer = association.acceptor.primitive
    assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 3), answer


def serve():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{FOLDER}/ct.pem", f"{FOLDER}/ct.key")
    context.load_verify_locations(f"{FOLDER}/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    ae = AE(ae_title="PACS")
    ae.add_supported_context(Verification)
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, ssl_context=context, evt_handlers=[(evt.EVT_C_ECHO, lambda event: 0x0000)]
    )
    print(server.socket.getsockname()[1], flush=True)
    sys.stdin.read()
    server.shutdown()


{
    "echo": echo,
    "without_certificate": without_certificate,
    "refused": refused,
    "plain": plain,
    "wrong_title": wrong_title,
    "serve": serve,
}[CASE]()
