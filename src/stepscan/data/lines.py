"""Text files as numbered lines: strict UTF-8, gzip or not, and every fault with its file and line."""

from __future__ import annotations

import difflib
import gzip
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from stepscan.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Stream the lines of a text file, gzip or plain, as `(line number from 1, text without the line end)`.

    LF and CRLF end a line and nothing else does. A leading byte order mark is dropped.

    Raises:
        DataError: a file that is missing, a folder, empty (no line with anything but white space), not UTF-8, or
            damaged gzip; raised when the iterator gets there.
    """
    for number, line in read_whole_lines(path):
        yield number, line.removesuffix("\n")


def read_text(path: str | Path) -> str:
    """The whole text of a file, every line end as `"\\n"`; otherwise, and in its errors, like `read_lines`."""
    return "".join(line for _, line in read_whole_lines(path))


def read_whole_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Like `read_lines`, but each line keeps its end, as `"\\n"`; only the last may have none."""
    blank = True
    for number, raw in _raw_lines(Path(path)):
        line = _decode(raw, path, number)
        if line.endswith("\r\n"):
            line = line[:-2] + "\n"
        if number == 1:
            line = line.removeprefix("\ufeff")
        blank = blank and not line.strip()
        yield number, line
    if blank:
        raise DataError("the file is empty: expected at least one line of text.", path=path)


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write lines as UTF-8, each ended by `"\\n"`; gzip if the name ends in `.gz`.

    The file appears whole or not at all: it is written under a temporary name in the same folder, synced and renamed.

    Raises:
        DataError: the folder cannot be written to, or a line would not read back as one line.
    """
    target = Path(path).resolve()
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            with open(target, "wb") as stream:  # a pipe or a device: nothing to rename over
                stream.writelines(_encoded(lines, path))
            return
        with open(temporary, "xb") as file:
            if target.suffix == ".gz":
                # No name and no time in the header: the same lines give the same bytes.
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                    packed.writelines(_encoded(lines, path))
            else:
                file.writelines(_encoded(lines, path))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise DataError(f"the file cannot be written: {error.strerror or error}.", path=path) from error
    finally:
        temporary.unlink(missing_ok=True)


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with open(path, "rb") as file:
            packed = file.peek(2)[:2] == _GZIP_MAGIC
            lines: Iterable[bytes] = gzip.GzipFile(fileobj=file) if packed else file
            for raw in lines:
                number += 1
                yield number, raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"the gzip data is cut off or damaged: {error}.",
            path=path,
            line=number + 1,
            hint="Fetch or compress the file again.",
        ) from error
    except OSError as error:
        raise _cannot_read(path, error) from error


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


def _decode(raw: bytes, path: str | Path, number: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"expected UTF-8 text, but byte {error.start + 1} of the line is 0x{raw[error.start]:02x}.",
            path=path,
            line=number,
            hint="Convert the file first, for example: iconv -f LATIN1 -t UTF-8 OLD > NEW",
        ) from error


def _encoded(lines: Iterable[str], path: str | Path) -> Iterator[bytes]:
    for number, line in enumerate(lines, start=1):
        if "\n" in line or line.endswith("\r"):
            raise DataError("a line to be written contains a line end.", path=path, line=number)
        yield line.encode("utf-8") + b"\n"
