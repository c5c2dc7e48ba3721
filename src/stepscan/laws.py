"""The laws: what `scan`, `step`, `readout` and states owe each other. `check(layer)` tries one layer on all of them.

    1 step folded over time ≡ scan, gradients and readout included    2 scan(a⧺b, s) ≡ scan(b, scan(a, s))
    3 what stands in the padding (NaN included) changes nothing       4 a row alone ≡ the row in a batch
    5 no argument is modified                                         6 a row of length 0 keeps its state
    7 y_t does not depend on x_{>t}                                   8 gradients are right (gradcheck in float64)
    9 a state survives save, load and reorder

A `Recurrence` owes all nine, any other `Layer` 3 to 9; but where a Recurrence must not look ahead (7), another layer
must: one that never looks ahead either forgot to reverse or should be a Recurrence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from stepscan.contract import Layer, Recurrence
from stepscan.sequences import Sequences
from stepscan.state import leaves, map_state, named_leaves, select
from stepscan.trials import Case, Difference, Trial, gradient_sources, gradients_of, same, same_states

__all__ = ["LAWS", "Case", "LawBroken", "check"]


class LawBroken(AssertionError):
    """A layer breaks a law: `law` (its title), `case` (the smallest found), `difference` (what differs, how much)."""

    def __init__(self, layer: str, law: str, case: Case, difference: str) -> None:
        self.law, self.case, self.difference = law, case, difference
        super().__init__(f"{layer} breaks law {law}\n  smallest case: {case}\n  difference: {difference}")


def check(
    layer: Layer,
    *,
    examples: int = 20,
    laws: str | None = None,
    tolerance: float | None = None,
    to_the_bit: bool = False,
) -> None:
    """Try every law that `layer` owes on cases that hypothesis draws: lengths 0 and 1, B = 0 and 1, T = 0 among them.

    Args:
        layer: any Layer, the user's own included; it is copied, not changed.
        examples: cases a law.
        laws: numbers of the laws to try, such as `"148"`; None is all that the layer owes.
        tolerance: largest difference allowed, relative above magnitude 1; by default 2e-5 in float32, 1e-9 in float64.
        to_the_bit: of the laws 1, 2 and 4, those that the layer owes, in float32 inference and without any difference:
            what layers keep that run on the native kernels.

    Raises:
        LawBroken: names the law, the smallest case found and the difference.
    """
    owed = "123456789" if isinstance(layer, Recurrence) else "3456789"
    if to_the_bit:
        owed = "".join(sorted(set(owed) & set("124")))
    chosen = owed if laws is None else laws
    if not chosen or not set(chosen) <= set(owed):
        raise ValueError(f"{layer.described} owes the laws {owed}, got {chosen!r}")
    for title, law in LAWS.items():
        if title[0] in chosen:
            if to_the_bit:
                _try_law(layer, title, torch.no_grad()(_BITS.get(title[0], law)), examples, 0.0, [torch.float32])
            else:
                _try_law(layer, title, law, examples, tolerance, [torch.float64, torch.float32])


def _try_law(
    layer: Layer, title: str, law: Callable, examples: int, tolerance: float | None, dtypes: list[torch.dtype]
) -> None:
    try:
        from hypothesis import HealthCheck, Phase, Verbosity, given, settings
    except ImportError:
        raise ImportError("the laws are driven by hypothesis: pip install 'stepscan[train]'") from None

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(case=_cases(dtypes))
    def holds(case: Case) -> None:
        with torch.random.fork_rng(devices=[]):
            try:
                law(Trial(layer, case, tolerance))
            except Difference as difference:
                raise LawBroken(layer.described, title, case, str(difference)) from None
            except Exception as error:
                raise LawBroken(layer.described, title, case, f"{type(error).__name__}: {error}") from error

    holds()


def _cases(dtypes: list[torch.dtype]) -> Any:
    from hypothesis import strategies as st

    def of_steps(steps: int) -> Any:
        lengths = st.lists(st.integers(0, steps), max_size=4).map(tuple)
        return st.builds(Case, lengths, st.just(steps), st.integers(0, 99), st.sampled_from(dtypes))

    return st.integers(0, 5).flatmap(of_steps)


# The laws: each takes a trial, raises a Difference --------------------------------------------------------------------


def _step_is_scan(trial: Trial) -> None:
    results = []
    for run in (trial.scan_data, trial.fold):
        data = trial.data.clone().requires_grad_()
        names, sources, state = gradient_sources(trial, data, trial.state)
        outputs, final = run(Sequences(data, trial.lengths).zeroed(), state)
        results.append((outputs, final, gradients_of(trial, outputs, final, sources)))
    (by_scan, scan_state, scan_gradients), (by_step, step_state, step_gradients) = results
    same(trial, "scan's output", by_scan, by_step)
    same_states(trial, "scan's final state", scan_state, step_state)
    for name, g, e in zip(names, scan_gradients, step_gradients, strict=True):
        same(trial, f"scan's {name}", g, e)
    ended = trial.lengths > 0
    last = Sequences(by_step, trial.lengths).last()
    same(trial, "readout of the final state", trial.layer.readout(scan_state)[ended], last[ended])


def _step_is_scan_to_the_bit(trial: Trial) -> None:
    by_scan, scan_state = trial.scan_data(trial.inputs, trial.state)
    by_step, step_state = trial.fold(trial.inputs, trial.state)
    same(trial, "scan's output", by_scan, by_step)
    same_states(trial, "scan's final state", scan_state, step_state)


def _cut_anywhere(trial: Trial) -> None:
    whole, final = trial.scan(trial.inputs, trial.state)
    for cut in range(trial.case.steps + 1):
        head = Sequences(trial.data[:, :cut], trial.lengths.clamp(max=cut))
        tail = Sequences(trial.data[:, cut:], (trial.lengths - cut).clamp(min=0))
        first, middle = trial.scan(head, trial.state)
        second, end = trial.scan(tail, middle)
        joined = torch.cat([first.zeroed().data, second.zeroed().data], dim=1)
        same(trial, f"output, cut at {cut},", joined, whole.zeroed().data)
        same_states(trial, f"final state, cut at {cut},", end, final)


def _padding_is_nothing(trial: Trial) -> None:
    results = []
    for filler in (0.0, float("nan"), 1e4):
        data = torch.where(trial.inputs.mask[:, :, None], trial.data, filler).requires_grad_()
        names, sources, state = gradient_sources(trial, data, trial.state)
        outputs, final = trial.scan(Sequences(data, trial.lengths), state)
        clean = outputs.zeroed().data
        if not torch.equal(torch.where(trial.inputs.mask[:, :, None], clean, 0), clean):
            raise Difference("outputs say that their padding is zero, but it is not")
        results.append((filler, clean, final, gradients_of(trial, clean, final, sources)))
    _, expected, expected_final, expected_gradients = results[0]
    for filler, clean, final, gradients in results[1:]:
        same(trial, f"with {filler:g} in the padding, output", clean, expected)
        same_states(trial, f"with {filler:g} in the padding, final state", final, expected_final)
        for name, g, e in zip(names, gradients, expected_gradients, strict=True):
            same(trial, f"with {filler:g} in the padding, {name}", g, e)


def _row_alone(trial: Trial) -> None:
    outputs, final = trial.scan(trial.inputs, trial.state)
    for row, length in enumerate(trial.case.lengths):
        alone = Sequences(trial.data[row : row + 1, :length], [length])
        own, own_final = trial.scan(alone, select(trial.state, slice(row, row + 1)))
        same(trial, f"row {row} in the batch, output", outputs.data[row : row + 1, :length], own.data)
        in_batch = select(final, slice(row, row + 1))
        same_states(trial, f"row {row} in the batch, final state", in_batch, own_final)
        same(trial, f"row {row} in the batch, readout", trial.layer.readout(in_batch), trial.layer.readout(own_final))


def _arguments_unmodified(trial: Trial) -> None:
    data, state = trial.data.clone(), map_state(torch.clone, trial.state)
    with torch.no_grad():  # where changing in place is possible
        trial.scan(Sequences(trial.data, trial.lengths), trial.state)
        if isinstance(trial.layer, Recurrence) and trial.case.steps:
            trial.layer.step(trial.data[:, 0], trial.state)
    if not torch.equal(trial.data, data):
        raise Difference("the inputs were changed in place")
    for (name, now), (_, before) in zip(named_leaves(trial.state), named_leaves(state), strict=True):
        if not torch.equal(now, before):
            raise Difference(f"the state's leaf {name or 'h'} was changed in place")


def _length_zero(trial: Trial) -> None:
    lengths = trial.lengths.clone()
    lengths[::2] = 0
    empty = lengths == 0
    _, final = trial.scan(Sequences(trial.data, lengths), trial.state)
    same_states(trial, "state after nothing", select(final, empty), select(trial.state, empty))
    _, final = trial.scan(Sequences(trial.data[:, :0], torch.zeros_like(lengths)), trial.state)
    same_states(trial, "state after T = 0", final, trial.state)
    if isinstance(trial.layer, Recurrence):
        _, final = trial.scan(Sequences(trial.data, lengths), None)
        initial = trial.layer.initial_state(len(lengths), dtype=trial.case.dtype)
        same_states(trial, "state after nothing, started from None,", select(final, empty), select(initial, empty))


def _no_peek(trial: Trial) -> None:
    whole, _ = trial.scan(trial.inputs, trial.state)
    looked = False
    for t in range(trial.case.steps - 1):
        changed = trial.data.clone()
        changed[:, t + 1 :] = trial.normal(*changed[:, t + 1 :].shape)
        outputs, _ = trial.scan(Sequences(changed, trial.lengths), trial.state)
        before, after = whole.zeroed().data[:, : t + 1], outputs.zeroed().data[:, : t + 1]
        if trial.causal:
            same(trial, f"with other items after {t}, output", after, before)
        looked = looked or not torch.equal(before, after)
    if not trial.causal and max(trial.case.lengths, default=0) > 1 and not looked:
        raise Difference(
            "no output depends on a later item, though the layer is no Recurrence: "
            "reverse within the lengths, or make it a Recurrence"
        )


def _gradcheck(trial: Trial) -> None:
    trial = Trial(trial.layer, trial.case._replace(dtype=torch.float64))
    layer = trial.layer
    _, sources, state = gradient_sources(trial, trial.data.clone().requires_grad_(), trial.state)
    names = [name for name, parameter in layer.named_parameters() if parameter.requires_grad]
    count = sum(1 for leaf in leaves(state) if leaf.requires_grad)

    def run(data: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        given = iter(rest[:count])
        start = map_state(lambda leaf: next(given) if leaf.requires_grad else leaf, state)
        parameters = dict(zip(names, rest[count:], strict=True))
        outputs, final = torch.func.functional_call(layer, parameters, (Sequences(data, trial.lengths), start))
        return outputs.zeroed().data, *(leaf for leaf in leaves(final) if leaf.is_floating_point())

    if trial.data.numel() == 0:
        run(*sources)
        return
    try:
        torch.autograd.gradcheck(run, sources, fast_mode=True, atol=1e-4, rtol=1e-3)
    except GradcheckError as error:
        raise Difference(" ".join(str(error).split())[:300]) from None


def _state_survives(trial: Trial) -> None:
    rows = len(trial.case.lengths)
    named = dict(named_leaves(trial.state))
    for name, leaf in named.items():
        if leaf.dim() == 0 or leaf.shape[0] != rows:
            raise Difference(
                f"the state's leaf {name} has shape {list(leaf.shape)}, but every leaf starts with B = {rows}"
            )
    saved = load_tensors(save_tensors({f"_{name}": leaf.contiguous() for name, leaf in named.items()}))
    values = iter([saved[f"_{name}"] for name in named])
    loaded = map_state(lambda _: next(values), trial.state)
    order = torch.randperm(rows, generator=trial.random).to(trial.device)
    outputs, final = trial.scan(trial.inputs, trial.state)
    again, again_final = trial.scan(Sequences(trial.data[order], trial.lengths[order]), select(loaded, order))
    same(trial, "saved, loaded and reordered, output", again.zeroed().data, outputs.zeroed().data[order])
    same_states(trial, "saved, loaded and reordered, final state", again_final, select(final, order))


LAWS: dict[str, Callable[[Trial], None]] = {
    "1: step folded over time ≡ scan": _step_is_scan,
    "2: scan(a⧺b, s) ≡ scan(b, scan(a, s))": _cut_anywhere,
    "3: what stands in the padding changes nothing": _padding_is_nothing,
    "4: a row alone ≡ the row in a batch": _row_alone,
    "5: no argument is modified": _arguments_unmodified,
    "6: a row of length 0 keeps its state": _length_zero,
    "7: no peek ahead": _no_peek,
    "8: gradients are right": _gradcheck,
    "9: a state survives save, load and reorder": _state_survives,
}

_BITS = {"1": _step_is_scan_to_the_bit}  # without the gradients
