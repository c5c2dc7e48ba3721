"""The programs of a model's own cells, for its folder: with them, it runs without the cells' classes and without
PyTorch."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from stepscan import kernels
from stepscan.backends.execution import Options
from stepscan.backends.weights import Weights
from stepscan.contract import Recurrence
from stepscan.definitions.definition import is_built_in, specify
from stepscan.definitions.program_cell import with_programs
from stepscan.errors import ModelFormatError, UnsupportedLayer
from stepscan.kernels import native
from stepscan.programs.stored import Fill, StoredProgram
from stepscan.programs.tracing.traced import traced
from stepscan.programs.tracing.tracer import Trace
from stepscan.registry import describe
from stepscan.state import leaves

__all__ = ["StoredPrograms", "on_arrays", "stepping_pattern", "store_programs"]

logger = logging.getLogger(__name__)
_ROWS = 3
_DTYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint8: "U8", torch.bool: "BOOL"},
}


class StoredPrograms(NamedTuple):
    """What a folder holds of them.

    Attributes:
        entries: for each layer that is not built in, from left to right in the description: its program, or None.
        constants: those of all of them, by the name `position.index`.
    """

    entries: list[StoredProgram | None]
    constants: dict[str, np.ndarray]


def store_programs(model: nn.Module) -> StoredPrograms:
    """The programs of a model's own layers, those of `describe(model)` that are not built in. What is no program is
    None; one line of the log says why."""
    entries: list[StoredProgram | None] = []
    constants: dict[str, np.ndarray] = {}
    for position, layer in enumerate(_own_layers(model)):
        stored = _store(layer) if isinstance(layer, Recurrence) else None
        entries.append(stored and stored[0])
        if stored is not None:
            constants |= {f"{position}.{index}": array for index, array in enumerate(stored[1])}
    return StoredPrograms(entries if any(entries) else [], constants)


def on_arrays(model: nn.Module, options: Options | None = None) -> Any:
    """A pattern or layer without PyTorch, as it would be loaded from a folder: it shares the tensors of `model`.

    Raises:
        UnsupportedLayer: a layer that is not built in is no program.
    """
    stored = store_programs(model)
    programs = {
        position: (entry, [stored.constants[f"{position}.{index}"] for index in range(len(entry.constants))])
        for position, entry in enumerate(stored.entries)
        if entry is not None
    }
    tensors = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    return specify(with_programs(describe(model), programs)).bind(Weights(tensors, options or Options()))


def stepping_pattern(model: nn.Module) -> Any:
    """What decodes for a pattern, a step at a time: what its folder would be loaded as, whose layers take a step
    natively; itself if it has a cell that is no program, if it is not on the CPU, or if a module has hooks."""
    tensors = model.state_dict().values()
    if native.library is None or kernels.get_backend() not in (None, "native"):
        return model
    if not all(tensor.is_cpu for tensor in tensors) or any(module._forward_hooks for module in model.modules()):
        return model
    try:
        return on_arrays(model)
    except (UnsupportedLayer, ModelFormatError):  # a cell that is no program; numbers that are not float32
        return model


def _own_layers(value: Any) -> Iterator[Any]:
    """The objects in a description, outermost first, that are not built in."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _own_layers(item)
    elif name := vars(type(value)).get("registered_name"):
        if is_built_in(name):
            yield from _own_layers(list(value.arguments.values()))
        else:
            yield value


def _store(layer: Recurrence) -> tuple[StoredProgram, list[np.ndarray]] | None:
    on_cpu = all(tensor.is_cpu for tensor in layer.state_dict().values())
    with _evaluating(layer if on_cpu else copy.deepcopy(layer).cpu()) as cell:  # itself: it knows its trace
        if any(tensor.is_floating_point() and tensor.dtype != torch.float32 for tensor in cell.state_dict().values()):
            return None
        found = traced(cell)
        if found is None:
            return None
        try:
            with torch.no_grad():
                return _Storing(cell, found.trace).run()
        except _NotStored as reason:
            logger.warning("%s cannot run without PyTorch: %s", layer.registered_name, reason)
            return None


@contextlib.contextmanager
def _evaluating(layer: Recurrence) -> Iterator[Recurrence]:
    """The layer as it predicts, and afterwards as it was."""
    modes = [(module, module.training) for module in layer.modules()]
    try:
        yield layer.eval()
    finally:
        for module, mode in modes:
            module.training = mode


class _NotStored(Exception):
    """What a folder cannot hold."""


class _Storing:
    """Makes a `StoredProgram` of a cell, and its constants."""

    def __init__(self, cell: Any, trace: Trace) -> None:
        self._cell, self._trace = cell, trace
        self._widths = trace.program.state
        self._constants: list[np.ndarray] = []
        self._random = torch.Generator().manual_seed(0)

    def run(self) -> tuple[StoredProgram, list[np.ndarray]]:
        """The cell as data, and its constants."""
        cell, trace = self._cell, self._trace
        tensors = cell.state_dict()
        weights = trace.weights(cell)
        derived = set(trace.derived)
        sources: list[str | int] = []
        for index, weight in enumerate(weights):
            name = trace.names_of_weights[index]
            is_tensor = index not in derived and name in tensors
            sources.append(name if is_tensor else self._constant(weight))
        stored = StoredProgram(
            type(cell).registered_name,
            trace.program,
            tuple((name, _DTYPES[tensor.dtype], tuple(tensor.shape)) for name, tensor in tensors.items()),
            tuple(sources),
            (),
            tuple(self._initial()),
            self._condition(),
            self._readout(),
        )
        shapes = tuple(tuple(array.shape) for array in self._constants)
        stored = dataclasses.replace(stored, constants=shapes)
        return StoredProgram.from_json(stored.to_json()), self._constants  # checked, as a reader will

    def _constant(self, tensor: Tensor) -> int:
        self._constants.append(np.array(tensor.detach().float().numpy(), order="C"))
        return len(self._constants) - 1

    def _initial(self) -> Iterator[Fill]:
        for leaf in self._flat(self._cell.initial_state(_ROWS)):
            if not bool((leaf == leaf[:1]).all()):
                raise _NotStored("its initial state differs from row to row")
            row = leaf[0]
            if bool((row == row[0]).all()):
                yield "number", float(row[0])
            else:
                yield "constant", self._constant(row)

    def _flat(self, state: Any) -> list[Tensor]:
        return [leaf.reshape(len(leaf), -1) for leaf in leaves(state)]

    def _readout(self) -> int:
        """The leaf that the cell's `readout` returns, found with a random state."""
        shapes = self._trace.leaf_shapes
        found = [torch.randn(_ROWS, *shape, generator=self._random) for shape in shapes]
        state = _like(self._cell.initial_state(_ROWS), iter(found))
        y = self._cell.readout(state)
        for leaf, values in enumerate(found):
            if y.shape == (_ROWS, self._widths[leaf]) and torch.equal(y, values.reshape(_ROWS, -1)):
                return leaf
        raise _NotStored("its readout is none of the state's leaves")

    def _condition(self) -> tuple[Fill, ...] | None:
        """Where the cell's `condition` puts the elements of a vector, found with a random one."""
        size = self._cell.condition_size
        vector = torch.randn(_ROWS, size, generator=self._random)
        fills: list[Fill] = []
        for leaf in self._flat(self._cell.condition(vector)):
            fill = _fill(leaf, vector)
            if fill is None:
                return None
            fills.append(fill)
        return tuple(fills)


def _fill(leaf: Tensor, vector: Tensor) -> Fill | None:
    width = leaf.shape[1]
    for start in (vector[0] == leaf[0, 0]).nonzero().flatten().tolist():
        if torch.equal(vector[:, start : start + width], leaf):
            return "slice", start
    return ("number", float(leaf[0, 0])) if bool((leaf == leaf[0, 0]).all()) else None


def _like(state: Any, found: Iterator[Tensor]) -> Any:
    """A state of the same structure, of other leaves."""
    if not isinstance(state, tuple):
        return next(found)
    inner = [_like(field, found) for field in state]
    return type(state)(*inner) if hasattr(state, "_fields") else tuple(inner)
