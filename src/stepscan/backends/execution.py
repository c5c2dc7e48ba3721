"""How a model runs: the storage type of its weights, and threads."""

from __future__ import annotations

from typing import NamedTuple

from stepscan.errors import SettingsError, nearest

FORMATS = ("float32", "bfloat16", "int8")  # in the order of the native library's


class Options(NamedTuple):
    """How a model runs: the storage type of its weights in memory, and the number of threads per call, at most."""

    weights: str = "float32"
    threads: int = 1

    @property
    def format(self) -> int:
        """The native library's number of the storage type; a `SettingsError` if it is unknown."""
        if self.weights not in FORMATS:
            raise SettingsError(
                f"weights: expected float32, bfloat16 or int8, got {self.weights!r}.{nearest(self.weights, FORMATS)}"
            )
        return FORMATS.index(self.weights)
