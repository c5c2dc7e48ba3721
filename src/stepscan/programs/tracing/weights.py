"""What a step makes of weights alone: recorded, and computed by PyTorch again for each scan, with gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["Recorded", "WeightTape", "WeightValue"]

_A = torch.ops.aten
# operations whose result is part of the memory of their first argument
_VIEWS = {
    *(_A.chunk, _A.split, _A.split_with_sizes, _A.unbind, _A.slice, _A.select, _A.narrow, _A.view, _A.reshape),
    *(_A.flatten, _A.unflatten, _A.unsqueeze, _A.squeeze, _A._unsafe_view, _A.t, _A.transpose, _A.permute),
}
_FRESH = {_A.lift_fresh, _A.lift_fresh_copy}  # of a tensor that the step itself makes, such as torch.tensor(1.0)


class Slot(NamedTuple):
    """Stands for a recorded tensor among the arguments of an operation."""

    number: int


@dataclass(frozen=True, eq=False)
class WeightValue:
    """A recorded tensor, or a list of them.

    Attributes:
        number: of it on the tape.
        tensor: what it is now.
        base: the number of the parameter whose memory it is part of; None for none.
        may_change: whether parameters, buffers or other tensors from outside the step are in it.
    """

    number: int
    tensor: Any
    base: int | None
    may_change: bool


class Recorded(NamedTuple):
    """Makes a tensor of others; `None` in place of a function marks one that is given."""

    function: Callable[..., Any] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    constant: Any  # a tensor that is not the cell's parameter or buffer, in place of all these


@dataclass
class WeightTape:
    """Records what is made of a cell's parameters and buffers.

    Args:
        tensors: parameters and buffers, which have the first numbers.
    """

    tensors: Sequence[Tensor]
    steps: list[Recorded] = field(default_factory=list)
    values: list[WeightValue] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number, tensor in enumerate(self.tensors):
            self.steps.append(Recorded(None, (), {}, None))
            self.values.append(WeightValue(number, tensor.detach(), number, True))

    def constant(self, tensor: Tensor) -> WeightValue:
        """A tensor that is neither a parameter nor a buffer; its values may change, as theirs do."""
        return self._add(Recorded(None, (), {}, tensor.detach()), tensor.detach(), None, True)

    def record(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> WeightValue:
        """The result of a function of recorded tensors, which may be in lists, and of other arguments."""
        inner = [value for value in _flat((args, kwargs)) if isinstance(value, WeightValue)]
        with torch.no_grad():
            result = function(*_map(args, lambda v: v.tensor), **_map(kwargs, lambda v: v.tensor))
        recorded = Recorded(
            function, _map(args, lambda v: Slot(v.number)), _map(kwargs, lambda v: Slot(v.number)), None
        )
        packet = getattr(function, "overloadpacket", None)
        base = inner[0].base if inner and (packet in _VIEWS or function is _item) else None
        changes = packet not in _FRESH and any(value.may_change for value in inner)
        return self._add(recorded, result, base, changes)

    def item(self, value: WeightValue, index: int) -> WeightValue:
        """One tensor of a list."""
        return self.record(_item, value, index)

    def _add(self, recorded: Recorded, result: Any, base: int | None, may_change: bool) -> WeightValue:
        self.steps.append(recorded)
        self.values.append(WeightValue(len(self.values), result, base, may_change))
        return self.values[-1]

    def place(self, value: WeightValue) -> tuple[WeightValue, int]:
        """The parameter that a tensor is a contiguous part of and where it starts there, or itself and 0."""
        if value.base is not None and value.base != value.number:
            base = self.values[value.base].tensor
            if base.is_contiguous() and value.tensor.is_contiguous() and value.tensor.dtype == base.dtype:
                return self.values[value.base], value.tensor.storage_offset() - base.storage_offset()
        return value, 0


class Evaluation:
    """Computes tensors of a tape again.

    Args:
        tape: what was recorded.
        wanted: the numbers of the tensors.
    """

    def __init__(self, tape: WeightTape, wanted: Sequence[int]) -> None:
        self.wanted = tuple(wanted)
        self.given = len(tape.tensors)
        needed, left = set(wanted), list(wanted)
        while left:
            recorded = tape.steps[left.pop()]
            for value in _flat((recorded.args, recorded.kwargs)):
                if isinstance(value, Slot) and value.number not in needed:
                    needed.add(value.number)
                    left.append(value.number)
        self.steps = [(number, tape.steps[number]) for number in sorted(needed) if number >= self.given]

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The wanted tensors, of these parameters and buffers."""
        if not self.steps:
            return [tensors[number] for number in self.wanted]
        known: dict[int, Any] = dict(enumerate(tensors))
        for number, (function, args, kwargs, constant) in self.steps:
            if function is None:
                known[number] = constant
            else:
                known[number] = function(*_filled(args, known), **_filled(kwargs, known))
        return [known[number] for number in self.wanted]


def _item(values: Any, index: int) -> Any:
    return values[index]


def _filled(value: Any, known: dict[int, Any]) -> Any:
    if type(value) is Slot:
        return known[value.number]
    if type(value) in (tuple, list):
        return type(value)(_filled(item, known) for item in value)
    return {key: _filled(item, known) for key, item in value.items()} if type(value) is dict else value


def _map(value: Any, change: Callable[[WeightValue], Any]) -> Any:
    if isinstance(value, WeightValue):
        return change(value)
    if type(value) in (tuple, list):
        return type(value)(_map(item, change) for item in value)
    return {key: _map(item, change) for key, item in value.items()} if type(value) is dict else value


def _flat(value: Any) -> list[Any]:
    if type(value) in (tuple, list):
        return [inner for item in value for inner in _flat(item)]
    return [inner for item in value.values() for inner in _flat(item)] if type(value) is dict else [value]
