"""Starting and ending a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stepscan.errors import StepscanError
from stepscan.options import ServeOptions


def serve(models: Mapping[str, Path], settings: ServeOptions) -> None:
    """Serve model folders by name until a signal ends the process.

    Raises:
        StepscanError: a model cannot be loaded, or the address cannot be used.
    """
    raise StepscanError("stepscan serve: not built yet")
