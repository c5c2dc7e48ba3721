"""What a program in a file looks like: `check_form` says whether plain data are one."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

from stepscan.errors import nearest, shown
from stepscan.programs.checks import MOST_LEAVES, MOST_VALUES, MOST_WEIGHTS, fail, is_whole

_KEYS = ("version", "input_size", "state", "weights", "values", "output", "next_state")


def check_form(data: Any, version: int) -> None:
    """Check that plain data has the form of a program.

    Raises:
        ProgramError: it has not, or is of another version.
    """
    if not isinstance(data, dict):
        fail(f"expected an object, got {shown(data)}")
    if (found := data.get("version")) != version or isinstance(found, bool):
        fail(f"version: expected {version}, got {shown(found)}; a newer Stepscan may read it")
    for key in data:
        if key not in _KEYS:
            fail(f"expected no key {shown(key)}.{nearest(str(key), _KEYS)}")
    for key in _KEYS:
        if key not in data:
            fail(f"expected a key {key!r}, got none")
    _expect(is_whole(data["input_size"]), "input_size", "a whole number", data["input_size"])
    for key, most in (("state", MOST_LEAVES), ("output", MOST_VALUES)):
        _list(data[key], key, most, is_whole, "a whole number")
    _list(data["weights"], "weights", MOST_WEIGHTS, _is_weight, "a name and a list of sizes")
    _list(data["values"], "values", MOST_VALUES, _is_value, "an operation, arguments, a width and an attribute")
    _list(data["next_state"], "next_state", MOST_LEAVES, _is_whole_list, "a list of whole numbers")


def _list(value: Any, where: str, most: int, accepts: Callable[[Any], bool], words: str) -> None:
    _expect(isinstance(value, list), where, "a list", value)
    if len(value) > most:
        fail(f"{where}: expected at most {most:,}, got {len(value):,}")
    for index, item in enumerate(value):
        if not accepts(item):
            fail(f"{where}, item {index}: expected {words}, got {shown(item)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_whole_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MOST_VALUES and all(map(is_whole, value))


def _is_weight(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and _is_whole_list(value[1])


def _is_value(value: Any) -> bool:
    if not (isinstance(value, list) and len(value) == 4 and isinstance(value[0], str) and is_whole(value[2])):
        return False
    attribute = value[3]
    return _is_whole_list(value[1]) and isinstance(attribute, list) and all(map(_is_number, attribute))


def _expect(right: bool, where: str, words: str, value: Any) -> None:
    if not right:
        fail(f"{where}: expected {words}, got {shown(value)}")
