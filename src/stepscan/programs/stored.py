"""A cell's program in a model folder: what the cell is without its class, and without PyTorch.

`config.json` lists one for each layer that is not built in; what their weights are made of that is no tensor of the
model (see `StoredProgram.constants`) is in `programs.safetensors`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NoReturn

from stepscan.errors import ProgramError, shown
from stepscan.programs.checks import is_finite
from stepscan.programs.program import Program

__all__ = ["Fill", "StoredProgram", "StoredTensor"]

Fill = tuple[str, Any]  # ("number", 0.0), ("constant", index) or ("slice", start): where a leaf's elements come from
StoredTensor = tuple[str, str, tuple[int, ...]]  # name, dtype as of safetensors, shape
_KEYS = ("layer", "program", "tensors", "weights", "constants", "initial", "condition", "readout")
_MOST, _MOST_SIZE = 4096, 2**31 - 1


@dataclass(frozen=True)
class StoredProgram:
    """A cell as data.

    Attributes:
        layer: the registered name of its class.
        program: its step.
        tensors: those of the model that are the cell's, by their names in it.
        weights: for each weight of the program, the name of the tensor that it is, in whatever shape, or the index of
            a constant.
        constants: shapes of what is computed from the weights when the model is saved, and of initial states.
        initial: for each leaf, its elements before the first item: a number, or a constant.
        condition: for each leaf, its elements in a state that a vector sets: a number, or a slice of the vector from
            there; None if a vector cannot set it.
        readout: the leaf that holds the last output.
    """

    layer: str
    program: Program
    tensors: tuple[StoredTensor, ...]
    weights: tuple[str | int, ...]
    constants: tuple[tuple[int, ...], ...]
    initial: tuple[Fill, ...]
    condition: tuple[Fill, ...] | None
    readout: int

    @property
    def condition_size(self) -> int:
        """The number of elements of a vector that sets a state."""
        slices = zip(self.condition or (), self.program.state, strict=False)
        return max((fill[1] + width for fill, width in slices if fill[0] == "slice"), default=0)

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON; see `from_json`."""
        return {
            "layer": self.layer,
            "program": self.program.to_json(),
            "tensors": [[name, dtype, list(shape)] for name, dtype, shape in self.tensors],
            "weights": list(self.weights),
            "constants": [list(shape) for shape in self.constants],
            "initial": [list(fill) for fill in self.initial],
            "condition": self.condition and [list(fill) for fill in self.condition],
            "readout": self.readout,
        }

    @classmethod
    def from_json(cls, data: Any) -> StoredProgram:
        """The cell of data that `to_json` made, checked.

        Raises:
            ProgramError: says what is wrong, and where.
        """
        _check_form(data)
        stored = cls(
            data["layer"],
            Program.from_json(data["program"]),
            tuple((name, dtype, tuple(shape)) for name, dtype, shape in data["tensors"]),
            tuple(data["weights"]),
            tuple(tuple(shape) for shape in data["constants"]),
            tuple((kind, value) for kind, value in data["initial"]),
            None if data["condition"] is None else tuple((kind, value) for kind, value in data["condition"]),
            data["readout"],
        )
        _check(stored)
        return stored


def _check_form(data: Any) -> None:
    if not isinstance(data, dict) or set(data) != set(_KEYS):
        _fail(f"expected an object of {', '.join(_KEYS)}, got {shown(data)}")
    if not isinstance(data["layer"], str):
        _fail(f"layer: expected a name, got {shown(data['layer'])}")
    if not _is_whole(data["readout"]):
        _fail(f"readout: expected a whole number, got {shown(data['readout'])}")
    lists = {"tensors": _is_tensor, "weights": _is_source, "constants": _is_shape, "initial": _is_fill}
    if data["condition"] is not None:
        lists["condition"] = _is_fill
    for key, accepts in lists.items():
        if not isinstance(data[key], list) or len(data[key]) > _MOST:
            _fail(f"{key}: expected a list of at most {_MOST:,}, got {shown(data[key])}")
        for position, item in enumerate(data[key]):
            if not accepts(item):
                _fail(f"{key}, item {position}: got {shown(item)}")


def _check(stored: StoredProgram) -> None:
    program = stored.program
    tensors = {name: (dtype, math.prod(shape)) for name, dtype, shape in stored.tensors}
    if len(tensors) < len(stored.tensors):
        _fail("tensors: expected each name once, got one twice")
    _check_count("weights", stored.weights, len(program.weights))
    for source, (name, shape) in zip(stored.weights, program.weights, strict=True):
        if isinstance(source, str):
            dtype, size = tensors.get(source, ("", 0))
            if dtype != "F32":
                _fail(f"weights, {shown(name)}: expected a tensor of F32, got {shown(source)}")
        else:
            size = _constant_size(stored, source, f"weights, {shown(name)}")
        if size != math.prod(shape):
            _fail(f"weights, {shown(name)}: expected {math.prod(shape):,} elements, got {size:,}")
    _check_fills(stored, "initial", stored.initial, "constant")
    if stored.condition is not None:
        _check_fills(stored, "condition", stored.condition, "slice")
    if not 0 <= stored.readout < len(program.state) or program.state[stored.readout] != program.output_size:
        _fail(f"readout: expected a leaf of {program.output_size} numbers, got {stored.readout}")


def _check_fills(stored: StoredProgram, key: str, fills: tuple[Fill, ...], kind: str) -> None:
    _check_count(key, fills, len(stored.program.state))
    for leaf, ((found, value), width) in enumerate(zip(fills, stored.program.state, strict=True)):
        where = f"{key}, leaf {leaf}"
        if found not in ("number", kind):
            _fail(f"{where}: expected a number or a {kind}, got {shown(found)}")
        if found == "constant" and (size := _constant_size(stored, value, where)) != width:
            _fail(f"{where}: expected {width:,} elements, got {size:,}")
        if found == "slice" and not (_is_whole(value) and 0 <= value <= _MOST_SIZE):
            _fail(f"{where}: expected the position of an element, got {shown(value)}")
    ends = sum(stored.program.state)
    if key == "condition" and stored.condition_size > ends:
        _fail(
            f"condition: expected a vector of at most {ends:,} elements, as of a state, got {stored.condition_size:,}"
        )


def _constant_size(stored: StoredProgram, index: Any, where: str) -> int:
    if not _is_whole(index) or not 0 <= index < len(stored.constants):
        _fail(f"{where}: expected the index of one of {len(stored.constants)} constants, got {shown(index)}")
    return math.prod(stored.constants[index])


def _check_count(key: str, found: tuple[Any, ...], expected: int) -> None:
    if len(found) != expected:
        _fail(f"{key}: expected {expected}, as in the program, got {len(found)}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_shape(value: Any) -> bool:
    if not isinstance(value, list) or len(value) > 8 or not all(_is_whole(n) and 0 <= n <= _MOST_SIZE for n in value):
        return False
    return math.prod(value) <= _MOST_SIZE


def _is_tensor(value: Any) -> bool:
    is_list = isinstance(value, list) and len(value) == 3
    return is_list and isinstance(value[0], str) and isinstance(value[1], str) and _is_shape(value[2])


def _is_source(value: Any) -> bool:
    return isinstance(value, str) or _is_whole(value)


def _is_fill(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str):
        return False
    return is_finite(value[1])


def _fail(reason: str) -> NoReturn:
    raise ProgramError(f"stored program: {reason}")
