"""A cell whose class is not there: it runs as its program says, which lies in the model folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from stepscan.backends.native_arrays import Array, addresses, contiguous
from stepscan.definitions.definition import Part, Tensor, Tensors, Weight, is_built_in
from stepscan.definitions.layer import LayerDefinition, scan_by_steps
from stepscan.errors import shown
from stepscan.kernels.library_programs import inference_program
from stepscan.kernels.native import library
from stepscan.programs.reference import step
from stepscan.programs.stored import StoredProgram
from stepscan.state import State

if TYPE_CHECKING:
    from stepscan.backends.weights import Weights

__all__ = ["ProgramCell", "with_programs"]

logger = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class ProgramCell(LayerDefinition):
    """A recurrence whose step is a program. It is in no registry: `with_programs` puts it in place of a description.

    It is bound to a native layer; where the library cannot run the program, which a line of the log says, it runs in
    NumPy, an operation after the other.

    Args:
        stored: the cell as data.
        constants: its constants, in their order.
    """

    stored: Any
    constants: Any = ()

    def derive(self) -> None:
        if not isinstance(self.stored, StoredProgram):
            raise TypeError(f"ProgramCell: expected a StoredProgram, got {shown(self.stored)}")
        program = self.stored.program
        self.input_size, self.output_size = program.input_size, program.output_size

    @property
    def class_title(self) -> str:
        return self.stored.layer

    @property
    def tensor_specs(self) -> Tensors:
        return {name: Tensor(dtype, shape) for name, dtype, shape in self.stored.tensors}

    @property
    def values_per_item(self) -> int:
        return sum(value.width for value in self.stored.program.values)

    @property
    def condition_size(self) -> int:
        return self.stored.condition_size

    def parts(self) -> dict[str, Part | None]:
        return {name: Weight(shape) for name, _, shape in self.stored.tensors}

    @cached_property
    def _lowered(self) -> Any:
        """The library's program; None if it cannot run it."""
        if library is None:
            return None
        try:
            return inference_program(self.stored.program)
        except Exception as error:  # not supported; or a program of a file that no step of ours is like
            logger.warning("%s runs in NumPy: %s", self.stored.layer, error)
            return None

    @property
    def has_kernel(self) -> bool:
        return self._lowered is not None

    def bind(self, weights: Weights) -> Any:
        if self.has_kernel:
            return super().bind(weights)
        self._weights = self._bound(weights)
        return self

    def native(self, weights: Weights) -> Any:
        arrays, options = self._bound(weights), weights.options
        packed = library.ProgramWeights(self._lowered, addresses(*arrays), options.format, options.threads)
        no_vector = np.zeros((1, self.condition_size), np.float32)
        states = [np.concatenate(state, axis=1) for state in (self.initial_state(1), self.condition(no_vector))]
        fills = self.stored.condition or self.stored.initial
        slices = [value if kind == "slice" else -1 for kind, value in fills]
        return library.make_program_layer(packed, *addresses(*states), slices, self.stored.readout)

    def _bound(self, weights: Weights) -> list[Array]:
        """The program's weights, of float32 and in its order."""
        return [
            contiguous(self._source(weights, source)).reshape(shape)
            for source, (_, shape) in zip(self.stored.weights, self.stored.program.weights, strict=True)
        ]

    def _source(self, weights: Weights, source: str | int) -> Array:
        if isinstance(source, int):
            return np.asarray(self.constants[source])
        shape = next(shape for name, _, shape in self.stored.tensors if name == source)
        return weights.array(source, *shape)

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> State:
        """See `stepscan.Recurrence.initial_state`; leaves are `[B, width]`."""
        return tuple(self._filled(self.stored.initial, batch_size, None))

    def condition(self, vector: Array) -> State:
        """See `stepscan.Recurrence.condition`.

        Raises:
            ValueError: the vector is not `[B, condition_size]`.
        """
        self.check_condition(vector)
        return tuple(self._filled(self.stored.condition or self.stored.initial, len(vector), vector))

    def _filled(self, fills: Any, rows: int, vector: Array | None) -> Iterator[Array]:
        for (kind, value), width in zip(fills, self.stored.program.state, strict=True):
            if kind == "slice" and vector is not None:
                yield np.array(vector[:, value : value + width], np.float32)
            elif kind == "constant":
                yield np.tile(np.asarray(self.constants[value], np.float32).reshape(1, width), (rows, 1))
            else:
                yield np.full((rows, width), value, np.float32)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """See `stepscan.Recurrence.step`."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            y, leaves = step(self.stored.program, self._weights, x, list(state))
        return y, tuple(leaves)

    def scan(self, inputs: Any, state: State | None = None) -> tuple[Any, State]:
        return scan_by_steps(self, inputs, state)

    def readout(self, state: State) -> Any:
        return state[self.stored.readout]


def with_programs(description: Any, programs: Mapping[int, tuple[StoredProgram, Any]]) -> Any:
    """A description in which layers that are not built in are `ProgramCell`s.

    Args:
        description: as in `config.json`.
        programs: by the layer's position among those that are not built in, from left to right: it and its constants.
    """
    positions = iter(range(10**9))

    def replaced(value: Any) -> Any:
        if isinstance(value, list):
            return [replaced(item) for item in value]
        if not isinstance(value, dict) or len(value) != 1:
            return value
        [(name, arguments)] = value.items()
        if is_built_in(name):
            return {name: _inner(arguments, replaced)}
        position = next(positions)
        if position not in programs or programs[position][0].layer != name:
            return value
        return ProgramCell(*programs[position])

    return replaced(description)


def _inner(arguments: Any, replaced: Any) -> Any:
    if isinstance(arguments, dict):
        return {key: replaced(value) for key, value in arguments.items()}
    return replaced(arguments)
