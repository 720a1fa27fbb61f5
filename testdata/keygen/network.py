"""The networks of the chaotic suites, from docs/CHAOS.md: network.py FILE... prints what each reads off two texts."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

sys.path.insert(0, str(Path(__file__).parent))
from seed import expand  # noqa: E402

SIDE, TEXT = 224, 32 * 224 * 3


def picture(metadata):
    text = metadata[:TEXT].ljust(TEXT, b"\0")
    return text + expand(hashlib.sha256(metadata).digest())[: SIDE * SIDE * 3 - TEXT]


def conv(kernel, stride, inputs, outputs, source, depthwise=False, add=None):
    return {"k": kernel, "s": stride, "in": inputs, "out": outputs, "from": source, "dw": depthwise, "add": add}


def resnet():
    steps = [conv(7, 2, 3, 16, 0), {"pool": 1}]
    x, width = 2, 16
    for stage, outputs in enumerate([16, 16, 32, 32]):
        for block in range(2):
            stride = 2 if stage and not block else 1
            steps.append(conv(3, stride, width, outputs, x))
            first = shortcut = len(steps)
            if stride == 1:
                shortcut = x
            else:
                steps.append(conv(1, stride, width, outputs, x))
                shortcut = len(steps)
            steps.append(conv(3, 1, outputs, outputs, first, add=shortcut))
            x, width = len(steps), outputs
    return steps


def mobilenet():
    steps = [conv(3, 2, 3, 16, 0)]
    x, width = 1, 16
    for hidden, outputs, blocks, first in [(16, 16, 1, 1), (64, 16, 2, 2), (64, 16, 3, 2), (64, 16, 4, 2)] + [
        (64, 32, 3, 1),
        (64, 32, 3, 2),
        (64, 32, 1, 1),
    ]:
        for block in range(blocks):
            stride, wide = (1 if block else first), x
            if hidden != width:
                steps.append(conv(1, 1, width, hidden, x))
                wide = len(steps)
            steps.append(conv(3, stride, hidden, hidden, wide, depthwise=True))
            add = x if stride == 1 and width == outputs and hidden != width else None
            steps.append(conv(1, 1, hidden, outputs, len(steps), add=add))
            x, width = len(steps), outputs
    return steps + [conv(1, 1, width, 64, x)]


class Network:
    def __init__(self, data):
        assert data[:14] == b"sealgate-net\0\1" and hashlib.sha256(data[:-32]).digest() == data[-32:]
        self.steps = {1: resnet, 2: mobilenet}[int.from_bytes(data[14:16], "big")]()
        length = int.from_bytes(data[16:20], "big")
        self.record, self.at, self.data = json.loads(data[20 : 20 + length]), 20 + length, data
        for step in self.steps:
            if "k" in step:
                (step["carry"],) = self.take(">u4", 1)
                step["mean"], step["factor"] = self.take(">i4", step["out"]), self.take(">u4", step["out"])
                inputs = 1 if step["dw"] else step["in"]
                shape = (step["out"], inputs, step["k"], step["k"])
                step["w"] = self.take("i1", int(np.prod(shape))).reshape(shape)
        self.mean, self.factor = self.take(">i4", 6), self.take(">u4", 6)
        self.head, self.curve = self.take("i1", 6 * self.steps[-1]["out"]).reshape(6, -1), self.take(">u4", 257)
        assert self.at == len(data) - 32

    def take(self, kind, count):
        out = np.frombuffer(self.data, kind, count, self.at).astype(np.int64)
        self.at += out.size * np.dtype(kind).itemsize
        return out

    def read(self, drawn):
        tensors = [np.frombuffer(drawn, np.uint8).reshape(SIDE, SIDE, 3).transpose(2, 0, 1).astype(np.int64) >> 1]
        for step in self.steps:
            tensors.append(self.pool(tensors[step["pool"]]) if "pool" in step else self.convolve(step, tensors))
        place = self.head @ tensors[-1].sum(axis=(1, 2)) - self.mean
        place = np.clip((place * self.factor >> 16) + 2**23, 0, 2**24 - 1)
        low, high = self.curve[place >> 16], self.curve[(place >> 16) + 1]
        return [int(output) for output in low + ((high - low) * (place & 0xFFFF) >> 16)]

    @staticmethod
    def windows(x, kernel, stride):
        edge = kernel // 2
        padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
        side = x.shape[1] // stride
        return sliding_window_view(padded, (kernel, kernel), (1, 2))[:, ::stride, ::stride][:, :side, :side]

    def pool(self, x):
        return self.windows(x, 3, 2).max(axis=(3, 4))

    def convolve(self, step, tensors):
        seen = self.windows(tensors[step["from"]], step["k"], step["s"])
        if step["dw"]:
            sums = np.einsum("cyxij,cij->cyx", seen, step["w"][:, 0])
        else:
            # Exact in doubles: no sum reaches 2^53.
            sums = np.tensordot(step["w"].astype(float), seen.astype(float), ((1, 2, 3), (0, 3, 4))).astype(np.int64)
        out = (sums - step["mean"][:, None, None]) * step["factor"][:, None, None] + 2**31
        if step["add"] is not None:
            out += tensors[step["add"]] * step["carry"]
        return np.clip(out >> 32, 0, 127)


if __name__ == "__main__":
    for path in sys.argv[1:]:
        network = Network(Path(path).read_bytes())
        for text in [b"", b"20240131\\ISO_IR 100 some device"]:
            outputs = network.read(picture(text))
            print(Path(path).stem, hashlib.sha256(text).hexdigest()[:8], " ".join(f"{o:06x}" for o in outputs))
