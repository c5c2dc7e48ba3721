"""Text files as numbered lines: strict UTF-8, gzip or not, and every fault with its file and line."""

from __future__ import annotations

import codecs
import difflib
import gzip
import io
import itertools
import os
import secrets
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from stepscan.data.arrow import is_hub
from stepscan.data.bad_lines import BadLines, check_some, keep, refuse
from stepscan.data.byte_streams import check_once, descriptor_of, is_stream, opened
from stepscan.errors import STANDARD, DataError

LONGEST_LINE = 2**24  # bytes: a line is one example
LONGEST_TEXT = 2**30  # bytes: a corpus may be one line, as text8 is


class Line(NamedTuple):
    """A line: its number from 1, its text with its end (only the last may have none), and what is wrong with it.

    The text of a wrong one is what can be made of it; nobody is to use it, but it parts sentences and rows.
    """

    number: int
    text: str
    error: DataError | None = None


def read_lines(path: str | Path, bad_lines: BadLines | None = None, *, look: bool = False) -> Iterator[tuple[int, str]]:
    """Stream the lines of a text file, gzip or plain, as `(line number from 1, text without the line end)`.

    LF and CRLF end a line and nothing else does. A leading byte order mark is dropped. With `look`, a stream (standard
    input, a pipe) is left as it was, so that what is looked at can be read.

    Raises:
        DataError: a file that is missing, a folder, empty (no line with anything but white space), UTF-16, ended by
            lone carriage returns, or damaged gzip; raised when the iterator gets there. Also, without `bad_lines`, a
            line that is not UTF-8, holds a NUL or is longer than 16 MiB.
    """
    return numbered(whole_lines(path, look=look), bad_lines)


def numbered(lines: Iterable[Line], bad_lines: BadLines | None = None) -> Iterator[tuple[int, str]]:
    """Lines that have been opened already, as `read_lines` gives them."""
    for line in lines:
        if line.error:
            refuse(line.error, bad_lines)
        else:
            yield line.number, line.text.removesuffix("\n")


def read_text(path: str | Path, bad_lines: BadLines | None = None) -> str:
    """The whole text of a file, every line end as `"\\n"`; otherwise, and in its errors, like `read_lines`."""

    def text_of(line: Line) -> str:
        if line.error:
            raise line.error
        return line.text

    lines = keep(whole_lines(path, longest=LONGEST_TEXT), text_of, bad_lines)
    return "".join(check_some(lines, path, bad_lines))


def split_lines(text: str) -> list[str]:
    """The lines of a text, each with its `"\\n"`: nothing else ends one, as in a file."""
    return list(io.StringIO(text, newline="\n"))


def check_files(paths: Iterable[str | Path]) -> None:
    """Raise for the first that is not a file that can be read: before anything slow begins. Streams are left alone.

    Raises:
        DataError: with the nearest name in its folder; or one stream is given twice.
    """
    files = [path for path in paths if not is_hub(path)]
    check_once(files)
    for path in map(Path, files):
        if is_stream(path):
            continue
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise _cannot_read(path, error) from error


def whole_lines(path: str | Path, longest: int = LONGEST_LINE, *, look: bool = False) -> Iterator[Line]:
    """Every line, wrong ones too; faults of the whole file are errors as in `read_lines`."""
    blank, number = True, 0
    for number, raw in _raw_lines(path, longest, look):
        if number == 1:
            _refuse_other_files(raw, path)
            raw = raw.removeprefix(codecs.BOM_UTF8)
        line = _checked(raw, path, number, longest)
        blank = blank and not line.error and not line.text.strip()
        yield line
    if blank:
        what = "every line is blank" if number > 1 else "the file is empty"
        raise DataError(f"{what}: expected at least one line of text.", path=path)


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write lines as UTF-8, each ended by `"\\n"`; gzip if the name ends in `.gz`.

    A file appears whole or not at all: it is written under a temporary name in the same folder, synced and renamed.
    Standard output (`-`), an open file (`/dev/stdout`, `/dev/fd/3`), a pipe or a device is written to as it is.

    Raises:
        DataError: the folder cannot be written to, or a line would not read back as one line.
    """
    write_portions(path, [lines])


def write_portions(path: str | Path, portions: Iterable[Iterable[str]]) -> None:
    """Like `write_lines`; what is written to as it is gets each portion at once.

    Raises:
        BrokenPipeError: nobody reads the pipe any longer.
    """
    to_stream = is_stream(path)
    name = "standard output" if str(path) == STANDARD else path
    numbers = itertools.count(1)
    try:
        with _stream_to(path) if to_stream else _file_to(path) as file:
            for portion in portions:
                file.writelines(_ended(portion, numbers, name))
                if to_stream:
                    file.flush()
    except BrokenPipeError:  # the reader has enough
        raise
    except OSError as error:
        raise DataError(f"the file cannot be written: {error.strerror or error}.", path=name) from error


@contextmanager
def _stream_to(path: str | Path) -> Iterator[IO[str]]:
    number = 1 if str(path) == STANDARD else descriptor_of(path)
    if number == 1:
        yield sys.stdout
        return
    with open(path if number is None else os.dup(number), "wb") as file, _packed(file, path) as stream:
        yield stream


@contextmanager
def _file_to(path: str | Path) -> Iterator[IO[str]]:
    target = Path(path).resolve()
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb") as file:
            with _packed(file, target) as stream:
                yield stream
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _packed(file: IO[bytes], path: str | Path) -> Iterator[IO[str]]:
    """Text to be written to a file: UTF-8, gzip if the name says so."""
    # No name and no time in gzip's header: the same lines give the same bytes.
    packed = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) if Path(path).suffix == ".gz" else None
    stream = io.TextIOWrapper(packed or file, "utf-8", newline="\n")
    try:
        yield stream
    finally:
        stream.detach()
        if packed:
            packed.close()


def _ended(lines: Iterable[str], numbers: Iterator[int], path: str | Path) -> Iterator[str]:
    for line, number in zip(lines, numbers, strict=False):
        if "\n" in line or line.endswith("\r"):
            raise DataError("a line to be written contains a line end.", path=path, line=number)
        yield f"{line}\n"


def _raw_lines(path: str | Path, longest: int, look: bool) -> Iterator[tuple[int, bytes]]:
    """Lines as bytes; of one longer than `longest` bytes, so many and one more."""
    number = 0
    try:
        with opened(path, look=look) as stream:
            while raw := stream.readline(longest + 1):
                number += 1
                yield number, raw
                part = raw
                while len(part) > longest and not part.endswith(b"\n"):
                    part = stream.readline(longest + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"the gzip data is cut off or damaged: {error}.",
            path=path,
            line=number + 1,
            hint="Fetch or compress the file again.",
        ) from error
    except OSError as error:
        raise _cannot_read(Path(path), error) from error


def _cannot_read(path: Path, error: OSError) -> DataError:
    if isinstance(error, IsADirectoryError):
        return DataError("expected a file, but this is a folder.", path=path, hint="Name a file in it.")
    if not isinstance(error, FileNotFoundError):
        return DataError(f"the file cannot be read: {error.strerror or error}.", path=path)
    if not path.parent.is_dir():
        return DataError(f"no such file: there is no folder {str(path.parent)!r}.", path=path)
    names = [entry.name for entry in path.parent.iterdir()]
    near = difflib.get_close_matches(path.name, names, n=1)
    return DataError("no such file.", path=path, hint=f"Did you mean {near[0]!r}?" if near else "")


def _refuse_other_files(first: bytes, path: str | Path) -> None:
    """Raise if the first line shows that the file is no UTF-8 text with lines that end as they do today."""
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        hint = "Convert the file first: iconv -f UTF-16 -t UTF-8 OLD > NEW"
        raise DataError("expected UTF-8 text, but its byte order mark says UTF-16.", path=path, hint=hint)
    if not first.endswith(b"\n") and first.rstrip(b"\r").count(b"\r") > 0:
        reason = "expected lines that end in LF or CRLF, but its only line holds lone carriage returns (CR)."
        raise DataError(reason, path=path, hint="Convert the file first: tr '\\r' '\\n' < OLD > NEW")


def _checked(raw: bytes, path: str | Path, number: int, longest: int) -> Line:
    if len(raw) > longest:
        reason = f"the line is longer than {longest / 2**20:,.0f} MiB."
        hint = "Is this a text file, with one example a line? Part the line."
        return Line(number, "?\n", DataError(reason, path=path, line=number, hint=hint))
    if raw.endswith(b"\r\n"):
        raw = raw[:-2] + b"\n"
    if b"\0" in raw:
        reason = f"expected text, but byte {raw.index(0) + 1} of the line is NUL (0x00)."
        error = DataError(reason, path=path, line=number, hint="Is this a binary file, or UTF-16?")
        return Line(number, raw.decode("utf-8", "replace"), error)
    try:
        return Line(number, raw.decode("utf-8"))
    except UnicodeDecodeError as bad:
        reason = f"expected UTF-8 text, but byte {bad.start + 1} of the line is 0x{raw[bad.start]:02x}."
        hint = "Convert the file first, for example: iconv -f LATIN1 -t UTF-8 OLD > NEW"
        return Line(number, raw.decode("utf-8", "replace"), DataError(reason, path=path, line=number, hint=hint))
