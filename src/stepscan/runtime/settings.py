"""The settings that a model folder records, checked; and those of folders that earlier versions wrote."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from stepscan.errors import SettingsError
from stepscan.options import TASKS, check_settings, settings_of
from stepscan.runtime.outline import shown

logger = logging.getLogger(__name__)

_ONCE_RECORDED = {"device": "cpu", "verbose": False}  # by early versions, which nothing depends on: ignored


def of_the_model(settings: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The settings that a model folder records, checked, without the two of a run that early versions recorded.

    Raises:
        SettingsError: one is not a setting of such models, or is a setting of a run, or is not of its kind.
    """
    for name in _ONCE_RECORDED.keys() & settings.keys():
        if settings[name] != _ONCE_RECORDED[name]:
            value = shown(settings[name])
            logger.info("the model folder records %s: %s, a setting of a training run; it is ignored", name, value)
    kept = {name: value for name, value in settings.items() if name not in _ONCE_RECORDED}
    check_not_of_a_run(kept, task, "a model folder")
    check_settings(TASKS[task], kept)
    return kept


def check_not_of_a_run(settings: Mapping[str, Any], task: str, where: str) -> None:
    """Raise a `SettingsError` that names the first setting of a run: such are for who trains, not for a file."""
    options = settings_of(TASKS[task]) if task in TASKS else {}
    for name in sorted(settings):
        if name in options and not options[name].option.recorded:
            raise SettingsError(
                f"expected settings of the model, got {name}: {shown(settings[name])}, which is a setting of a "
                f"training run, and {where} must not choose it; remove it"
            )
