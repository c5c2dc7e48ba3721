"""The 84 fixed kernels of MiniRocket (Dempster, Schmidt & Webb 2021), and how often their outputs exceed a bias.

A kernel has nine weights: 2 at three places and −1 at the six others, so that it sums to zero. What it yields is −(the
sum of all nine values) + 3 · (the three values): kernels that share places share sums. They are ordered by their last
place, then the middle one, then the first, so that those with the same last place are the first so-and-so many pairs
plus one value. Every sum is made of float32 additions in one order, so that no value depends on what else is computed.

Dimension letters: B series, T time.
"""

from __future__ import annotations

import numpy as np

from stepscan.runtime.batches import Array

LENGTH = 9
KERNELS = 84  # ways to choose 3 places of 9
REACH = 4  # steps of the dilation that a kernel reaches to either side
BLOCK = 4096  # values of all series together at which the kernels are applied at once: 1.4 MB of outputs
_EVEN_BYTES, _ALL_PAIRS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0001000100010001)
_MOST = 2000  # times in a block at most, so that an eighth of them can be counted in a byte


def outputs(signal: Array, dilation: int, start: int, stop: int) -> Array:
    """What all kernels yield at the times `start` to `stop`, `[84, B, stop − start]`; outside of a series are zeros.

    Args:
        signal: `[B, T]`, float32.
        dilation: how far the nine values are apart; more than T means the same as T.
        start: the first time.
        stop: the time after the last.
    """
    shifted = _shifted(signal, min(dilation, signal.shape[1]), start, stop)
    base = -shifted[0]
    for values in shifted[1:]:
        base -= values
    shifted *= np.float32(3)
    singles = base + shifted[: LENGTH - 2]
    pairs = np.empty((28, *base.shape), np.float32)
    for last in range(1, LENGTH - 1):
        first = last * (last - 1) // 2
        np.add(singles[:last], shifted[last], out=pairs[first : first + last])
    triples = np.empty((KERNELS, *base.shape), np.float32)
    for last in range(2, LENGTH):
        first, many = last * (last - 1) * (last - 2) // 6, last * (last - 1) // 2
        np.add(pairs[:many], shifted[last], out=triples[first : first + many])
    return triples


def _shifted(signal: Array, dilation: int, start: int, stop: int) -> Array:
    """The signal at each time plus −4, −3, … 4 dilations: `[9, B, stop − start]`."""
    rows, length = signal.shape
    shifted = np.zeros((LENGTH, rows, stop - start), np.float32)
    for place in range(LENGTH):
        shift = (place - REACH) * dilation
        first, last = max(start, -shift), min(stop, length - shift)
        if first < last:
            shifted[place, :, first - start : last - start] = signal[:, first + shift : last + shift]
    return shifted


def shares(signal: Array, dilation: int, biases: Array, parity: int) -> Array:
    """How much of the time each kernel's output exceeds each of its biases, `[B, n, 84]`.

    Every other kernel is only applied where it does not reach beyond the ends of the series, if there is such a place.

    Args:
        signal: `[B, T]`, float32.
        dilation: of the kernels.
        biases: `[n, 84]`, float32.
        parity: 0 or 1: which kernels also reach beyond the ends, the even or the odd ones.
    """
    rows, length = signal.shape
    margin = REACH * dilation if 2 * REACH * dilation < length else 0
    counts = np.zeros((KERNELS, len(biases), rows), np.int64)
    step = max(1, min(BLOCK // max(rows, 1), _MOST))
    for start in range(0, length, step):
        stop = min(start + step, length)
        found = outputs(signal, dilation, start, stop)
        _count(found[parity::2], biases[:, parity::2], counts[parity::2])
        first, last = max(start, margin), min(stop, length - margin)
        if first < last:
            inner = found[1 - parity :: 2, :, first - start : last - start]
            _count(inner, biases[:, 1 - parity :: 2], counts[1 - parity :: 2])
    lengths = np.full(KERNELS, max(length - 2 * margin, 1))
    lengths[parity::2] = max(length, 1)
    return (counts.transpose(2, 1, 0) / lengths).astype(np.float32)


def _count(found: Array, biases: Array, counts: Array) -> None:
    """Add to `counts` `[K, n, B]` how many of `found` `[K, B, T]` exceed `biases` `[n, K]`."""
    kernels, rows, length = found.shape
    above = np.zeros((kernels, rows, -(-length // 8) * 8), np.bool_)
    words, eighths = above.view(np.uint64), np.empty((kernels, len(biases), rows), np.uint64)  # a byte is an answer
    for index, bias in enumerate(biases):
        np.greater(found, bias[:, None, None], out=above[:, :, :length])
        np.add.reduce(words, axis=2, out=eighths[:, index])  # eight counts of a byte each
    quarters = (eighths & _EVEN_BYTES) + (eighths >> np.uint64(8) & _EVEN_BYTES)
    counts += (quarters * _ALL_PAIRS >> np.uint64(48)).astype(np.int64)
