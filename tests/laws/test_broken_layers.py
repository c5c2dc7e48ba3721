"""Every law catches the mistake it is there for, and says so with a small case: a law that catches nothing is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import broken_layers as broken
import pytest
import torch

import stepscan as ss


class Mistake(NamedTuple):
    layer: Callable[[], ss.Layer]
    law: int  # number of the law that must catch it
    says: str  # part of the difference
    rows: int  # B and T of the smallest case, at most
    steps: int
    alone: bool = False  # whether only this law is tried, because another, tried earlier, catches the mistake too


def both(cls: type) -> Callable[[], ss.Layer]:
    return lambda: cls(ss.GRU(2, 1), ss.GRU(2, 1))


def with_random_bias() -> ss.Layer:
    layer = broken.ScanForgetsBias(2, 2)
    torch.nn.init.normal_(layer.bias_ih)
    return layer


MISTAKES = {
    "bidirectional that reverses nothing": Mistake(both(broken.NeverReverses), 7, "reverse within", 1, 2),
    "causal, but no Recurrence": Mistake(lambda: broken.LooksOnlyBack(ss.GRU(2, 1)), 7, "make it a Recurrence", 1, 2),
    "bidirectional that reverses the padding": Mistake(both(broken.ReversesPadding), 4, "in the batch, output", 2, 3),
    "padding claimed zero that is not": Mistake(both(broken.ClaimsZeroPadding), 3, "their padding is not zero", 1, 1),
    "length 0 gives zeros": Mistake(both(broken.ForgetsStateOfEmptyRows), 6, "state after nothing", 1, 0),
    "final state from the padded end": Mistake(lambda: broken.LastStepIsFinal(2), 1, "scan's final state", 1, 1),
    "state changed in place": Mistake(lambda: broken.ChangesStateInPlace(2), 5, "leaf h was changed", 1, 1, True),
    "padding zeroed in place": Mistake(lambda: broken.ZeroesPaddingInPlace(2), 5, "inputs were changed", 1, 1, True),
    "input scaled in place": Mistake(lambda: broken.ScalesInputInPlace(2), 5, "inputs were changed", 1, 1, True),
    "peek ahead": Mistake(lambda: broken.PeeksAhead(2), 7, "with other items after 0, output", 1, 2, True),
    "mask by multiplication": Mistake(lambda: broken.MasksByMultiplying(2), 3, "with nan in the padding", 1, 1),
    "wrong backward": Mistake(lambda: broken.WrongBackward(2), 8, "Jacobian mismatch", 1, 1),
    "scan detaches": Mistake(lambda: broken.DetachesWithinScan(2), 1, "scan's gradient of state", 1, 1),
    "scan forgets the bias": Mistake(with_random_bias, 1, "scan's output", 1, 1),
    "state kept between calls": Mistake(lambda: broken.StartsWhereItEnded(2), 6, "started from None", 1, 0),
    "batch statistics": Mistake(lambda: broken.CentresOverTheBatch(2), 4, "in the batch, output", 2, 1),
    "state [1, B, H]": Mistake(lambda: broken.LayersFirstState(2, 2), 9, "expected [B, …] with B", 2, 0, True),
    "readout of c": Mistake(lambda: broken.ReadsOutTheCell(2, 2), 1, "readout of the final state", 1, 1),
    "scan ignores the state given": Mistake(lambda: broken.IgnoresTheStateGiven(2, 2), 2, "cut at", 1, 1, True),
    "noise in inference": Mistake(lambda: broken.NoiseAlways(2), 1, "scan's output", 1, 1),
    "crash at T = 0": Mistake(lambda: broken.CannotBeEmpty(2), 1, "RuntimeError: stack expects", 0, 0),
    "crash at length 0": Mistake(lambda: broken.PacksEmptyRows(2, 2), 1, "RuntimeError:", 1, 0),
    "float32 whatever is asked": Mistake(
        lambda: broken.SinglePrecisionState(2), 6, "expected torch.float32, got torch.float64", 1, 1
    ),
    "another width than it says": Mistake(
        lambda: broken.SaysAnotherWidth(2), 1, "expected shape [0, 3], got [0, 2]", 0, 0
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_caught_by_its_law_with_a_small_case(name: str) -> None:
    mistake = MISTAKES[name]
    torch.manual_seed(0)
    layer = mistake.layer()
    with pytest.raises(ss.laws.LawBroken) as caught:
        ss.laws.check(layer, laws=(mistake.law,) if mistake.alone else None)
    found = caught.value
    assert found.law.startswith(f"{mistake.law}: "), str(found)
    assert mistake.says in found.difference
    assert len(found.case.lengths) <= mistake.rows, str(found)
    assert found.case.steps <= mistake.steps, str(found)
    assert str(found).splitlines() == [
        f"{layer.signature} breaks law {found.law}",
        f"  smallest case: {found.case}",
        f"  difference: {found.difference}",
    ]


def test_report_reads_as_a_sentence() -> None:
    with pytest.raises(ss.laws.LawBroken) as caught:
        ss.laws.check(broken.LastStepIsFinal(2))
    lines = str(caught.value).splitlines()
    assert lines[0] == "LastStepIsFinal(2 → 2) breaks law 1: step folded over time ≡ scan"
    assert lines[1] == "  smallest case: B = 1, T = 1, lengths = [0], float64, seed 0"
    assert lines[2].startswith("  difference: scan's final state")
    assert re.search(r": expected \S+, got \S+$", lines[2])
