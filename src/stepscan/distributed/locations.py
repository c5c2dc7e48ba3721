"""Folders and files on any file system that Arrow or fsspec reads: paths of this machine, and URIs such as `s3://…`."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from fsspec.utils import glob_translate
from pyarrow import fs

from stepscan.data.file_patterns import escaped, first_wildcard, is_uri
from stepscan.errors import DataError, SettingsError
from stepscan.storage.atomic import sync

TEMPORARY = "_temporary"  # folder of files that are not whole yet; readers of folders pass over names with _


class Location(NamedTuple):
    """A folder on a file system. It is sent to the workers.

    Attributes:
        system: the file system.
        path: as that names it.
        name: as the user named it, for messages.
    """

    system: fs.FileSystem
    path: str
    name: str

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return isinstance(self.system, fs.LocalFileSystem)

    def join(self, name: str) -> str:
        """The path of a file in it."""
        return f"{self.path.rstrip('/')}/{name}"

    def shown(self, name: str) -> str:
        """A file in it, for messages."""
        return f"{self.name.rstrip('/')}/{name}" if name else self.name

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""
        if self.system.get_file_info(self.join(name)).type != fs.FileType.File:
            return None
        with self.system.open_input_stream(self.join(name)) as stream:
            return stream.read()

    def files(self, *, recursive: bool = True) -> dict[str, fs.FileInfo]:
        """The files in it by their names relative to it; empty if there is no such folder.

        Raises:
            DataError: it cannot be read.
        """
        selector = fs.FileSelector(self.path, recursive=recursive, allow_not_found=True)
        start = len(self.path.rstrip("/")) + 1
        try:
            infos = self.system.get_file_info(selector)
        except OSError as error:
            raise DataError(f"the folder cannot be read: {error}.", path=self.name) from error
        return {info.path[start:]: info for info in infos if info.type == fs.FileType.File}

    def write(self, name: str, fill: Callable[[Any], None]) -> None:
        """Write a file whole or not at all: under a temporary name, and then moved.

        Args:
            name: of the file.
            fill: writes the content to a binary stream.

        Raises:
            DataError: it cannot be written.
        """
        temporary, target = self.join(f"{TEMPORARY}/{secrets.token_hex(8)}.tmp"), self.join(name)
        try:
            for path in (temporary, target):
                self.system.create_dir(path.rpartition("/")[0], recursive=True)
            try:
                with self.system.open_output_stream(temporary) as stream:
                    fill(stream)
                if self.is_local:
                    sync(Path(temporary))
                self.system.move(temporary, target)
            except BaseException:
                if self.system.get_file_info(temporary).type == fs.FileType.File:
                    self.system.delete_file(temporary)
                raise
        except OSError as error:
            raise DataError(f"the file cannot be written: {error}.", path=self.shown(name)) from error

    def remove(self, names: list[str]) -> None:
        """Remove files."""
        for name in names:
            self.system.delete_file(self.join(name))

    def remove_temporary(self) -> None:
        """Remove what a writer that was killed has left."""
        path = self.join(TEMPORARY)
        if self.system.get_file_info(path).type == fs.FileType.Directory:
            self.system.delete_dir(path)


def open_location(name: str) -> Location:
    """The folder at a path of this machine or a URI.

    Raises:
        SettingsError: there is no such file system, or its library is not installed.
    """
    if not is_uri(name):
        return Location(fs.LocalFileSystem(), os.path.abspath(name), name)
    try:
        system, path = fs.FileSystem.from_uri(name)
        return Location(system, path, name)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass  # not one of Arrow's own
    try:
        from fsspec.core import url_to_fs

        other, path = url_to_fs(name)
    except (ImportError, ValueError) as error:
        raise SettingsError(f"{name}: expected a file system that Arrow or fsspec reads: {error}") from None
    return Location(fs.PyFileSystem(fs.FSSpecHandler(other)), path, name)


def find_files(name: str) -> tuple[Location, dict[str, fs.FileInfo]]:
    """The Parquet files that a pattern stands for, by their names relative to its folder, in order.

    Args:
        name: a file, a folder (all Parquet files in it, at any depth), or a pattern: `*` and `?` stand for characters
            of a name, `[…]` for one of several, `**` for folders. In a URI `?` begins its query instead. Folders and
            `**` leave out names that begin with `_` or `.`, which writers use for files that are not whole yet.

    Raises:
        DataError: there are none, or one of the files is not called `.parquet`.
        SettingsError: there is no such file system.
    """
    location, pattern = split_pattern(name)
    found = location.files(recursive="/" in pattern)
    files = {path: info for path, info in sorted(found.items()) if is_match(path, pattern)}
    if not files:
        raise DataError("expected Parquet files, got none.", path=name, hint="Put a pattern between quotation marks.")
    if other := [path for path in files if not path.endswith(".parquet")]:
        reason = f"expected Parquet files, called .parquet, got {other[0]}."
        raise DataError(reason, path=name, hint="Choose the files by the pattern, such as 'FOLDER/*.parquet'.")
    return location, files


def is_match(path: str, pattern: str) -> bool:
    """Whether a pattern stands for a path, see `find_files`."""
    if "**" in pattern and any(name.startswith(("_", ".")) for name in path.split("/")):
        return False
    return re.match(glob_translate(pattern), path) is not None


def split_pattern(name: str) -> tuple[Location, str]:
    """The folder before the first wildcard, and the rest, which is the pattern; see `find_files`."""
    wildcard = first_wildcard(name)
    if wildcard is None:
        location = open_location(name)
        if location.system.get_file_info(location.path).type != fs.FileType.File:
            return location, "**/*.parquet"
        folder, _, file = location.path.rpartition("/")
        return Location(location.system, folder or "/", name.rpartition("/")[0] or "."), escaped(file)
    pattern, question_mark, query = name.partition("?") if is_uri(name) else (name, "", "")
    start = pattern.rfind("/", 0, wildcard) + 1
    folder = pattern[:start] if pattern[:start] == "/" else pattern[: max(0, start - 1)]
    return open_location(folder + question_mark + query if folder else "."), pattern[start:]


def open_input(location: Location, name: str) -> Any:
    """Open a file for reading at any place, as a `pyarrow.NativeFile`."""
    return location.system.open_input_file(location.join(name))
