"""Loading of models: with the native kernels if possible, otherwise with PyTorch, which is noted."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stepscan.cli.output import print_message
from stepscan.errors import ModelFormatError, StepscanError, UnsupportedLayer


def load(path: Path, others: Sequence[Path] = (), *, needs: str = "", threads: int = 1) -> Any:
    """Load a runtime model, which does not import torch, or an estimator if PyTorch is required.

    Args:
        path: the model folder.
        others: further models of an ensemble.
        needs: why PyTorch is required; empty if it is not.
        threads: number of threads of the native kernels, at most.

    Raises:
        ModelFormatError: a folder is not a model folder, or is broken.
        StepscanError: PyTorch is required, but not installed.
    """
    reason = needs
    if not reason:
        from stepscan import runtime
        from stepscan.kernels.native import library, missing
        from stepscan.models.ensemble import ensemble

        try:
            if library is not None:
                return ensemble([runtime.load(folder, threads=threads) for folder in (path, *others)])
            reason = f"the native kernels are unavailable ({missing})"
            warnings.filterwarnings("ignore", "stepscan's native kernels are unavailable")  # the note below says so
        except UnsupportedLayer as error:
            reason = f"{error.layer} has no native kernel"
    try:
        from stepscan.estimators.files import load_ensemble
    except ModuleNotFoundError as error:
        raise StepscanError(f"{reason}: requires {error.name}; pip install 'stepscan[train]'") from None
    model = load_ensemble(path, others)
    print_message("[bold]note:[/bold]", f"{reason}: run with PyTorch")
    return model


def check_task(path: Path, model: Any, task: str) -> None:
    """Check that a model is one of a command's task, `generate` or `forecast`.

    Raises:
        ModelFormatError: it is not.
    """
    if model.task != task:
        kinds = {"generate": "a language model", "forecast": "a forecaster"}
        raise ModelFormatError(f"{path}: expected {kinds[task]}, got a {type(model).__name__}; see stepscan --help")
