"""The experiments by name."""

from __future__ import annotations

import functools
from collections.abc import Callable

from stepscan.experiments import adding, chomsky, copying, counting, order
from stepscan.experiments.experiment import Experiment

_EXPERIMENTS: dict[str, Callable[[], Experiment]] = {
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


def find_experiments(name: str) -> list[Experiment]:
    """The experiment with this name; six for `chomsky`; an empty list for an unknown name."""
    if name == ALL_CHOMSKY:
        return [make() for key, make in _EXPERIMENTS.items() if key.startswith(f"{ALL_CHOMSKY}-")]
    return [_EXPERIMENTS[name]()] if name in _EXPERIMENTS else []


def list_experiments() -> list[Experiment]:
    """All experiments."""
    return [make() for make in _EXPERIMENTS.values()]
