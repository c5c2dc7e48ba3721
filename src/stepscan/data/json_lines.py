"""JSON objects with their line numbers: one per line, or all in one array, as `DataFrame.to_json` writes them."""

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
    """The type of a JSON value, for messages."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return {**kinds, bytes: "bytes"}.get(type(value), "a number")


def parse_object(line: str, path: str | Path, number: int) -> Record:
    """Parse a line that holds one object.

    Raises:
        DataError: it does not; `path` and `number` say which line.
    """
    try:
        return _check_record(json.loads(line, parse_constant=_refuse_constant), line)
    except (ValueError, RecursionError) as error:
        raise _not_an_object(error, path, number) from None


def parse_array(lines: Iterator[tuple[int, str]], path: str | Path) -> Iterator[tuple[int, Record]]:
    """Yield the objects of an array, which may span any number of lines, each with the line where it begins.

    Raises:
        DataError: the array, or one of its elements, is not valid; names the line.
    """
    number, text = next(lines)
    text = "\n".join(chain([text], (line for _, line in lines)))
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    position = _skip_space(text, text.index("[") + 1)
    counted = 0  # up to this position, `number` counts the lines
    while not text.startswith("]", position):
        number, counted = number + text.count("\n", counted, position), position
        try:
            record, end = decoder.raw_decode(text, position)
            yield number, _check_record(record, text[position:end])
            position = _skip_space(text, end)
            if text.startswith(",", position):
                position = _skip_space(text, position + 1)
            elif not text.startswith("]", position):
                raise json.JSONDecodeError("Expecting ',' or ']'", text, position)
        except (ValueError, RecursionError) as error:
            raise _not_an_object(error, path, number) from None
    if text[position + 1 :].strip():
        number += text.count("\n", counted, _skip_space(text, position + 1))
        reason = "expected the end of the file after the array, got more."
        raise DataError(reason, path=path, line=number, hint="Write one array.")


def flatten_keys(record: Record) -> Record:
    """The record with the keys of nested objects added as `outer.inner`."""
    flat = dict(record)
    for key, value in record.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": nested for inner, nested in flatten_keys(value).items()}
    return flat


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _check_record(record: object, text: str) -> Record:
    if "\\u" in text:
        json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair is not valid text
    if not isinstance(record, dict):
        raise ValueError(f"got {json_kind(record)}")
    return record


def _not_an_object(error: Exception, path: str | Path, line: int) -> DataError:
    problem = str(error)
    if isinstance(error, json.JSONDecodeError):
        problem = f"got invalid JSON at character {error.colno}: {error.msg}"
    elif not problem.startswith("got "):
        problem = f"got invalid JSON: {problem}"
    return DataError(f"expected a JSON object, {problem}.", path=path, line=line, hint="Write one object per line.")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"got {name}, which is not JSON")
