"""What a setting is where nobody set it: a few rules of the data's size, each with the measurement behind it.

The rules stand in `docs/defaults.md` with their figures. All of them were chosen over many sets at once, at several
sizes of each; none looks at anything but how much data there are and of which kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

SIZES = {"small": 0.5, "medium": 1.0, "large": 2.0}  # times the hidden and embedding sizes of the rules
# Examples below which a tenth of them says too little, and folds are held out in turn; and the same of classes, if all
# examples together have no more than so many items, so that all folds cost about a minute.
_CROSS_VALIDATED, _OF_CLASSES, _ITEMS = 400, 5000, 400_000
# Examples (of one text, symbols) below which the last tenth is worth the time of training once more.
REFITTED = {"classify": 20_000, "tag": 2000, "generate": 200_000, "forecast": 200_000, "translate": 2000}
FOLDS = 4
# Floating-point operations that a training has at most: at 60 GF/s four minutes, of text that is written seventeen.
_WORK = {"classify": 15e12, "tag": 15e12, "generate": 60e12, "forecast": 60e12, "translate": 60e12}
_UPDATES = 8000  # and updates, and …
_MOST_PASSES, _FEWEST = 100, 1000  # … so many passes, unless these are fewer than 1,000 updates
_WORDS, _MANY = 2000, 8000  # different symbols, from which they are taken for words, and some of them are enough
_FOLD_WORK = 2e12  # and in each fold of a cross-validation, and …
_FOLD_PASSES, _FOLD_UPDATES = 20, (200, 400)  # … so many passes, but updates no fewer and no more than these
_PASSES = {
    "classify": 4,
    "tag": 7,
    "generate": 2,
    "forecast": 2,
    "translate": 10,
}  # and at least so many passes, if they are more


class Facts(NamedTuple):
    """What the rules look at."""

    task: str
    kind: str  # "text" or "series"
    examples: int  # sequences; of one long text, its symbols
    length: float  # mean items of a sequence
    symbols: int = 0  # different ones, of a text that is written


def chosen(facts: Facts, size: str | None) -> dict[str, Any]:
    """Settings by name."""
    found = _RULES[facts.task](facts)
    factor = SIZES[size or "medium"]
    for name in ("hidden_size", "embedding_size", "char_embedding_size", "char_hidden_size"):
        if name in found:
            found[name] = max(8, int(found[name] * factor))
    return {"ema_decay": 0.999, "decay_ratio": 0.25, **found}


def is_cross_validated(task: str, examples: int, items: int) -> bool:
    """Whether folds are held out in turn, of so many examples with so many items together."""
    is_cheap = task == "classify" and items <= _ITEMS
    return examples < (_OF_CLASSES if is_cheap else _CROSS_VALIDATED)


def listed_settings(settings: Mapping[str, Any]) -> str:
    """Settings in a line."""
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in settings.items()
    )


def most_updates(task: str, batches_per_epoch: int, work: float, *, are_folds: bool) -> int:
    """Updates at most, where neither passes nor time are limited.

    Args:
        task: of the estimator.
        batches_per_epoch: updates a pass.
        work: floating-point operations an update.
        are_folds: whether it is one of several trainings, of a cross-validation.
    """
    if are_folds:
        fewest, most = _FOLD_UPDATES
        by_passes = min(most, max(fewest, _FOLD_PASSES * batches_per_epoch))
        return max(1, min(by_passes, int(_FOLD_WORK / max(work, 1.0))))
    by_data = min(_UPDATES, max(_FEWEST, _MOST_PASSES * batches_per_epoch))
    return max(_PASSES[task] * batches_per_epoch, min(by_data, int(_WORK[task] / max(work, 1.0))), 1)


def _classify(facts: Facts) -> dict[str, Any]:
    batch = 16 if facts.examples < 1000 else 32 if facts.examples < 10_000 else 64
    if facts.kind == "series":
        return {
            "hidden_size": 64,
            "embedding_size": 64,
            "dropout": 0.3,
            "batch_size": batch,
            "learning_rate": 2e-3,
            "input_noise": 0.1,
            "word_dropout": 0.0,
        }
    return {
        "hidden_size": 128,
        "embedding_size": 128,
        "dropout": 0.5,
        "batch_size": batch,
        "learning_rate": 2e-3,
        "input_noise": 0.0,
        "word_dropout": 0.1 if facts.examples < 10_000 else 0.02,
    }


def _tag(facts: Facts) -> dict[str, Any]:
    return {
        "hidden_size": 128,
        "embedding_size": 100,
        "char_embedding_size": 32,
        "char_hidden_size": 48,
        "dropout": 0.4,
        "batch_size": 8 if facts.examples < 1000 else 16 if facts.examples < 5000 else 32,
        "learning_rate": 3e-3,
        "input_noise": 0.0,
        "word_dropout": 0.2 if facts.examples < 5000 else 0.1,
    }


def _forecast(facts: Facts) -> dict[str, Any]:
    return {
        "layers": 1,
        "hidden_size": 64,
        "embedding_size": 32,
        "dropout": 0.1,
        "bptt": 64,
        "batch_size": 32,
        "learning_rate": 3e-3,
    }


def _generate(facts: Facts) -> dict[str, Any]:
    large, words = facts.examples >= 300_000, facts.symbols >= _WORDS
    return {
        "layers": 2 if large else 1,
        "hidden_size": 512 if large and not words else 256,
        "embedding_size": 256 if words else 128,
        "tie_weights": words,
        "softmax_samples": 2048 if facts.symbols >= _MANY else 0,
        "dropout": 0.3,
        "bptt": 35 if words else 100 if large else 64,
        "batch_size": 32 if large else 8,
        "learning_rate": 3e-3,
    }


def _translate(facts: Facts) -> dict[str, Any]:
    return {
        "decay_ratio": 1.0,
        "hidden_size": 256,
        "embedding_size": 256,
        "dropout": 0.3,
        "batch_size": 64 if facts.examples >= 10_000 else 32,
        "learning_rate": 3e-3,
        "vocabulary_size": 4000,
    }


_RULES = {
    "classify": _classify,
    "tag": _tag,
    "generate": _generate,
    "forecast": _forecast,
    "translate": _translate,
}
