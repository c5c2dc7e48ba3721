"""JSON objects, each with its line number: one a line, or all in one array, as `DataFrame.to_json` writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from stepscan.errors import DataError

Record = dict[str, Any]
_SPACE = re.compile(r"\s*")


def json_kind(value: object) -> str:
    """What a JSON value is, in words."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def parse_object(line: str, path: str | Path, number: int) -> Record:
    """The object that a line holds, or a DataError."""
    try:
        return _checked(json.loads(line, parse_constant=_refuse_constant), line)
    except (ValueError, RecursionError) as error:
        raise _not_an_object(error, path, number) from None


def parse_array(lines: Iterator[tuple[int, str]], path: str | Path) -> Iterator[tuple[int, Record]]:
    """The objects of an array, which may go over any number of lines.

    Raises:
        DataError: what is wrong with the array or with one of its elements, and in which line.
    """
    first, text = next(lines)
    text = "\n".join(chain([text], (line for _, line in lines)))
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    place, number = _after_space(text, text.index("[") + 1), first
    counted = 0
    while not text.startswith("]", place):
        number, counted = number + text.count("\n", counted, place), place
        try:
            record, end = decoder.raw_decode(text, place)
            yield number, _checked(record, text[place:end])
            place = _after_space(text, end)
            if text.startswith(",", place):
                place = _after_space(text, place + 1)
            elif not text.startswith("]", place):
                raise json.JSONDecodeError("Expecting ',' or ']'", text, place)
        except (ValueError, RecursionError) as error:
            raise _not_an_object(error, path, number) from None
    if text[place + 1 :].strip():
        number += text.count("\n", counted, _after_space(text, place + 1))
        raise DataError("expected nothing after the array's end.", path=path, line=number, hint="Write one array.")


def nested(record: Record) -> Record:
    """The record with keys inside of objects as `outer.inner`, beside its own."""
    found = dict(record)
    for key, value in record.items():
        if isinstance(value, dict):
            found |= {f"{key}.{inner}": one for inner, one in nested(value).items()}
    return found


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _checked(record: object, text: str) -> Record:
    if "\\u" in text:
        json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair is not text
    if not isinstance(record, dict):
        raise ValueError(f"got {json_kind(record)}")
    return record


def _not_an_object(error: Exception, path: str | Path, line: int) -> DataError:
    problem = f"at character {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
    return DataError(f"expected a JSON object, but {problem}.", path=path, line=line, hint="Write one a line.")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
