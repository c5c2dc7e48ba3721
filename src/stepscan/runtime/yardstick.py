"""What a trivial model scores on the same data: without it nobody can tell whether a score is good."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from stepscan.runtime.outline import shown
from stepscan.runtime.problem_types import PROBLEM_TYPES

MAJORITY = "majority class"
_BEST = {"accuracy": 1, "f1": 1, "micro_f1": 1, "macro_f1": 1, "bleu": 100}  # of the others, less is better
_ADVICE = "what would help: more updates (--max-updates), more examples, another --cell"
_OF_CLASSES = ", or --class-weights balanced where classes are imbalanced"
_MOST = 100  # characters of a name
_LARGEST = 2.0**128  # answer: float32 and labels end below it


@dataclass(frozen=True)
class Yardstick:
    """A trivial model and its scores.

    Args:
        name: such as `majority class`.
        scores: by the names of the model's own; the first that both have is compared.
        error: one standard error of that score, by the choice of the examples.
        answer: what it says of every example, if that is always the same.
    """

    name: str
    scores: dict[str, float]
    error: float = 0.0
    answer: Any = None

    def described(self) -> dict[str, Any]:
        """What a model folder keeps of it."""
        return asdict(self)

    @classmethod
    def of(cls, described: Any) -> Yardstick:
        """What `described` gave; it may come from anybody's model folder.

        Raises:
            ValueError: says what was expected.
        """
        if not isinstance(described, dict) or set(described) != {"name", "scores", "error", "answer"}:
            raise ValueError("expected an object with name, scores, error and answer")
        found = cls(**described)
        names = [found.name, *(found.scores if isinstance(found.scores, dict) else ())]
        if not all(isinstance(name, str) and name.isprintable() and len(name) <= _MOST for name in names):
            raise ValueError(f"expected names of at most {_MOST} printable characters")
        if not isinstance(found.scores, dict) or not all(map(_is_number, [*found.scores.values(), found.error])):
            raise ValueError("expected scores and an error that are finite numbers")
        several = found.answer if isinstance(found.answer, list) else [found.answer]
        if not all(one is None or isinstance(one, str | bool) or _is_number(one, _LARGEST) for one in several):
            raise ValueError("expected an answer that is a label, a list of labels, a number or null")
        return found


def verdict(yardstick: Yardstick, scores: Mapping[str, float]) -> str:
    """A sentence if a model with these scores does not clearly beat the yardstick; else nothing.

    It clearly beats it if it is better by more than one standard error of the yardstick's score: what another choice of
    as many examples would change by itself. So of few examples the difference must be larger to count.
    """
    measure = next((name for name in yardstick.scores if name in scores), None)
    if measure is None:
        return ""
    own, trivial = scores[measure], yardstick.scores[measure]
    gain = own - trivial if measure in _BEST else trivial - own
    if gain > yardstick.error:
        return ""
    how = "no better than" if gain <= 0 else "not clearly better than"
    what = f"the {yardstick.name}"
    if yardstick.answer is not None:
        what = f"always answering {_named(yardstick.answer)}, {what}"
    spread = f" ± {yardstick.error:.4f}" if yardstick.error else ""
    said = f"this model is {how} {what} ({measure} {own:.4f} against {trivial:.4f}{spread})"
    if own >= _BEST.get(measure, math.inf):
        return f"{said}, which makes no mistake either: these data cannot tell more"
    return f"{said}; {_ADVICE}{_OF_CLASSES if yardstick.name == MAJORITY else ''}"


# Of a classifier -----------------------------------------------------------------------------------------------------


class _Constant(NamedTuple):
    """Which answer is always given, and the standard error of its first score."""

    name: str
    chosen: Callable[[Sequence[Any]], Any]  # out of the training data's answers
    error: Callable[[Sequence[Any], Any, float], float]  # of true answers, the one given, and the score


def best_constant(problem_type: str, train: Sequence[Any], held_out: Sequence[Any]) -> Yardstick:
    """What always answering the same scores on held-out answers: the most frequent class; the labels whose F1 is best;
    the mean of numbers."""
    return constant(problem_type, _CONSTANTS[problem_type].chosen(train), held_out)


def constant(problem_type: str, answer: Any, true: Sequence[Any]) -> Yardstick:
    """What always giving this answer scores."""
    figures = PROBLEM_TYPES[problem_type].metrics(true, [answer] * len(true))
    scores = {name: value for name, value in figures.items() if name != "r2"}  # of a constant it is 0 or below
    name, _, error = _CONSTANTS[problem_type]
    return Yardstick(name, scores, error(true, answer, next(iter(scores.values()))), answer)


def guess(true: Sequence[Any]) -> Yardstick:
    """The highest macro F1 that guesses can be expected to have, however often they are which class: 1/C of C classes.
    (A class of share p that is guessed with probability q has F1 2pq/(p + q).)"""
    counts = np.array(list(Counter(true).values()))
    share = 1 / len(counts)
    return Yardstick(
        "best random guess", {"macro_f1": share}, float(np.sqrt((share * (1 - share) / counts).sum()) * share)
    )


def share_error(share: float, count: int) -> float:
    """The standard error of a share of so many: the binomial's."""
    return math.sqrt(share * (1 - share) / max(count, 1))


def mean_error(values: np.ndarray) -> float:
    """The standard error of a mean."""
    return float(np.std(values) / math.sqrt(max(len(values), 1)))


def _best_labels(train: Sequence[Sequence[Any]]) -> list[Any]:
    """The most frequent labels, as many as have the best F1 over all."""
    counts = sorted(Counter(label for labels in train for label in labels).items(), key=lambda one: (-one[1], one[0]))
    total, right, best, chosen = sum(count for _, count in counts), 0, 0.0, 0
    for said, (_, count) in enumerate(counts, start=1):
        right += count
        f1 = 2 * right / (said * len(train) + total)
        if f1 > best:
            best, chosen = f1, said
    return sorted(label for label, _ in counts[:chosen])


def _of_rmse(true: Sequence[float], answer: float, rmse: float) -> float:
    squares = (np.asarray(true, dtype=np.float64) - answer) ** 2
    return mean_error(squares) / (2 * rmse) if rmse else 0.0


_CONSTANTS = {
    "classification": _Constant(
        MAJORITY,
        lambda train: min(Counter(train).items(), key=lambda one: (-one[1], one[0]))[0],
        lambda true, _, score: share_error(score, len(true)),
    ),
    "multilabel": _Constant(
        "most frequent labels", _best_labels, lambda true, _, score: share_error(score, sum(map(len, true)))
    ),
    "regression": _Constant("mean of the training data", lambda train: float(np.mean(train)), _of_rmse),
}


def _is_number(value: Any, largest: float = sys.float_info.max) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= largest


def _named(answer: Any) -> str:
    if isinstance(answer, list):
        return ", ".join(map(shown, answer)) or "no label"
    return f"{answer:.4g}" if isinstance(answer, float) else shown(answer)
