"""Checks of the settings that a model folder records, those of earlier versions included."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from stepscan.errors import SettingsError, shown
from stepscan.options import TASKS, check_settings, settings_of

logger = logging.getLogger(__name__)

_LEGACY_DEFAULTS = {"device": "cpu", "verbose": False}  # run settings that early versions recorded: ignored


def model_settings(settings: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The checked settings of a model folder, without the two run settings that early versions recorded.

    Raises:
        SettingsError: a name is not a setting of the task's models, or is a setting of a training run, or a value is
            not valid.
    """
    for name in _LEGACY_DEFAULTS.keys() & settings.keys():
        if settings[name] != _LEGACY_DEFAULTS[name]:
            value = shown(settings[name])
            logger.info("the model folder records %s: %s, a setting of a training run; it is ignored", name, value)
    recorded = {name: value for name, value in settings.items() if name not in _LEGACY_DEFAULTS}
    check_no_run_settings(recorded, task, "a model folder")
    check_settings(TASKS[task], recorded)
    return recorded


def check_no_run_settings(settings: Mapping[str, Any], task: str, where: str) -> None:
    """Check that none is a setting of a training run, which a file must not choose.

    Raises:
        SettingsError: names the first that is one.
    """
    options = settings_of(TASKS[task]) if task in TASKS else {}
    for name in sorted(settings):
        if name in options and not options[name].option.recorded:
            raise SettingsError(
                f"expected settings of the model, got {name}: {shown(settings[name])}, which is a setting of a "
                f"training run, and {where} must not choose it; remove it"
            )
