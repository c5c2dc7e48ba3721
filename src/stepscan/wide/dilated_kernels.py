"""The 84 fixed kernels of MiniRocket (Dempster, Schmidt & Webb 2021), and proportions of positive values (PPV).

A kernel has nine weights: 2 at three positions and −1 at the other six, so that it sums to zero. Its output is −(the
sum of all nine values) + 3 · (the sum of the three values), so that kernels with common positions share partial sums.
They are ordered by their last position, then the middle one, then the first: those with one last position are the first
pairs plus one value. All sums are float32 additions in a fixed order, so that outputs do not depend on the batch.

Dimension letters: B series, T time.
"""

from __future__ import annotations

import numpy as np

from stepscan.backends.batches import Array

LENGTH = 9
KERNELS = 84  # ways to choose 3 of 9 positions
REACH = 4  # dilations from the centre of a kernel to its ends
BLOCK = 4096  # values of all series to which the kernels are applied at a time: 1.4 MB of outputs
_EVEN_BYTES, _ALL_PAIRS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0001000100010001)
_MAX_STEPS = 2000  # in a block, so that an eighth of them can be counted in a byte


def convolve(signal: Array, dilation: int, start: int, stop: int) -> Array:
    """The outputs of all kernels at the times `start` to `stop`, `[84, B, stop − start]`, with zero padding.

    Args:
        signal: `[B, T]`, float32.
        dilation: steps between the nine values; clipped to T.
        start: the first time.
        stop: the last time plus 1.
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
        first, count = last * (last - 1) * (last - 2) // 6, last * (last - 1) // 2
        np.add(pairs[:count], shifted[last], out=triples[first : first + count])
    return triples


def _shifted(signal: Array, dilation: int, start: int, stop: int) -> Array:
    """The signal at each time plus −4, −3, … 4 dilations: `[9, B, stop − start]`."""
    rows, length = signal.shape
    shifted = np.zeros((LENGTH, rows, stop - start), np.float32)
    for position in range(LENGTH):
        shift = (position - REACH) * dilation
        first, last = max(start, -shift), min(stop, length - shift)
        if first < last:
            shifted[position, :, first - start : last - start] = signal[:, first + shift : last + shift]
    return shifted


def positive_proportions(signal: Array, dilation: int, biases: Array, parity: int) -> Array:
    """The proportion of times at which the output of each kernel exceeds each of its biases, `[B, n, 84]`.

    Every other kernel is applied without padding, unless the series is too short for that.

    Args:
        signal: `[B, T]`, float32.
        dilation: steps between the values of a kernel.
        biases: `[n, 84]`, float32.
        parity: 0 or 1: whether the even or the odd kernels are applied with padding.
    """
    rows, length = signal.shape
    margin = REACH * dilation if 2 * REACH * dilation < length else 0
    counts = np.zeros((KERNELS, len(biases), rows), np.int64)
    step = max(1, min(BLOCK // max(rows, 1), _MAX_STEPS))
    for start in range(0, length, step):
        stop = min(start + step, length)
        outputs = convolve(signal, dilation, start, stop)
        _count(outputs[parity::2], biases[:, parity::2], counts[parity::2])
        first, last = max(start, margin), min(stop, length - margin)
        if first < last:
            inner = outputs[1 - parity :: 2, :, first - start : last - start]
            _count(inner, biases[:, 1 - parity :: 2], counts[1 - parity :: 2])
    lengths = np.full(KERNELS, max(length - 2 * margin, 1))
    lengths[parity::2] = max(length, 1)
    return (counts.transpose(2, 1, 0) / lengths).astype(np.float32)


def _count(outputs: Array, biases: Array, counts: Array) -> None:
    """Add to `counts [K, n, B]` the number of times at which `outputs [K, B, T]` exceed `biases [n, K]`."""
    kernels, rows, length = outputs.shape
    above = np.zeros((kernels, rows, -(-length // 8) * 8), np.bool_)
    words, eighths = above.view(np.uint64), np.empty((kernels, len(biases), rows), np.uint64)  # one byte per comparison
    for index, bias in enumerate(biases):
        np.greater(outputs, bias[:, None, None], out=above[:, :, :length])
        np.add.reduce(words, axis=2, out=eighths[:, index])  # eight counts of one byte each
    quarters = (eighths & _EVEN_BYTES) + (eighths >> np.uint64(8) & _EVEN_BYTES)
    counts += (quarters * _ALL_PAIRS >> np.uint64(48)).astype(np.int64)
