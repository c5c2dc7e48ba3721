"""A lowered program as whole numbers: see `native/program_decoder.cpp`, which reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from stepscan.programs.lowering import codes
from stepscan.programs.lowering.arrays import Arrays, Home
from stepscan.programs.lowering.gradients import MatrixPart, Run
from stepscan.programs.lowering.matrices import Matrices
from stepscan.programs.lowering.stages import Stage
from stepscan.programs.program import Program

__all__ = ["Lowered", "WeightGradient", "encode"]


class WeightGradient(NamedTuple):
    """The gradient of parts of weights: of the input of a product, and of its results."""

    input: Home
    gradient: Home
    run: Run


@dataclass(frozen=True)
class Lowered:
    """What the library runs.

    Attributes:
        numbers: all of it.
        trains: whether there is a backward pass.
        state: the width of each leaf of the state.
        input_size, output_size: of an item.
        weights: the number of weights, whose order is that of the program.
    """

    numbers: tuple[int, ...]
    trains: bool
    state: tuple[int, ...]
    input_size: int
    output_size: int
    weights: int


def encode(
    program: Program, arrays: Arrays, matrices: Matrices, programs: list[list[Stage]], gradients: list[WeightGradient]
) -> Lowered:
    """All of a lowered program as whole numbers."""
    numbers = [codes.FORMAT, program.input_size, program.output_size, len(program.state), *program.state]
    numbers += [len(program.weights), *(math.prod(shape) for _, shape in program.weights)]
    stages = [number for program_stages in programs for number in _program(program_stages)]
    numbers += [len(arrays.all), *(number for array in arrays.all for number in array)]
    numbers.append(len(matrices.all))
    for matrix in matrices.all:
        numbers += [*matrix[:4], len(matrix.parts), *_parts(matrix.parts)]
    numbers += stages
    numbers.append(len(gradients))
    for source, gradient, run in gradients:
        numbers += [*source, gradient.array, gradient.slot, run.rows, run.columns, run.heads, len(run.parts)]
        numbers += _parts(run.parts)
    sizes = program.state, program.input_size, program.output_size, len(program.weights)
    return Lowered(tuple(numbers), bool(programs[2]), *sizes)


def _parts(parts: Iterable[MatrixPart]) -> list[int]:
    return [number for part in parts for number in part]


def _program(stages: list[Stage]) -> list[int]:
    numbers = [len(stages)]
    for stage in stages:
        numbers += [stage.width, stage.only_x, len(stage.operands)]
        numbers += [number for home in stage.operands for number in home]
        numbers.append(len(stage.products))
        for product in stage.products:
            numbers += [product.matrix, *product.home, product.late, product.leaf_part]
            numbers += [len(product.outputs), *product.outputs]
        numbers += [len(stage.operations), *(number for operation in stage.operations for number in operation)]
    return numbers
