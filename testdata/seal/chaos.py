"""The chaotic layers of docs/FORMAT.md section 6.2, from that text alone. Python's floats are IEEE doubles, and it fuses nothing."""

import hashlib
import math
import struct

RANGES = {
    "logistic": [(3.57, 0.42999)] * 3 + [(0.1, 0.8)] * 3,
    "lorenz": [(9.0, 2.0), (27.0, 6.0), (2.5, 0.35), (-10.0, 20.0), (-10.0, 20.0), (15.0, 20.0)],
}
BLOCK = 65536
WARM_UP = 256
STEP = 0.01


class BadParameters(Exception):
    pass


def parameters_of(plaintext, name):
    """The six numbers, and what is under the layer."""
    if len(plaintext) < 80:
        raise BadParameters("too few parameters")
    values = struct.unpack(">6d", plaintext[32:80])
    for value, (low, width) in zip(values, RANGES[name]):
        if not low <= value <= low + width:
            raise BadParameters(f"{value} is out of range")
    return plaintext[:80], values, plaintext[80:]


def unit(word):
    return (word >> 11) / 2**53


def mix(name, outputs, picture, seed):
    """What a sealer does: the network's outputs, moved around the ranges by the secret."""
    words = struct.unpack(">8Q", hashlib.sha512(b"sealgate chaos parameters v1" + seed + picture).digest())
    mixed = [((output << 29) + (word >> 11)) % 2**53 / 2**53 for output, word in zip(outputs, words)]
    return [low + width * u for u, (low, width) in zip(mixed, RANGES[name])]


def start_of(name, parameters, values, seed, number):
    """Where block `number` starts: control and starting point."""
    digest = hashlib.sha512(b"sealgate chaos block v1" + seed + parameters + number.to_bytes(8, "big")).digest()
    words = struct.unpack(">8Q", digest)
    control, at = list(values[:3]), []
    for value, word, (low, width) in zip(values[3:], words, RANGES[name][3:]):
        to = value + width * unit(word)
        at.append(to - width if to >= low + width else to)
    if name == "logistic":
        for i in range(3):
            (bits,) = struct.unpack(">Q", struct.pack(">d", control[i]))
            (control[i],) = struct.unpack(">d", struct.pack(">Q", bits ^ (words[3 + i] & 0xFFFFFFFF)))
    return control, at


def logistic_once(rate, x, count):
    for _ in range(WARM_UP):
        x = rate * x * (1.0 - x)
    saved, power, length, near, out = x, 1, 0, 0, []
    for _ in range(count):
        x = rate * x * (1.0 - x)
        out.append(int(x * 2.0**48) & 0xFFFFFFFF)
        length += 1
        near += abs(x - saved) < 2.0**-12
        if x == saved or near > max(count // 128, 4):
            return None
        if length == power:
            saved, power, length = x, 2 * power, 0
    return out


def logistic(rate, x, count):
    while (out := logistic_once(rate, x, count)) is None:
        rate = 4.0 - max((4.0 - rate) / 2.0, 2.0**-30)
        x = 0.1 + 0.8 * (x * 65536.0 - math.floor(x * 65536.0))
    return out


def slope(at, control):
    (x, y, z), (sigma, rho, beta) = at, control
    return sigma * (y - x), x * (rho - z) - y, x * y - beta * z


def runge_kutta(at, control):
    def ahead(k, by):
        return tuple(a + by * b for a, b in zip(at, k))

    k1 = slope(at, control)
    k2 = slope(ahead(k1, STEP / 2.0), control)
    k3 = slope(ahead(k2, STEP / 2.0), control)
    k4 = slope(ahead(k3, STEP), control)
    return tuple(
        v + (((a + 2.0 * b) + 2.0 * c) + d) * (STEP / 6.0) for v, a, b, c, d in zip(at, k1, k2, k3, k4)
    )


def word(value):
    return int(abs(value) * 2.0**44) & 0xFFFFFFFF


def lorenz(control, at, count):
    x, y, z = [], [], []
    for _ in range(WARM_UP):
        at = runge_kutta(at, control)
    for _ in range(256):
        at = runge_kutta(at, control)
        x.append(word(at[0]))
        y.append(word(at[1]))
    while len(z) < count:
        at = runge_kutta(at, control)
        z += [word(value) for value in at]
    return x, y, z[:count]


def sequences(name, control, at, count):
    if name == "lorenz":
        return lorenz(control, at, count)
    return (logistic(control[0], at[0], 256), logistic(control[1], at[1], 256), logistic(control[2], at[2], count))


def order(words, below):
    return [i for i in sorted(range(256), key=lambda i: (words[i], i)) if i < below]


def opened(name, plaintext, seed):
    """What was under the layer."""
    parameters, values, layered = parameters_of(plaintext, name)
    out = bytearray()
    for number in range((len(layered) + BLOCK - 1) // BLOCK):
        block = layered[number * BLOCK : (number + 1) * BLOCK]
        x, y, z = sequences(name, *start_of(name, parameters, values, seed, number), (len(block) + 3) // 4)
        key = b"".join(w.to_bytes(4, "big") for w in z)
        block = bytes(a ^ b for a, b in zip(block, key))
        rows, rest = divmod(len(block), 256)
        plain = bytearray(len(block))
        for to, row in enumerate(order(y, rows)):
            for place, column in enumerate(order(x, 256)):
                plain[256 * row + column] = block[256 * to + place]
        for place, column in enumerate(order(x, rest)):
            plain[256 * rows + column] = block[256 * rows + place]
        out += plain
    return bytes(out)


if __name__ == "__main__":
    # Known answers: the first words of each sequence of block 1, and what the mix makes of given outputs.
    seed, picture = bytes(range(32)), bytes(range(32, 64))
    outputs = [0, 1, 0x123456, 0x800000, 0xFFFFFE, 0xFFFFFF]
    for name in RANGES:
        values = mix(name, outputs, picture, seed)
        print(name, "mixed", struct.pack(">6d", *values).hex())
        parameters = bytes(range(64, 96)) + struct.pack(">6d", *values)
        for axis, words in zip("xyz", sequences(name, *start_of(name, parameters, values, seed, 1), 16384)):
            digest = hashlib.sha256(b"".join(w.to_bytes(4, "big") for w in words)).hexdigest()
            print(name, axis, "".join(f"{w:08x}" for w in words[:4]), digest)
    # A rate in the window of the cycle of three: the sequence is the one after the rate was moved.
    words = logistic(3.83, 0.3, 16384)
    print("window z", "".join(f"{w:08x}" for w in words[:4]), hashlib.sha256(b"".join(w.to_bytes(4, "big") for w in words)).hexdigest())
