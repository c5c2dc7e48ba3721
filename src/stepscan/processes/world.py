"""The processes of a training, as the environment describes them: variables that `torchrun` sets, and our launcher."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from stepscan.errors import SettingsError

LAUNCHED = "STEPSCAN_LAUNCHED"  # set by `stepscan.processes.launcher`, which reports processes that died
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


class World(NamedTuple):
    """The place of this process among those of a training.

    Attributes:
        rank: its number, from 0; process 0 writes and reports.
        size: how many there are.
        local_rank, local_size: the same, of those on this machine.
        restarts: how many times `torchrun` has started all of them again.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    restarts: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0


def read_world(environment: Mapping[str, str] = os.environ) -> World:
    """The world that the environment describes; one process if it describes none.

    Raises:
        SettingsError: a variable is not a whole number, or out of range.
    """
    if not all(name in environment for name in _VARIABLES):
        return World()
    names = (*_VARIABLES, "TORCHELASTIC_RESTART_COUNT")
    numbers = {name: _whole_number(name, environment.get(name, "0")) for name in names}
    rank, size, local_rank, local_size, restarts = numbers.values()
    if not (rank < size and local_rank < local_size <= size):
        raise SettingsError(
            f"expected RANK below WORLD_SIZE and LOCAL_RANK below LOCAL_WORLD_SIZE in the environment, got {rank}, "
            f"{size}, {local_rank} and {local_size}; start the processes with torchrun, or unset these variables"
        )
    return World(rank, size, local_rank, local_size, restarts)


def is_launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process was started by `stepscan train --processes`."""
    return LAUNCHED in environment


def _whole_number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise SettingsError(
            f"expected a whole number in the environment variable {name}, which torchrun sets, got {text!r}; unset it"
        )
    return int(text)
