"""Text files as numbered lines: strict UTF-8, gzip or plain; every error names its file and line."""

from __future__ import annotations

import codecs
import difflib
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from stepscan.data.arrow import is_hub
from stepscan.data.bad_lines import BadLines, convert, raise_or_skip, require_some
from stepscan.data.byte_streams import check_distinct_streams, is_stream, open_bytes
from stepscan.errors import DataError

LONGEST_LINE = 2**24  # bytes: a line is one example
LONGEST_TEXT = 2**30  # bytes: a corpus may be one line, as text8 is


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        number: counted from 1.
        text: with its line end (only the last line may have none). That of a bad line is approximate: it serves only to
            separate sentences and rows.
        error: why the line is bad; None for a good one.
    """

    number: int
    text: str
    error: DataError | None = None


def read_lines(path: str | Path, bad_lines: BadLines | None = None, *, peek: bool = False) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file, gzip or plain, as `(line number from 1, text without the line end)`.

    Only LF and CRLF end a line. A leading byte order mark is dropped.

    Args:
        path: the file, or a stream (standard input, a pipe).
        bad_lines: skips and counts bad lines: not UTF-8, with a NUL byte, or longer than 16 MiB.
        peek: keep a stream open, so that the next reader starts at its beginning.

    Raises:
        DataError: the file is missing, a folder, empty (whitespace only), UTF-16, damaged gzip, or has lone carriage
            returns as line ends; or, without `bad_lines`, a line is bad. Raised when the iterator gets there.
    """
    return valid_lines(checked_lines(path, peek=peek), bad_lines)


def valid_lines(lines: Iterable[Line], bad_lines: BadLines | None = None) -> Iterator[tuple[int, str]]:
    """Yield `(line number, text without the line end)` of good lines; raise or skip the errors of bad ones."""
    for line in lines:
        if line.error:
            raise_or_skip(line.error, bad_lines)
        else:
            yield line.number, line.text.removesuffix("\n")


def read_text(path: str | Path, bad_lines: BadLines | None = None) -> str:
    """The whole text of a file, with `"\\n"` as line ends.

    Arguments and errors are those of `read_lines`, but a line may be as long as 1 GiB.
    """
    return "".join(stream_lines(path, bad_lines))


def stream_lines(path: str | Path, bad_lines: BadLines | None = None) -> Iterator[str]:
    """Yield the lines of `read_text`, with their ends."""

    def line_text(line: Line) -> str:
        if line.error:
            raise line.error
        return line.text

    lines = convert(checked_lines(path, longest=LONGEST_TEXT), line_text, bad_lines)
    return require_some(lines, path, bad_lines)


def split_lines(text: str) -> list[str]:
    """Split a text at `"\\n"` only, as files are split; the lines keep their ends."""
    return list(io.StringIO(text, newline="\n"))


def check_files(paths: Iterable[str | Path]) -> None:
    """Check that files can be opened, before anything slow begins. Nothing is read from streams.

    Raises:
        DataError: a file cannot be opened (a missing one: with the nearest name in its folder), or one stream is given
            twice.
    """
    files = [path for path in paths if not is_hub(path)]
    check_distinct_streams(files)
    for path in map(Path, files):
        if is_stream(path):
            continue
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise _cannot_read(path, error) from error


def checked_lines(path: str | Path, longest: int = LONGEST_LINE, *, peek: bool = False) -> Iterator[Line]:
    """Yield every line, bad ones too.

    Args:
        path: the file.
        longest: bytes that a line may have.
        peek: as in `read_lines`.

    Raises:
        DataError: the file as a whole cannot be read, as in `read_lines`.
    """
    blank, number = True, 0
    for number, raw in _raw_lines(path, longest, peek):
        if number == 1:
            _refuse_other_files(raw, path)
            raw = raw.removeprefix(codecs.BOM_UTF8)
        line = _checked(raw, path, number, longest)
        blank = blank and not line.error and not line.text.strip()
        yield line
    if blank:
        content = "only blank lines" if number > 1 else "an empty file"
        raise DataError(f"expected at least one line of text, got {content}.", path=path)


def _raw_lines(path: str | Path, longest: int, peek: bool) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines as bytes; one longer than `longest` bytes is cut to one byte more."""
    number = 0
    try:
        with open_bytes(path, peek=peek) as stream:
            while raw := stream.readline(longest + 1):
                number += 1
                yield number, raw
                rest = raw
                while len(rest) > longest and not rest.endswith(b"\n"):
                    rest = stream.readline(longest + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        hint = "Fetch or compress the file again."
        raise DataError(damaged_gzip(error), path=path, line=number + 1, hint=hint) from error
    except OSError as error:
        raise _cannot_read(Path(path), error) from error


def damaged_gzip(error: Exception) -> str:
    """What to say of gzip data that cannot be decompressed."""
    return f"expected gzip data, got a truncated or damaged file: {error}."


def _cannot_read(path: Path, error: OSError) -> DataError:
    if isinstance(error, IsADirectoryError):
        return DataError("expected a file, got a folder.", path=path, hint="Name a file in it.")
    if not isinstance(error, FileNotFoundError):
        return DataError(f"the file cannot be read: {error.strerror or error}.", path=path)
    if not path.parent.is_dir():
        return DataError(f"no such file: there is no folder {str(path.parent)!r}.", path=path)
    names = [entry.name for entry in path.parent.iterdir()]
    near = difflib.get_close_matches(path.name, names, n=1)
    return DataError("no such file.", path=path, hint=f"Did you mean {near[0]!r}?" if near else "")


def _refuse_other_files(first: bytes, path: str | Path) -> None:
    """Raise if the first line shows UTF-16, or lone carriage returns as line ends."""
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        hint = "Convert the file first: iconv -f UTF-16 -t UTF-8 OLD > NEW"
        raise DataError("expected UTF-8 text, got the byte order mark of UTF-16.", path=path, hint=hint)
    if not first.endswith(b"\n") and first.rstrip(b"\r").count(b"\r") > 0:
        reason = "expected lines that end in LF or CRLF, got a single line with lone carriage returns (CR)."
        raise DataError(reason, path=path, hint="Convert the file first: tr '\\r' '\\n' < OLD > NEW")


def _checked(raw: bytes, path: str | Path, number: int, longest: int) -> Line:
    if len(raw) > longest:
        reason = f"expected a line of at most {longest / 2**20:,.0f} MiB, got a longer one."
        hint = "Is this a text file with one example per line? Split the line."
        return Line(number, "?\n", DataError(reason, path=path, line=number, hint=hint))
    if raw.endswith(b"\r\n"):
        raw = raw[:-2] + b"\n"
    if b"\0" in raw:
        reason = f"expected text, got NUL (0x00) at byte {raw.index(0) + 1} of the line."
        hint = "Is this a binary file, or UTF-16?"
        return Line(number, raw.decode("utf-8", "replace"), DataError(reason, path=path, line=number, hint=hint))
    try:
        return Line(number, raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        reason = f"expected UTF-8 text, got 0x{raw[error.start]:02x} at byte {error.start + 1} of the line."
        hint = "Convert the file first, for example: iconv -f LATIN1 -t UTF-8 OLD > NEW"
        return Line(number, raw.decode("utf-8", "replace"), DataError(reason, path=path, line=number, hint=hint))
