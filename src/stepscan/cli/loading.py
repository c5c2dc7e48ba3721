"""Which side answers: the native kernels where they can, or else PyTorch, and then one line says so."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stepscan.cli.printing import say
from stepscan.errors import StepscanError, UnsupportedLayer


def load(path: Path, others: Sequence[Path] = (), *, needs: str = "", threads: int = 1) -> Any:
    """A model to be used: one of `stepscan.runtime`, which imports no torch, or an estimator.

    Args:
        path: the model folder.
        others: models that decide together with it.
        needs: what is to be done that only PyTorch can do.
        threads: at most, of the native kernels.

    Raises:
        ModelFormatError: a folder is no model.
        StepscanError: PyTorch is needed, but not installed.
    """
    reason = needs or ("several models decide together" if others else "")
    if not reason:
        from stepscan import runtime
        from stepscan.kernels.native import library, missing

        try:
            if library is not None:
                return runtime.load(path, threads=threads)
            reason = f"the native kernels are not there ({missing})"
            warnings.filterwarnings("ignore", "stepscan's native kernels are unavailable")  # one line says so
        except UnsupportedLayer as error:
            reason = f"{error.layer} has no native kernel"
    try:
        from stepscan.estimators.files import load_ensemble
    except ModuleNotFoundError as error:
        raise StepscanError(f"{reason}, so this needs {error.name}: pip install 'stepscan[train]'") from None
    model = load_ensemble(path, others)
    say("[bold]note:[/bold]", f"{reason}: run with PyTorch")
    return model
