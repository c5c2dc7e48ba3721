"""The programs of a model's own cells in its folder: see `stepscan.programs.stored`."""

from __future__ import annotations

from typing import Any, TypeAlias

from stepscan.backends.native_arrays import Array
from stepscan.definitions.definition import Tensor
from stepscan.errors import ModelFormatError, ProgramError, shown
from stepscan.programs.stored import StoredProgram
from stepscan.storage.configuration import CONFIG, PROGRAMS
from stepscan.storage.snapshot import Snapshot
from stepscan.storage.tensor_file import read_tensors

__all__ = ["Programs", "read_programs"]

# position among the layers that are not built in → the program and its constants
Programs: TypeAlias = dict[int, tuple[StoredProgram, list[Array]]]
_MOST = 1024


def read_programs(folder: Snapshot, config: dict[str, Any]) -> Programs:
    """The checked programs of a configuration.

    Raises:
        ModelFormatError: one is invalid, or its constants are missing.
    """
    path, entries = folder.path / CONFIG, config.get("programs", [])
    if not isinstance(entries, list) or len(entries) > _MOST:
        raise ModelFormatError(f"{path}: programs: expected a list of at most {_MOST:,}, got {shown(entries)}")
    stored: dict[int, StoredProgram] = {}
    for position, entry in enumerate(entries):
        if entry is not None:
            try:
                stored[position] = StoredProgram.from_json(entry)
            except ProgramError as error:
                raise ModelFormatError(f"{path}: programs, item {position}: {error}") from None
    needed = {
        f"{position}.{index}": Tensor("F32", shape)
        for position, cell in stored.items()
        for index, shape in enumerate(cell.constants)
    }
    constants = read_tensors(folder, PROGRAMS, needed, "float32") if needed else {}
    return {
        position: (cell, [constants[f"{position}.{index}"] for index in range(len(cell.constants))])
        for position, cell in stored.items()
    }
