"""Scans of cells that are programs (see `stepscan.programs`) on the native kernels, with gradients."""

from __future__ import annotations

import logging
import operator
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from stepscan.kernels import program_equations, tensors
from stepscan.kernels.native import library
from stepscan.kernels.scan_function import ScanFunction
from stepscan.programs.lowering import Lowered, lower
from stepscan.sequences import Sequences
from stepscan.state import State, leaves, map_state

if TYPE_CHECKING:
    from stepscan.programs.tracing.traced import Traced
    from stepscan.programs.tracing.tracer import Trace

__all__ = ["prepare", "scan"]

logger = logging.getLogger(__name__)


def scan(cell: Any, inputs: Sequences, state: State) -> tuple[Sequences, State] | None:
    """Whole sequences, if a cell's step is a program that the native kernels can run on these inputs; otherwise None.

    Args:
        cell: a recurrence that defines `step`.
        inputs: `[B, T, I]`; the padding is not read.
        state: to start from.

    Returns:
        Outputs `[B, T, H]`, zero in the padding, and the state after the last item of each row.
    """
    data = inputs.data
    if (
        library is None
        or not tensors.is_supported(data, data)
        or inputs.is_all_empty
        or not _is_plain(state, len(data))
    ):
        return None
    from stepscan.programs.tracing.traced import traced  # 0.3 s: not for those who import only stepscan

    found = traced(cell)
    compiled = None if found is None else _compiled(found, cell)
    if found is None or compiled is None:
        return None
    flat = list(leaves(state))
    if tuple(tuple(leaf.shape[1:]) for leaf in flat) != found.trace.leaf_shapes:
        return None
    if data.shape[2] != compiled.inference.input_size:
        return None
    rows = [leaf.reshape(len(data), -1) for leaf in flat]
    own = compiled.tensors_of(cell)
    y, ends = _run(_Run(found.trace, compiled, own, inputs.lengths, len(rows)), data, rows)
    shaped = iter([end.reshape(leaf.shape) for end, leaf in zip(ends, flat, strict=True)])
    return inputs.replace(y, zeroed=True), map_state(lambda _: next(shaped), state)


def prepare(cell: Any, lengths: Tensor) -> _Run:
    """A scan of a cell whose step is a program, to be run and timed without autograd; `lengths` are `[B]`.

    Raises:
        ValueError: the native library cannot run it.
    """
    from stepscan.programs.tracing.traced import traced

    found = traced(cell)
    compiled = None if found is None else _compiled(found, cell)
    if found is None or compiled is None:
        raise ValueError(
            f"{type(cell).__name__}: expected a step that the native library can run; the log says why not"
        )
    return _Run(found.trace, compiled, compiled.tensors_of(cell), lengths, len(found.trace.leaf_shapes))


def _is_plain(state: State, rows: int) -> bool:
    return all(
        type(leaf) in (Tensor, torch.nn.Parameter) and leaf.dtype is torch.float32 and leaf.is_cpu and len(leaf) == rows
        for leaf in leaves(state)
    )


class _Compiled:
    """A program as the library runs it, and its packed weights: those of training also serve inference.

    Attributes:
        inference, training: lowered.
    """

    def __init__(self, found: Traced) -> None:
        self.derivative = found.derivative
        names = found.trace.names
        self._tensors = operator.attrgetter(*names) if names else lambda cell: ()
        self._single = len(names) == 1
        self.inference = lower(found.trace.program)
        self._programs: dict[bool, Any] = {False: library.Program(list(self.inference.numbers))}
        self.training: Lowered | None = None

    def tensors_of(self, cell: Any) -> tuple[Tensor, ...]:
        """The parameters and buffers that the program's weights are made of."""
        found = self._tensors(cell)
        return (found,) if self._single else found

    def program(self, trains: bool) -> Any:
        """The library's program."""
        if trains and self.training is None:
            self.training = lower(self.derivative)
            self._programs[True] = library.Program(list(self.training.numbers))
        return self._programs[trains]


_all: weakref.WeakKeyDictionary[Trace, _Compiled | None] = weakref.WeakKeyDictionary()


def _compiled(found: Traced, cell: Any) -> _Compiled | None:
    if found.trace not in _all:
        try:
            if not all(weight.dtype is torch.float32 and weight.is_cpu for weight in found.trace.weights(cell)):
                raise ValueError("expected weights of float32 on the CPU")
            compiled = _Compiled(found)
            compiled.program(True)
            _all[found.trace] = compiled
        except Exception as error:  # the library does not have it, or lowering did not foresee it: the loop has it
            logger.warning("a step is traced, but runs as a loop in PyTorch: %s: %s", type(error).__name__, error)
            _all[found.trace] = None
    return _all[found.trace]


class _Run(NamedTuple):
    """One scan: what forward and backward share.

    Attributes:
        trace: how the program's weights are made of `own`.
        compiled: the program.
        own: parameters and buffers.
        lengths: `[B]`.
        leaf_count: how many the state has.
    """

    trace: Trace
    compiled: _Compiled
    own: tuple[Tensor, ...]
    lengths: Tensor
    leaf_count: int

    def weights(self) -> list[Tensor]:
        """The program's weights.

        Raises:
            TypeError: one that a step makes of others is not float32, as the library reads it.
        """
        weights = self.trace.weights_of(dict(zip(self.trace.names, self.own, strict=True)))
        if other := next((weight.dtype for weight in weights if weight.dtype is not torch.float32), None):
            raise TypeError(f"expected weights of float32, got {other}; make them so in the step, or call it in a loop")
        return weights

    def equations(self, x: Tensor, *flat: Tensor) -> list[Tensor]:
        """Outputs and final states' leaves, in PyTorch."""
        state, weights = flat[: self.leaf_count], flat[self.leaf_count :]
        y, ends = program_equations.scan(self.trace.program, x, self.lengths, state, weights)
        return [y, *ends]

    def forward(self, x: Tensor, flat: Sequence[Tensor], save: bool) -> tuple[Tensor, list[Tensor], Any]:
        """Outputs, final states' leaves, and what backward needs."""
        x, start = x.contiguous(), [leaf.contiguous() for leaf in flat[: self.leaf_count]]
        lengths = self.lengths.contiguous()
        y = x.new_empty(*x.shape[:2], self.compiled.inference.output_size)
        ends = [torch.empty_like(leaf) for leaf in start]
        weights = self._packed(save)
        sizes = lengths.data_ptr(), *x.shape[:2]
        places = tensors.addresses(start), y.data_ptr(), tensors.addresses(ends)
        saved = library.program_forward(weights, x.data_ptr(), *sizes, False, *places, save, torch.get_num_threads())
        return y, ends, saved if save else None

    def backward(
        self,
        saved: Any,
        x: Tensor,
        y: Tensor,
        flat: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """The gradients of x and of `flat`, None where not `needed`."""
        x = x.contiguous()
        dy = torch.zeros_like(y) if gradients[0] is None else gradients[0].contiguous()
        d_end = [None if d is None else d.contiguous() for d in gradients[1:]]
        results = [
            torch.empty_like(tensor, memory_format=torch.contiguous_format) if need else None
            for tensor, need in zip((x, *flat), needed, strict=True)
        ]
        dx, d_start, d_weights = results[0], results[1 : 1 + self.leaf_count], results[1 + self.leaf_count :]
        addresses = tensors.addresses(d_weights) if any(needed[1 + self.leaf_count :]) else []
        threads = torch.get_num_threads()
        items = x.data_ptr(), y.data_ptr(), dy.data_ptr()
        library.program_backward(
            saved,
            *items,
            tensors.addresses(d_end),
            tensors.addresses(d_start),
            0 if dx is None else dx.data_ptr(),
            addresses,
            threads,
        )
        return results

    def _packed(self, trains: bool) -> Any:
        """The program's weights, packed; made again when a parameter or buffer has changed."""

        def make(_: list[int]) -> Any:
            with torch.no_grad():
                weights = [weight.detach().contiguous() for weight in self.weights()]
            return library.ProgramWeights(
                self.compiled.program(trains), tensors.addresses(weights), threads=torch.get_num_threads()
            )

        return tensors.packed(self.compiled, self.own, trains, make)


def _run(run: _Run, x: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *state, *run.own)):
        y, *ends = ScanFunction.apply(run, x, *state, *run.weights())
        return y, ends
    y, ends, _ = run.forward(x, state, save=False)
    return y, ends
