"""Generated tasks: their values by hand, and by definitions other than the ones they are made with."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from stepscan.data.synthetic import order as temporal
from stepscan.data.synthetic.adding import BASELINE, adding
from stepscan.data.synthetic.bucket_sort import bucket_sort
from stepscan.data.synthetic.copying import copying, memoryless
from stepscan.data.synthetic.counting import counting
from stepscan.data.synthetic.cycle_navigation import cycle_navigation
from stepscan.data.synthetic.even_pairs import even_pairs
from stepscan.data.synthetic.modular_arithmetic import modular_arithmetic, values
from stepscan.data.synthetic.order import order
from stepscan.data.synthetic.parity import parity
from stepscan.data.synthetic.reverse import reverse
from stepscan.errors import SettingsError

BY_SEED = {
    "adding": lambda seed: adding(seed, 5, 8),
    "copying": lambda seed: copying(seed, 5, 8),
    "order": lambda seed: order(seed, 5),
    "parity": lambda seed: parity(seed, 5, 8),
    "even_pairs": lambda seed: even_pairs(seed, 5, 8),
    "modular_arithmetic": lambda seed: modular_arithmetic(seed, 5, 9),
    "cycle_navigation": lambda seed: cycle_navigation(seed, 5, 8),
    "reverse": lambda seed: reverse(seed, 5, 8),
    "bucket_sort": lambda seed: bucket_sort(seed, 5, 8),
}


@pytest.mark.parametrize("task", BY_SEED)
def test_the_seed_decides(task):
    first, again, other = (BY_SEED[task](seed) for seed in (7, 7, [7, 1]))
    for one, two in zip(first, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first.inputs, other.inputs, strict=True))


def test_adding_marks_one_number_in_each_half():
    inputs, targets = adding(0, 200, 11)
    numbers, markers = inputs[:, :, 0], inputs[:, :, 1]
    assert inputs.shape == (200, 11, 2)
    assert (numbers >= 0).all()
    assert (numbers < 1).all()
    assert set(markers.ravel()) == {0, 1}
    assert (markers[:, :5].sum(axis=1) == 1).all()
    assert (markers[:, 5:].sum(axis=1) == 1).all()
    assert (markers.sum(axis=0) > 0).all(), "every place is marked in some"
    for row, target in zip(inputs, targets, strict=True):
        assert target == sum(number for number, marker in row if marker)


def test_baseline_of_adding():
    targets = adding(1, 100_000, 2).targets
    assert ((targets - 1) ** 2).mean() == pytest.approx(BASELINE, rel=0.01) == pytest.approx(0.1667, abs=0.002)


def test_copying():
    inputs, targets = copying(0, 50, 3)
    assert inputs.shape == targets.shape == (50, 23)
    assert set(inputs[:, :10].ravel()) == set(range(8))
    assert (inputs[:, 10:] == [8, 8, 9, *[8] * 10]).all(), "two blanks, the cue, and ten blanks to answer in"
    assert (targets[:, :13] == 8).all()
    assert (targets[:, 13:] == inputs[:, :10]).all()


def test_who_remembers_nothing_in_copying():
    assert memoryless(100) == pytest.approx(0.17329, abs=1e-5)
    nats = [0.0] * 103 + [-np.log(1 / 8)] * 10 + [0.0] * 7  # sure of every blank, one of eight for the rest
    assert np.mean(nats) == pytest.approx(memoryless(100))


def test_order():
    inputs, targets = order(0, 300)
    assert {len(row) for row in inputs} == set(range(100, 111))
    assert set(targets) == {0, 1, 2, 3}
    for row, target in zip(inputs, targets, strict=True):
        said = [(place, temporal.SYMBOLS[one]) for place, one in enumerate(row) if temporal.SYMBOLS[one] in ("X", "Y")]
        (first, one), (second, two) = said
        assert 10 <= first <= 20
        assert 50 <= second <= 60
        assert temporal.CLASSES[target] == one + two
        assert temporal.SYMBOLS[row[0]] == "begin"
        assert temporal.SYMBOLS[row[-1]] == "end"
        assert not {temporal.BEGIN, temporal.END} & set(row[1:-1])


def test_counting():
    inputs, targets = counting([1, 3])
    assert [row.tolist() for row in inputs] == [[0, 1], [0, 0, 0, 1, 1, 1]]
    assert [row.tolist() for row in targets] == [[0, 2], [0, 0, 0, 1, 1, 2]]


def test_parity():
    inputs, targets = parity(0, 300, 6)
    assert [bin(int("".join(map(str, row)), 2)).count("1") % 2 for row in inputs] == targets.tolist()
    assert set(targets) == {0, 1}


def test_even_pairs():
    inputs, targets = even_pairs(0, 300, 6)
    texts = ["".join(map(str, row)) for row in inputs]
    by_hand = [sum(a + b in ("01", "10") for a, b in itertools.pairwise(text)) % 2 for text in texts]
    assert targets.tolist() == by_hand == [int(text[0] != text[-1]) for text in texts]
    assert even_pairs(0, 9, 1).targets.tolist() == [0] * 9


@pytest.mark.parametrize(
    ("expression", "value"), [("4", 4), ("1+2*3", 2), ("1-1-1", 4), ("0*1+4*3-2", 0), ("2-3*4", 0), ("3*4*4-2*2", 4)]
)
def test_value_of_an_expression(expression, value):
    ids = np.array([["01234+-*".index(letter) for letter in expression]])
    assert values(ids).tolist() == [value]


def test_modular_arithmetic():
    inputs, targets = modular_arithmetic(0, 300, 10)
    assert inputs.shape == (300, 9), "an expression's length is odd"
    assert set(inputs[:, ::2].ravel()) == set(range(5))
    assert set(inputs[:, 1::2].ravel()) == {5, 6, 7}
    texts = ["".join("01234+-*"[one] for one in row) for row in inputs]
    assert targets.tolist() == [eval(text) % 5 for text in texts]


def test_cycle_navigation():
    inputs, targets = cycle_navigation(0, 300, 7)
    for row, target in zip(inputs, targets, strict=True):
        place = 0
        for step in row:
            place = {0: (place - 1) % 5, 1: place, 2: (place + 1) % 5}[int(step)]
        assert place == target
    assert set(targets) == set(range(5))


@pytest.mark.parametrize(("task", "blank", "answer"), [(reverse, 2, lambda x: x[::-1]), (bucket_sort, 5, sorted)])
def test_read_then_answer(task, blank, answer):
    inputs, targets = task(0, 100, 4)
    assert inputs.shape == targets.shape == (100, 8)
    for read, said in zip(inputs.tolist(), targets.tolist(), strict=True):
        assert read[4:] == said[:4] == [blank] * 4
        assert said[4:] == list(answer(read[:4]))
    assert set(inputs[:, :4].ravel()) == set(range(blank))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: adding(0, 3, 1), "adding: expected sequences of at least 2 steps, got 1"),
        (lambda: copying(0, 3, 0), "copy: expected sequences of at least 1 steps, got 0"),
        (lambda: counting([2, 0]), "counting: expected sequences of at least 1 steps, got 0"),
        (lambda: reverse(0, 3, 0), "reverse: expected sequences of at least 1 steps, got 0"),
    ],
)
def test_too_short(make, message):
    with pytest.raises(SettingsError, match=message):
        make()


def test_needs_no_torch():
    code = "".join(f"import stepscan.data.synthetic.{name}\n" for name in [*BY_SEED, "counting"])
    done = subprocess.run([sys.executable, "-c", code + "import sys; assert 'torch' not in sys.modules"])
    assert done.returncode == 0
