"""Checks of settings by the table of options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepscan.errors import SettingsError, nearest
from stepscan.fields import Kind
from stepscan.options.option import settings_of
from stepscan.options.renamed import RENAMED, renamed
from stepscan.options.tasks import TASKS


def check_settings(options: Any, values: Mapping[str, Any]) -> None:
    """Check values by name; None is one where the default, or the annotation, is None.

    Raises:
        SettingsError: names all that are unknown or not of their kind, what was expected and what arrived.
    """
    known, problems = settings_of(options), []
    for name, value in values.items():
        if name not in known:
            problems.append(unknown_setting(name, known))
        elif value is not None or not known[name].takes_none:
            try:
                known[name].option.kind.check(name, value)
            except ValueError as error:
                problems.append(str(error))
    if problems:
        raise SettingsError("; ".join(problems))


def check_value(kind: Kind, name: str, value: Any) -> None:
    """Raise a `SettingsError` unless the value is of the kind."""
    try:
        kind.check(name, value)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def unknown_setting(name: str, known: Mapping[str, Any]) -> str:
    """What to say of a name that is not an option: what it is called today, which tasks have it, or the nearest one."""
    if name in RENAMED:
        return renamed(name)
    tasks = [task for task, options in TASKS.items() if name in settings_of(options)]
    is_special = len(tasks) < len(TASKS)  # what all tasks have is not for the place that was asked
    hint = f" It is an option of {', '.join(tasks)}." if tasks and is_special else nearest(name, known)
    return f"unknown setting {name!r}.{hint}"
