"""A run's plan: which rows of which files make a part, and what its results depend on.

A part is at most `rows_per_part` consecutive rows of one file, whatever the number of workers; it becomes one file of
the output, `NAME-000000000001.parquet`, with the number of its first row. Its metadata say which plan it belongs to, so
that a file and what is known of it are written at once.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

from pyarrow import ArrowException, fs
from pyarrow.parquet import ParquetFile

from stepscan.distributed.locations import TEMPORARY, Location, find_files, open_input
from stepscan.errors import DataError, StepscanError
from stepscan.json_text import json_text

ROWS_PER_PART = 65_536
PLAN = "_stepscan.json"
_READERS = 16  # files whose ends are read at a time
_SHOWN = 3  # names in a message


class InputFile(NamedTuple):
    """A file of the input, and by what a changed one is recognised."""

    name: str  # relative to the folder of the pattern
    rows: int
    size: int  # bytes
    modified: int  # nanoseconds since 1970; 0 if the file system does not tell
    footer: str  # hash of the metadata at its end, which has the place, size and statistics of each column


class Part(NamedTuple):
    """Consecutive rows of a file."""

    file: str
    first: int  # number of the first row, from 1
    rows: int

    @property
    def name(self) -> str:
        """The file of the output."""
        return f"{self.file.removesuffix('.parquet')}-{self.first:012d}.parquet"


@dataclass(frozen=True)
class Plan:
    """What a run does: the same plan gives the same files.

    Attributes:
        model, settings: see `RowPredictor.fingerprint`.
        rows_per_part: rows of a part, at most.
        skips: whether bad rows are skipped.
        files: the input.
    """

    model: str
    settings: str
    rows_per_part: int
    skips: bool
    files: list[InputFile]

    @cached_property
    def fingerprint(self) -> str:
        """A hash over all of it."""
        return hashlib.blake2b(json_text(asdict(self)).encode(), digest_size=16).hexdigest()

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)

    def parts(self) -> Iterator[Part]:
        """The parts, in the order of files and rows."""
        for file in self.files:
            for first in range(0, file.rows, self.rows_per_part):
                yield Part(file.name, first + 1, min(self.rows_per_part, file.rows - first))

    def to_json(self, **more: Any) -> bytes:
        """The content of the file `PLAN`."""
        content = {**asdict(self), "files": [file._asdict() for file in self.files]}
        return json_text({"format": 1, **content, **more}, indent=1).encode()

    @classmethod
    def parse(cls, text: bytes, path: str) -> Plan:
        """The plan of an earlier run.

        Raises:
            StepscanError: it is not one.
        """
        try:
            content = json.loads(text)
            files = [InputFile(**file) for file in content["files"]]
            names = ("model", "settings", "rows_per_part", "skips")
            return cls(**{name: content[name] for name in names}, files=files)
        except (ValueError, TypeError, KeyError):
            raise StepscanError(f"{path}: expected the plan of an earlier run, got something else") from None

    def difference(self, other: Plan) -> str:
        """What an earlier run, `self`, had otherwise than `other`; empty if nothing."""
        mine, theirs = ({file.name: file for file in plan.files} for plan in (self, other))
        changed = [name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name]]
        differences = {
            "another model": [""] * (self.model != other.model),
            "other settings: ": _changed_settings(self.settings, other.settings),
            "another treatment of bad rows (--skip-bad-lines)": [""] * (self.skips != other.skips),
            "--rows-per-part ": [str(self.rows_per_part)] * (self.rows_per_part != other.rows_per_part),
            "other content in ": changed,
            "without ": list(theirs.keys() - mine.keys()),
            "also ": list(mine.keys() - theirs.keys()),
        }
        for what, which in differences.items():
            if which:
                return f"{what}{', '.join(sorted(which)[:_SHOWN])}{' …' * (len(which) > _SHOWN)}"
        return ""


def _changed_settings(mine: str, theirs: str) -> list[str]:
    """The settings, in JSON, of which one has another value."""
    a, b = json.loads(mine), json.loads(theirs)
    return [f"{name} {a.get(name)} (not {b.get(name)})" for name in a.keys() | b.keys() if a.get(name) != b.get(name)]


def make_plan(fingerprint: dict[str, str], pattern: str, rows_per_part: int, skips: bool) -> tuple[Location, Plan]:
    """The folder of the input, and what to do with the files.

    Raises:
        DataError: there are no files, one is not Parquet or not whole yet, there are no rows, or two files have one
            name.
        SettingsError: there is no such file system.
    """
    location, found = find_files(pattern)
    with ThreadPoolExecutor(_READERS) as pool:
        files = list(pool.map(lambda item: _describe(location, *item), found.items()))
    plan = Plan(**fingerprint, rows_per_part=rows_per_part, skips=skips, files=files)
    if not plan.rows:
        raise DataError("expected files with rows, got only empty ones.", path=pattern)
    if twice := [name for name, count in Counter(part.name for part in plan.parts()).items() if count > 1]:
        raise DataError(f"two files would be written to {twice[0]}; rename one.", path=pattern)
    if lost := [file.name for file in files if file.name.startswith(f"{TEMPORARY}/")]:
        reason = f"expected files outside of {TEMPORARY}, where files are that are not whole yet, got {lost[0]}."
        raise DataError(reason, path=pattern, hint="If they are whole, move them.")
    return location, plan


def _describe(location: Location, name: str, info: fs.FileInfo) -> InputFile:
    try:
        with open_input(location, name) as stream, ParquetFile(stream) as file:
            size = stream.size()
            stream.seek(size - 8)
            stream.seek(size - 8 - int.from_bytes(stream.read(4), "little"))
            digest = hashlib.blake2b(stream.read(), digest_size=16).hexdigest()
            return InputFile(name, file.metadata.num_rows, size, info.mtime_ns or 0, digest)
    except (OSError, ArrowException) as error:
        reason = f"expected a Parquet file, got an error: {str(error).strip().splitlines()[0].rstrip('.')}."
        raise DataError(reason, path=location.shown(name)) from error
