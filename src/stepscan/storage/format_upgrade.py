"""Upgrade of `config.json` from format version 1.

Version 2 renamed settings (`stepscan.options.RENAMED`) and arguments of layers, and made forecasts a task of their own.
"""

from __future__ import annotations

from typing import Any

from stepscan.options import RENAMED, RENAMED_VALUES, TASKS, settings_of

_RENAMED_ARGUMENTS = {  # layer → old argument → new argument
    "embedding": {"unknown_probability": "word_dropout", "symbol_dropout": "embedding_dropout"},
    "encoder": {"decision": "problem_type"},
    "generator": {"tied": "tie_weights"},
}
_SPLIT_TASKS = ("generate", "forecast")  # one task in version 1: its folders record the settings of both


def upgrade_config(config: dict[str, Any]) -> dict[str, Any]:
    """Convert a configuration of version 1, whose keys were checked, to version 2."""
    task = config["task"]
    if task == "generate" and "forecaster" in config["model"]:
        task = "forecast"
    settings = dict(_rename_value(RENAMED.get(name, name), value) for name, value in config["settings"].items())
    chosen = [RENAMED.get(name, name) for name in config.get("chosen", [])]
    if task in _SPLIT_TASKS:
        [other] = {*_SPLIT_TASKS} - {task}
        foreign = settings_of(TASKS[other]).keys() - settings_of(TASKS[task]).keys()
        settings = {name: value for name, value in settings.items() if name not in foreign}
    changed = {"task": task, "settings": settings, "model": _rename_arguments(config["model"])}
    return {**config, **changed, **({"chosen": chosen} if chosen else {})}


def _rename_value(name: str, value: Any) -> tuple[str, Any]:
    """A setting of version 2 with its value renamed to that of version 2."""
    return name, RENAMED_VALUES.get(name, {}).get(value, value) if isinstance(value, str) else value


def _rename_arguments(description: dict[str, Any]) -> dict[str, Any]:
    """A description of layers with the argument names of version 2; without recursion, so that any depth works."""
    renamed: dict[str, Any] = {}
    pending: list[tuple[Any, Any]] = [(description, renamed)]
    while pending:
        old, new = pending.pop()
        for key, value in old.items() if isinstance(old, dict) else enumerate(old):
            new_names = _RENAMED_ARGUMENTS.get(key, {}) if isinstance(key, str) and isinstance(value, dict) else {}
            if new_names:
                value = dict(_rename_value(new_names.get(name, name), item) for name, item in value.items())
            copy: Any = {} if isinstance(value, dict) else [] if isinstance(value, list) else value
            if isinstance(new, dict):
                new[key] = copy
            else:
                new.append(copy)
            if isinstance(value, dict | list):
                pending.append((value, copy))
    return renamed
