"""The paper's steps in Python with NumPy, as its authors would write them: milliseconds for each suite and size.

Metadata drawn as an image, the network, three chaotic sequences, rows and columns permuted, XOR; AES and RSA are left out.
The network is the one that comes with Sealgate, so that both sides do the same work.
"""

import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "testdata/keygen"))
from network import Network, picture  # noqa: E402


def logistic(parameters, rows, columns):
    def orbit(rate, x, count):
        out = np.empty(count)
        for i in range(count):
            x = rate * x * (1 - x)
            out[i] = x
        return out

    u = [p / 2**24 for p in parameters]
    rates, starts = [3.9 + 0.0999 * v for v in u[:3]], [0.1 + 0.8 * v for v in u[3:]]
    return [orbit(r, x, n) for r, x, n in zip(rates, starts, (columns, rows, rows * columns))]


def lorenz(parameters, rows, columns):
    u = [p / 2**24 for p in parameters]
    (sigma, rho, beta), (x, y, z) = (9 + 2 * u[0], 27 + 6 * u[1], 2.5 + 0.35 * u[2]), u[3:]
    out, h = np.empty((rows * columns, 3)), 0.01
    for i in range(rows * columns):
        dx, dy, dz = sigma * (y - x), x * (rho - z) - y, x * y - beta * z
        x, y, z = x + h * dx, y + h * dy, z + h * dz
        out[i] = x, y, z
    return out[:columns, 0], out[:rows, 1], out[:, 2]


def keys(network, draw, metadata, shape):
    x, y, z = draw(network.read(picture(metadata)), *shape)
    mask = (np.abs(z) * 1e5 % 1 * 256).astype(np.uint8).reshape(shape)
    return np.argsort(x), np.argsort(y), mask


def encrypt(image, network, draw, metadata):
    x, y, mask = keys(network, draw, metadata, image.shape)
    return image[y][:, x] ^ mask


def decrypt(cipher, network, draw, metadata):
    x, y, mask = keys(network, draw, metadata, cipher.shape)
    return (cipher ^ mask)[np.argsort(y)][:, np.argsort(x)]


for suite in ["logistic-resnet18", "logistic-mobilenetv2", "lorenz-resnet18", "lorenz-mobilenetv2"]:
    network = Network((ROOT / f"conf/generators/{suite}.sgn").read_bytes())
    draw = logistic if suite.startswith("logistic") else lorenz
    for side in (256, 512):
        image = np.add.outer(np.arange(side), np.arange(side)).astype(np.uint8)
        start = time.perf_counter()
        cipher = encrypt(image, network, draw, b"20240131101500")
        middle = time.perf_counter()
        assert (decrypt(cipher, network, draw, b"20240131101500") == image).all()
        end = time.perf_counter()
        print(suite, side, f"{(middle - start) * 1e3:.3f} {(end - middle) * 1e3:.3f}")
