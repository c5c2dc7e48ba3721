"""A cell's step → a program."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stepscan.errors import ProgramError
from stepscan.programs.pieces import program_of
from stepscan.programs.program import Program
from stepscan.programs.rows import Refusal
from stepscan.programs.tracing.capture import capture, named_tensors
from stepscan.programs.tracing.elementwise_rules import ELEMENTWISE_RULES
from stepscan.programs.tracing.product_rules import PRODUCT_RULES
from stepscan.programs.tracing.row_rules import ROW_RULES
from stepscan.programs.tracing.shape_rules import SHAPE_RULES
from stepscan.programs.tracing.translation import Translation
from stepscan.programs.tracing.untraceable import Untraceable
from stepscan.programs.tracing.weights import Evaluation

__all__ = ["Trace", "trace"]

_RULES = {**ELEMENTWISE_RULES, **SHAPE_RULES, **PRODUCT_RULES, **ROW_RULES}


@dataclass(frozen=True, eq=False)
class Trace:
    """A cell's step as a program, and how the program's weights are made of the cell's.

    Attributes:
        program: the step.
        names: of the cell's parameters and buffers, from which weights are made.
        leaf_shapes: of the state's leaves, without the batch.
    """

    program: Program
    names: tuple[str, ...]
    leaf_shapes: tuple[tuple[int, ...], ...]
    _evaluation: Evaluation

    def weights(self, cell: nn.Module) -> list[Tensor]:
        """The program's weights, in order and in their shapes, made of what the cell has now. Gradients of them are
        gradients of its parameters.

        Raises:
            KeyError: the cell has other parameters than when it was traced.
        """
        return self.weights_of(named_tensors(cell))

    def weights_of(self, tensors: dict[str, Tensor]) -> list[Tensor]:
        """The program's weights, made of parameters and buffers by name, in their dtype under autocast too."""
        with _without_autocast():
            made = self._evaluation([tensors[name] for name in self.names])
        return [tensor.reshape(shape) for tensor, (_, shape) in zip(made, self.program.weights, strict=True)]

    @property
    def names_of_weights(self) -> list[str]:
        """For each weight, the parameter or buffer that it is; empty for one that is made of others."""
        own = len(self.names)
        return [self.names[number] if number < own else "" for number in self._evaluation.wanted]

    @property
    def derived(self) -> tuple[int, ...]:
        """The weights that are no parameters and no buffers, but made of them."""
        return tuple(k for k, number in enumerate(self._evaluation.wanted) if number >= len(self.names))


def _without_autocast() -> AbstractContextManager[Any]:
    return torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()


def trace(cell: Any) -> Trace:
    """The step of a cell as a program. It is not compared with the step; `traced` does that, too.

    Raises:
        Untraceable: says which line of the step a program cannot express, why, and what to write in its place.
    """
    name = type(cell).__name__
    captured = capture(cell)
    tensors = named_tensors(cell)
    translation = Translation(cell, captured, [tensors[key] for key in captured.names], _RULES)
    output, state = translation.run()
    graph, names = translation.graph, captured.names

    def named(number: int) -> str:
        return names[number] if number < len(names) else f"derived.{number}"

    try:
        wanted = [graph.flat(row) for row in (output, *state)]
        widths = [math.prod(leaf.shape[1:]) for leaf in captured.leaves]
        program, references = program_of(graph, cell.input_size, widths, wanted[0], wanted[1:], named)
    except (Refusal, ProgramError) as error:
        raise Untraceable(name, f"is too large for a program ({error})") from None
    numbers = [reference.number for reference in references]
    shapes = tuple(tuple(leaf.shape[1:]) for leaf in captured.leaves)
    return Trace(program, tuple(names), shapes, Evaluation(translation.tape, numbers))
