"""A safetensors file, checked: `u64` length of the header, the header in JSON, the tensors' bytes.

Nothing in it is believed: all that the header says is held against the size of the file and against what the model
needs before a tensor is made. It is read, not mapped: a mapped file that is written in place changes answers, or ends
the process with SIGBUS.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from stepscan.errors import ModelFormatError
from stepscan.machine import available_memory
from stepscan.runtime.outline import Tensor, Tensors, shown
from stepscan.runtime.snapshot import Snapshot
from stepscan.runtime.untrusted import disguise, parsed

# A bfloat16 is the upper half of a float32; NumPy has none, so it stands in an array of uint16, as no other does.
DTYPES: dict[str, Any] = {
    **{"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16},
    **{"I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_},
}
SMALLER = {"float32": (), "bfloat16": ("BF16",), "int8": ("BF16", "I8")}  # what may stand for F32
_LONGEST_HEADER = 2**22  # bytes
_MOST_DIMENSIONS = 8
_BLOCK = 2**17  # numbers that are looked at together


class _Entry(NamedTuple):
    """A tensor as the header tells."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int  # byte, counted from the end of the header
    end: int


def read_tensors(folder: Snapshot, name: str, needed: Tensors | None, weights: str) -> dict[str, np.ndarray]:
    """The tensors of a file: read-only views of its bytes, BF16 as uint16.

    Args:
        folder, name: the file.
        needed: all that must be there; None if whoever reads them sees to that.
        weights: `bfloat16` or `int8` allow smaller ones in place of those of float32: BF16; or, for a matrix, I8 with
            one F32 scale a row beside it, under its name and `.scale`.

    Raises:
        ModelFormatError: the file is broken, is not what is needed, or has numbers that are not finite.
    """
    path = folder.path / name
    with folder.open(name) as (file, size):
        start, entries = _read_header(path, file, size)
        if needed is not None:
            _check_fit(path, {entry.name: entry for entry in entries}, needed, weights)
        _check_memory(path, size)
        content = folder.content(name, file, size)
    tensors = {entry.name: _view(content, start, entry) for entry in entries}
    for entry in entries:
        _check_values(path, entry, tensors)
    return tensors


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write a file that `read_tensors` reads; an array of uint16 is BF16, which safetensors' own NumPy side has not."""
    names = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
    header, place = {}, 0
    arrays = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))  # so that all are aligned
    for name, array in arrays:
        header[name] = {
            "dtype": names[array.dtype],
            "shape": array.shape,
            "data_offsets": [place, place + array.nbytes],
        }
        place += array.nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for _, array in arrays:
            file.write(np.ascontiguousarray(array).tobytes())


def expanded(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors with bfloat16 (an array of uint16) as float32, and int8 beside `NAME.scale` as their product."""
    scaled = {name for name in tensors if f"{name}.scale" in tensors and tensors[name].dtype == np.int8}
    scales = {f"{name}.scale" for name in scaled}
    found = {}
    for name, array in tensors.items():
        if name in scaled:
            found[name] = array * tensors[f"{name}.scale"][:, None]
        elif array.dtype == np.uint16:
            found[name] = (array.astype(np.uint32) << 16).view(np.float32)
        elif name not in scales:
            found[name] = array
    return found


# The header -----------------------------------------------------------------------------------------------------------


def _read_header(path: Path, file: BinaryIO, size: int) -> tuple[int, list[_Entry]]:
    """Where the tensors' bytes begin, and the tensors in their order there."""
    head = file.read(9)
    length = int.from_bytes(head[:8], "little")
    if size < 10 or length > min(size - 8, _LONGEST_HEADER) or head[8:9] != b"{":
        raise ModelFormatError(f"{path} is no safetensors file: {_what_instead(file, size, head, length)}")
    raw = head[8:] + file.read(length - 1)
    try:
        header = parsed(raw.decode(), f"the header of {path}")
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"the header of {path} is not UTF-8: {error}") from None
    if not isinstance(header, dict):
        raise ModelFormatError(f"the header of {path} is not an object")
    _check_metadata(path, header.pop("__metadata__", {}))
    entries = sorted((_entry(path, *item) for item in header.items()), key=lambda entry: (entry.begin, entry.end))
    _check_layout(path, entries, size - 8 - length)
    return 8 + length, entries


def _what_instead(file: BinaryIO, size: int, head: bytes, length: int) -> str:
    if size < 10:
        return f"it has {size} bytes"
    file.seek(0)
    if found := disguise(file.read(64)):
        return found
    if length > _LONGEST_HEADER:
        return f"its header would have {length:,} bytes, more than any model's"
    if length > size - 8:
        return f"its header should have {length:,} bytes, but {size - 8:,} are left in it"
    return f"its header begins with {head[8:9]!r}, not with {{"


def _check_metadata(path: Path, metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ModelFormatError(f"the header of {path}: __metadata__: expected strings by name, got {shown(metadata)}")


def _entry(path: Path, name: str, said: Any) -> _Entry:
    where = f"{path}: {shown(name)}"
    if not isinstance(said, dict) or set(said) != {"dtype", "shape", "data_offsets"}:
        raise ModelFormatError(f"{where}: expected dtype, shape and data_offsets, got {shown(said)}")
    dtype, shape, offsets = said["dtype"], said["shape"], said["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ModelFormatError(f"{where}: dtype: expected one of {', '.join(DTYPES)}, got {shown(dtype)}")
    if not _are_counts(shape) or len(shape) > _MOST_DIMENSIONS:
        raise ModelFormatError(f"{where}: shape: expected at most {_MOST_DIMENSIONS} whole numbers, got {shown(shape)}")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise ModelFormatError(f"{where}: data_offsets: expected the first byte and the end, got {shown(offsets)}")
    begin, end = offsets
    if math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize != end - begin:
        raise ModelFormatError(f"{where}: data_offsets: {offsets} do not hold {dtype} {shape}")
    return _Entry(name, dtype, tuple(shape), begin, end)


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _check_layout(path: Path, entries: list[_Entry], size: int) -> None:
    """Raise unless the tensors cover the `size` bytes after the header, each once."""
    place, before = 0, "the header"
    for entry in entries:
        if entry.begin != place:
            what = "overlaps" if entry.begin < place else "leaves a hole after"
            raise ModelFormatError(
                f"{path}: {shown(entry.name)}: data_offsets: it begins at byte {entry.begin}, which {what} {before}; "
                f"expected {place}"
            )
        place, before = entry.end, shown(entry.name)
    if place != size:
        what = "it is cut off" if size < place else "something follows them"
        raise ModelFormatError(f"{path}: its tensors take {place:,} bytes, but after the header are {size:,}: {what}")


# Against the model ----------------------------------------------------------------------------------------------------


def _check_fit(path: Path, found: dict[str, _Entry], needed: Tensors, weights: str) -> None:
    unmatched = dict(found)
    for name, tensor in needed.items():
        entry = unmatched.pop(name, None)
        if entry is None:
            raise ModelFormatError(f"{path} does not fit config.json: {name} is missing")
        for scale in _check_entry(path, entry, tensor, weights):
            stored = unmatched.pop(scale, None)
            if stored is None or (stored.dtype, stored.shape) != ("F32", entry.shape[:1]):
                raise ModelFormatError(f"{path}: {scale}: expected F32 {list(entry.shape[:1])} beside the int8 {name}")
    if unmatched:
        raise ModelFormatError(f"{path} does not fit config.json: nothing needs {shown(next(iter(unmatched)))}")


def _check_entry(path: Path, entry: _Entry, needed: Tensor, weights: str) -> Iterator[str]:
    """Raise unless it is the tensor needed, or may stand for it; gives the name of the scales that it then needs."""
    smaller = SMALLER[weights] if needed.dtype == "F32" else ()
    if len(needed.shape) != 2:
        smaller = tuple(dtype for dtype in smaller if dtype != "I8")
    if entry.shape != needed.shape or entry.dtype not in (needed.dtype, *smaller):
        raise ModelFormatError(
            f"{path} does not fit config.json: {entry.name}: expected {' or '.join((needed.dtype, *smaller))} "
            f"{list(needed.shape)}, got {entry.dtype} {list(entry.shape)}"
        )
    if entry.dtype == "I8" and needed.dtype == "F32":
        yield f"{entry.name}.scale"


def _check_memory(path: Path, size: int) -> None:
    available = available_memory() if size >= 2**28 else None
    if available is not None and size > available:
        raise ModelFormatError(f"{path} has {size:,} bytes, but only {available:,} of memory are free")


# The values -----------------------------------------------------------------------------------------------------------


def _view(content: Any, start: int, entry: _Entry) -> np.ndarray:
    dtype, count = DTYPES[entry.dtype], math.prod(entry.shape)
    if not count:
        return np.zeros(entry.shape, dtype)
    array = np.frombuffer(content, dtype, count, start + entry.begin).reshape(entry.shape)
    if not array.flags.aligned:  # only where something else than safetensors wrote the file
        array = array.copy()
        array.flags.writeable = False
    return array


def _check_values(path: Path, entry: _Entry, tensors: Mapping[str, np.ndarray]) -> None:
    """Raise if a number is not finite, a scale times an int8 would not be, or a truth value is neither 0 nor 1."""
    flat = tensors[entry.name].reshape(-1)
    blocks = (flat[first : first + _BLOCK] for first in range(0, len(flat), _BLOCK))
    is_scale = entry.name.endswith(".scale") and entry.name.removesuffix(".scale") in tensors
    with np.errstate(over="ignore"):
        if entry.dtype == "BF16":
            fine = all((block & 0x7F80 != 0x7F80).all() for block in blocks)
        elif entry.dtype == "BOOL":
            fine = bool((flat.view(np.uint8) <= 1).all())
        elif is_scale:
            fine = bool(np.isfinite(flat * flat.dtype.type(128)).all())
        else:
            fine = flat.dtype.kind != "f" or all(np.isfinite(block).all() for block in blocks)
    if not fine:
        raise ModelFormatError(f"{path}: {entry.name} has values that are no finite numbers")
