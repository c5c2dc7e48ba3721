"""Temporal order, two symbols (Hochreiter & Schmidhuber 1997, §5.6, task 6a)."""

from __future__ import annotations

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed

SYMBOLS = ("a", "b", "c", "d", "X", "Y", "begin", "end")  # the first four are distractors
X, BEGIN, END = 4, 6, 7
CLASSES = ("XX", "XY", "YX", "YY")
SHORTEST, LONGEST = 100, 110  # steps
FIRST, SECOND = (10, 20), (50, 60)  # the ranges of the steps of the two symbols


def order(seed: Seed, count: int) -> GeneratedExamples:
    """X or Y at a step from 10 to 20, and again at one from 50 to 60, among distractors; the target is the pair.

    Args:
        seed: of the draw.
        count: N.

    Returns:
        inputs: N rows `[T]` of ids in `SYMBOLS`, with T from 100 to 110; targets `[N]`, ids in `CLASSES`.
    """
    random = np.random.default_rng(seed)
    targets = random.integers(len(CLASSES), size=count)
    inputs = []
    for target in targets:
        row = random.integers(X, size=random.integers(SHORTEST, LONGEST + 1))
        for (start, end), symbol in zip((FIRST, SECOND), divmod(int(target), 2), strict=True):
            row[random.integers(start, end + 1)] = X + symbol
        row[0], row[-1] = BEGIN, END
        inputs.append(row)
    return GeneratedExamples(inputs, targets)
