"""Labelled texts on disk, tokenised once and read by index, so that data may be larger than memory.

A cache is a folder `FOLDER/<fingerprint>` of `ids.bin` (the ids of all texts, one after the other: uint16 or uint32),
`ends.bin` (int64: where each text ends), `labels.bin` (int32), `tokenizer.json`, `held_out.json` and, last,
`manifest.json`, with the SHA-256 of the others. It is written under a temporary name and renamed; a second process that
needs it waits for the first. Another file, tokenizer, option of reading or version of Stepscan has another fingerprint,
and so a cache of its own.

All files are hashed when a cache is opened: damaged ids would train a wrong model without a word. It costs less than
the hash of the texts themselves, by which the cache is found.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stepscan.errors import DataError, StepscanError
from stepscan.json_text import json_text
from stepscan.storage.atomic import sync
from stepscan.storage.snapshot import digest
from stepscan.untrusted_input import parse_json

VERSION = 2
_PORTION = 2048  # texts that are encoded at a time
_IDS, _ENDS, _LABELS, _TOKENIZER, _HELD_OUT, _MANIFEST = (
    *("ids.bin", "ends.bin", "labels.bin"),
    *("tokenizer.json", "held_out.json", "manifest.json"),
)


class Tokenizer(Protocol):
    """What a cache needs of a tokenizer."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""

    def to_json(self) -> str:
        """The content of its file."""

    def __len__(self) -> int: ...


@dataclass
class CachedTexts:
    """Texts in a cache.

    Attributes:
        ids, ends, labels: memory-mapped.
        classes: the class of each number in `labels`.
        counts: texts of each class.
        longest: ids of the longest text.
        tokenizer: its file's content.
        held_out: texts and classes for validation, that are not among the others.
        skipped: a report of the bad lines that were left out; empty if there were none.
        fingerprint: of all that the cache depends on.
    """

    ids: np.ndarray
    ends: np.ndarray
    labels: np.ndarray
    classes: list[Any]
    counts: list[int]
    longest: int
    tokenizer: str
    held_out: list[tuple[str, Any]]
    skipped: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def tokens(self) -> int:
        """Ids of all texts together."""
        return len(self.ids)

    def lengths(self, indices: np.ndarray) -> np.ndarray:
        """The number of ids of some texts."""
        return self.ends[indices] - self._starts(indices)

    def padded(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ids of some texts, padded with zeros, `[B, T]` int64, and their lengths `[B]`."""
        starts = self._starts(indices)
        lengths = self.ends[indices] - starts
        steps = np.arange(lengths.max(initial=0))
        mask = steps < lengths[:, None]
        data = np.zeros(mask.shape, dtype=np.int64)
        data[mask] = self.ids[(starts[:, None] + steps)[mask]]
        return data, lengths

    def _starts(self, indices: np.ndarray) -> np.ndarray:
        return np.where(indices > 0, self.ends[np.maximum(indices, 1) - 1], 0)


def cached_texts(
    folder: str | Path,
    fingerprint: str,
    read: Callable[[], Iterable[tuple[str, Any]]],
    make_tokenizer: Callable[[Iterator[str]], Tokenizer],
    *,
    holds_out: bool,
    skipped: Callable[[], str] = str,
) -> CachedTexts:
    """Open the cache of these texts, or make it, in three passes over them.

    Args:
        folder: of all caches.
        fingerprint: of all that the texts and their ids depend on.
        read: the texts and their classes, from the beginning.
        make_tokenizer: a tokenizer for texts.
        holds_out: whether some texts are held out; see `HeldOut`.
        skipped: after the first pass, a report of the bad lines that were left out.

    Raises:
        StepscanError: the cache cannot be written or read.
        DataError: it is damaged, or there are too few texts or classes.
    """
    target = Path(folder) / fingerprint
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(f".{target.name}.lock")):
            if not target.exists():
                _make(target, read, make_tokenizer, skipped, holds_out=holds_out)
    except OSError as error:
        raise StepscanError(f"the cache {target} cannot be written: {error.strerror or error}") from error
    return _open(target)


class HeldOut:
    """Which texts are held out for validation: a tenth, at most 20,000 different ones, chosen by a hash of the text, so
    that copies of a text are on the same side, and the choice is the same on every machine."""

    MOST = 20_000

    def __init__(self, texts: Iterable[str]) -> None:
        hashes: set[int] = set()  # the smallest ones
        bound = 2**64
        for text in texts:
            number = self._hash(text)
            if number < bound:
                hashes.add(number)
            if len(hashes) > 2 * self.MOST:
                hashes = set(sorted(hashes)[: self.MOST])
                bound = max(hashes)
        if len(hashes) < 2:
            raise StepscanError("one text cannot be split into training and validation data; give more, or --valid")
        # The number of different texts; where not all hashes are kept, by the largest (Bar-Yossef et al. 2002).
        different = len(hashes) if bound == 2**64 else len(hashes) * 2**64 // max(hashes)
        self.bound = sorted(hashes)[max(1, min(self.MOST, different // 10)) - 1]

    def __call__(self, text: str) -> bool:
        """Whether a text is held out."""
        return self._hash(text) <= self.bound

    @staticmethod
    def _hash(text: str) -> int:
        return int.from_bytes(hashlib.blake2b(text.strip().encode(), digest_size=8).digest(), "little")


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Wait for the lock of a cache, and hold it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make(
    target: Path,
    read: Callable[[], Iterable[tuple[str, Any]]],
    make_tokenizer: Callable[[Iterator[str]], Tokenizer],
    skipped: Callable[[], str],
    *,
    holds_out: bool,
) -> None:
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed: this one has the lock
    temporary.mkdir()
    try:
        is_held_out = HeldOut(text for text, _ in read()) if holds_out else lambda text: False
        report = skipped() if holds_out else ""
        counts: Counter[Any] = Counter()

        def training_texts() -> Iterator[str]:
            for text, label in read():
                if not is_held_out(text):
                    counts[label] += 1
                    yield text

        tokenizer = make_tokenizer(training_texts())
        if not counts:  # a tokenizer that needs no texts
            for _ in training_texts():
                pass
        report = report or skipped()
        classes = sorted(counts)
        facts = _write_ids(temporary, read(), tokenizer, classes, is_held_out)
        facts |= {"classes": classes, "counts": [counts[label] for label in classes], "skipped": report}
        (temporary / _TOKENIZER).write_text(tokenizer.to_json(), "utf-8")
        files = {path.name: digest(path) for path in sorted(temporary.iterdir())}
        manifest = {"version": VERSION, "fingerprint": target.name, **facts, "sha256": files}
        (temporary / _MANIFEST).write_text(json_text(manifest), "utf-8")
        for path in temporary.iterdir():
            sync(path)
        temporary.rename(target)
        sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_ids(
    folder: Path,
    examples: Iterable[tuple[str, Any]],
    tokenizer: Tokenizer,
    classes: list[Any],
    is_held_out: Callable[[str], bool],
) -> dict[str, Any]:
    """Write the ids and labels, and the texts held out; returns figures for the manifest."""
    number = {label: index for index, label in enumerate(classes)}
    dtype = np.dtype(np.uint16 if len(tokenizer) <= 2**16 else np.uint32)
    held_out: list[tuple[str, Any]] = []
    end, longest, count, iterator = 0, 0, 0, iter(examples)
    with contextlib.ExitStack() as stack:
        ids, ends, labels = (stack.enter_context((folder / name).open("wb")) for name in (_IDS, _ENDS, _LABELS))
        while portion := list(itertools.islice(iterator, _PORTION)):
            kept: list[tuple[str, Any]] = []
            for text, label in portion:
                (held_out if is_held_out(text) else kept).append((text, label))
            rows = tokenizer.encode_batch([text for text, _ in kept])
            lengths = np.array([len(row) for row in rows], dtype=np.int64)
            ids.write(np.array([token for row in rows for token in row], dtype=dtype).tobytes())
            ends.write((end + lengths.cumsum()).tobytes())
            labels.write(np.array([number[label] for _, label in kept], dtype=np.int32).tobytes())
            end, count = end + int(lengths.sum()), count + len(kept)
            longest = max(longest, int(lengths.max(initial=0)))
    (folder / _HELD_OUT).write_text(json_text(held_out), "utf-8")
    return {"texts": count, "tokens": end, "longest": longest, "dtype": dtype.name}


def _open(folder: Path) -> CachedTexts:
    try:
        manifest: Any = parse_json((folder / _MANIFEST).read_text("utf-8"), _MANIFEST)
        for name, expected in manifest["sha256"].items():
            if digest(folder / name) != expected:
                raise DataError(f"{name} is not the file that was written, by its SHA-256.", path=folder)
        held_out = [(text, label) for text, label in json.loads((folder / _HELD_OUT).read_text("utf-8"))]
        return CachedTexts(
            ids=_mapped(folder / _IDS, manifest["dtype"]),
            ends=_mapped(folder / _ENDS, "int64"),
            labels=_mapped(folder / _LABELS, "int32"),
            **{name: manifest[name] for name in ("classes", "counts", "longest", "skipped", "fingerprint")},
            tokenizer=(folder / _TOKENIZER).read_text("utf-8"),
            held_out=held_out,
        )
    except (OSError, ValueError, KeyError, TypeError, DataError) as error:
        raise DataError(f"the cache is damaged: {error}", path=folder, hint="Remove it; it is made anew.") from error


def _mapped(path: Path, dtype: str) -> np.ndarray:
    if not path.stat().st_size:
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r").view(np.ndarray)  # whose slices cost less
