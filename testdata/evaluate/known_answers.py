#!/usr/bin/env python3
"""Makes the known answers of the measures, with NumPy, SciPy, scikit-image and gmpy2, from the documents alone.

    python -m venv venv && venv/bin/pip install numpy scipy scikit-image gmpy2
    venv/bin/python testdata/evaluate/known_answers.py

Writes pi.bin and e.bin (the first 1,000,000 bits of their binary expansions, integer part included, as in SP 800-22
appendix B), pictures.bin, and known_answers.json. Nothing here shares code with the sources it is held against.
"""
import collections
import json
import math
import pathlib

import gmpy2
import numpy as np
import skimage.metrics
from scipy import special, stats

HERE = pathlib.Path(__file__).parent
N = 1_000_000


def split_mix(seed, count):
    """The generator of `Seeded`, as bytes."""
    mask, out = (1 << 64) - 1, bytearray()
    while len(out) < count:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out += (z ^ (z >> 31)).to_bytes(8, "little")
    return bytes(out[:count])


def expansion(number):
    """The first N bits of a number between 2 and 4."""
    digits, exponent, _ = number.digits(2)
    assert exponent == 2
    return np.array([int(d) for d in digits[:N]], dtype=np.uint8)


# --- SP 800-22, as the document describes it -------------------------------------------------------------------------


def windows(bits, m, ring=False):
    """The value of every window of m bits."""
    source = np.concatenate([bits, bits[: m - 1]]) if ring and m > 1 else bits
    value = np.zeros(len(source) - m + 1, dtype=np.int64)
    for i in range(m):
        value = value * 2 + source[i : len(source) - m + 1 + i]
    return value


def chi(counts, chances):
    counts, chances = np.asarray(counts, float), np.asarray(chances)
    total = counts.sum()
    statistic = ((counts - total * chances) ** 2 / (total * chances)).sum()
    return special.gammaincc((len(chances) - 1) / 2, statistic / 2)


def longest_run(bits):
    chances = [0.0882, 0.2092, 0.2483, 0.1933, 0.1208, 0.0675, 0.0727]
    counts = [0] * 7
    for block in bits[: len(bits) // 10000 * 10000].reshape(-1, 10000):
        longest = max(len(run) for run in "".join(map(str, block)).split("0"))
        counts[min(max(longest, 10), 16) - 10] += 1
    return chi(counts, chances)


def rank(bits):
    def gf2(rows):
        rows, rank = [int("".join(map(str, r)), 2) for r in rows], 0
        while rows:
            pivot = rows.pop()
            if pivot:
                rank += 1
                low = pivot & -pivot
                rows = [r ^ pivot if r & low else r for r in rows]
        return rank

    def chance(r):
        product = 1.0
        for i in range(r):
            product *= (1 - 2.0 ** (i - 32)) ** 2 / (1 - 2.0 ** (i - r))
        return 2.0 ** (r * (64 - r) - 1024) * product

    ranks = [gf2(m) for m in bits[: len(bits) // 1024 * 1024].reshape(-1, 32, 32)]
    counts = [ranks.count(32), ranks.count(31), sum(r < 31 for r in ranks)]
    return chi(counts, [chance(32), chance(31), 1 - chance(32) - chance(31)])


def spectral(bits):
    n = len(bits)
    peaks = np.abs(np.fft.rfft(2.0 * bits - 1))[: n // 2]
    below = (peaks < math.sqrt(math.log(1 / 0.05) * n)).sum()
    d = (below - 0.95 * n / 2) / math.sqrt(n * 0.95 * 0.05 / 4)
    return special.erfc(abs(d) / math.sqrt(2))


def non_overlapping(bits, m=9):
    block = len(bits) // 8
    mean = (block - m + 1) / 2**m
    variance = block * (1 / 2**m - (2 * m - 1) / 2 ** (2 * m))
    values = [windows(bits[i * block : (i + 1) * block], m) for i in range(8)]
    found = []
    for template in range(2**m):
        text = format(template, f"0{m}b")
        if any(text[k:] == text[: m - k] for k in range(1, m)):
            continue
        statistic = 0.0
        for value in values:
            # The document's way: after a match the window moves on by m.
            count, after = 0, 0
            for at in np.flatnonzero(value == template):
                if at >= after:
                    count, after = count + 1, at + m
            statistic += (count - mean) ** 2 / variance
        found.append(special.gammaincc(4, statistic / 2))
    return found


def overlapping(bits, chances):
    counts = [0] * 6
    for block in bits[: len(bits) // 1032 * 1032].reshape(-1, 1032):
        counts[min(int((windows(block, 9) == 511).sum()), 5)] += 1
    return chi(counts, chances)


def old_overlapping_chances():
    """The asymptotic ones, eta = 1, with which the document's appendix B was computed."""
    first = [math.exp(-1)]
    for u in range(1, 5):
        terms = [math.comb(u - 1, l - 1) / math.factorial(l) for l in range(1, u + 1)]
        first.append(math.exp(-1) / 2**u * sum(terms))
    return first + [1 - sum(first)]


def universal(bits, width=7, expected=6.1962507, variance=3.125):
    warm_up = 10 * 2**width
    blocks = len(bits) // width
    tested = blocks - warm_up
    last, total = {}, 0.0
    for i, value in enumerate(windows(bits, width)[: blocks * width : width].tolist(), 1):
        if i > warm_up:
            total += math.log2(i - last.get(value, 0))
        last[value] = i
    c = 0.7 - 0.8 / width + (4 + 32 / width) * tested ** (-3 / width) / 15
    return special.erfc(abs(total / tested - expected) / (math.sqrt(2) * c * math.sqrt(variance / tested)))


def berlekamp_massey(bits):
    """With integers as polynomials; bit i of c belongs to x^i."""
    c, b, length, since, seen = 1, 1, 0, 1, 0
    for n, bit in enumerate(bits):
        seen = seen << 1 | int(bit)
        if (c & seen).bit_count() % 2 == 0:
            since += 1
        elif 2 * length <= n:
            c, b, length, since = c ^ (b << since), c, n + 1 - length, 1
        else:
            c, since = c ^ (b << since), since + 1
    return length


def linear_complexity(bits, chances, m=500):
    mean = m / 2 + (9 + (-1) ** (m + 1)) / 36 - (m / 3 + 2 / 9) / 2.0**m
    counts = [0] * 7
    for block in bits[: len(bits) // m * m].reshape(-1, m):
        t = (-1) ** m * (berlekamp_massey(block) - mean) + 2 / 9
        counts[sum(t > limit for limit in (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5))] += 1
    return chi(counts, chances)


def serial(bits, m=16):
    def psi(width):
        if width == 0:
            return 0.0
        counts = np.bincount(windows(bits, width, ring=True), minlength=2**width)
        return (counts.astype(float) ** 2).sum() * 2**width / len(bits) - len(bits)

    a, b, c = psi(m), psi(m - 1), psi(m - 2)
    return [special.gammaincc(2 ** (m - 2), (a - b) / 2), special.gammaincc(2 ** (m - 3), (a - 2 * b + c) / 2)]


def approximate_entropy(bits, m=10):
    def phi(width):
        counts = np.bincount(windows(bits, width, ring=True))
        shares = counts[counts > 0] / len(bits)
        return (shares * np.log(shares)).sum()

    statistic = 2 * len(bits) * (math.log(2) - (phi(m) - phi(m + 1)))
    return special.gammaincc(2 ** (m - 1), statistic / 2)


def cumulative_sums(bits):
    n, found = len(bits), []
    for direction in (bits, bits[::-1]):
        z = int(np.abs(np.cumsum(2 * direction.astype(int) - 1)).max())
        phi = lambda x: stats.norm.cdf(x * z / math.sqrt(n))
        p = 1.0
        for k in range(math.trunc((-n / z + 1) / 4), math.trunc((n / z - 1) / 4) + 1):
            p -= phi(4 * k + 1) - phi(4 * k - 1)
        for k in range(math.trunc((-n / z - 3) / 4), math.trunc((n / z - 1) / 4) + 1):
            p += phi(4 * k + 3) - phi(4 * k + 1)
        found.append(p)
    return found


def excursions(bits):
    sums = np.concatenate([[0], np.cumsum(2 * bits.astype(int) - 1), [0]])
    cycles = np.split(sums, np.flatnonzero(sums == 0)[1:])[: int((sums == 0).sum()) - 1]
    if sums[-2] == 0:  # the forced zero adds no cycle where the walk ends at zero itself
        cycles = cycles[:-1]
    j = len(cycles)
    first, second = [], []
    for x in (-4, -3, -2, -1, 1, 2, 3, 4):
        counts = [0] * 6
        for cycle in cycles:
            counts[min(int((cycle == x).sum()), 5)] += 1
        a = abs(x)
        chances = [1 - 1 / (2 * a)] + [(1 - 1 / (2 * a)) ** (k - 1) / (4 * a * a) for k in (1, 2, 3, 4)]
        chances.append((1 - 1 / (2 * a)) ** 4 / (2 * a))
        statistic = sum((c - j * p) ** 2 / (j * p) for c, p in zip(counts, chances))
        first.append(special.gammaincc(2.5, statistic / 2))
    for x in [*range(-9, 0), *range(1, 10)]:
        visits = int((sums == x).sum())
        second.append(special.erfc(abs(visits - j) / math.sqrt(2 * j * (4 * abs(x) - 2))))
    return j, first, second


def sp800_22(bits):
    n, ones = len(bits), int(bits.sum())
    share = ones / n
    runs = 1 + int((bits[1:] != bits[:-1]).sum())
    blocks = bits[: n // 128 * 128].reshape(-1, 128).mean(axis=1)
    j, first, second = excursions(bits)
    new = [0.364091, 0.185659, 0.139381, 0.100571, 0.0704323, 0.139865]
    return {
        "frequency": special.erfc(abs(2 * ones - n) / math.sqrt(2 * n)),
        "block_frequency": special.gammaincc(len(blocks) / 2, 4 * 128 * ((blocks - 0.5) ** 2).sum() / 2),
        "runs": special.erfc(
            abs(runs - 2 * n * share * (1 - share)) / (2 * math.sqrt(2 * n) * share * (1 - share))
        ),
        "longest_run": longest_run(bits),
        "rank": rank(bits),
        "spectral": spectral(bits),
        "non_overlapping": non_overlapping(bits),
        "overlapping": overlapping(bits, new),
        "overlapping_chances_old": old_overlapping_chances(),
        "overlapping_old": overlapping(bits, old_overlapping_chances()),
        "universal": universal(bits),
        "linear_complexity": linear_complexity(bits, [1 / 96, 1 / 32, 1 / 8, 1 / 2, 1 / 4, 1 / 16, 1 / 48]),
        "linear_complexity_old": linear_complexity(bits, [0.01047, 0.03125, 0.125, 0.5, 0.25, 0.0625, 0.020833]),
        "serial": serial(bits),
        "approximate_entropy": approximate_entropy(bits),
        "cumulative_sums": cumulative_sums(bits),
        "cycles": j,
        "excursions": first,
        "excursions_variant": second,
    }


# --- SP 800-90B section 6.3, as the document describes it ------------------------------------------------------------


def bound(p, n):
    return min(1.0, p + 2.576 * math.sqrt(p * (1 - p) / (n - 1)))


def collision(s):
    at, times = 0, []
    while True:
        for t in (2, 3):
            if at + t <= len(s) and len(set(s[at : at + t])) < t:
                times.append(t)
                at += t
                break
        else:
            break
    lower = np.mean(times) - 2.576 * np.std(times, ddof=1) / math.sqrt(len(times))
    # The document's equation, solved by bisection.
    def expected(p):
        q = 1 - p
        f = q * (2 * q * q + 2 * q + 1)
        return p / q**2 * (1 + (1 / p - 1 / q) / 2) * f - p / q * (1 / p - 1 / q) / 2

    if lower >= 2.5:
        return 1.0
    low, high = 0.5, 1 - 1e-12
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if expected(middle) > lower else (low, middle)
    return -math.log2(low)


def markov(s):
    p = [s.count(0) / len(s), s.count(1) / len(s)]
    pairs = collections.Counter(zip(s, s[1:]))
    t = {(a, b): pairs[a, b] / (pairs[a, 0] + pairs[a, 1]) for a in (0, 1) for b in (0, 1)}
    best = -math.inf
    for start in ([0] * 128, [0, 1] * 64, [0] + [1] * 127, [1] + [0] * 127, [1, 0] * 64, [1] * 128):
        value = math.log2(p[start[0]]) + sum(math.log2(t[pair]) for pair in zip(start, start[1:]))
        best = max(best, value)
    return min(1.0, -best / 128)


def compression(s, d=1000):
    blocks = [tuple(s[i : i + 6]) for i in range(0, len(s) // 6 * 6, 6)]
    last, logs = {}, []
    for i, block in enumerate(blocks, 1):
        if i > d:
            logs.append(math.log2(i - last.get(block, 0)))
        last[block] = i
    v = len(logs)
    mean = sum(logs) / v
    sigma = 0.5907 * math.sqrt(sum(x * x for x in logs) / (v - 1) - mean**2)
    lower = mean - 2.576 * sigma / math.sqrt(v)
    log = np.log2(np.arange(1, len(blocks) + 1))

    def g(z):
        # sum over t of [sum over u < t of log2(u) z^2 (1-z)^(u-1)] + log2(t) z (1-z)^(t-1)
        power = (1 - z) ** np.arange(len(blocks))
        inner = np.concatenate([[0], np.cumsum(log * z * z * power)])
        t = np.arange(d + 1, len(blocks) + 1)
        return (inner[t - 1] + log[t - 1] * z * power[t - 1]).sum() / v

    expected = lambda p: g(p) + 63 * g((1 - p) / 63)
    if expected(1 / 64) <= lower:
        return 1.0
    low, high = 1 / 64, 1.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if expected(middle) > lower else (low, middle)
    return -math.log2(low) / 6


def tuples(s, k):
    n, width, frequent, repeated = len(s), 1, 0.0, 0.0
    while True:
        counts = collections.Counter(s[i : i + width] for i in range(n - width + 1))
        most = max(counts.values())
        if most < 2:
            break
        if most >= 35:
            frequent = max(frequent, (most / (n - width + 1)) ** (1 / width))
        else:
            pairs = sum(c * (c - 1) // 2 for c in counts.values())
            starts = n - width + 1
            repeated = max(repeated, (pairs / (starts * (starts - 1) / 2)) ** (1 / width))
        width += 1
    cap = lambda p: min(math.log2(k), -math.log2(bound(p, n))) if p else math.log2(k)
    return cap(frequent), cap(repeated)


def prediction(correct, k):
    n, c = len(correct), sum(correct)
    p_global = 1 - 0.01 ** (1 / n) if c == 0 else bound(c / n, n)
    r = max(len(run) for run in "".join("1" if x else "0" for x in correct).split("0")) + 1

    def no_run(p):
        q, x = 1 - p, gmpy2.mpfr(1)
        p, q = gmpy2.mpfr(p), gmpy2.mpfr(q)
        for _ in range(10):
            x = 1 + q * p**r * x ** (r + 1)
        return (1 - p * x) / ((r + 1 - r * x) * q) / x ** (n + 1)

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if middle == 0 or no_run(middle) > 0.99 else (low, middle)
    return -math.log2(max(p_global, low, 1 / k))


class Contest:
    def __init__(self, count):
        self.wins, self.winner, self.correct = [0] * count, 0, []

    def note(self, predictions, symbol):
        self.correct.append(predictions[self.winner] == symbol)
        for i, p in enumerate(predictions):
            if p == symbol:
                self.wins[i] += 1
                if self.wins[i] >= self.wins[self.winner]:
                    self.winner = i


def multi_mcw(s, k):
    contest = Contest(4)
    for i in range(63, len(s)):
        predictions = []
        for w in (63, 255, 1023, 4095):
            if i < w:
                predictions.append(None)
                continue
            part = s[i - w : i]
            counts = collections.Counter(part)
            most = max(counts.values())
            predictions.append(next(x for x in reversed(part) if counts[x] == most))
        contest.note(predictions, s[i])
    return prediction(contest.correct, k)


def lag(s, k):
    contest = Contest(128)
    for i in range(1, len(s)):
        contest.note([s[i - d] if d <= i else None for d in range(1, 129)], s[i])
    return prediction(contest.correct, k)


def multi_mmc(s, k):
    models, entries, contest = [{} for _ in range(16)], [0] * 16, Contest(16)
    for i in range(2, len(s)):
        for d in range(1, 17):
            if d < i:
                counts = models[d - 1].get(s[i - 1 - d : i - 1])
                if counts is not None and s[i - 1] in counts:
                    counts[s[i - 1]] += 1
                elif entries[d - 1] < 100_000:
                    models[d - 1].setdefault(s[i - 1 - d : i - 1], {})[s[i - 1]] = 1
                    entries[d - 1] += 1
        predictions = []
        for d in range(1, 17):
            counts = models[d - 1].get(s[i - d : i]) if d <= i else None
            predictions.append(max(counts, key=lambda y: (counts[y], y)) if counts else None)
        contest.note(predictions, s[i])
    return prediction(contest.correct, k)


def lz78y(s, k):
    dictionary, correct = {}, []
    for i in range(17, len(s)):
        for j in range(16, 0, -1):
            previous = s[i - 1 - j : i - 1]
            if previous not in dictionary and len(dictionary) < 65_536:
                dictionary[previous] = collections.Counter()
            if previous in dictionary:
                dictionary[previous][s[i - 1]] += 1
        guess, most = None, 0
        for j in range(16, 0, -1):
            counts = dictionary.get(s[i - j : i])
            if counts:
                y = max(counts, key=lambda y: (counts[y], y))
                if counts[y] > most:
                    guess, most = y, counts[y]
        correct.append(guess == s[i])
    return prediction(correct, k)


def sp800_90b(symbols, k):
    text = bytes(symbols)
    answers = {
        "most_common_value": min(
            math.log2(k), -math.log2(bound(max(collections.Counter(text).values()) / len(text), len(text)))
        ),
        "multi_mcw": multi_mcw(text, k),
        "lag": lag(text, k),
        "multi_mmc": multi_mmc(text, k),
        "lz78y": lz78y(text, k),
    }
    answers["t_tuple"], answers["longest_repeat"] = tuples(text, k)
    if k == 2:
        s = list(symbols)
        answers |= {"collision": collision(s), "markov": markov(s), "compression": compression(s)}
    return answers


def sources():
    """Bytes to estimate: even, biased, with memory. The Rust tests make the same ones from the same seeds."""
    even = split_mix(21, 4_000)
    biased = bytes(b if b < 200 else 0 for b in split_mix(22, 4_000))
    memory, last = bytearray(), 0
    for b in split_mix(23, 4_000):
        last = last if b < 150 else b & 15
        memory.append(last)
    return {"even": even, "biased": biased, "memory": bytes(memory)}


# --- images ----------------------------------------------------------------------------------------------------------


def pictures():
    """Pairs of small images: a smooth one, and the same with noise."""
    y, x = np.mgrid[0:40, 0:48]
    noise = np.frombuffer(split_mix(31, 40 * 48 * 3), np.uint8).reshape(40, 48, 3)
    smooth = (96 + 60 * np.sin(x / 7) + 50 * np.cos(y / 5)).astype(np.uint8)
    colour = np.stack([smooth, 255 - smooth, (smooth // 2 + x).astype(np.uint8)], axis=2)
    rough = np.clip(colour.astype(int) + (noise.astype(int) - 128) // 4, 0, 255).astype(np.uint8)
    deep = smooth.astype(np.uint16) * 256 + noise[:, :, 0]
    return {
        "grey8": (smooth, rough[:, :, 0]),
        "cipher8": (smooth, noise[:, :, 1]),
        "rgb8": (colour, rough),
        "grey16": (deep, (deep // 3 * 2 + noise[:, :, 2]).astype(np.uint16)),
    }


def correlations(image):
    image = image.reshape(image.shape[0], image.shape[1], -1).astype(float)
    pairs = {
        "horizontal": (image[:, :-1], image[:, 1:]),
        "vertical": (image[:-1], image[1:]),
        "diagonal": (image[:-1, :-1], image[1:, 1:]),
    }
    return {name: np.corrcoef(a.ravel(), b.ravel())[0, 1] for name, (a, b) in pairs.items()}


def image_answers(a, b):
    peak = 65535 if a.dtype == np.uint16 else 255
    axis = 2 if a.ndim == 3 else None
    counts = np.bincount((a >> (8 if peak > 255 else 0)).ravel(), minlength=256)
    test = stats.chisquare(counts)
    difference = np.abs(a.astype(int) - b.astype(int))
    return {
        "height": a.shape[0],
        "width": a.shape[1],
        "channels": 1 if axis is None else a.shape[2],
        "bytes": a.dtype.itemsize,
        "entropy": stats.entropy(np.bincount(a.ravel()), base=2),
        "chi_square": test.statistic,
        "chi_square_p": test.pvalue,
        "npcr": (a != b).mean(),
        "uaci": difference.mean() / peak,
        "mse": skimage.metrics.mean_squared_error(a, b),
        "psnr": skimage.metrics.peak_signal_noise_ratio(a, b, data_range=peak),
        "ssim": skimage.metrics.structural_similarity(
            a, b, data_range=peak, channel_axis=axis, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        ),
        "correlation": correlations(a),
    }


def local_entropy_statistics(n=1936, values=256):
    """Mean and variance of the entropy of one random block, from SciPy's binomial chances."""
    k = np.arange(n + 1)
    term = np.where(k > 0, k * np.log2(np.maximum(k, 1)), 0)
    chance = stats.binom.pmf(k, n, 1 / values)
    mean, square = (chance * term).sum(), (chance * term * term).sum()
    product = sum(
        chance[a] * term[a] * (stats.binom.pmf(k[:120], n - a, 1 / (values - 1)) * term[:120]).sum() for a in range(60)
    )
    variance = values * (square - mean**2) + values * (values - 1) * (product - mean**2)
    return {"mean": math.log2(n) - values * mean / n, "variance": variance / n**2}


def main():
    gmpy2.get_context().precision = N + 64
    answers = {"sp800_22": {}, "sp800_90b": {}, "images": {}, "local_entropy": local_entropy_statistics()}
    for name, number in (("pi", gmpy2.const_pi()), ("e", gmpy2.exp(gmpy2.mpfr(1)))):
        bits = expansion(number)
        (HERE / f"{name}.bin").write_bytes(np.packbits(bits).tobytes())
        answers["sp800_22"][name] = sp800_22(bits)
        print(name, answers["sp800_22"][name])
    gmpy2.get_context().precision = 400
    for name, source in sources().items():
        answers["sp800_90b"][name] = {
            "bytes": sp800_90b(source, 256),
            "bits": sp800_90b(np.unpackbits(np.frombuffer(source, np.uint8)).tolist(), 2),
        }
        print(name, answers["sp800_90b"][name])
    stored = bytearray()
    for name, (a, b) in pictures().items():
        answers["images"][name] = image_answers(a, b)
        stored += a.astype("<u2" if a.dtype == np.uint16 else np.uint8).tobytes()
        stored += b.astype("<u2" if b.dtype == np.uint16 else np.uint8).tobytes()
        print(name, answers["images"][name])
    (HERE / "pictures.bin").write_bytes(stored)
    text = json.dumps(answers, indent=1, default=float)
    (HERE / "known_answers.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
