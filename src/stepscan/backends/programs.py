"""Programs of cells without PyTorch: on the native library, or, where that cannot run one, in NumPy."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.backends.execution import Options
from stepscan.backends.native_arrays import Array, address, addresses, contiguous
from stepscan.kernels.native import library
from stepscan.programs.lowering import lower
from stepscan.programs.program import Program

__all__ = ["NativeProgram", "native_program"]

logger = logging.getLogger(__name__)


class NativeProgram:
    """A program with its weights, on the native library; a scan and steps have the same bits.

    Args:
        program: the step.
        weights: its weights, in their shapes.
        options: storage type of matrices, number of threads.

    Raises:
        ValueError: the library cannot run it.
    """

    def __init__(self, program: Program, weights: Sequence[Array], options: Options) -> None:
        self._program, self._threads = program, options.threads
        arrays = [contiguous(weight) for weight in weights]
        compiled = library.Program(list(lower(program).numbers))
        self._packed = library.ProgramWeights(compiled, addresses(*arrays), options.format, options.threads)

    def scan(self, data: Array, lengths: Array, state: Sequence[Array]) -> tuple[Array, list[Array]]:
        """Outputs `[B, T, H]`, zero in the padding, and the leaves after the last item of each row.

        Args:
            data: `[B, T, I]`.
            lengths: `[B]`, from 0 to T.
            state: leaves `[B, width]`.
        """
        data, lengths = contiguous(data), np.ascontiguousarray(lengths, np.int64)
        rows, steps, _ = data.shape
        start, ends = self._states(state)
        outputs = np.empty((rows, steps, self._program.output_size), np.float32)
        library.program_forward(
            *(self._packed, address(data), address(lengths), rows, steps, False),
            *(addresses(*start), address(outputs), addresses(*ends), False, self._threads),
        )
        return outputs, ends

    def step(self, x: Array, state: Sequence[Array]) -> tuple[Array, list[Array]]:
        """Outputs `[B, H]` and the next leaves, of `x [B, I]` and leaves `[B, width]`."""
        x = contiguous(x)
        start, ends = self._states(state)
        outputs = np.empty((len(x), self._program.output_size), np.float32)
        places = addresses(*start), len(x), address(outputs), addresses(*ends)
        library.program_step(self._packed, address(x), *places, self._threads)
        return outputs, ends

    def _states(self, state: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        start = [contiguous(leaf) for leaf in state]
        return start, [np.empty_like(leaf) for leaf in start]


def native_program(program: Program, weights: Sequence[Array], options: Options) -> Any:
    """A program on the native library; None where that is not there, or cannot run it."""
    if library is None or not hasattr(library, "Program"):
        return None
    try:
        return NativeProgram(program, weights, options)
    except Exception as error:  # not supported; or a program of a file that no step of ours is like
        logger.info("a cell runs in NumPy: %s", error)
        return None
