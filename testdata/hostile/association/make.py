"""Writes the files of this folder: what a hostile or broken peer may send, one fault each.

A file's name is `FAULT.ANSWER.ANSWER….bin`. The answers, in order, up to the end of the connection:
accept, reject-RESULT-SOURCE-REASON, abort-SOURCE-REASON, status-HHHH, released; `closed` if nothing is said.
The peer is TESTER, may echo and store, and calls SEALGATE; limits are those of tests/it/hostile.rs.
"""

import pathlib
import struct

HERE = pathlib.Path(__file__).parent
VERIFICATION, CT = b"1.2.840.10008.1.1", b"1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1"
APPLICATION = b"1.2.840.10008.3.1.1.1"


def item(kind, value, length=None):
    return struct.pack(">BBH", kind, 0, len(value) if length is None else length) + value


def pdu(kind, body, length=None):
    return struct.pack(">BBI", kind, 0, len(body) if length is None else length) + body


def context(number=1, abstract=(VERIFICATION,), transfer=(IMPLICIT,), extra=b""):
    subs = b"".join(item(0x30, uid) for uid in abstract) + b"".join(item(0x40, uid) for uid in transfer)
    return item(0x20, bytes([number, 0, 0, 0]) + subs + extra)


MAXIMUM = item(0x51, struct.pack(">I", 16384))


def user(*items):
    return item(0x50, b"".join((MAXIMUM, item(0x52, b"1.2.3.4")) + items))


def rq(calling=b"TESTER", called=b"SEALGATE", version=1, items=None, kind=1):
    if items is None:
        items = (item(0x10, APPLICATION), context(), context(3, (CT,), (EXPLICIT,)), user())
    fixed = struct.pack(">HH16s16s32x", version, 0, called.ljust(16), calling.ljust(16))
    return pdu(kind, fixed + b"".join(items))


def with_items(*items):
    return rq(items=(item(0x10, APPLICATION),) + items)


def element(number, value, length=None, group=0):
    return struct.pack("<HHI", group, number, len(value) if length is None else length) + value


def us(number, value):
    return element(number, struct.pack("<H", value))


def command(*elements):
    body = b"".join(elements)
    return element(0, struct.pack("<I", len(body))) + body


def pdv(value, number=1, control=3, length=None):
    return struct.pack(">IBB", len(value) + 2 if length is None else length, number, control) + value


def data(*pdvs):
    return pdu(4, b"".join(pdvs))


def echo(field=0x0030, sop=VERIFICATION + b"\0", message=us(0x0110, 7), kind=0x0101, extra=()):
    parts = [element(0x0002, sop), us(0x0100, field), message, us(0x0800, kind), *extra]
    return command(*(part for part in parts if part))


GOOD = data(pdv(echo()))
RELEASE = pdu(5, bytes(4))
ABORT = pdu(7, bytes(4))
NEVER_ENDS = b"".join(data(pdv(element(0x0002, b"1" * 4000) + bytes(0), control=1)) for _ in range(5))

FILES = {
    # Controls: without a fault.
    "control-echo-and-release.accept.status-0000.released": rq() + GOOD + RELEASE,
    # No DICOM at all.
    "http-request.abort-2-1": b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "tls-client-hello.abort-2-1": bytes.fromhex("16030100c8010000c40303") + bytes(range(200)),
    "random-bytes.abort-2-1": bytes((i * 37 + 0x9C) % 256 for i in range(512)),
    "zeros.abort-2-1": bytes(64),
    "pdu-type-8.abort-2-1": pdu(8, bytes(4)),
    "pdu-type-255-when-established.accept.abort-2-1": rq() + pdu(255, bytes(4)),
    # Lengths of PDUs.
    "request-of-4-gigabytes.abort-2-6": pdu(1, b"", 0xFFFFFFFF),
    "request-of-10-bytes.abort-2-6": pdu(1, bytes(10)),
    "data-of-4-gigabytes.accept.abort-2-6": rq() + pdu(4, b"", 0xFFFFFFFF),
    "data-above-the-maximum.accept.abort-2-6": rq() + pdu(4, b"", 262145),
    "release-of-1-megabyte.accept.abort-2-6": rq() + pdu(5, b"", 1 << 20),
    # PDUs in the wrong state.
    "data-before-association.abort-2-2": GOOD,
    "release-before-association.abort-2-2": RELEASE,
    "acceptance-from-a-requestor.abort-2-2": rq(kind=2),
    "rejection-from-a-requestor.abort-2-2": pdu(3, bytes([0, 1, 1, 1])),
    "request-twice.accept.abort-2-2": rq() + rq(),
    "release-answer-unasked.accept.abort-2-2": rq() + pdu(6, bytes(4)),
    "abort-at-once.closed": ABORT,
    "abort-when-established.accept": rq() + ABORT,
    # What an association request may be refused for.
    "protocol-version-2.reject-1-2-2": rq(version=2),
    "application-context-unknown.reject-1-1-2": rq(items=(item(0x10, b"1.2.3"), context(), user())),
    "application-context-missing.reject-1-1-2": rq(items=(context(), user())),
    "calling-title-unknown.reject-1-1-3": rq(calling=b"STRANGER"),
    "calling-title-blank.reject-1-1-3": rq(calling=b""),
    "calling-title-with-nul.reject-1-1-3": rq(calling=b"TEST\0ER"),
    "calling-title-in-lower-case.reject-1-1-3": rq(calling=b"tester"),
    "calling-title-not-ascii.reject-1-1-3": rq(calling=b"T\xc3\x84STER"),
    "called-title-unknown.reject-1-1-7": rq(called=b"PACS"),
    "called-title-blank.reject-1-1-7": rq(called=b""),
    "protocol-version-2-with-another-layout.reject-1-2-2": pdu(1, b"\0\2" + bytes(66) + b"\x99" * 9),
    "protocol-versions-1-and-2.accept.status-0000.released": rq(version=3) + GOOD + RELEASE,
    # Items of an association request.
    "application-context-twice.abort-2-6": with_items(item(0x10, APPLICATION), context(), user()),
    "user-information-twice.abort-2-6": with_items(context(), user(), user()),
    "no-contexts.abort-2-6": with_items(user()),
    "129-contexts.abort-2-6": with_items(*(context(n % 256) for n in range(1, 259, 2)), user()),
    "context-id-even.abort-2-6": with_items(context(2), user()),
    "context-id-twice.abort-2-6": with_items(context(1), context(1), user()),
    "context-of-3-bytes.abort-2-6": with_items(item(0x20, b"\1\0\0"), user()),
    "context-without-abstract-syntax.abort-2-6": with_items(context(abstract=()), user()),
    "context-with-two-abstract-syntaxes.abort-2-6": with_items(context(abstract=(VERIFICATION, CT)), user()),
    "context-without-transfer-syntax.accept.abort-2-5": with_items(context(transfer=()), user()) + GOOD,
    "abstract-syntax-of-65-characters.accept.abort-2-5":
        with_items(context(abstract=(b"1." + b"2" * 63,)), user()) + GOOD,
    "abstract-syntax-like-a-path.accept.abort-2-5":
        with_items(context(abstract=(b"../../etc/passwd",)), user()) + GOOD,
    "item-beyond-the-request.abort-2-6": with_items(item(0x20, b"\1\0\0\0", 0xFFFF)),
    "item-header-cut.abort-2-6": with_items(context(), user(), b"\x50\0\0"),
    "sub-item-beyond-its-context.abort-2-6":
        with_items(context(extra=item(0x40, IMPLICIT, 0x7FFF)), user()),
    "user-item-beyond-the-user-information.abort-2-6":
        with_items(context(), user(item(0x55, b"NAME", 0x1000))),
    "maximum-length-of-3-bytes.abort-2-6": with_items(context(), item(0x50, item(0x51, b"\0\0\1"))),
    "maximum-length-of-1.abort-2-6": with_items(context(), item(0x50, item(0x51, b"\0\0\0\1"))),
    "role-uid-beyond-its-item.abort-2-6":
        with_items(context(), user(item(0x54, struct.pack(">H", 400) + CT + b"\1\1"))),
    "role-item-without-roles.abort-2-6":
        with_items(context(), user(item(0x54, struct.pack(">H", len(CT)) + CT))),
    "extended-negotiation-uid-beyond-its-item.abort-2-6":
        with_items(context(), user(item(0x56, struct.pack(">H", 999) + CT))),
    "identity-beyond-its-item.abort-2-6":
        with_items(context(), user(item(0x58, b"\2\0" + struct.pack(">H", 60000) + b"me" + b"\0\0"))),
    "identity-of-an-unknown-type.accept.status-0000.released":
        with_items(context(), user(item(0x58, b"\x63\0\0\2me\0\0"))) + GOOD + RELEASE,
    "user-information-nested.accept.status-0000.released":
        with_items(context(), user(user(user(user())))) + GOOD + RELEASE,
    "unknown-items.accept.status-0000.released":
        with_items(item(0x77, b"?" * 9), context(extra=item(0x41, b"x")), user(item(0x7F, b"y"))) + GOOD + RELEASE,
    "operations-window-of-2-bytes.abort-2-6": with_items(context(), user(item(0x53, b"\0\1"))),
    "operations-window-twice.abort-2-6": with_items(context(), user(item(0x53, b"\0\1\0\1"), item(0x53, bytes(4)))),
    "maximum-length-empty.abort-2-6": with_items(context(), item(0x50, item(0x51, b"") + item(0x52, b"1.2.3.4"))),
    "maximum-length-twice.abort-2-6": with_items(context(), user(item(0x51, struct.pack(">I", 4096)))),
    "identity-twice.abort-2-6": with_items(context(), user(item(0x58, b"\1\0\0\2me\0\0"), item(0x58, b"\1\0\0\3you\0\0"))),
    "identity-passcode-beyond-its-item.abort-2-6":
        with_items(context(), user(item(0x58, b"\2\0\0\2me" + struct.pack(">H", 99) + b"pass"))),
    "identity-with-bytes-behind-it.abort-2-6": with_items(context(), user(item(0x58, b"\2\0\0\2me\0\4pass!"))),
    "roles-neither.accept.abort-2-5":
        with_items(context(), user(item(0x54, struct.pack(">H", len(VERIFICATION)) + VERIFICATION + b"\0\0"))) + GOOD,
    "roles-not-offered.accept.abort-2-5":
        with_items(context(), user(item(0x54, struct.pack(">H", len(VERIFICATION)) + VERIFICATION + b"\0\1"))) + GOOD,
    "user-information-missing.accept.status-0000.released": with_items(context()) + GOOD + RELEASE,
    "context-result-in-a-request.accept.status-0000.released":
        with_items(context(), item(0x21, b"\7\0\0\0" + item(0x40, IMPLICIT)), user()) + GOOD + RELEASE,
    "contexts-128.accept.status-0000.released":
        with_items(*(context(n) for n in range(1, 256, 2)), user()) + GOOD + RELEASE,
    "uids-padded-with-nul.accept.status-0000.released":
        with_items(context(abstract=(VERIFICATION + b"\0",), transfer=(IMPLICIT + b"\0",)), user()) + GOOD + RELEASE,
    "transfer-syntaxes-by-the-thousand.accept.status-0000.released":
        with_items(context(transfer=(IMPLICIT,) + (b"",) * 2000), user()) + GOOD + RELEASE,
    # Fragments.
    "pdv-of-0-bytes.accept.abort-2-5": rq() + data(pdv(b"", length=0)),
    "pdv-of-1-byte.accept.abort-2-5": rq() + data(struct.pack(">IB", 1, 1)),
    "pdv-beyond-its-pdu.accept.abort-2-5": rq() + data(pdv(echo(), length=5000)),
    "pdv-of-4-gigabytes.accept.abort-2-5": rq() + data(pdv(echo(), length=0xFFFFFFFF)),
    "pdv-header-cut.accept.abort-2-5": rq() + data(pdv(echo()[:12], control=1), b"\0\0\0"),
    "data-without-pdv.accept.abort-2-5": rq() + data(),
    "context-never-proposed.accept.abort-2-5": rq() + data(pdv(echo(), number=9)),
    "context-id-0.accept.abort-2-5": rq() + data(pdv(echo(), number=0)),
    "data-set-before-its-command.accept.abort-2-5": rq() + data(pdv(b"\0" * 8, control=2)),
    "command-on-two-contexts.accept.abort-2-5":
        rq() + data(pdv(echo()[:20], control=1), pdv(echo()[20:], number=3)),
    "command-inside-a-data-set.accept.abort-2-5":
        rq() + data(pdv(echo(kind=1)), pdv(b"\0" * 8, control=0), pdv(echo())),
    "data-set-on-another-context.accept.abort-2-5": rq() + data(pdv(echo(kind=1)), pdv(b"\0" * 8, 3, 2)),
    "data-set-behind-an-echo.accept.status-0000.abort-2-5": rq() + data(pdv(echo()), pdv(b"\0" * 8, control=2)),
    "control-bits-reserved.accept.status-0000.released": rq() + data(pdv(echo(), control=0xFF)) + RELEASE,
    "pdv-empty-at-the-end.accept.status-0000.released": rq() + data(pdv(echo(), control=1), pdv(b"")) + RELEASE,
    "echoes-two-in-one-pdu.accept.status-0000.status-0000.released": rq() + data(pdv(echo()), pdv(echo())) + RELEASE,
    # Ends in the wrong place.
    "abort-of-0-bytes.accept": rq() + pdu(7, b""),
    "abort-of-4-gigabytes.accept": rq() + pdu(7, b"", 0xFFFFFFFF),
    "abort-inside-a-data-set.accept": rq() + data(pdv(echo(kind=1)), pdv(b"\0" * 8, control=0)) + ABORT,
    "release-of-3-bytes.accept.abort-2-6": rq() + pdu(5, bytes(3)),
    "release-inside-a-command.accept.released": rq() + data(pdv(echo()[:30], control=1)) + RELEASE,
    "release-inside-a-data-set.accept.released":
        rq() + data(pdv(echo(kind=1)), pdv(b"\0" * 8, control=0)) + RELEASE,
    "echo-behind-a-release.accept.released": rq() + RELEASE + GOOD,
    # Command sets.
    "command-element-of-4-gigabytes.accept.abort-2-6":
        rq() + data(pdv(us(0x0100, 0x0030) + element(0x0110, b"\7\0", 0xFFFFFFF0))),
    "command-element-cut.accept.abort-2-6": rq() + data(pdv(echo()[:-3])),
    "command-with-a-data-set-element.accept.abort-2-6":
        rq() + data(pdv(echo(extra=[element(0x0018, b"1.2.3\0", group=8)]))),
    "command-without-a-field.accept.abort-2-6": rq() + data(pdv(command(us(0x0110, 7)))),
    "command-field-twice.accept.abort-2-6": rq() + data(pdv(echo(extra=[us(0x0100, 1)]))),
    "command-empty.accept.abort-2-6": rq() + data(pdv(b"")),
    "command-that-never-ends.accept.abort-2-6": rq() + NEVER_ENDS,
    "command-of-empty-fragments.accept.abort-2-6": rq() + data(*[pdv(b"", control=1)] * 2800),
    "command-element-of-undefined-length.accept.abort-2-6":
        rq() + data(pdv(echo(extra=[element(0x0902, b"AB", 0xFFFFFFFF)]))),
    "command-with-a-private-element.accept.abort-2-6":
        rq() + data(pdv(echo(extra=[element(0x0010, b"SECRET", group=9)]))),
    "command-in-big-endian.accept.abort-2-6": rq() + data(pdv(struct.pack(">HHIH", 0, 0x0100, 2, 0x0030))),
    "command-in-explicit-vr.accept.abort-2-6": rq() + data(pdv(b"\0\0\0\1US\2\0\x30\0" b"\0\0\x10\1US\2\0\7\0")),
    "command-group-length-of-4-gigabytes.accept.status-0000.released":
        rq() + data(pdv(element(0, b"\xff" * 4) + echo()[12:])) + RELEASE,
    "command-unknown.accept.status-0211.released": rq() + data(pdv(echo(field=0x0077))) + RELEASE,
    "command-for-another-service.accept.status-0122.released": rq() + data(pdv(echo(field=0x0020))) + RELEASE,
    "echo-for-another-class.accept.status-0122.released": rq() + data(pdv(echo(sop=CT + b"\0"))) + RELEASE,
    "echo-on-a-storage-context.accept.status-0122.released": rq() + data(pdv(echo(), number=3)) + RELEASE,
    "echo-without-message-id.accept.status-0212.released": rq() + data(pdv(echo(message=b""))) + RELEASE,
    "echo-with-a-message-id-of-4-bytes.accept.status-0212.released":
        rq() + data(pdv(echo(message=element(0x0110, b"\7\0\0\0")))) + RELEASE,
    "echo-without-a-class.accept.status-0212.released":
        rq() + data(pdv(command(us(0x0100, 0x0030), us(0x0110, 7), us(0x0800, 0x0101)))) + RELEASE,
    "echo-for-a-class-like-a-path.accept.status-0212.released":
        rq() + data(pdv(echo(sop=b"../../etc/passwd"))) + RELEASE,
    "echo-for-a-class-of-a-thousand-bytes.accept.status-0212.released":
        rq() + data(pdv(echo(sop=b"1." * 500))) + RELEASE,
    "echo-without-a-data-set-type.accept.status-0000.released":
        rq() + data(pdv(command(element(0x0002, VERIFICATION + b"\0"), us(0x0100, 0x0030), us(0x0110, 7)))) + RELEASE,
    "store-without-a-route.accept.status-a700.released":
        rq() + data(pdv(echo(field=1, sop=CT + b"\0", kind=1), number=3), pdv(b"\0" * 999, 3, 0), pdv(b"", 3, 2)) + RELEASE,
    "echo-with-a-data-set.accept.status-0000.released":
        rq() + data(pdv(echo(kind=1)), pdv(b"\0" * 4000, control=0)) + data(pdv(b"", control=2)) + RELEASE,
    "response-unasked.accept.status-0000.released": rq() + data(pdv(echo(field=0x8030))) + GOOD + RELEASE,
    "cancel-of-nothing.accept.status-0000.released":
        rq() + data(pdv(command(us(0x0100, 0x0FFF), us(0x0120, 7), us(0x0800, 0x0101)))) + GOOD + RELEASE,
    "echo-byte-by-byte.accept.status-0000.released":
        rq() + b"".join(data(pdv(bytes([b]), control=1 if i + 1 < len(echo()) else 3))
                        for i, b in enumerate(echo())) + RELEASE,
    "command-unknown-with-a-data-set.accept.status-0211.released":
        rq() + data(pdv(echo(field=0x0077, kind=0))) + data(pdv(b"\0" * 9000, control=2)) + RELEASE,
    # Silence. The connection is closed, an association aborted, when its time is over.
    "silence.closed": b"",
    "half-a-header.closed": rq()[:3],
    "half-a-request.closed": rq()[:100],
    "silence-when-established.accept.abort-0-0": rq(),
    "half-a-pdu.accept.abort-0-0": rq() + GOOD[:30],
    "half-a-command.accept.abort-0-0": rq() + data(pdv(echo()[:30], control=1)),
    "half-a-data-set.accept.abort-0-0": rq() + data(pdv(echo(kind=1)), pdv(b"\0" * 100, control=0)),
}

if __name__ == "__main__":
    for old in HERE.glob("*.bin"):
        old.unlink()
    for name, content in FILES.items():
        (HERE / f"{name}.bin").write_bytes(content)
