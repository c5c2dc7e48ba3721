"""PyTorch's operations → values of a program, one after the other."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from stepscan.programs.rows import Refusal, Row, RowGraph, WeightRef
from stepscan.programs.tracing.capture import BATCH, Captured, place_of
from stepscan.programs.tracing.untraceable import Untraceable
from stepscan.programs.tracing.weights import WeightTape, WeightValue

__all__ = ["Rule", "Rules", "Translation"]

Rule: TypeAlias = Callable[..., Any]  # (translation, *args, **kwargs) of one operation → a Row, or a list of them
Rules: TypeAlias = dict[Any, Rule]
_RANDOM = "draws random numbers ({}): a step may depend on nothing but x, its state and weights"
_HINTS = {
    "index": "write a mask as torch.where, and an order of elements as torch.cat of slices",
    "index_put": "write it with torch.where",
    "gather": "write it with torch.where",
    "cumsum": "keep the sum in the state",
}
_MODES = ("_set_grad_enabled", "_enter_autocast", "_exit_autocast", "wrap_with_set_grad_enabled", "wrap_with_autocast")


class Translation:
    """Translates what was recorded of a step.

    Args:
        cell: the cell.
        captured: what was recorded.
        tensors: parameters and buffers, as `captured.names`.
        rules: by PyTorch's operation.

    Attributes:
        graph: of the values.
        tape: of what is made of weights alone.
        dtype: of the cell.
    """

    def __init__(self, cell: Any, captured: Captured, tensors: Sequence[Tensor], rules: Rules) -> None:
        self.graph, self.tape = RowGraph(), WeightTape(tensors)
        self._cell, self._captured, self._rules = cell, captured, rules
        self._env: dict[fx.Node, Any] = {}
        self.shape_of_result: Any = None  # of the operation that is being translated, as PyTorch has it

    def run(self) -> tuple[Row, list[Row]]:
        """The output and the leaves of the next state.

        Raises:
            Untraceable: the step does something that a program cannot express.
        """
        names, places = len(self._captured.names), iter(range(10**9))
        for node in self._captured.graph.graph.nodes:
            if node.op == "placeholder":
                self._env[node] = self._source(next(places), names)
            elif node.op == "output":
                return self._results(pytree.tree_leaves(node.args[0]))
            else:
                try:
                    self._env[node] = self._translate(node)
                except Refusal as refusal:
                    raise Untraceable(type(self._cell).__name__, str(refusal), place_of(node)) from None
        raise Untraceable(type(self._cell).__name__, "returns nothing")

    def _source(self, position: int, names: int) -> Any:
        if position < names:
            return self.tape.values[position]
        if position == names:
            size = self._cell.input_size
            return self.graph.row(self.graph("x", width=size, attribute=(0, size)))
        leaf = position - names - 1
        shape = self._captured.leaves[leaf].shape[1:]
        size = math.prod(shape)
        return self.graph.row(self.graph("leaf", width=size, attribute=(leaf, 0, size)), shape)

    def _results(self, nodes: list[Any]) -> tuple[Row, list[Row]]:
        name = type(self._cell).__name__
        rows = []
        for position, node in enumerate(nodes):
            try:
                rows.append(self.row(self._env[node] if isinstance(node, fx.Node) else node))
            except Refusal as refusal:
                raise Untraceable(name, f"returns what is no row of numbers (result {position}): {refusal}") from None
        output, *state = rows
        if output.shape != (size := self._cell.output_size,):
            raise Untraceable(
                name, f"returns an output {[BATCH, *output.shape]}, not {[BATCH, size]} as of output_size"
            )
        expected = [tuple(leaf.shape[1:]) for leaf in self._captured.leaves]
        if [row.shape for row in state] != expected:
            found = [[BATCH, *row.shape] for row in state]
            shapes = [[BATCH, *shape] for shape in expected]
            raise Untraceable(name, f"returns a state of the shapes {found}, not {shapes} as of the initial state")
        return output, state

    def _translate(self, node: fx.Node) -> Any:
        if node.op == "get_attr":
            tensor = getattr(self._captured.graph, str(node.target))
            if tensor.requires_grad:
                raise Refusal(
                    "reads a parameter that is not the cell's: make it, or its module, an attribute of the cell"
                )
            return self.tape.constant(tensor)
        args = pytree.tree_map_only(fx.Node, self._env.__getitem__, (list(node.args), dict(node.kwargs)))
        self.shape_of_result = _shapes(node.meta.get("val"))
        target: Any = node.target
        if any(mode in str(target) for mode in _MODES):
            raise Refusal("changes how PyTorch computes (no_grad, autocast): write .detach(), or leave it out")
        is_rows = any(isinstance(arg, Row) for arg in pytree.tree_leaves(args, lambda a: isinstance(a, WeightValue)))
        if target is operator.getitem and isinstance(args[0][0], list | tuple):
            return args[0][0][args[0][1]]
        if target is torch.ops.aten.detach_.default and not is_rows:  # of torch.tensor(1.0)
            target = torch.ops.aten.detach.default
        self._check_target(target, args[0])
        if not is_rows:
            return self._of_weights(target, *args)
        rule = self._rules.get(target.overloadpacket)
        if rule is None:
            name = str(target.overloadpacket).removeprefix("aten.")
            hint = _HINTS.get(name, "write it with other operations if you can")
            raise Refusal(f"uses {name}, which a program does not have: {hint}")
        return rule(self, *args[0], **args[1])

    def _check_target(self, target: Any, args: list[Any]) -> None:
        if not isinstance(target, torch._ops.OpOverload):
            if target is operator.getitem:
                return
            raise Refusal(f"uses {getattr(target, '__name__', target)}, which a program does not have")
        name = str(target.overloadpacket).removeprefix("aten.")
        if torch.Tag.nondeterministic_seeded in target.tags and not _is_no_dropout(target, args):
            raise Refusal(_RANDOM.format(name))
        if name.endswith("_") and not name.endswith("__"):
            hint = f"write {name[:-1]}, which makes a new one (batch_norm in training has no such form)"
            raise Refusal(f"changes a tensor in place ({name}): {hint}")

    def _of_weights(self, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if target is operator.getitem:
            return self.tape.item(args[0], args[1])
        return self.tape.record(target, *args, **kwargs)

    def row(self, value: Any) -> Row:
        """A value as a row: one of weights alone, with a dimension for the batch, is the same in all rows.

        Raises:
            Refusal: it is no tensor with a dimension for the batch.
        """
        if isinstance(value, Row):
            return value
        if isinstance(value, WeightValue) and isinstance(value.tensor, Tensor) and value.tensor.dim():
            shape = tuple(value.tensor.shape)
            if shape[0] in (1, BATCH):
                return self._spread(self._weight_operand(value, shape[1:]), shape[1:])
        raise Refusal("expected a tensor [B, …]")

    def elements(self, op: str, *operands: Any) -> Row:
        """An element-wise operation of rows, of weights and of numbers, which are spread over one another."""
        shape = self._common_shape([value.shape for value in operands if isinstance(value, Row)], operands)
        return self._spread(self.graph(op, *(self.operand(value, shape) for value in operands)), shape)

    def _spread(self, value: int, shape: tuple[int, ...]) -> Row:
        if self.graph.width(value) == 1:
            return Row(value, np.zeros(shape, np.int64))
        return self.graph.row(value, shape)

    def _common_shape(self, rows: list[tuple[int, ...]], operands: Sequence[Any]) -> tuple[int, ...]:
        if len({len(shape) for shape in rows}) > 1:
            raise Refusal(
                f"combines [B{_sizes(rows[0])}] and [B{_sizes(rows[1])}], so that rows of the batch meet other "
                "elements: add a dimension ([:, None]) to the shorter one"
            )
        shapes = list(rows)
        for value in operands:
            if isinstance(value, WeightValue):
                shape = tuple(value.tensor.shape)
                shapes.append(shape[1:] if len(shape) > len(rows[0]) else shape)
        return np.broadcast_shapes(*shapes)

    def operand(self, value: Any, shape: tuple[int, ...]) -> int:
        """A row, a weight or a number as a value that is as wide as the shape, or of width 1.

        Raises:
            Refusal: it is something else, or no finite number.
        """
        if isinstance(value, Row):
            narrow = self.graph.narrow(value)
            return self.graph.flat(value, np.broadcast_to(value.index, shape)) if narrow is None else narrow
        if isinstance(value, WeightValue):
            return self._weight_operand(value, shape)
        if isinstance(value, bool | int | float):
            if not math.isfinite(value):
                raise Refusal(f"computes with {value}: use a large number")
            return self.graph.constant(float(value))
        raise Refusal(f"computes with {value!r}, which is no number")

    def _weight_operand(self, value: WeightValue, shape: tuple[int, ...]) -> int:
        tensor = value.tensor
        if not value.may_change and tensor.numel() and bool((tensor == tensor.flatten()[0]).all()):
            return self.operand(tensor.flatten()[0].item(), shape)
        if tensor.dim() > len(shape):
            if len(tensor) > 1 and not bool((tensor == tensor[:1]).all()):
                raise Refusal("has other numbers for each row of a batch: a row must not depend on where it is in it")
            value = self.tape.record(torch.ops.aten.select.int, value, 0, 0)
        if value.tensor.numel() != 1 and tuple(value.tensor.shape) != shape:
            value = self.tape.record(torch.ops.aten.expand.default, value, list(shape))
        return self.vector(value)

    def vector(self, value: WeightValue) -> int:
        """A weight's elements as a row."""
        if not value.tensor.is_floating_point():
            value = self.tape.record(torch.ops.aten.to.dtype, value, self.dtype)
        base, start = self.tape.place(value)
        size = value.tensor.numel()
        ref = WeightRef(base.number, (base.tensor.numel(),))
        return self.graph("vector", width=size, attribute=(ref, start, start + size))

    @property
    def made_shape(self) -> tuple[int, ...]:
        """The shape of what the operation makes, without the batch.

        Raises:
            Refusal: it has no dimension for the batch.
        """
        shape = self.shape_of_result
        if not shape or shape[0] != BATCH:
            raise Refusal(f"makes a tensor of the shape {list(shape or ())} that has no dimension for the batch")
        return tuple(shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        """The cell's."""
        return self._captured.leaves[0].dtype


def _shapes(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    return [tuple(item.shape) for item in value] if isinstance(value, list | tuple) else None


def _sizes(shape: tuple[int, ...]) -> str:
    return "".join(f", {size}" for size in shape)


def _is_no_dropout(target: Any, args: list[Any]) -> bool:
    return target.overloadpacket is torch.ops.aten.dropout and (not args[2] or args[1] == 0)
