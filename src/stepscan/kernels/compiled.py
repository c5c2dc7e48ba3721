"""Programs of cells as the library runs them, with their packed weights.

A classic cell's program is recorded of its equations (`stepscan.programs.recording`), any other's traced of its step
(`stepscan.programs.tracing`).
"""

from __future__ import annotations

import logging
import operator
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stepscan.kernels import tensors
from stepscan.kernels.library_programs import inference_program, training_program
from stepscan.kernels.native import library
from stepscan.programs.program import Program

if TYPE_CHECKING:
    from stepscan.programs.tracing.tracer import Trace

__all__ = ["Compiled", "CompiledEquations", "CompiledTrace", "compile_cell"]

logger = logging.getLogger(__name__)


class Compiled:
    """A cell's program as the library runs it, and the cache of its packed weights: those of training also serve
    inference.

    Args:
        program: the step.
        names: of the parameters and buffers that its weights are made of.
    """

    def __init__(self, program: Program, names: Sequence[str]) -> None:
        self.program, self.names, self.output_size = program, tuple(names), program.output_size
        self._getters = [(name, operator.attrgetter(name)) for name in self.names]

    def accepts(self, state: list[Any], rows: int) -> bool:
        """Whether the library can start from the leaves of a state."""
        raise NotImplementedError(f"{type(self).__name__}: expected an accepts(state, rows); define it")

    def weights(self, own: Sequence[Tensor]) -> list[Tensor]:
        """The program's weights, made of the parameters and buffers that `tensors_of` gives."""
        raise NotImplementedError(f"{type(self).__name__}: expected weights(own); define them")

    def tensors_of(self, cell: Any) -> tuple[Tensor, ...]:
        """The parameters and buffers that the program's weights are made of."""
        parameters = cell._parameters  # the dictionary is faster than attributes
        return tuple([parameters[name] if name in parameters else get(cell) for name, get in self._getters])

    def packed(self, own: Sequence[Tensor], trains: bool) -> Any:
        """The program's weights, packed; made again when a parameter or buffer has changed."""

        def make(_: list[int]) -> Any:
            with torch.no_grad():
                weights = [weight.detach().contiguous() for weight in self.weights(own)]
            program = training_program(self.program) if trains else inference_program(self.program)
            return library.ProgramWeights(program, tensors.addresses(weights), threads=torch.get_num_threads())

        return tensors.packed(self, own, trains, make)


class CompiledTrace(Compiled):
    """A program traced of a step."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace.program, trace.names)
        self._trace = trace

    def accepts(self, state: list[Any], rows: int) -> bool:
        """Whether the library can start from the leaves of a state."""
        return all(
            type(leaf) in (Tensor, torch.nn.Parameter)
            and leaf.dtype is torch.float32
            and leaf.is_cpu
            and leaf.shape[0] == rows
            for leaf in state
        ) and self._trace.leaf_shapes == tuple(tuple(leaf.shape[1:]) for leaf in state)

    def weights(self, own: Sequence[Tensor]) -> list[Tensor]:
        """See `Compiled.weights`.

        Raises:
            TypeError: one that a step makes of others is not float32, as the library reads it.
        """
        weights = self._trace.weights_of(dict(zip(self.names, own, strict=True)))
        if other := next((weight.dtype for weight in weights if weight.dtype is not torch.float32), None):
            raise TypeError(f"expected weights of float32, got {other}; make them so in the step, or call it in a loop")
        return weights


class CompiledEquations(Compiled):
    """A program whose weights are tensors as they are, in its order: that of a classic cell's equations.

    Args:
        signature: of the cell, for errors.
        program: the step.
    """

    def __init__(self, signature: str, program: Program) -> None:
        super().__init__(program, [name for name, _ in program.weights])
        self._signature = signature

    def accepts(self, state: list[Any], rows: int) -> bool:
        """True.

        Raises:
            ValueError: other leaves, or shapes of them.
            TypeError: a leaf is not float32.
        """
        widths = self.program.state
        if len(state) != len(widths):
            raise ValueError(f"{self._signature} expected a state of {len(widths)} leaves, got {len(state)}")
        for leaf, width in zip(state, widths, strict=True):
            if leaf.shape != (rows, width):
                raise ValueError(f"{self._signature} expected a state of [{rows}, {width}], got {list(leaf.shape)}")
            if leaf.dtype is not torch.float32:
                raise TypeError(f"{self._signature} expected a float32 state, got {leaf.dtype}")
        return True

    def weights(self, own: Sequence[Tensor]) -> list[Tensor]:
        """See `Compiled.weights`.

        Raises:
            ValueError: one has another shape or dtype, or is not on the CPU.
        """
        for (name, shape), weight in zip(self.program.weights, own, strict=True):
            if weight.shape != shape or weight.dtype is not torch.float32 or not weight.is_cpu:
                raise ValueError(
                    f"{self._signature} expected {name} {list(shape)}, float32, on the CPU like its other weights, "
                    f"got {list(weight.shape)}, {weight.dtype}, on {weight.device}"
                )
        return list(own)


_traced: weakref.WeakKeyDictionary[Trace, Compiled | None] = weakref.WeakKeyDictionary()
_recorded: weakref.WeakKeyDictionary[Any, Compiled] = weakref.WeakKeyDictionary()


def compile_cell(cell: Any, x: Tensor) -> Compiled | None:
    """A cell's program for inputs like x; None if it has none, which a line of the log has said."""
    recorded = getattr(type(cell), "recorded", None)
    stored = recorded and recorded(cell)
    if stored is not None:
        if not tensors.is_supported(getattr(cell, stored.tensors[0][0]), x):
            return None
        known = _recorded.get(cell)
        if known is None or known.program is not stored.program:
            known = _recorded[cell] = CompiledEquations(cell.signature, stored.program)
        return known
    from stepscan.programs.tracing.traced import traced  # 0.3 s: not for those who import only stepscan

    found = traced(cell)
    if found is None:
        return None
    if found.trace not in _traced:
        _traced[found.trace] = _compile_traced(cell, found.trace)
    return _traced[found.trace]


def _compile_traced(cell: Any, trace: Trace) -> Compiled | None:
    try:
        if not all(weight.dtype is torch.float32 and weight.is_cpu for weight in trace.weights(cell)):
            raise ValueError("expected weights of float32 on the CPU")
        inference_program(trace.program), training_program(trace.program)
        return CompiledTrace(trace)
    except Exception as error:  # the library does not have it, or lowering did not foresee it: the loop has it
        logger.warning("a step is traced, but runs as a loop in PyTorch: %s: %s", type(error).__name__, error)
        return None
