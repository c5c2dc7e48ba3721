"""Smaller weights: a model folder out of another, its matrices in bfloat16 or int8.

bfloat16 is the upper half of a float32, rounded to the nearest. int8 is `round(w · 127 / max |row|)` beside one float32
scale a row. Vectors (biases, gains) and what a CRF knows stay as they are. The wide part is in bfloat16 either way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stepscan.errors import ModelFormatError, SettingsError, nearest
from stepscan.runtime.configuration import CARD, CONFIG, FILES, LARGEST, WEIGHTS, WIDE, read_config, write_config
from stepscan.runtime.folder import read_snapshot
from stepscan.runtime.layers import Array
from stepscan.runtime.placing import check_free, write_whole
from stepscan.runtime.snapshot import Snapshot, read_at_once
from stepscan.runtime.tensor_file import write_tensors
from stepscan.runtime.wide.model import WideModel
from stepscan.runtime.wide.storage import wide_tensors

SMALLER = ("bfloat16", "int8")
_LARGE = (WEIGHTS, WIDE)  # the files that it makes smaller


def compress(path: str | Path, weights: str, out: str | Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Write a model folder with smaller weights.

    Args:
        path: a model folder, not compressed yet.
        weights: `bfloat16` or `int8`.
        out: the folder to write.
        overwrite: whether a model at `out` is replaced.

    Returns:
        `weights`, and the bytes of the files of weights `before` and `after`.

    Raises:
        SettingsError: there are no such weights, or the folder's are small already.
    """
    if weights not in SMALLER:
        raise SettingsError(f"weights may be made {' or '.join(SMALLER)}, got {weights!r}.{nearest(weights, SMALLER)}")
    check_free(out, overwrite=overwrite)
    path = Path(path)
    _check_links(path)
    config, files, tensors, wide = read_at_once(path, _read)
    if config.get("weights", "float32") != "float32":
        raise SettingsError(f"{path} is {config['weights']} already; compress the folder that it was made of")

    def write(place: Path) -> None:
        for name, content in files.items():
            if name not in (CONFIG, WEIGHTS, WIDE):
                (place / name).write_bytes(content)
        write_tensors(place / WEIGHTS, smaller(tensors, weights))
        if wide is not None:
            write_tensors(place / WIDE, smaller(wide_tensors(wide), "bfloat16"))
        write_config(place, config | {"weights": weights})

    write_whole(out, write, overwrite=overwrite)
    before = sum(len(files[name]) for name in _LARGE if name in files)
    after = sum((Path(out) / name).stat().st_size for name in _LARGE if name in files)
    return {"weights": weights, "before": before, "after": after}


def _read(folder: Snapshot) -> tuple[dict[str, Any], dict[str, Any], dict[str, Array], WideModel | None]:
    """The configuration, all known files, the tensors and the wide part of a model."""
    found = read_snapshot(folder)
    if folder.has(CARD):
        folder.text(CARD, LARGEST)
    return read_config(folder), folder.files, found.tensors, found.wide


def _check_links(path: Path) -> None:
    """Raise if a file lies elsewhere: what is made to be given away shall hold nothing that its maker does not see."""
    for name in FILES:
        target = (path / name).resolve()
        if (path / name).is_symlink() and target.parent != path.resolve():
            raise ModelFormatError(
                f"{path / name} is a link to {target}, outside of the model folder, and its content would be copied "
                f"into the new one. Where that is meant, copy the folder with its content first: cp -rL {path} COPY"
            )


def smaller(tensors: dict[str, Array], weights: str) -> dict[str, Array]:
    """The tensors with their matrices of weights as bfloat16 (in uint16), or as int8 beside `NAME.scale`."""
    found = {}
    for name, array in tensors.items():
        is_matrix = array.ndim == 2 and array.dtype == np.float32 and name.rpartition(".")[2].startswith("weight")
        if not is_matrix:
            found[name] = array
        elif weights == "bfloat16":
            found[name] = _bfloat16(array)
        else:
            found[name], found[f"{name}.scale"] = _int8(array)
    return found


def _bfloat16(array: Array) -> Array:
    bits = np.ascontiguousarray(array).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16  # to the nearest, of two the even one
    largest = 0x7F7F | ((bits >> 16) & 0x8000)  # no number becomes infinite
    return np.where(rounded & 0x7F80 == 0x7F80, largest, rounded).astype(np.uint16)


def _int8(array: Array) -> tuple[Array, Array]:
    largest = np.abs(array).max(axis=1, initial=0)
    scale = (largest / np.float32(127)).astype(np.float32)
    codes = np.rint(array / np.where(scale > 0, scale, np.float32(1))[:, None])
    return np.clip(codes, -127, 127).astype(np.int8), scale
