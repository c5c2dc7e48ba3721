"""The laws: what `scan`, `step`, `readout` and states owe each other. `check(layer)` tests one layer against them.

    1 step folded over time ≡ scan, gradients and readout included    2 scan(a⧺b, s) ≡ scan(b, scan(a, s))
    3 the content of the padding (NaN included) changes nothing       4 a row alone ≡ the row in a batch
    5 no argument is modified                                         6 a row of length 0 keeps its state
    7 y_t does not depend on x_{>t}                                   8 gradients are right (gradcheck in float64)
    9 a state survives save, load and reorder

A `Recurrence` owes all nine, any other `Layer` 3 to 9. For law 7, a Recurrence must be causal and any other layer must
not be: if none of its outputs depends on a later item, it either fails to reverse or should be a Recurrence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch

from stepscan.contract import Layer, Recurrence
from stepscan.laws.cases import Case, LawContext, Mismatch, case_strategy
from stepscan.laws.suite import BITWISE_LAWS, LAWS, Law

__all__ = ["LAWS", "Case", "Law", "LawBroken", "check"]


class LawBroken(AssertionError):
    """A layer breaks a law.

    Attributes:
        law: the law, such as `1: step folded over time ≡ scan`.
        case: the smallest failing input found.
        difference: what differs, and by how much.
    """

    def __init__(self, layer: str, law: str, case: Case, difference: str) -> None:
        self.law, self.case, self.difference = law, case, difference
        super().__init__(f"{layer} breaks law {law}\n  smallest case: {case}\n  difference: {difference}")


def check(
    layer: Layer,
    *,
    examples: int = 20,
    laws: Collection[int] | None = None,
    tolerance: float | None = None,
    to_the_bit: bool = False,
) -> None:
    """Test every law that `layer` owes on cases drawn by hypothesis, lengths of 0 and 1, B = 0 and T = 0 among them.

    Args:
        layer: any Layer, user-defined ones included; it is copied, not changed.
        examples: cases per law.
        laws: numbers of the laws to test, such as `(1, 4, 8)`; None for all that the layer owes.
        tolerance: largest difference allowed, relative above magnitude 1; by default 2e-5 in float32, 1e-9 in float64.
        to_the_bit: test only the laws 1, 2 and 4 (those that the layer owes), in float32 inference and with no
            difference allowed, which layers satisfy that run on the native kernels.

    Raises:
        LawBroken: with the law, the smallest failing case and the difference.
        ValueError: `laws` is not a collection of numbers of laws that the layer owes.
    """
    suite = BITWISE_LAWS if to_the_bit else LAWS
    owed = [law for law in suite if isinstance(layer, Recurrence) or law.number > 2]
    dtypes = [torch.float32] if to_the_bit else [torch.float64, torch.float32]
    for law in _selected(owed, laws, layer.signature):
        _check_law(layer, law, examples, 0.0 if to_the_bit else tolerance, dtypes)


def _selected(owed: list[Law], numbers: Collection[int] | None, signature: str) -> list[Law]:
    """The laws with these numbers, in their own order; all for None."""
    if numbers is None:
        return owed
    if isinstance(numbers, str | bytes) or not isinstance(numbers, Collection):
        raise ValueError(f"laws: expected numbers such as (1, 4, 8), got {numbers!r}")
    known = [law.number for law in owed]
    if not numbers or not set(numbers) <= set(known):
        listed = ", ".join(map(str, known))
        raise ValueError(f"laws: expected numbers of laws that {signature} owes ({listed}), got {numbers!r}")
    return [law for law in owed if law.number in numbers]


def _check_law(layer: Layer, law: Law, examples: int, tolerance: float | None, dtypes: list[torch.dtype]) -> None:
    def holds(case: Case) -> None:
        with torch.random.fork_rng(devices=[]):
            try:
                law.check(LawContext(layer, case, tolerance))
            except Mismatch as mismatch:
                raise LawBroken(layer.signature, law.title, case, str(mismatch)) from None
            except Exception as error:
                raise LawBroken(layer.signature, law.title, case, f"{type(error).__name__}: {error}") from error

    _for_all_cases(holds, examples, dtypes)()


def _for_all_cases(test: Callable[[Case], None], examples: int, dtypes: list[torch.dtype]) -> Callable[[], Any]:
    """The test of one case as a hypothesis test, which reports the smallest failing case."""
    try:
        from hypothesis import HealthCheck, Phase, Verbosity, given, settings
    except ImportError:
        raise ImportError("stepscan.laws needs hypothesis; install it with: pip install 'stepscan[train]'") from None
    configure = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    return configure(given(case=case_strategy(dtypes))(test))
