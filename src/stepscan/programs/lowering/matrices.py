"""The matrices of a lowered program: parts of weights that are multiplied by one input."""

from __future__ import annotations

from typing import NamedTuple

from stepscan.programs.lowering.definitions import Definition, Definitions
from stepscan.programs.lowering.gradients import MatrixPart, Run, parts_of
from stepscan.programs.program import Program

__all__ = ["Matrices", "Matrix"]


class Matrix(NamedTuple):
    """See `ProgramMatrix` in `native/program.h`."""

    back: int
    rows: int
    columns: int
    heads: int
    parts: tuple[MatrixPart, ...]


class Matrices:
    """Matrices by number, each once.

    Args:
        program: whose weights they are parts of.
        definitions: of its values.
    """

    def __init__(self, program: Program, definitions: Definitions) -> None:
        self.program, self.definitions = program, definitions
        self._numbers: dict[Matrix, int] = {}

    @property
    def all(self) -> list[Matrix]:
        """All matrices, in the order of their numbers."""
        return list(self._numbers)

    def shape(self, product: Definition) -> tuple[int, int, int]:
        """The rows, columns and blocks of a product."""
        _, rows, columns, heads = parts_of(self.program, product.op, product.attribute)
        return rows, columns, heads

    def forward(self, products: list[int]) -> int:
        """The number of the matrix of some products of one value."""
        parts: list[MatrixPart] = []
        for value in products:
            found, rows, columns, heads = parts_of(
                self.program, self.definitions[value].op, self.definitions[value].attribute
            )
            parts += found
        return self._number(Matrix(0, rows, columns, heads, tuple(parts)))

    def back(self, run: Run) -> int:
        """The number of the transposed matrix of some gradients."""
        parts = tuple(part._replace(bias=-1, bias_offset=0) for part in run.parts)
        return self._number(Matrix(1, run.rows, run.columns, run.heads, parts))

    def _number(self, matrix: Matrix) -> int:
        return self._numbers.setdefault(matrix, len(self._numbers))
