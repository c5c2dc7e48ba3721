"""`config.json` of format version 1, in today's names.

Version 2 renamed settings (`stepscan.options.RENAMED`) and arguments of layers, and made forecasts a task of their own.
"""

from __future__ import annotations

from typing import Any

from stepscan.options import RENAMED, RENAMED_VALUES, TASKS, settings_of

_ARGUMENTS = {  # layer → its arguments that were renamed
    "embedding": {"unknown_probability": "word_dropout", "symbol_dropout": "embedding_dropout"},
    "encoder": {"decision": "problem_type"},
    "generator": {"tied": "tie_weights"},
}
_SPLIT = ("generate", "forecast")  # tasks that were one: its folders record the settings of both


def upgraded(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration of version 1, whose keys were checked, as version 2 has it."""
    task = config["task"]
    if task == "generate" and "forecaster" in config["model"]:
        task = "forecast"
    settings = dict(_setting(RENAMED.get(name, name), value) for name, value in config["settings"].items())
    chosen = [RENAMED.get(name, name) for name in config.get("chosen", [])]
    if task in _SPLIT:
        [other] = {*_SPLIT} - {task}
        foreign = settings_of(TASKS[other]).keys() - settings_of(TASKS[task]).keys()
        settings = {name: value for name, value in settings.items() if name not in foreign}
    changed = {"task": task, "settings": settings, "model": _renamed(config["model"])}
    return {**config, **changed, **({"chosen": chosen} if chosen else {})}


def _setting(name: str, value: Any) -> tuple[str, Any]:
    """A setting of today's name, and its value as it is called today."""
    return name, RENAMED_VALUES.get(name, {}).get(value, value) if isinstance(value, str) else value


def _renamed(description: dict[str, Any]) -> dict[str, Any]:
    """A description of layers whose arguments have today's names; however deep it is, without recursion."""
    whole: dict[str, Any] = {}
    rest: list[tuple[Any, Any]] = [(description, whole)]
    while rest:
        old, new = rest.pop()
        for key, value in old.items() if isinstance(old, dict) else enumerate(old):
            own = _ARGUMENTS.get(key, {}) if isinstance(key, str) and isinstance(value, dict) else {}
            value = dict(_setting(own.get(name, name), one) for name, one in value.items()) if own else value
            copy: Any = {} if isinstance(value, dict) else [] if isinstance(value, list) else value
            if isinstance(new, dict):
                new[key] = copy
            else:
                new.append(copy)
            if isinstance(value, dict | list):
                rest.append((value, copy))
    return whole
