"""Six tasks of the Chomsky hierarchy: trained on lengths to 40, tested on 41 to 500 (Delétang et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

from stepscan.cells.catalogue import cell_classes
from stepscan.contract import Layer
from stepscan.data.synthetic import bucket_sort, cycle_navigation, even_pairs, modular_arithmetic, parity, reverse
from stepscan.data.synthetic.generated_examples import GeneratedExamples
from stepscan.errors import SettingsError, nearest
from stepscan.experiments.experiment import Experiment, ModelSetup, as_input
from stepscan.experiments.models import classifier, transducer

TRAINED, TESTED = 40, range(41, 501, 9)  # maximum length in training; lengths in the test
SOLVED = 90.0  # per cent, the paper's criterion
DEFAULT_CELLS = ("elman", "lstm")
ALL_CELLS = "all"
_EMBEDDING, _BATCH = 8, 64


class _Language(NamedTuple):
    title: str
    draw: Callable[[Any, int, int], GeneratedExamples]
    symbols: int
    classes: int
    published: dict[str, float]  # the paper's table 2, per cent, by cell
    updates: int
    answers: bool = False  # whether the answer is a sequence after the input, instead of one class


class _Network(NamedTuple):
    title: str = ""  # in tables; the cell's name if it is empty
    hidden_size: int = 64
    learning_rate: float = 0.005
    arguments: dict[str, Any] = {}  # noqa: RUF012  never changed


def _language(module: ModuleType, title: str, paper: Sequence[float], updates: int, answers: bool = False) -> _Language:
    draw = getattr(module, module.__name__.rpartition(".")[2])
    published = dict(zip(("elman", "lstm", "bidirectional_transformer"), paper, strict=True))
    return _Language(title, draw, module.SYMBOLS, module.CLASSES, published, updates, answers)


_LANGUAGES = {
    "parity": _language(parity, "Parity", (100, 100, 52), 3000),
    "even-pairs": _language(even_pairs, "Even pairs", (100, 100, 96.4), 3000),
    "modular-arithmetic": _language(modular_arithmetic, "Modular arithmetic", (100, 100, 24.2), 10_000),
    "cycle-navigation": _language(cycle_navigation, "Cycle navigation", (100, 100, 61.9), 6000),
    "bucket-sort": _language(bucket_sort, "Bucket sort", (27.9, 99.3, 91.9), 6000, answers=True),
    "reverse": _language(reverse, "Reverse", (62.0, 60.9, 62.3), 6000, answers=True),
}
TASKS = tuple(_LANGUAGES)
_NETWORKS = {  # the first one of a cell is next to the paper's
    "elman": (
        _Network("RNN (Elman, relu)", 256, 0.001, {"nonlinearity": "relu"}),
        _Network("RNN (Elman, tanh)", learning_rate=0.002),
    ),
    "lstm": (_Network("LSTM"),),
    "transformer": (_Network(learning_rate=0.001, arguments={"context": 2 * TESTED[-1]}),),
    "bidirectional_transformer": (_Network(learning_rate=0.001),),
}


def experiment(task: str, cells: Sequence[str] = DEFAULT_CELLS) -> Experiment:
    """The experiment of a task in `TASKS`.

    Args:
        task: its name.
        cells: registered cells, or `("all",)`.

    Raises:
        SettingsError: an unknown cell, one twice, or none.
    """
    language, names = _LANGUAGES[task], _check_cells(cells)
    return Experiment(
        name=f"chomsky-{task}",
        title=f"{language.title}, lengths ≤ {TRAINED} → {TESTED[0]} to 500",
        metric="accuracy, %",
        greater_is_better=True,
        source="Delétang et al. 2023, table 2 (from memory)",
        models=tuple(setup for name in names for setup in _setups(name, language)),
        updates=language.updates,
        seconds=75.0 * len(names),
        batch_size=_BATCH,
        draw=lambda seed, done: language.draw([*seed, 1], _BATCH, _length(seed, done)),
        validate=lambda model: _validation(model, language),
        test=lambda model: {"accuracy": accuracy(model, language, TESTED, 3), **_validation(model, language)},
        baselines=(("chance", 100 / (language.classes - language.answers)),),
        remarks=_REMARKS,
        options=() if tuple(cells) == DEFAULT_CELLS else ("--cells", ",".join(cells)),
    )


_REMARKS = (
    "The paper reports the best of 10 seeds and several learning rates, after a million updates of 128 sequences; here "
    "it is one seed and one learning rate. All sequences of a batch have the same length; the maximum length grows "
    "from 3 to 40 in the first 60 % of training. Every ninth length is tested, with 64 sequences. If the answer is a "
    "sequence, the model reads blanks while it answers, and is trained to output blanks while it reads."
)


def _check_cells(cells: Sequence[str]) -> list[str]:
    known = cell_classes()
    names = sorted(known) if tuple(cells) == (ALL_CELLS,) else list(cells)
    for name in names:
        if name not in known:
            raise SettingsError(f"cells: unknown cell {name!r}.{nearest(name, [*known, ALL_CELLS])}")
    if not names or len(set(names)) < len(names):
        raise SettingsError(f"cells: expected one or more, each once, got {', '.join(names) or 'none'}")
    return names


def _setups(cell: str, language: _Language) -> Iterator[ModelSetup]:
    published = language.published.get(cell)
    for network in _NETWORKS.get(cell, (_Network(),)):
        yield _setup(cell, network, language, published)
        published = None


def _setup(cell: str, network: _Network, language: _Language, published: float | None) -> ModelSetup:
    name = network.title or cell
    is_solved = published is not None and published >= SOLVED
    return ModelSetup(
        name,
        lambda: _model(cell, network, language),
        network.learning_rate,
        "" if published is None else f"paper {published:g}" + (f" (≥ {SOLVED:g})" if is_solved else ""),
        (lambda values: values[name] >= SOLVED) if is_solved else None,
    )


def _model(cell: str, network: _Network, language: _Language) -> Any:
    layer: Layer = cell_classes()[cell](_EMBEDDING, network.hidden_size, **network.arguments)
    make = transducer if language.answers else classifier
    return make(layer, language.symbols, language.classes)


def _length(seed: list[int], done: float) -> int:
    """A random length; its maximum grows quadratically from 3 to 40 in the first 60 % of training."""
    longest = min(TRAINED, round(3 + (done / 0.6) ** 2 * (TRAINED - 3)))
    return int(np.random.default_rng([*seed, 0]).integers(1, longest + 1))


def _validation(model: Any, language: _Language) -> dict[str, float]:
    """Accuracy on lengths of training, with other examples."""
    return {f"lengths_to_{TRAINED}": accuracy(model, language, range(4, TRAINED + 1, 4), 2)}


def accuracy(model: Any, language: _Language, lengths: range, seed: int) -> float:
    """Accuracy in per cent, the mean over the lengths; per symbol if the answer is a sequence."""
    accuracies = []
    for length in lengths:
        examples = language.draw([seed, length], 64, length)
        targets = torch.as_tensor(np.ascontiguousarray(examples.targets))
        scores = model(as_input(examples.inputs))
        if language.answers:
            correct = scores[0].data.argmax(dim=2)[:, length:] == targets[:, length:]
        else:
            correct = scores.argmax(dim=1) == targets
        accuracies.append(float(correct.float().mean()))
    return 100 * sum(accuracies) / len(accuracies)
