"""The derivative of a program, as values of the same operations."""

from __future__ import annotations

from dataclasses import dataclass

from stepscan.programs.program import Program, Value

__all__ = ["Derivative"]


@dataclass(frozen=True)
class Derivative:
    """What a scan computes from its last step to its first.

    A step back is given the gradients of its output (values `output_gradient`, one for each of `program.output`)
    and of the next state (values `state_gradient`, one for each of `program.next_state[leaf]`). It makes those below,
    pairs of indices: a value of the program, and its gradient. A value that has no gradient is not there.

    Values that depend on x alone are made for all items of a sequence at once. So are their gradients: from those of
    the values of x that the steps read (`boundary`), those of `x…` are made after all steps.

    Attributes:
        program: whose derivative it is.
        values: the program's, then those of the derivative, in an order in which they can be computed.
        leaves: of the state before the step: values `leaf`, and their gradients.
        vectors: values `vector` (weights alone) that a step reads: gradients to be summed over rows and steps.
        products: products of a step: `d`, from which weight gradients dᵀ v and Σ d are made, v being its argument.
        boundary: values of x that a step reads.
        x: values `x`, from `boundary` and, if a step reads x itself, from there.
        x_vectors, x_products: the same as without `x_`, of what x alone makes.
    """

    program: Program
    values: tuple[Value, ...]
    leaves: tuple[tuple[int, int], ...]
    vectors: tuple[tuple[int, int], ...]
    products: tuple[tuple[int, int], ...]
    boundary: tuple[tuple[int, int], ...]
    x: tuple[tuple[int, int], ...]
    x_vectors: tuple[tuple[int, int], ...]
    x_products: tuple[tuple[int, int], ...]
