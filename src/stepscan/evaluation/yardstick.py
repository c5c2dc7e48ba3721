"""Yardsticks: the score of a trivial model on the same data, with which a model's score is compared."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from stepscan.errors import shown
from stepscan.evaluation.problem_types import PROBLEM_TYPES

MAJORITY = "majority class"
_BEST = {"accuracy": 1, "f1": 1, "micro_f1": 1, "macro_f1": 1, "bleu": 100}  # maxima; of other metrics, less is better
_ADVICE = "what would help: more updates (--max-updates), more examples, another --cell"
_CLASS_ADVICE = ", or --class-weights balanced where classes are imbalanced"
_MAX_LENGTH = 100  # characters of a name
_LARGEST = 2.0**128  # of an answer: above float32 and labels


@dataclass(frozen=True)
class Yardstick:
    """A trivial model and its scores.

    Args:
        name: such as `majority class`.
        scores: by metric; the first metric that the model has too is compared.
        error: the standard error of that score, over the choice of the examples.
        answer: the prediction, if it is the same for every example.
    """

    name: str
    scores: dict[str, float]
    error: float = 0.0
    answer: Any = None

    def to_dict(self) -> dict[str, Any]:
        """The description for a model folder."""
        return asdict(self)

    @classmethod
    def from_dict(cls, description: Any) -> Yardstick:
        """The inverse of `to_dict`; the description may be untrusted.

        Raises:
            ValueError: it does not describe a yardstick.
        """
        if not isinstance(description, dict) or set(description) != {"name", "scores", "error", "answer"}:
            raise ValueError("expected an object with name, scores, error and answer")
        yardstick = cls(**description)
        names = [yardstick.name, *(yardstick.scores if isinstance(yardstick.scores, dict) else ())]
        if not all(isinstance(name, str) and name.isprintable() and len(name) <= _MAX_LENGTH for name in names):
            raise ValueError(f"expected names of at most {_MAX_LENGTH} printable characters")
        if not isinstance(yardstick.scores, dict) or not all(
            map(_is_number, [*yardstick.scores.values(), yardstick.error])
        ):
            raise ValueError("expected scores and an error that are finite numbers")
        answers = yardstick.answer if isinstance(yardstick.answer, list) else [yardstick.answer]
        if not all(
            answer is None or isinstance(answer, str | bool) or _is_number(answer, _LARGEST) for answer in answers
        ):
            raise ValueError("expected an answer that is a label, a list of labels, a number or null")
        return yardstick


def verdict(yardstick: Yardstick, scores: Mapping[str, float]) -> str:
    """A warning if a model with these scores is not clearly better than the yardstick; empty if it is.

    It is clearly better if the difference is larger than the standard error of the yardstick's score over the choice of
    the examples, which is larger for fewer examples.
    """
    metric = next((name for name in yardstick.scores if name in scores), None)
    if metric is None:
        return ""
    score, baseline = scores[metric], yardstick.scores[metric]
    gain = score - baseline if metric in _BEST else baseline - score
    if gain > yardstick.error:
        return ""
    comparison = "no better than" if gain <= 0 else "not clearly better than"
    name = f"the {yardstick.name}"
    if yardstick.answer is not None:
        name = f"always answering {_shown_answer(yardstick.answer)}, {name}"
    spread = f" ± {yardstick.error:.4f}" if yardstick.error else ""
    sentence = f"this model is {comparison} {name} ({metric} {score:.4f} against {baseline:.4f}{spread})"
    if score >= _BEST.get(metric, math.inf):
        return f"{sentence}, which makes no mistake either: these data cannot tell more"
    return f"{sentence}; {_ADVICE}{_CLASS_ADVICE if yardstick.name == MAJORITY else ''}"


# Classifiers ---------------------------------------------------------------------------------------------------------


class _ConstantModel(NamedTuple):
    """A model whose answer is constant."""

    name: str
    choose: Callable[[Sequence[Any]], Any]  # training targets → answer
    error: Callable[[Sequence[Any], Any, float], float]  # true targets, answer, score → the score's standard error


def best_constant(problem_type: str, train: Sequence[Any], held_out: Sequence[Any]) -> Yardstick:
    """The yardstick on held-out targets whose answer is the most frequent class, the labels with the best F1, or the
    mean, of the training targets."""
    return constant(problem_type, _CONSTANTS[problem_type].choose(train), held_out)


def constant(problem_type: str, answer: Any, true: Sequence[Any]) -> Yardstick:
    """The yardstick whose answer is constant."""
    figures = PROBLEM_TYPES[problem_type].metrics(true, [answer] * len(true))
    scores = {name: value for name, value in figures.items() if name != "r2"}  # 0 or below for a constant
    name, _, error = _CONSTANTS[problem_type]
    return Yardstick(name, scores, error(true, answer, next(iter(scores.values()))), answer)


def guess(true: Sequence[Any]) -> Yardstick:
    """The highest expected macro F1 of random guesses, whatever their distribution: 1/C for C classes. (A class of
    share p that is guessed with probability q has F1 2pq/(p + q).)"""
    counts = np.array(list(Counter(true).values()))
    share = 1 / len(counts)
    return Yardstick(
        "best random guess", {"macro_f1": share}, float(np.sqrt((share * (1 - share) / counts).sum()) * share)
    )


def share_error(share: float, count: int) -> float:
    """The standard error of a share of `count` examples, by the binomial distribution."""
    return math.sqrt(share * (1 - share) / max(count, 1))


def mean_error(values: np.ndarray) -> float:
    """The standard error of a mean."""
    return float(np.std(values) / math.sqrt(max(len(values), 1)))


def _best_labels(train: Sequence[Sequence[Any]]) -> list[Any]:
    """The k most frequent labels, with the k of the best micro F1."""
    counts = sorted(Counter(label for labels in train for label in labels).items(), key=lambda one: (-one[1], one[0]))
    total, correct, best, best_count = sum(count for _, count in counts), 0, 0.0, 0
    for size, (_, count) in enumerate(counts, start=1):
        correct += count
        f1 = 2 * correct / (size * len(train) + total)
        if f1 > best:
            best, best_count = f1, size
    return sorted(label for label, _ in counts[:best_count])


def _rmse_error(true: Sequence[float], answer: float, rmse: float) -> float:
    squares = (np.asarray(true, dtype=np.float64) - answer) ** 2
    return mean_error(squares) / (2 * rmse) if rmse else 0.0


_CONSTANTS = {
    "classification": _ConstantModel(
        MAJORITY,
        lambda train: min(Counter(train).items(), key=lambda one: (-one[1], one[0]))[0],
        lambda true, _, score: share_error(score, len(true)),
    ),
    "multilabel": _ConstantModel(
        "most frequent labels", _best_labels, lambda true, _, score: share_error(score, sum(map(len, true)))
    ),
    "regression": _ConstantModel("mean of the training data", lambda train: float(np.mean(train)), _rmse_error),
}


def _is_number(value: Any, largest: float = sys.float_info.max) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= largest


def _shown_answer(answer: Any) -> str:
    if isinstance(answer, list):
        return ", ".join(map(shown, answer)) or "no label"
    return f"{answer:.4g}" if isinstance(answer, float) else shown(answer)
