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

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from stepscan.contract import Layer, Recurrence, keep_old_where_ended
from stepscan.sequences import Sequences
from stepscan.state import State, leaves, map_state, named_leaves, select

__all__ = ["LAWS", "Case", "LawBroken", "check"]

_TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-9}


class Case(NamedTuple):
    """One input to try: a batch with these lengths, padded to `steps`, filled with random numbers from `seed`."""

    lengths: tuple[int, ...]
    steps: int
    seed: int
    dtype: torch.dtype

    def __str__(self) -> str:
        return (
            f"B = {len(self.lengths)}, T = {self.steps}, lengths = {list(self.lengths)}, "
            f"{str(self.dtype).removeprefix('torch.')}, seed {self.seed}"
        )


class LawBroken(AssertionError):
    """A layer breaks a law: `law` (its title), `case` (the smallest found), `difference` (what differs, how much)."""

    def __init__(self, layer: str, law: str, case: Case, difference: str) -> None:
        self.law, self.case, self.difference = law, case, difference
        super().__init__(f"{layer} breaks law {law}\n  smallest case: {case}\n  difference: {difference}")


class _Difference(Exception):
    """Raised where two things that must agree do not."""


class Trial:
    """A layer, in the case's dtype and without per-step noise, with random inputs and a state it can be in."""

    def __init__(self, layer: Layer, case: Case) -> None:
        self.case, self.lengths, self.random = case, torch.tensor(case.lengths, dtype=torch.long), torch.Generator()
        self.random.manual_seed(case.seed)
        self.layer = copy.deepcopy(layer).to(case.dtype).eval()
        self.causal = isinstance(layer, Recurrence)
        self.data = self.normal(len(case.lengths), case.steps, layer.input_size)
        self.inputs = Sequences(self.data, self.lengths)
        self.state = self._reachable_state()

    def normal(self, *size: int) -> Tensor:
        return torch.randn(*size, generator=self.random, dtype=self.case.dtype)

    def scan(self, inputs: Sequences, state: State | None) -> tuple[Sequences, State]:
        outputs, final = self.layer.scan(inputs, state)
        width = self.layer.output_size
        if outputs.data.shape != (len(inputs), inputs.steps, width):
            raise _Difference(f"outputs have shape {list(outputs.data.shape)}, not [B, T, {width}]")
        return outputs, final

    def scan_data(self, inputs: Sequences, state: State) -> tuple[Tensor, State]:
        outputs, final = self.scan(inputs, state)
        return outputs.zeroed().data, final

    def fold(self, inputs: Sequences, state: State) -> tuple[Tensor, State]:
        """`step` over time, each row up to its own length: what law 1 holds `scan` to."""
        layer: Any = self.layer
        outputs = []
        for t in range(inputs.steps):
            running = t < inputs.lengths
            y, new = layer.step(inputs.data[:, t], state)
            outputs.append(torch.where(running[:, None], y, 0))
            state = keep_old_where_ended(running, new, state)
        empty = inputs.data.new_zeros(len(inputs), 0, layer.output_size)
        return torch.stack(outputs, dim=1) if outputs else empty, state

    def _reachable_state(self) -> State:
        """The state after 0 to 2 random items; the masks in it as in training."""
        lengths = torch.randint(0, 3, (len(self.case.lengths),), generator=self.random)
        prefix = Sequences(self.normal(len(lengths), 2, self.layer.input_size), lengths)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(self.case.seed)
            self.layer.train()
            state = self.layer.scan(prefix)[1]
            self.layer.eval()
        return state


def check(layer: Layer, *, examples: int = 20, laws: str | None = None, tolerance: float | None = None) -> None:
    """Try every law that `layer` owes on cases that hypothesis draws: lengths 0 and 1, B = 0 and 1, T = 0 among them.

    Args:
        layer: any Layer, the user's own included; it is copied, not changed.
        examples: cases a law.
        laws: numbers of the laws to try, such as `"148"`; None is all that the layer owes.
        tolerance: largest difference allowed, relative above magnitude 1; by default 2e-5 in float32, 1e-9 in float64.

    Raises:
        LawBroken: names the law, the smallest case found and the difference.
    """
    for title, law in LAWS.items():
        owed = isinstance(layer, Recurrence) or title[0] not in "12"
        if owed and (laws is None or title[0] in laws):
            _try_law(layer, title, law, examples, tolerance)


def _try_law(layer: Layer, title: str, law: Callable, examples: int, tolerance: float | None) -> None:
    try:
        from hypothesis import HealthCheck, Phase, Verbosity, given, settings
    except ImportError:
        raise ImportError("the laws are driven by hypothesis: pip install 'stepscan[laws]'") from None

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
    @given(case=_cases())
    def holds(case: Case) -> None:
        with torch.random.fork_rng(devices=[]), _tolerance(tolerance):
            try:
                law(Trial(layer, case))
            except _Difference as difference:
                raise LawBroken(layer.described, title, case, str(difference)) from None
            except Exception as error:
                raise LawBroken(layer.described, title, case, f"{type(error).__name__}: {error}") from error

    holds()


def _cases() -> Any:
    from hypothesis import strategies as st

    def of_steps(steps: int) -> Any:
        lengths = st.lists(st.integers(0, steps), max_size=4).map(tuple)
        return st.builds(
            Case, lengths, st.just(steps), st.integers(0, 99), st.sampled_from([torch.float64, torch.float32])
        )

    return st.integers(0, 5).flatmap(of_steps)


# The comparisons -----------------------------------------------------------------------------------------------------

_forced: float | None = None


@contextmanager
def _tolerance(value: float | None) -> Iterator[None]:
    global _forced
    _forced, before = value, _forced
    try:
        yield
    finally:
        _forced = before


def _same(what: str, got: Tensor, expected: Tensor) -> None:
    if got.shape != expected.shape:
        raise _Difference(f"{what}: shape {list(got.shape)} instead of {list(expected.shape)}")
    if got.dtype != expected.dtype:
        raise _Difference(f"{what}: {got.dtype} instead of {expected.dtype}")
    if not got.is_floating_point():
        if not torch.equal(got, expected):
            raise _Difference(f"{what}: {got.tolist()} instead of {expected.tolist()}")
        return
    gap = (got - expected).abs() / expected.abs().clamp(min=1)
    allowed = _TOLERANCE[got.dtype] if _forced is None else _forced
    if not bool((gap <= allowed).all()):  # a NaN is not <= anything
        worst = tuple(int(i) for i in torch.unravel_index(torch.nan_to_num(gap, nan=torch.inf).argmax(), gap.shape))
        raise _Difference(f"{what}{list(worst)}: {got[worst]:.6g} instead of {expected[worst]:.6g}")


def _same_states(what: str, got: State, expected: State) -> None:
    pairs = list(named_leaves(got)), list(named_leaves(expected))
    if [name for name, _ in pairs[0]] != [name for name, _ in pairs[1]]:
        raise _Difference(f"{what}: leaves {[n for n, _ in pairs[0]]} instead of {[n for n, _ in pairs[1]]}")
    for (name, g), (_, e) in zip(*pairs, strict=True):
        _same(f"{what} {name}".rstrip(), g, e)


def _gradients(trial: Trial, outputs: Tensor, final: State, sources: list[Tensor]) -> list[Tensor]:
    """Gradients of one fixed random weighting of all outputs and final states."""
    random = torch.Generator().manual_seed(trial.case.seed)
    total = outputs.new_zeros(())
    for leaf in (outputs, *leaves(final)):
        if leaf.is_floating_point() and leaf.requires_grad:
            total = total + (leaf * torch.randn(leaf.shape, generator=random, dtype=leaf.dtype)).sum()
    if not total.requires_grad:
        return [torch.zeros_like(source) for source in sources]
    found = torch.autograd.grad(total, sources, allow_unused=True)
    return [torch.zeros_like(s) if f is None else f for s, f in zip(sources, found, strict=True)]


def _sources(trial: Trial, data: Tensor, state: State) -> tuple[list[str], list[Tensor], State]:
    """What gradients are taken of: the inputs, the state's floating-point leaves, the parameters."""
    state = map_state(lambda leaf: leaf.detach().clone().requires_grad_(leaf.is_floating_point()), state)
    named = [("gradient of inputs", data)]
    named += [(f"gradient of state {n}".rstrip(), leaf) for n, leaf in named_leaves(state) if leaf.requires_grad]
    named += [(f"gradient of {n}", p) for n, p in trial.layer.named_parameters() if p.requires_grad]
    return [n for n, _ in named], [t for _, t in named], state


# The laws ------------------------------------------------------------------------------------------------------------


def _step_is_scan(trial: Trial) -> None:
    results = []
    for run in (trial.scan_data, trial.fold):
        data = trial.data.clone().requires_grad_()
        names, sources, state = _sources(trial, data, trial.state)
        outputs, final = run(Sequences(data, trial.lengths).zeroed(), state)
        results.append((outputs, final, _gradients(trial, outputs, final, sources)))
    (by_scan, scan_state, scan_gradients), (by_step, step_state, step_gradients) = results
    _same("scan's output", by_scan, by_step)
    _same_states("scan's final state", scan_state, step_state)
    for name, g, e in zip(names, scan_gradients, step_gradients, strict=True):
        _same(f"scan's {name}", g, e)
    ended = trial.lengths > 0
    last = Sequences(by_step, trial.lengths).last()
    _same("readout of the final state", trial.layer.readout(scan_state)[ended], last[ended])


def _cut_anywhere(trial: Trial) -> None:
    whole, final = trial.scan(trial.inputs, trial.state)
    for cut in range(trial.case.steps + 1):
        head = Sequences(trial.data[:, :cut], trial.lengths.clamp(max=cut))
        tail = Sequences(trial.data[:, cut:], (trial.lengths - cut).clamp(min=0))
        first, middle = trial.scan(head, trial.state)
        second, end = trial.scan(tail, middle)
        joined = torch.cat([first.zeroed().data, second.zeroed().data], dim=1)
        _same(f"output, cut at {cut},", joined, whole.zeroed().data)
        _same_states(f"final state, cut at {cut},", end, final)


def _padding_is_nothing(trial: Trial) -> None:
    results = []
    for filler in (0.0, float("nan"), 1e4):
        data = torch.where(trial.inputs.mask[:, :, None], trial.data, filler).requires_grad_()
        names, sources, state = _sources(trial, data, trial.state)
        outputs, final = trial.scan(Sequences(data, trial.lengths), state)
        clean = outputs.zeroed().data
        if not torch.equal(torch.where(trial.inputs.mask[:, :, None], clean, 0), clean):
            raise _Difference("outputs say that their padding is zero, but it is not")
        results.append((filler, clean, final, _gradients(trial, clean, final, sources)))
    _, expected, expected_final, expected_gradients = results[0]
    for filler, clean, final, gradients in results[1:]:
        _same(f"with {filler:g} in the padding, output", clean, expected)
        _same_states(f"with {filler:g} in the padding, final state", final, expected_final)
        for name, g, e in zip(names, gradients, expected_gradients, strict=True):
            _same(f"with {filler:g} in the padding, {name}", g, e)


def _row_alone(trial: Trial) -> None:
    outputs, final = trial.scan(trial.inputs, trial.state)
    for row, length in enumerate(trial.case.lengths):
        alone = Sequences(trial.data[row : row + 1, :length], [length])
        own, own_final = trial.scan(alone, select(trial.state, slice(row, row + 1)))
        _same(f"row {row} in the batch, output", outputs.data[row : row + 1, :length], own.data)
        in_batch = select(final, slice(row, row + 1))
        _same_states(f"row {row} in the batch, final state", in_batch, own_final)
        _same(f"row {row} in the batch, readout", trial.layer.readout(in_batch), trial.layer.readout(own_final))


def _arguments_unmodified(trial: Trial) -> None:
    data, state = trial.data.clone(), map_state(torch.clone, trial.state)
    with torch.no_grad():  # where changing in place is possible
        trial.scan(Sequences(trial.data, trial.lengths), trial.state)
        if isinstance(trial.layer, Recurrence) and trial.case.steps:
            trial.layer.step(trial.data[:, 0], trial.state)
    if not torch.equal(trial.data, data):
        raise _Difference("the inputs were changed in place")
    for (name, now), (_, before) in zip(named_leaves(trial.state), named_leaves(state), strict=True):
        if not torch.equal(now, before):
            raise _Difference(f"the state's leaf {name or 'h'} was changed in place")


def _length_zero(trial: Trial) -> None:
    lengths = trial.lengths.clone()
    lengths[::2] = 0
    empty = lengths == 0
    _, final = trial.scan(Sequences(trial.data, lengths), trial.state)
    _same_states("state after nothing", select(final, empty), select(trial.state, empty))
    _, final = trial.scan(Sequences(trial.data[:, :0], torch.zeros_like(lengths)), trial.state)
    _same_states("state after T = 0", final, trial.state)
    if isinstance(trial.layer, Recurrence):
        _, final = trial.scan(Sequences(trial.data, lengths), None)
        initial = trial.layer.initial_state(len(lengths), dtype=trial.case.dtype)
        _same_states("state after nothing, started from None,", select(final, empty), select(initial, empty))


def _no_peek(trial: Trial) -> None:
    whole, _ = trial.scan(trial.inputs, trial.state)
    looked = False
    for t in range(trial.case.steps - 1):
        changed = trial.data.clone()
        changed[:, t + 1 :] = trial.normal(*changed[:, t + 1 :].shape)
        outputs, _ = trial.scan(Sequences(changed, trial.lengths), trial.state)
        before, after = whole.zeroed().data[:, : t + 1], outputs.zeroed().data[:, : t + 1]
        if trial.causal:
            _same(f"with other items after {t}, output", after, before)
        looked = looked or not torch.equal(before, after)
    if not trial.causal and max(trial.case.lengths, default=0) > 1 and not looked:
        raise _Difference(
            "no output depends on a later item, though the layer is no Recurrence: "
            "reverse within the lengths, or make it a Recurrence"
        )


def _gradcheck(trial: Trial) -> None:
    trial = Trial(trial.layer, trial.case._replace(dtype=torch.float64))
    layer = trial.layer
    _, sources, state = _sources(trial, trial.data.clone().requires_grad_(), trial.state)
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
        raise _Difference(" ".join(str(error).split())[:300]) from None


def _state_survives(trial: Trial) -> None:
    rows = len(trial.case.lengths)
    named = dict(named_leaves(trial.state))
    for name, leaf in named.items():
        if leaf.dim() == 0 or leaf.shape[0] != rows:
            raise _Difference(
                f"the state's leaf {name} has shape {list(leaf.shape)}, but every leaf starts with B = {rows}"
            )
    saved = load_tensors(save_tensors({f"_{name}": leaf.contiguous() for name, leaf in named.items()}))
    values = iter([saved[f"_{name}"] for name in named])
    loaded = map_state(lambda _: next(values), trial.state)
    order = torch.randperm(rows, generator=trial.random)
    outputs, final = trial.scan(trial.inputs, trial.state)
    again, again_final = trial.scan(Sequences(trial.data[order], trial.lengths[order]), select(loaded, order))
    _same("saved, loaded and reordered, output", again.zeroed().data, outputs.zeroed().data[order])
    _same_states("saved, loaded and reordered, final state", again_final, select(final, order))


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
