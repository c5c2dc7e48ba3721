"""How a training finds its team: the processes that were started with this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepscan.errors import SettingsError
from stepscan.processes.team import ALONE, Team
from stepscan.processes.world import read_world

if TYPE_CHECKING:
    from stepscan.options import TrainingOptions

_groups: dict[str, Team] = {}  # device → the group of this process, which it joins once


def join(settings: TrainingOptions) -> Team:
    """The team that a training with these settings has; with several processes, after all of them called this.

    Raises:
        SettingsError: `processes` is not the number of processes that were started.
        StepscanError: the processes did not find one another.
    """
    if settings.processes == 1:
        return ALONE
    world = read_world()
    if world.size != settings.processes:
        raise SettingsError(
            f"processes: expected {world.size}, as many as were started, got {settings.processes}; on the command line "
            f"stepscan train starts them, and a program that calls fit is started with "
            f"torchrun --nproc-per-node {settings.processes}"
        )
    if settings.device not in _groups:
        from stepscan.processes.group import Group

        _groups[settings.device] = Group(world, settings.device)
    return _groups[settings.device]
