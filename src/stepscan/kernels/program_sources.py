"""Where programs of cells come from, and the library's form of each with its packed weights.

A classic cell's program is recorded of its equations (`stepscan.programs.recording`), any other's traced of its step
(`stepscan.programs.tracing`).
"""

from __future__ import annotations

import logging
import operator
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor

from stepscan.kernels import tensors
from stepscan.kernels.library_programs import inference_program, training_program
from stepscan.kernels.native import library
from stepscan.programs.program import Program
from stepscan.programs.stored import StoredProgram

if TYPE_CHECKING:
    from stepscan.programs.tracing.tracer import Trace

__all__ = ["Compiled", "GivenSource", "RecordedSource", "Source", "TracedSource", "compile_cell"]

logger = logging.getLogger(__name__)


class Source(Protocol):
    """Where a program comes from."""

    @property
    def program(self) -> Program:
        """The step."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters and buffers that its weights are made of."""

    def weights_of(self, tensors: dict[str, Tensor]) -> list[Tensor]:
        """The program's weights, made of parameters and buffers by name."""

    def accepts(self, state: list[Any], rows: int) -> bool:
        """Whether the library can start from the leaves of a state; those of classic cells raise errors."""


class TracedSource(NamedTuple):
    """A program traced of a step."""

    trace: Trace

    @property
    def program(self) -> Program:
        """See `Source.program`."""
        return self.trace.program

    @property
    def names(self) -> tuple[str, ...]:
        """See `Source.names`."""
        return self.trace.names

    def weights_of(self, tensors: dict[str, Tensor]) -> list[Tensor]:
        """See `Source.weights_of`.

        Raises:
            TypeError: one that a step makes of others is not float32, as the library reads it.
        """
        weights = self.trace.weights_of(tensors)
        if other := next((weight.dtype for weight in weights if weight.dtype is not torch.float32), None):
            raise TypeError(f"expected weights of float32, got {other}; make them so in the step, or call it in a loop")
        return weights

    def accepts(self, state: list[Any], rows: int) -> bool:
        """See `Source.accepts`."""
        return all(
            type(leaf) in (Tensor, torch.nn.Parameter)
            and leaf.dtype is torch.float32
            and leaf.is_cpu
            and leaf.shape[0] == rows
            for leaf in state
        ) and self.trace.leaf_shapes == tuple(tuple(leaf.shape[1:]) for leaf in state)


class RecordedSource(NamedTuple):
    """A program recorded of a classic cell's equations."""

    signature: str
    stored: StoredProgram

    @property
    def program(self) -> Program:
        """See `Source.program`."""
        return self.stored.program

    @property
    def names(self) -> tuple[str, ...]:
        """See `Source.names`."""
        return tuple(name for name, _ in self.stored.program.weights)

    def weights_of(self, tensors: dict[str, Tensor]) -> list[Tensor]:
        """See `Source.weights_of`.

        Raises:
            ValueError: one has another shape or dtype, or is not on the CPU.
        """
        weights = []
        for name, shape in self.stored.program.weights:
            weight = tensors[name]
            if weight.shape != shape or weight.dtype is not torch.float32 or not weight.is_cpu:
                raise ValueError(
                    f"{self.signature} expected {name} {list(shape)}, float32, on the CPU like its other weights, "
                    f"got {list(weight.shape)}, {weight.dtype}, on {weight.device}"
                )
            weights.append(weight)
        return weights

    def accepts(self, state: list[Any], rows: int) -> bool:
        """See `Source.accepts`.

        Raises:
            ValueError: other leaves, or shapes of them.
            TypeError: a leaf is not float32.
        """
        widths = self.stored.program.state
        if len(state) != len(widths):
            raise ValueError(f"{self.signature} expected a state of {len(widths)} leaves, got {len(state)}")
        for leaf, width in zip(state, widths, strict=True):
            if leaf.shape != (rows, width):
                raise ValueError(f"{self.signature} expected a state of [{rows}, {width}], got {list(leaf.shape)}")
            if leaf.dtype is not torch.float32:
                raise TypeError(f"{self.signature} expected a float32 state, got {leaf.dtype}")
        return True


class GivenSource(NamedTuple):
    """A program whose weights are given in its order, in whatever shapes."""

    program: Program

    @property
    def names(self) -> tuple[str, ...]:
        """See `Source.names`."""
        return tuple(name for name, _ in self.program.weights)

    def weights_of(self, tensors: dict[str, Tensor]) -> list[Tensor]:
        """See `Source.weights_of`."""
        return [tensors[name].reshape(shape) for name, shape in self.program.weights]

    def accepts(self, state: list[Any], rows: int) -> bool:
        """See `Source.accepts`."""
        return True


class Compiled:
    """A cell's program as the library runs it, and the cache of its packed weights: those of training also serve
    inference."""

    def __init__(self, source: Source) -> None:
        self.source, self.program, self.names = source, source.program, source.names
        self.output_size = source.program.output_size
        self._getters = [(name, operator.attrgetter(name)) for name in self.names]

    def tensors_of(self, cell: Any) -> tuple[Tensor, ...]:
        """The parameters and buffers that the program's weights are made of."""
        parameters = cell._parameters  # the dictionary is faster than attributes
        return tuple([parameters[name] if name in parameters else get(cell) for name, get in self._getters])

    def weights(self, own: Sequence[Tensor]) -> list[Tensor]:
        """The program's weights, made of these parameters and buffers; see `Source.weights_of`."""
        return self.source.weights_of(dict(zip(self.names, own, strict=True)))

    def packed(self, own: Sequence[Tensor], trains: bool) -> Any:
        """The program's weights, packed; made again when a parameter or buffer has changed."""

        def make(_: list[int]) -> Any:
            with torch.no_grad():
                weights = [weight.detach().contiguous() for weight in self.weights(own)]
            program = training_program(self.program) if trains else inference_program(self.program)
            return library.ProgramWeights(program, tensors.addresses(weights), threads=torch.get_num_threads())

        return tensors.packed(self, own, trains, make)


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
        if known is None or known.source.stored is not stored:  # type: ignore[attr-defined]
            known = _recorded[cell] = Compiled(RecordedSource(cell.signature, stored))
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
        return Compiled(TracedSource(trace))
    except Exception as error:  # the library does not have it, or lowering did not foresee it: the loop has it
        logger.warning("a step is traced, but runs as a loop in PyTorch: %s: %s", type(error).__name__, error)
        return None
