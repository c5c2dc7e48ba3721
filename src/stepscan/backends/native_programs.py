"""Programs on the native library, without PyTorch: scans and steps of arrays."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from stepscan.backends.native_arrays import Array, address, addresses, contiguous
from stepscan.kernels.native import library
from stepscan.programs.lowering import lower
from stepscan.programs.program import Program

__all__ = ["NativeProgram", "native_program"]

logger = logging.getLogger(__name__)


class NativeProgram:
    """A program with its weights, packed for the native library. It never changes, so that threads may share it.

    Args:
        program: the step.
        weights: float32, in the program's order.
        format: of the packed weights: 0 float32, 1 bfloat16, 2 int8.
        threads: at most, for a call.

    Raises:
        Unsupported: the library cannot run it.
    """

    def __init__(self, program: Program, weights: Sequence[Array], format: int = 0, threads: int = 1) -> None:
        self.program, self.threads = program, threads
        arrays = [contiguous(weight) for weight in weights]
        lowered = library.Program(list(lower(program).numbers))
        self._weights = library.ProgramWeights(lowered, addresses(*arrays), format, threads)

    def scan(self, data: Array, lengths: Array, state: Sequence[Array]) -> tuple[Array, list[Array]]:
        """Whole sequences: `data [B, T, I]`, `lengths [B]` (0 … T) and leaves `[B, n]` → outputs `[B, T, H]`, zero in
        the padding, and the leaves of the final state.

        Raises:
            ValueError: an array has another shape, or a length is not from 0 to T.
        """
        data, lengths = contiguous(data), np.ascontiguousarray(lengths, np.int64)
        rows, steps, width = data.shape
        leaves, ends = self._leaves(rows, width, state)
        if lengths.shape != (rows,) or (rows and not 0 <= lengths.min() <= lengths.max() <= steps):
            raise ValueError(f"lengths: expected {rows} numbers from 0 to {steps}, got {lengths}")
        y = np.empty((rows, steps, self.program.output_size), np.float32)
        places = addresses(*leaves), address(y), addresses(*ends)
        sizes = address(lengths), rows, steps
        library.program_forward(self._weights, address(data), *sizes, False, *places, False, self.threads)
        return y, ends

    def step(self, x: Array, state: Sequence[Array]) -> tuple[Array, list[Array]]:
        """One item of each row: `x [B, I]` → output `[B, H]` and the next state, with the same bits as a scan.

        Raises:
            ValueError: an array has another shape.
        """
        x = contiguous(x)
        leaves, ends = self._leaves(len(x), x.shape[-1], state)
        y = np.empty((len(x), self.program.output_size), np.float32)
        places = addresses(*leaves), len(x), address(y), addresses(*ends)
        library.program_step(self._weights, address(x), *places, self.threads)
        return y, ends

    def _leaves(self, rows: int, width: int, state: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        """The leaves of a state as the library reads them, and room for those of the next one."""
        leaves = [contiguous(leaf) for leaf in state]
        found = width, [leaf.shape for leaf in leaves]
        if found != (self.program.input_size, [(rows, size) for size in self.program.state]):
            raise ValueError(
                f"expected items [{rows}, {self.program.input_size}] and leaves {self.program.state}, got {found}"
            )
        return leaves, [np.empty_like(leaf) for leaf in leaves]


def native_program(
    program: Program, weights: Sequence[Array], format: int = 0, threads: int = 1
) -> NativeProgram | None:
    """The program on the native library, or None if that is missing or cannot run it, which a line of the log says."""
    if library is None:
        return None
    try:
        return NativeProgram(program, weights, format, threads)
    except Exception as error:  # not supported; or a program of a file that no step of ours is like
        logger.warning("a program runs in NumPy: %s", error)
        return None
