"""Writes the data sets of this folder: one fault each. Run it here; what it writes is committed with it.

<what>.<encoding>.<outcome>.bin: the outcome is the error's name, as found where the length is known, or `ok` for
what is let through although the standard says otherwise.
"""

import struct
import zlib
from pathlib import Path

HERE = Path(__file__).parent
LONG = "OB OD OF OL OV OW SQ SV UC UN UR UT UV ZZ".split()
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
NAME, ROWS, PIXELS = 0x00100010, 0x00280010, 0x7FE00010
ICONS, PRIVATE = 0x00880200, 0x00291010


class Encoding:
    def __init__(self, name):
        self.name = name
        self.order = ">" if name == "big" else "<"
        self.explicit = name != "implicit"

    def head(self, tag, vr, length):
        out = struct.pack(self.order + "HH", tag >> 16, tag & 0xFFFF)
        if not self.explicit or tag >> 16 == 0xFFFE:
            return out + struct.pack(self.order + "I", length)
        out += vr.encode("latin-1")
        if vr in LONG:
            return out + struct.pack(self.order + "HI", 0, length)
        return out + struct.pack(self.order + "H", length)

    def element(self, tag, vr, value, length=None):
        return self.head(tag, vr, len(value) if length is None else length) + value

    def item(self, content=b"", length=None):
        return self.element(ITEM, "", content, length)

    def open_item(self, content=b""):
        return self.item(content, UNDEFINED) + self.element(ITEM_END, "", b"")

    def sequence(self, content, tag=ICONS, vr="SQ"):
        return self.element(tag, vr, content, UNDEFINED) + self.end()

    def end(self, length=0):
        return self.head(SEQUENCE_END, "", length)

    def deep(self, depth, vr="SQ", tag=ICONS):
        return (self.head(tag, vr, UNDEFINED) + self.head(ITEM, "", UNDEFINED)) * depth + (
            self.head(ITEM_END, "", 0) + self.end()
        ) * depth


E, I, B = Encoding("explicit"), Encoding("implicit"), Encoding("big")
C = Encoding("encapsulated")
name = {e: e.element(NAME, "PN", b"Doe^John") for e in (E, I, B, C)}
pixels = {e: e.element(PIXELS, "OW", bytes(8)) for e in (E, I, B, C)}
files = {}


def add(what, encoding, outcome, data):
    file = f"{what}.{encoding if isinstance(encoding, str) else encoding.name}.{outcome}.bin"
    assert file not in files, file
    files[file] = data


for e in (E, I, B):
    lie = 0xFFFFFFF0
    add("empty", e, "empty", b"")
    add("one-byte", e, "header-cut", b"\x08")
    add("cut-in-a-tag", e, "header-cut", name[e] + b"\x28\0\x10")
    add("cut-in-a-value", e, "length", name[e][:-1])
    add("cut-in-a-sequence-header", e, "header-cut", name[e] + e.head(ICONS, "SQ", 0)[:-1])
    add("cut-after-a-sequence-header", e, "missing-delimiter", e.head(ICONS, "SQ", UNDEFINED))
    add("cut-in-an-item-header", e, "header-cut", e.head(ICONS, "SQ", UNDEFINED) + e.item()[:5])
    add("cut-in-an-item", e, "header-cut", e.head(ICONS, "SQ", UNDEFINED) + e.head(ITEM, "", UNDEFINED) + b"\x28")
    add("cut-before-a-sequence-delimiter", e, "missing-delimiter", e.sequence(e.open_item(name[e]))[:-8])
    add("cut-in-a-sequence-delimiter", e, "header-cut", e.sequence(e.open_item(name[e]))[:-3])
    add("cut-in-pixels", e, "length", name[e] + pixels[e][:-2])
    add("text-claims-4-gigabytes", e, "length", e.element(0x00081190, "UR", b"abcd", lie))
    add("pixels-claim-4-gigabytes", e, "length", e.element(PIXELS, "OW", b"abcd", lie))
    add("a-sequence-claims-4-gigabytes", e, "length", e.element(ICONS, "SQ", e.item(name[e]), lie))
    add("an-item-claims-4-gigabytes", e, "length", e.sequence(e.item(name[e], lie)))
    add("an-element-in-an-item-claims-4-gigabytes", e, "length", e.sequence(e.item(e.element(0x7FE00010, "OB", b"ab", lie))))
    add("an-unknown-value-claims-4-gigabytes", e, "length", e.element(PRIVATE, "UN", e.item(name[e]), lie))
    add("an-item-longer-than-its-sequence", e, "length", e.element(ICONS, "SQ", e.item(name[e], 17)) + name[e])
    add("an-element-longer-than-its-item", e, "length", e.element(ICONS, "SQ", e.item(e.element(NAME, "PN", b"ab", 4))) + name[e])
    add("four-bytes-in-an-item", e, "header-cut", e.element(ICONS, "SQ", e.item(b"\x10\0\x10\0")) + name[e])
    add("four-bytes-in-a-sequence", e, "header-cut", e.element(ICONS, "SQ", b"\xFE\xFF\0\xE0") + name[e])
    add("an-item-without-delimiter", e, "missing-delimiter", e.element(ICONS, "SQ", e.item(name[e], UNDEFINED)) + name[e])
    add("an-element-in-place-of-an-item", e, "item-expected", e.sequence(name[e]))
    add("an-element-after-an-item", e, "item-expected", e.sequence(e.item() + name[e]))
    add("an-item-at-the-top", e, "stray-delimiter", name[e] + e.item())
    add("an-item-delimiter-at-the-top", e, "stray-delimiter", name[e] + e.head(ITEM_END, "", 0) + pixels[e])
    add("a-sequence-delimiter-at-the-top", e, "stray-delimiter", name[e] + e.end() + pixels[e])
    add("an-item-in-an-item", e, "stray-delimiter", e.sequence(e.item(e.item())))
    add("a-sequence-delimiter-in-an-item", e, "stray-delimiter", e.sequence(e.head(ITEM, "", UNDEFINED)))
    add("an-item-delimiter-in-a-sequence", e, "stray-delimiter", e.sequence(e.head(ITEM_END, "", 0)))
    add("a-delimiter-in-an-item-of-defined-length", e, "stray-delimiter", e.sequence(e.item(name[e] + e.head(ITEM_END, "", 0))))
    add("a-delimiter-in-a-sequence-of-defined-length", e, "stray-delimiter", e.element(ICONS, "SQ", e.item() + e.end()))
    add("a-sequence-delimiter-with-a-length", e, "delimiter-length", e.sequence(e.item())[:-8] + e.end(8) + name[e])
    add("an-item-delimiter-with-a-length", e, "delimiter-length", e.sequence(e.head(ITEM, "", UNDEFINED) + e.head(ITEM_END, "", 2) + b"ab"))
    add("nested-64-deep", e, "ok", e.deep(64))
    add("nested-65-deep", e, "too-deep", e.deep(65))
    add("nested-2000-deep", e, "too-deep", e.deep(2000))
    add("encapsulated-pixels", e, "encapsulated-in-native", e.sequence(e.item() + e.item(b"ab"), PIXELS, "OB"))
    add("encapsulated-pixels-in-an-icon", e, "encapsulated-in-native", e.sequence(e.item(e.sequence(e.item(), PIXELS, "OB"))))
    add("a-command-element", e, "forbidden-group", e.element(0x00000100, "US", b"\1\0") + name[e])
    add("file-meta-information", e, "forbidden-group", name[e] + e.element(0x00020010, "UI", b"1.2\0"))
    add("rows-twice", e, "duplicate", e.element(ROWS, "US", b"\1\0") + e.element(ROWS, "US", b"\2\0") + pixels[e])
    add("rows-after-the-pixels", e, "after-pixels", pixels[e] + e.element(ROWS, "US", b"\1\0"))
    add("pixels-twice", e, "duplicate", pixels[e] + pixels[e])
    add("pixels-of-two-kinds", e, "second-pixel-data", e.element(0x7FE00008, "OF", bytes(4)) + pixels[e])
    # Let through.
    add("rows-twice-the-same", e, "ok", e.element(ROWS, "US", b"\1\0") * 2 + pixels[e])
    add("out-of-order", e, "ok", e.element(0x00204000, "LT", b"ab") + name[e] + pixels[e])
    add("a-comment-twice", e, "ok", e.element(0x00204000, "LT", b"ab") + e.element(0x00204000, "LT", b"cd"))
    add("odd-lengths", e, "ok", e.element(NAME, "PN", b"Doe") + e.element(PIXELS, "OB", b"abc"))
    add("group-length-and-padding", e, "ok", e.element(0x00100000, "UL", bytes(4)) + name[e] + pixels[e] + e.element(0xFFFCFFFC, "OB", bytes(10)))
    add("empty-sequences-and-items", e, "ok", e.element(0x00081111, "SQ", b"") + e.sequence(b"", 0x00081115) + e.sequence(e.item() + e.open_item()))
    add("unknown-bytes-that-begin-like-an-item", e, "ok", e.element(PRIVATE, "UN", I.item(b"no elements here")) + pixels[e])
    add("a-private-sequence-of-undefined-length", e, "ok", e.head(PRIVATE, "UN", UNDEFINED) + I.open_item(name[I]) + I.end() + pixels[e])

add("unknown-bytes-nested-2000-deep", E, "too-deep", E.element(PRIVATE, "UN", I.item(I.deep(2000))))
add("un-nested-2000-deep", E, "too-deep", E.head(PRIVATE, "UN", UNDEFINED) + I.open_item(I.deep(2000, tag=PRIVATE)) + I.end())
add("text-of-undefined-length", E, "undefined-length", E.element(0x00081190, "UR", b"ab", UNDEFINED) + E.end())
add("a-new-vr-of-undefined-length", E, "undefined-length", E.element(PRIVATE, "ZZ", b"ab", UNDEFINED) + E.end())
add("implicit-data", E, "bad-vr", name[I])
add("no-vr", E, "bad-vr", name[E] + b"\x28\0\x10\0\0\0\2\0\1\0")
add("cut-in-a-long-length", E, "header-cut", name[E] + E.head(PIXELS, "OW", 8)[:-2])
add("question-marks-for-a-vr", E, "ok", E.element(PRIVATE, "??", b"ab") + pixels[E])
add("spaces-for-a-vr", E, "ok", E.element(PRIVATE, "  ", b"ab") + pixels[E])
add("a-new-vr", E, "ok", E.element(PRIVATE, "ZZ", b"ab") + pixels[E])
add("explicit-data", I, "length", name[E] + pixels[E])
add("little-endian-data", B, "length", name[E] + pixels[E])

fragments = [C.item(), C.item(b"abc"), C.item(b"defg")]
add("odd-fragments", C, "ok", C.sequence(b"".join(fragments), PIXELS, "OB"))
add("native-pixels", C, "ok", name[C] + pixels[C])
add("fragments-under-a-private-tag", C, "ok", C.sequence(b"".join(fragments), PRIVATE, "OB"))
add("an-icon-with-fragments", C, "ok", C.sequence(C.item(C.sequence(b"".join(fragments), PIXELS, "OB"))))
add("no-offset-table", C, "no-offset-table", C.sequence(b"", PIXELS, "OB"))
add("an-element-among-fragments", C, "item-expected", C.sequence(fragments[0] + name[C], PIXELS, "OB"))
add("an-item-delimiter-among-fragments", C, "stray-delimiter", C.sequence(fragments[0] + C.head(ITEM_END, "", 0), PIXELS, "OB"))
add("a-fragment-of-undefined-length", C, "fragment-length", C.sequence(C.open_item(b"abcd"), PIXELS, "OB"))
add("a-fragment-claims-4-gigabytes", C, "length", C.sequence(C.item(b"abcd", 0xFFFFFFF0), PIXELS, "OB"))
add("the-table-claims-4-gigabytes", C, "length", C.sequence(C.item(b"abcd", 0xFFFFFFFE), PIXELS, "OB"))
add("cut-before-the-delimiter", C, "missing-delimiter", C.sequence(b"".join(fragments), PIXELS, "OB")[:-8])
add("cut-in-a-fragment", C, "length", C.sequence(b"".join(fragments), PIXELS, "OB")[:-9])
add("fragments-twice", C, "duplicate", C.sequence(b"".join(fragments), PIXELS, "OB") * 2)


def deflate(data):
    z = zlib.compressobj(9, zlib.DEFLATED, -15)
    return z.compress(data) + z.flush()


plain = name[E] + pixels[E]
add("a-bomb", "deflated", "ok", deflate(E.element(PIXELS, "OW", bytes(1 << 24))))
add("a-gzip-trailer", "deflated", "ok", deflate(plain) + struct.pack("<II", zlib.crc32(plain), len(plain)))
add("not-deflated", "deflated", "inflate", b"\xFF" + plain)
add("cut-in-the-stream", "deflated", "inflate", deflate(plain)[:-3])
add("data-after-the-stream", "deflated", "after-deflate", deflate(plain) + b"more data")
add("cut-in-a-value", "deflated", "truncated", deflate(plain[:-1]))
add("cut-in-a-header", "deflated", "truncated-header", deflate(name[E] + b"\x28"))
add("a-length-of-4-gigabytes", "deflated", "truncated", deflate(E.element(PIXELS, "OW", b"ab", 0xFFFFFFF0)))
add("nested-2000-deep", "deflated", "too-deep", deflate(E.deep(2000)))

for old in HERE.glob("*.bin"):
    old.unlink()
for file, data in files.items():
    (HERE / file).write_bytes(data)
print(len(files), "files")
