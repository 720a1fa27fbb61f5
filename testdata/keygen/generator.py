"""Key images from docs/GENERATOR.md alone, in numpy's 64-bit integers: python3 generator.py MODEL.sgg... > key-images.txt

Needs `numpy` and `cryptography`. One line for each model and seed: file name, seed, SHA-256 of the key image.
"""

import hashlib
import struct
import sys
from math import isqrt
from pathlib import Path

import numpy as np

from seed import expand

SHAPES = (
    [(7, 1, 3, 16, False), (3, 2, 16, 32, False), (3, 2, 32, 64, False)]
    + [(3, 1, 64, 64, False)] * 6
    + [(3, 2, 64, 32, True), (3, 2, 32, 16, True), (7, 1, 16, 3, False)]
)


def read_model(data):
    assert data[:12] == b"sealgate-gen" and hashlib.sha256(data[:-32]).digest() == data[-32:]
    version, kind, length = struct.unpack_from(">HHI", data, 12)
    assert version == 1 and kind in (1, 2)
    at = 20 + length
    layers = []
    for number, (kernel, stride, inputs, outputs, transposed) in enumerate(SHAPES, 1):
        head = struct.unpack_from(">BBBBHH", data, at)
        assert head == (number, int(transposed) + 2 * (kind == 2), kernel, stride, inputs, outputs)
        gain, carry = struct.unpack_from(">II", data, at + 8)
        at += 16
        layer = {"gain": gain, "carry": carry}
        mixing = kernel
        if kind == 2:
            layer["centre"] = np.frombuffer(data, ">i4", inputs, at).astype(np.int64)
            layer["factor"] = np.frombuffer(data, ">u4", inputs, at + 4 * inputs).astype(np.int64)
            at += 8 * inputs
            count = inputs * kernel * kernel
            layer["depthwise"] = np.frombuffer(data, "i1", count, at).reshape(inputs, kernel, kernel).astype(np.int64)
            at += count
            mixing = 1
        count = outputs * inputs * mixing * mixing
        shape = (outputs, inputs, mixing, mixing)
        layer["weights"] = np.frombuffer(data, "i1", count, at).reshape(shape).astype(np.int64)
        at += count
        layers.append(layer)
    assert at == len(data) - 32
    return layers


def spread_out(x, transposed, kernel, stride):
    """The input of a plain convolution that does the same: zeros between the pixels of a transposed one."""
    if not transposed:
        return np.pad(x, ((0, 0), (kernel // 2,) * 2, (kernel // 2,) * 2))
    side = x.shape[1]
    wide = np.zeros((x.shape[0], 2 * side + 2, 2 * side + 2), np.int64)
    wide[:, 1 : 2 * side + 1 : 2, 1 : 2 * side + 1 : 2] = x
    return wide


def windows(x, kernel, stride, ky, kx, side):
    return x[:, ky : ky + stride * side : stride, kx : kx + stride * side : stride]


def convolve(x, weights, kernel, stride, transposed, depthwise):
    side = x.shape[1] * 2 if transposed else x.shape[1] // stride
    # Between spread out pixels the kernel is turned round and moves one pixel at a time.
    if transposed:
        x, weights, stride = spread_out(x, True, kernel, stride), weights[..., ::-1, ::-1], 1
    else:
        x = spread_out(x, False, kernel, stride)
    total = 0
    for ky in range(kernel):
        for kx in range(kernel):
            part = windows(x, kernel, stride, ky, kx, side)
            if depthwise:
                total = total + weights[:, ky, kx, None, None] * part
            else:
                # Sums stay below 2^24, so that double precision is exact, and fast.
                w = weights[:, :, ky, kx].astype(np.float64)
                total = total + np.rint(np.tensordot(w, part.astype(np.float64), 1)).astype(np.int64)
    return total


def statistics(x):
    count = x.size
    n = count.bit_length() - 1
    total, squares = int(x.sum()), int((x * x).sum())
    mean = (total + count // 2) >> n
    deviations = squares - mean * (2 * total - count * mean)
    assert deviations >= 0
    return mean, max(1, isqrt(deviations << (16 - n)))


def key_image(layers, image):
    a = (np.frombuffer(image, np.uint8).reshape(256, 256, 3).transpose(2, 0, 1) >> 1).astype(np.int64)
    for layer, (kernel, stride, _, _, transposed) in zip(layers, SHAPES):
        before = a
        if "depthwise" in layer:
            x = convolve(a, layer["depthwise"], kernel, stride, transposed, True)
            centre, factor = layer["centre"][:, None, None], layer["factor"][:, None, None]
            a = np.clip((((x - centre) * factor + 2**31) >> 32) + 64, 0, 127)
            x = convolve(a, layer["weights"], 1, 1, False, False)
        else:
            x = convolve(a, layer["weights"], kernel, stride, transposed, False)
        found = [statistics(channel) for channel in x]
        if layer["gain"] == 0:
            shifts = [max(0, spread.bit_length() - 1 - 19) for _, spread in found]
            bytes_ = [((c - mean) >> t) & 255 for c, (mean, _), t in zip(x, found, shifts)]
            return np.stack(bytes_, -1).astype(np.uint8).tobytes()
        added = before * layer["carry"] if layer["carry"] else np.zeros((x.shape[0], 1, 1), np.int64)
        a = np.stack([
            np.clip(((c - mean) * min((layer["gain"] << 32) // spread, 2**31 - 1) + plus + 2**31) >> 32, 0, 127)
            for c, (mean, spread), plus in zip(x, found, added)
        ])


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        layers = read_model(path.read_bytes())
        for number in range(2):
            seed = bytes([number]) * 32
            print(path.name, seed.hex(), hashlib.sha256(key_image(layers, expand(seed))).hexdigest())
