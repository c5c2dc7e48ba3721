"""The training curve for TensorBoard: the numbers of metrics.jsonl, an event file's way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepscan.errors import SettingsError


class Curve:
    """Writes rows to a folder that `tensorboard --logdir` reads; without a folder it does nothing.

    Raises:
        SettingsError: there is a folder, but no tensorboard.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._writer: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise SettingsError(
                f"tensorboard={str(folder)!r} needs that package: pip install tensorboard; or leave it away; "
                "metrics.jsonl has the curve"
            ) from None
        self._writer = SummaryWriter(str(folder))

    def write(self, row: Mapping[str, Any]) -> None:
        """The numbers of an evaluation's row, at its step."""
        if self._writer is None:
            return
        for name, value in row.items():
            if name not in ("step", "best"):
                self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def close(self) -> None:
        """Training ended."""
        if self._writer is not None:
            self._writer.close()
