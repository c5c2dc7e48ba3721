"""Checked reading of a safetensors file: `u64` length of the header, the header in JSON, the tensors' bytes.

The file is untrusted: the header is compared with the size of the file and with the tensors that the model needs before
a tensor is made. The file is read, not memory-mapped: a mapped file that is overwritten in place would change
predictions, or end the process with SIGBUS.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from stepscan.definitions.definition import Tensor, Tensors
from stepscan.errors import ModelFormatError, shown
from stepscan.hardware import available_memory
from stepscan.storage.snapshot import Snapshot
from stepscan.untrusted_input import parse_json, sniff

# NumPy has no bfloat16, the upper half of a float32: it is stored as uint16, which no other dtype uses.
DTYPES: dict[str, Any] = {
    **{"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16},
    **{"I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_},
}
SMALLER = {"float32": (), "bfloat16": ("BF16",), "int8": ("BF16", "I8")}  # weights → dtypes allowed in place of F32
_LONGEST_HEADER = 2**22  # bytes
_MOST_DIMENSIONS = 8
_BLOCK = 2**17  # elements that are checked together


class _Entry(NamedTuple):
    """A tensor's entry in the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int  # byte, counted from the end of the header
    end: int


def read_tensors(folder: Snapshot, name: str, needed: Tensors | None, weights: str) -> dict[str, np.ndarray]:
    """Read the tensors of a file as read-only views of its bytes, BF16 as uint16.

    Args:
        folder, name: the file.
        needed: the tensors that the file must have; None if the caller checks them.
        weights: `bfloat16` or `int8` allow smaller dtypes in place of F32: BF16; or, for a matrix, I8 with one F32
            scale per row in the tensor `NAME.scale`.

    Raises:
        ModelFormatError: the file is broken, has other tensors than those needed, or values that are not finite.
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
    """Write a file that `read_tensors` reads; an array of uint16 is BF16, which safetensors.numpy does not support."""
    names = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
    header, offset = {}, 0
    arrays = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))  # keeps all aligned
    for name, array in arrays:
        header[name] = {
            "dtype": names[array.dtype],
            "shape": array.shape,
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    header_bytes = json.dumps(header).encode()
    header_bytes += b" " * (-len(header_bytes) % 8)
    with path.open("wb") as file:
        file.write(len(header_bytes).to_bytes(8, "little") + header_bytes)
        for _, array in arrays:
            file.write(np.ascontiguousarray(array).tobytes())


def expanded(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors with bfloat16 (uint16) converted to float32, and int8 multiplied by `NAME.scale`."""
    scaled = {name for name in tensors if f"{name}.scale" in tensors and tensors[name].dtype == np.int8}
    scales = {f"{name}.scale" for name in scaled}
    arrays = {}
    for name, array in tensors.items():
        if name in scaled:
            arrays[name] = array * tensors[f"{name}.scale"][:, None]
        elif array.dtype == np.uint16:
            arrays[name] = (array.astype(np.uint32) << 16).view(np.float32)
        elif name not in scales:
            arrays[name] = array
    return arrays


# The header -----------------------------------------------------------------------------------------------------------


def _read_header(path: Path, file: BinaryIO, size: int) -> tuple[int, list[_Entry]]:
    """The offset of the tensors' bytes, and the entries in the order of their offsets."""
    head = file.read(9)
    length = int.from_bytes(head[:8], "little")
    if size < 10 or length > min(size - 8, _LONGEST_HEADER) or head[8:9] != b"{":
        raise ModelFormatError(f"{path} is not a safetensors file: {_diagnose(file, size, head, length)}")
    raw = head[8:] + file.read(length - 1)
    try:
        header = parse_json(raw.decode(), f"the header of {path}")
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"the header of {path} is not UTF-8: {error}") from None
    if not isinstance(header, dict):
        raise ModelFormatError(f"the header of {path}: expected an object, got {shown(header)}")
    _check_metadata(path, header.pop("__metadata__", {}))
    entries = sorted((_entry(path, *item) for item in header.items()), key=lambda entry: (entry.begin, entry.end))
    _check_layout(path, entries, size - 8 - length)
    return 8 + length, entries


def _diagnose(file: BinaryIO, size: int, head: bytes, length: int) -> str:
    if size < 10:
        return f"it has {size} bytes"
    file.seek(0)
    if description := sniff(file.read(64)):
        return description
    if length > _LONGEST_HEADER:
        return f"expected a header of at most {_LONGEST_HEADER:,} bytes, got a length of {length:,}"
    if length > size - 8:
        return f"expected a header of {length:,} bytes, got {size - 8:,}"
    return f"expected a header that begins with {{, got {head[8:9]!r}"


def _check_metadata(path: Path, metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ModelFormatError(f"the header of {path}: __metadata__: expected strings by name, got {shown(metadata)}")


def _entry(path: Path, name: str, fields: Any) -> _Entry:
    where = f"{path}: {shown(name)}"
    if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise ModelFormatError(f"{where}: expected dtype, shape and data_offsets, got {shown(fields)}")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ModelFormatError(f"{where}: dtype: expected one of {', '.join(DTYPES)}, got {shown(dtype)}")
    if not _are_sizes(shape) or len(shape) > _MOST_DIMENSIONS:
        raise ModelFormatError(f"{where}: shape: expected at most {_MOST_DIMENSIONS} whole numbers, got {shown(shape)}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ModelFormatError(f"{where}: data_offsets: expected the first byte and the end, got {shown(offsets)}")
    begin, end = offsets
    if math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize != end - begin:
        raise ModelFormatError(f"{where}: data_offsets: expected the bytes of {dtype} {shape}, got {offsets}")
    return _Entry(name, dtype, tuple(shape), begin, end)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _check_layout(path: Path, entries: list[_Entry], size: int) -> None:
    """Raise unless the tensors cover the `size` bytes after the header exactly once."""
    offset, previous = 0, "the header"
    for entry in entries:
        if entry.begin != offset:
            problem = "overlaps" if entry.begin < offset else "leaves a hole after"
            raise ModelFormatError(
                f"{path}: {shown(entry.name)}: data_offsets: expected byte {offset}, got {entry.begin}, which "
                f"{problem} {previous}"
            )
        offset, previous = entry.end, shown(entry.name)
    if offset != size:
        problem = "the file is truncated" if size < offset else "other data follow the tensors"
        raise ModelFormatError(f"{path}: expected {offset:,} bytes of tensors, got {size:,}: {problem}")


# Against the model ----------------------------------------------------------------------------------------------------


def _check_fit(path: Path, entries: dict[str, _Entry], needed: Tensors, weights: str) -> None:
    unmatched = dict(entries)
    for name, tensor in needed.items():
        entry = unmatched.pop(name, None)
        if entry is None:
            raise ModelFormatError(f"{path} does not fit config.json: {name} is missing")
        for scale in _check_entry(path, entry, tensor, weights):
            stored = unmatched.pop(scale, None)
            if stored is None or (stored.dtype, stored.shape) != ("F32", entry.shape[:1]):
                raise ModelFormatError(f"{path}: {scale}: expected F32 {list(entry.shape[:1])} for the int8 {name}")
    if unmatched:
        raise ModelFormatError(f"{path} does not fit config.json: unexpected {shown(next(iter(unmatched)))}")


def _check_entry(path: Path, entry: _Entry, needed: Tensor, weights: str) -> Iterator[str]:
    """Raise unless the entry is the needed tensor or a smaller one; yields the name of the scales of an int8."""
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
        raise ModelFormatError(f"{path}: expected at most {available:,} bytes, which are free in memory, got {size:,}")


# The values -----------------------------------------------------------------------------------------------------------


def _view(content: Any, start: int, entry: _Entry) -> np.ndarray:
    dtype, count = DTYPES[entry.dtype], math.prod(entry.shape)
    if not count:
        return np.zeros(entry.shape, dtype)
    array = np.frombuffer(content, dtype, count, start + entry.begin).reshape(entry.shape)
    if not array.flags.aligned:  # only in files that another program than safetensors wrote
        array = array.copy()
        array.flags.writeable = False
    return array


def _check_values(path: Path, entry: _Entry, tensors: Mapping[str, np.ndarray]) -> None:
    """Raise if a value is not finite, a scale times an int8 could overflow, or a boolean is neither 0 nor 1."""
    flat = tensors[entry.name].reshape(-1)
    blocks = (flat[first : first + _BLOCK] for first in range(0, len(flat), _BLOCK))
    is_scale = entry.name.endswith(".scale") and entry.name.removesuffix(".scale") in tensors
    with np.errstate(over="ignore"):
        if entry.dtype == "BF16":
            is_finite = all((block & 0x7F80 != 0x7F80).all() for block in blocks)
        elif entry.dtype == "BOOL":
            is_finite = bool((flat.view(np.uint8) <= 1).all())
        elif is_scale:
            is_finite = bool(np.isfinite(flat * flat.dtype.type(128)).all())
        else:
            is_finite = flat.dtype.kind != "f" or all(np.isfinite(block).all() for block in blocks)
    if not is_finite:
        raise ModelFormatError(f"{path}: {entry.name}: expected finite values, got others")
