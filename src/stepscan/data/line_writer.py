"""Writes lines of text: to a file atomically, to a stream as they come."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stepscan.data.byte_streams import file_descriptor, is_stream
from stepscan.errors import STANDARD, DataError


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write lines as UTF-8, each ended by `"\\n"`; gzip if the name ends in `.gz`.

    Files are written atomically: under a temporary name in the same folder, synced and renamed. Standard output (`-`),
    an open file (`/dev/stdout`, `/dev/fd/3`), a pipe or a device is written to directly.

    Raises:
        DataError: the file cannot be written, or a line contains a line end.
        BrokenPipeError: the reader of a pipe has closed it.
    """
    write_chunks(path, [lines])


def write_chunks(path: str | Path, chunks: Iterable[Iterable[str]]) -> None:
    """Like `write_lines`, for lines that come in chunks: a stream is flushed after each chunk.

    Raises:
        DataError: the file cannot be written.
    """
    to_stream = is_stream(path)
    name = "standard output" if str(path) == STANDARD else path
    numbers = itertools.count(1)
    try:
        with _stream_to(path) if to_stream else _file_to(path) as file:
            for chunk in chunks:
                file.writelines(_terminated(chunk, numbers, name))
                if to_stream:
                    file.flush()
    except BrokenPipeError:  # an OSError, but not one of the file
        raise
    except OSError as error:
        raise DataError(f"the file cannot be written: {error.strerror or error}.", path=name) from error


@contextmanager
def _stream_to(path: str | Path) -> Iterator[IO[str]]:
    number = 1 if str(path) == STANDARD else file_descriptor(path)
    if number == 1:
        yield sys.stdout
        return
    with open(path if number is None else os.dup(number), "wb") as file, _text_writer(file, path) as stream:
        yield stream


@contextmanager
def _file_to(path: str | Path) -> Iterator[IO[str]]:
    target = Path(path).resolve()
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb") as file:
            with _text_writer(file, target) as stream:
                yield stream
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _text_writer(file: IO[bytes], path: str | Path) -> Iterator[IO[str]]:
    """Text encoded as UTF-8 into a file, compressed if the name ends in `.gz`."""
    # No name and no time in gzip's header: the same lines give the same bytes.
    compressed = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) if Path(path).suffix == ".gz" else None
    stream = io.TextIOWrapper(compressed or file, "utf-8", newline="\n")
    try:
        yield stream
    finally:
        stream.detach()
        if compressed:
            compressed.close()


def _terminated(lines: Iterable[str], numbers: Iterator[int], path: str | Path) -> Iterator[str]:
    for line, number in zip(lines, numbers, strict=False):
        if "\n" in line or line.endswith("\r"):
            raise DataError("expected one line to write, got text with a line end.", path=path, line=number)
        yield f"{line}\n"
