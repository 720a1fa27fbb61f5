"""Whether rendered images are noise.

noise.py FOLDER ORIGINALS     one line for each PNM of FOLDER that is not noise, or that shows something of the PNM of
                              the same name in ORIGINALS; the last line says how many were looked at, and how many of
                              them had an original

Bounds are for a random image of as many pixels: a one-in-a-million deviation, plus what the padding at the end of a
carrier may take.
"""

import sys
from pathlib import Path

import numpy


def read(path):
    """The pixels of a binary PNM, as grey."""
    data = path.read_bytes()
    fields, at = [], 0
    while len(fields) < 4:
        while data[at : at + 1].isspace():
            at += 1
        if data[at : at + 1] == b"#":
            at = data.index(b"\n", at)
            continue
        end = at
        while not data[end : end + 1].isspace():
            end += 1
        fields.append(data[at:end])
        at = end
    kind, width, height, top = fields[0], *map(int, fields[1:])
    samples = 3 if kind == b"P6" else 1
    pixels = numpy.frombuffer(data, numpy.uint8 if top < 256 else ">u2", width * height * samples, at + 1)
    # Half a million pixels are enough to see.
    return pixels.reshape(height, width, samples)[:1024, :512].mean(axis=2)


def correlation(one, other):
    one, other = one.ravel().astype(float), other.ravel().astype(float)
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return abs(numpy.corrcoef(one, other)[0, 1])


def entropy_lost(pixels):
    """How many of the bits that noise with as many values would have are missing."""
    counts = numpy.bincount(pixels.astype(int).ravel())
    share = counts[counts > 0] / counts.sum()
    possible = 1 if len(share) <= 2 else 8
    # Few pixels cannot show all values (Miller and Madow).
    expected = possible - (2**possible - 1) / (2 * pixels.size * numpy.log(2))
    return expected + (share * numpy.log2(share)).sum()


def faults(pixels, original):
    bound = 5 / numpy.sqrt(pixels.size) + 0.02
    if pixels.size > 2048 and (lost := entropy_lost(pixels)) > 0.05:
        yield f"entropy is {lost:.3f} bits too low"
    for name, one, other in (
        ("beside each other", pixels[:, 1:], pixels[:, :-1]),
        ("above each other", pixels[1:], pixels[:-1]),
    ):
        if one.size and correlation(one, other) > bound:
            yield f"pixels {name} correlate by {correlation(one, other):.3f}"
    if original is not None:
        height, width = (min(a, b) for a, b in zip(pixels.shape, original.shape))
        length = min(pixels.size, original.size)
        for name, one, other in (
            ("in place", pixels[:height, :width], original[:height, :width]),
            ("in order", pixels.ravel()[:length], original.ravel()[:length]),
        ):
            if correlation(one, other) > 5 / numpy.sqrt(one.size) + 0.02:
                yield f"pixels correlate with the original {name} by {correlation(one, other):.3f}"


folder, originals = map(Path, sys.argv[1:])
looked_at = compared = 0
for path in sorted(folder.glob("*.pnm")):
    beside = originals / path.name
    original = read(beside) if beside.exists() else None
    looked_at += 1
    compared += original is not None
    for fault in faults(read(path), original):
        print(path.name, fault)
print(looked_at, compared)
