"""The training curve for TensorBoard: the values of metrics.jsonl in an event file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepscan.errors import SettingsError


class TensorBoardWriter:
    """Writes rows to a folder that `tensorboard --logdir` reads; without a folder it does nothing.

    Raises:
        SettingsError: there is a folder, but the package tensorboard is not installed.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._writer: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise SettingsError(
                f"tensorboard={str(folder)!r} needs that package: pip install tensorboard; or omit it: metrics.jsonl "
                "has the curve, too"
            ) from None
        self._writer = SummaryWriter(str(folder))

    def write(self, row: Mapping[str, Any]) -> None:
        """Write the values of an evaluation's row, at its step."""
        if self._writer is None:
            return
        for name, value in row.items():
            if name not in ("step", "best"):
                self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
