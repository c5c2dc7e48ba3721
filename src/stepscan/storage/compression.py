"""Compression of a model folder: weight matrices in bfloat16 or int8.

bfloat16 is the upper half of a float32, rounded to the nearest. int8 is `round(w · 127 / max |row|)` with one float32
scale per row. Vectors (biases, gains) and a CRF's scores stay in float32. The wide part is in bfloat16 in both cases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stepscan.backends.native_arrays import Array
from stepscan.errors import ModelFormatError, SettingsError, nearest
from stepscan.storage.atomic import atomic_write, check_writable
from stepscan.storage.configuration import CARD, CONFIG, FILES, LARGEST, WEIGHTS, WIDE, read_config, write_config
from stepscan.storage.folder import read_snapshot
from stepscan.storage.snapshot import Snapshot, read_at_once
from stepscan.storage.tensor_file import write_tensors
from stepscan.storage.wide_part import wide_tensors
from stepscan.wide.model import WideModel

SMALLER = ("bfloat16", "int8")
_COMPRESSED = (WEIGHTS, WIDE)  # files


def compress(path: str | Path, weights: str, out: str | Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Write a model folder with smaller weights.

    Args:
        path: a model folder that is not compressed.
        weights: `bfloat16` or `int8`.
        out: the folder to write.
        overwrite: whether a model at `out` is replaced.

    Returns:
        `weights`, and the size of the weight files in bytes, `before` and `after`.

    Raises:
        SettingsError: `weights` is unknown, or the folder is compressed already.
        ModelFormatError: it is not a model folder, or a file is a link out of it.
        StepscanError: `out` cannot be written.
    """
    if weights not in SMALLER:
        raise SettingsError(f"weights: expected {' or '.join(SMALLER)}, got {weights!r}.{nearest(weights, SMALLER)}")
    check_writable(out, overwrite=overwrite)
    path = Path(path)
    _check_links(path)
    config, files, tensors, wide = read_at_once(path, _read_model)
    if config.get("weights", "float32") != "float32":
        raise SettingsError(
            f"{path}: expected float32 weights, got {config['weights']}; compress the folder that it was made from"
        )

    def write(target: Path) -> None:
        for name, content in files.items():
            if name not in (CONFIG, WEIGHTS, WIDE):
                (target / name).write_bytes(content)
        write_tensors(target / WEIGHTS, compress_tensors(tensors, weights))
        if wide is not None:
            write_tensors(target / WIDE, compress_tensors(wide_tensors(wide), "bfloat16"))
        write_config(target, config | {"weights": weights})

    atomic_write(out, write, overwrite=overwrite)
    before = sum(len(files[name]) for name in _COMPRESSED if name in files)
    after = sum((Path(out) / name).stat().st_size for name in _COMPRESSED if name in files)
    return {"weights": weights, "before": before, "after": after}


def _read_model(folder: Snapshot) -> tuple[dict[str, Any], dict[str, Any], dict[str, Array], WideModel | None]:
    """The configuration, all known files, the tensors and the wide part of a model."""
    model = read_snapshot(folder)
    if folder.has(CARD):
        folder.text(CARD, LARGEST)
    return read_config(folder), folder.files, model.tensors, model.wide


def _check_links(path: Path) -> None:
    """Raise if a file is a link out of the folder: its content would be copied unnoticed into what may be published."""
    for name in FILES:
        target = (path / name).resolve()
        if (path / name).is_symlink() and target.parent != path.resolve():
            raise ModelFormatError(
                f"{path / name} is a link to {target}, outside of the model folder, and its content would be copied "
                f"into the new one. If that is intended, copy the folder with its content first: cp -rL {path} COPY"
            )


def compress_tensors(tensors: dict[str, Array], weights: str) -> dict[str, Array]:
    """The tensors with their weight matrices as bfloat16 (in uint16), or as int8 with `NAME.scale`."""
    compressed = {}
    for name, array in tensors.items():
        is_matrix = array.ndim == 2 and array.dtype == np.float32 and name.rpartition(".")[2].startswith("weight")
        if not is_matrix:
            compressed[name] = array
        elif weights == "bfloat16":
            compressed[name] = _bfloat16(array)
        else:
            compressed[name], compressed[f"{name}.scale"] = _int8(array)
    return compressed


def _bfloat16(array: Array) -> Array:
    bits = np.ascontiguousarray(array).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16  # to nearest, ties to even
    largest = 0x7F7F | ((bits >> 16) & 0x8000)  # saturates instead of becoming infinite
    return np.where(rounded & 0x7F80 == 0x7F80, largest, rounded).astype(np.uint16)


def _int8(array: Array) -> tuple[Array, Array]:
    largest = np.abs(array).max(axis=1, initial=0)
    scale = (largest / np.float32(127)).astype(np.float32)
    codes = np.rint(array / np.where(scale > 0, scale, np.float32(1))[:, None])
    return np.clip(codes, -127, 127).astype(np.int8), scale
