"""The experiments by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from stepscan.errors import SettingsError
from stepscan.experiments import adding, chomsky, copying, counting, order
from stepscan.experiments.experiment import Experiment

_EXPERIMENTS: dict[str, Callable[..., Experiment]] = {
    **{f"adding-{steps}": functools.partial(adding.experiment, steps) for steps in (100, 200)},
    **{f"copy-{delay}": functools.partial(copying.experiment, delay) for delay in (100, 200)},
    "order-2": order.experiment,
    "counter": counting.experiment,
    **{f"chomsky-{task}": functools.partial(chomsky.experiment, task) for task in chomsky.TASKS},
}
ALL_CHOMSKY = "chomsky"


def experiment_names() -> list[str]:
    """All names that `find_experiments` accepts."""
    return [*_EXPERIMENTS, ALL_CHOMSKY]


def find_experiments(name: str, cells: Sequence[str] | None = None) -> list[Experiment]:
    """The experiment with this name; six for `chomsky`; an empty list for an unknown name.

    Args:
        name: see `experiment_names`.
        cells: for `chomsky` and its tasks, registered cells or `["all"]` instead of the default ones.

    Raises:
        SettingsError: an unknown cell, or cells for an experiment that does not take any.
    """
    is_chomsky = name.partition("-")[0] == ALL_CHOMSKY
    if cells is not None and not is_chomsky:
        raise SettingsError(f"cells: only {ALL_CHOMSKY} and its tasks take cells, not {name}; omit --cells")
    chosen = {} if cells is None else {"cells": tuple(cells)}
    if name == ALL_CHOMSKY:
        return [make(**chosen) for key, make in _EXPERIMENTS.items() if key.startswith(f"{ALL_CHOMSKY}-")]
    return [_EXPERIMENTS[name](**chosen)] if name in _EXPERIMENTS else []


def list_experiments() -> list[Experiment]:
    """All experiments."""
    return [make() for make in _EXPERIMENTS.values()]
