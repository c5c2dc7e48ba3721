"""The nine laws. Each check takes a `LawContext` and raises a `Mismatch` if the law does not hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from stepscan.contract import Recurrence
from stepscan.laws.cases import (
    LawContext,
    Mismatch,
    assert_close,
    assert_states_close,
    differentiable_inputs,
    weighted_gradients,
)
from stepscan.sequences import Sequences
from stepscan.state import leaves, map_state, named_leaves, select

__all__ = ["BITWISE_LAWS", "LAWS", "Law"]


class Law(NamedTuple):
    """One law of the suite."""

    number: int
    statement: str
    check: Callable[[LawContext], None]  # raises a Mismatch

    @property
    def title(self) -> str:
        """Such as `1: step folded over time ≡ scan`."""
        return f"{self.number}: {self.statement}"


def _step_is_scan(context: LawContext) -> None:
    results = []
    for run in (context.scan_data, context.fold):
        data = context.data.clone().requires_grad_()
        names, sources, state = differentiable_inputs(context, data, context.state)
        outputs, final = run(Sequences(data, context.lengths).zeroed(), state)
        results.append((outputs, final, weighted_gradients(context, outputs, final, sources)))
    (by_scan, scan_state, scan_gradients), (by_step, step_state, step_gradients) = results
    assert_close(context, "scan's output", by_scan, by_step)
    assert_states_close(context, "scan's final state", scan_state, step_state)
    for name, g, e in zip(names, scan_gradients, step_gradients, strict=True):
        assert_close(context, f"scan's {name}", g, e)
    nonempty = context.lengths > 0
    last = Sequences(by_step, context.lengths).last()
    assert_close(context, "readout of the final state", context.layer.readout(scan_state)[nonempty], last[nonempty])


def _outputs_of_step_and_scan(context: LawContext) -> None:
    by_scan, scan_state = context.scan_data(context.inputs, context.state)
    by_step, step_state = context.fold(context.inputs, context.state)
    assert_close(context, "scan's output", by_scan, by_step)
    assert_states_close(context, "scan's final state", scan_state, step_state)


def _scan_in_pieces(context: LawContext) -> None:
    expected, final = context.scan(context.inputs, context.state)
    for cut in range(context.case.steps + 1):
        head = Sequences(context.data[:, :cut], context.lengths.clamp(max=cut))
        tail = Sequences(context.data[:, cut:], (context.lengths - cut).clamp(min=0))
        first, middle = context.scan(head, context.state)
        second, end = context.scan(tail, middle)
        joined = torch.cat([first.zeroed().data, second.zeroed().data], dim=1)
        assert_close(context, f"output, cut at {cut},", joined, expected.zeroed().data)
        assert_states_close(context, f"final state, cut at {cut},", end, final)


def _padding_is_ignored(context: LawContext) -> None:
    results = []
    for filler in (0.0, float("nan"), 1e4):
        data = torch.where(context.inputs.mask[:, :, None], context.data, filler).requires_grad_()
        names, sources, state = differentiable_inputs(context, data, context.state)
        outputs, final = context.scan(Sequences(data, context.lengths), state)
        clean = outputs.zeroed().data
        if not torch.equal(torch.where(context.inputs.mask[:, :, None], clean, 0), clean):
            raise Mismatch("outputs are marked as zeroed, but their padding is not zero")
        results.append((filler, clean, final, weighted_gradients(context, clean, final, sources)))
    _, expected, expected_final, expected_gradients = results[0]
    for filler, clean, final, gradients in results[1:]:
        assert_close(context, f"with {filler:g} in the padding, output", clean, expected)
        assert_states_close(context, f"with {filler:g} in the padding, final state", final, expected_final)
        for name, g, e in zip(names, gradients, expected_gradients, strict=True):
            assert_close(context, f"with {filler:g} in the padding, {name}", g, e)


def _row_alone(context: LawContext) -> None:
    outputs, final = context.scan(context.inputs, context.state)
    for row, length in enumerate(context.case.lengths):
        alone = Sequences(context.data[row : row + 1, :length], [length])
        expected, expected_final = context.scan(alone, select(context.state, slice(row, row + 1)))
        assert_close(context, f"row {row} in the batch, output", outputs.data[row : row + 1, :length], expected.data)
        row_final = select(final, slice(row, row + 1))
        assert_states_close(context, f"row {row} in the batch, final state", row_final, expected_final)
        readout, expected_readout = context.layer.readout(row_final), context.layer.readout(expected_final)
        assert_close(context, f"row {row} in the batch, readout", readout, expected_readout)


def _arguments_unmodified(context: LawContext) -> None:
    data, state = context.data.clone(), map_state(torch.clone, context.state)
    with torch.no_grad():  # autograd would refuse some changes in place
        context.scan(Sequences(context.data, context.lengths), context.state)
        if isinstance(context.layer, Recurrence) and context.case.steps:
            context.layer.step(context.data[:, 0], context.state)
    if not torch.equal(context.data, data):
        raise Mismatch("the inputs were changed in place")
    for (name, now), (_, before) in zip(named_leaves(context.state), named_leaves(state), strict=True):
        if not torch.equal(now, before):
            raise Mismatch(f"the state's leaf {name or 'h'} was changed in place")


def _length_zero(context: LawContext) -> None:
    lengths = context.lengths.clone()
    lengths[::2] = 0
    empty = lengths == 0
    _, final = context.scan(Sequences(context.data, lengths), context.state)
    assert_states_close(context, "state after nothing", select(final, empty), select(context.state, empty))
    _, final = context.scan(Sequences(context.data[:, :0], torch.zeros_like(lengths)), context.state)
    assert_states_close(context, "state after T = 0", final, context.state)
    if isinstance(context.layer, Recurrence):
        _, final = context.scan(Sequences(context.data, lengths), None)
        initial = context.layer.initial_state(len(lengths), dtype=context.case.dtype)
        what = "state after nothing, started from None,"
        assert_states_close(context, what, select(final, empty), select(initial, empty))


def _causality(context: LawContext) -> None:
    expected, _ = context.scan(context.inputs, context.state)
    depends_on_later = False
    for t in range(context.case.steps - 1):
        changed = context.data.clone()
        changed[:, t + 1 :] = context.normal(*changed[:, t + 1 :].shape)
        outputs, _ = context.scan(Sequences(changed, context.lengths), context.state)
        before, after = expected.zeroed().data[:, : t + 1], outputs.zeroed().data[:, : t + 1]
        if context.causal:
            assert_close(context, f"with other items after {t}, output", after, before)
        depends_on_later = depends_on_later or not torch.equal(before, after)
    if not context.causal and max(context.case.lengths, default=0) > 1 and not depends_on_later:
        raise Mismatch(
            "no output depends on a later item, though the layer is not a Recurrence: "
            "reverse within the lengths, or make it a Recurrence"
        )


def _gradcheck(context: LawContext) -> None:
    context = LawContext(context.layer, context.case._replace(dtype=torch.float64))
    layer = context.layer
    _, sources, state = differentiable_inputs(context, context.data.clone().requires_grad_(), context.state)
    names = [name for name, parameter in layer.named_parameters() if parameter.requires_grad]
    count = sum(1 for leaf in leaves(state) if leaf.requires_grad)

    def run(data: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        state_leaves = iter(rest[:count])
        start = map_state(lambda leaf: next(state_leaves) if leaf.requires_grad else leaf, state)
        parameters = dict(zip(names, rest[count:], strict=True))
        outputs, final = torch.func.functional_call(layer, parameters, (Sequences(data, context.lengths), start))
        return outputs.zeroed().data, *(leaf for leaf in leaves(final) if leaf.is_floating_point())

    if context.data.numel() == 0:
        run(*sources)
        return
    try:
        torch.autograd.gradcheck(run, sources, fast_mode=True, atol=1e-4, rtol=1e-3)
    except GradcheckError as error:
        raise Mismatch(" ".join(str(error).split())[:300]) from None


def _state_survives(context: LawContext) -> None:
    rows = len(context.case.lengths)
    named = dict(named_leaves(context.state))
    for name, leaf in named.items():
        if leaf.dim() == 0 or leaf.shape[0] != rows:
            raise Mismatch(f"the state's leaf {name}: expected [B, …] with B = {rows}, got {list(leaf.shape)}")
    saved = load_tensors(save_tensors({f"_{name}": leaf.contiguous() for name, leaf in named.items()}))
    values = iter([saved[f"_{name}"].to(context.device) for name in named])
    loaded = map_state(lambda _: next(values), context.state)
    order = torch.randperm(rows, generator=context.random).to(context.device)
    outputs, final = context.scan(context.inputs, context.state)
    reordered, reordered_final = context.scan(
        Sequences(context.data[order], context.lengths[order]), select(loaded, order)
    )
    assert_close(context, "saved, loaded and reordered, output", reordered.zeroed().data, outputs.zeroed().data[order])
    assert_states_close(context, "saved, loaded and reordered, final state", reordered_final, select(final, order))


LAWS: tuple[Law, ...] = (
    Law(1, "step folded over time ≡ scan", _step_is_scan),
    Law(2, "scan(a⧺b, s) ≡ scan(b, scan(a, s))", _scan_in_pieces),
    Law(3, "what stands in the padding changes nothing", _padding_is_ignored),
    Law(4, "a row alone ≡ the row in a batch", _row_alone),
    Law(5, "no argument is modified", _arguments_unmodified),
    Law(6, "a row of length 0 keeps its state", _length_zero),
    Law(7, "no peek ahead", _causality),
    Law(8, "gradients are right", _gradcheck),
    Law(9, "a state survives save, load and reorder", _state_survives),
)
# Laws 1, 2 and 4 for float32 inference; law 1 without its gradients
BITWISE_LAWS: tuple[Law, ...] = tuple(
    law._replace(check=torch.no_grad()(_outputs_of_step_and_scan if law.number == 1 else law.check))
    for law in LAWS
    if law.number in (1, 2, 4)
)
