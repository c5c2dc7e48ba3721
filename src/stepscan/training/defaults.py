"""Default settings by the size and kind of the data.

`docs/defaults.md` has the measurements. All rules were chosen over many data sets at once, at several sizes of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from stepscan.data.vocabulary import WordFacts

SIZES = {"small": 0.5, "medium": 1.0, "large": 2.0}  # times the hidden and embedding sizes of the rules
# With fewer examples, cross-validation replaces the hold-out of a tenth, which would be too small to validate on. The
# limit is higher for classification if the examples have few items in total, so that all folds cost about a minute.
_MAX_CROSS_VALIDATED, _MAX_CROSS_VALIDATED_CHEAP, _CHEAP_ITEMS = 400, 5000, 400_000
# With fewer examples (symbols of one text), training once more on all data is worth its time.
REFITTED = {"classify": 20_000, "tag": 2000, "generate": 200_000, "forecast": 200_000, "translate": 2000}
FOLDS = 4
# Maximum floating-point operations of a training: at 60 GFLOP/s four minutes, for generated text seventeen …
_MAX_FLOPS = {"classify": 15e12, "tag": 15e12, "generate": 60e12, "forecast": 60e12, "translate": 60e12}
_MAX_UPDATES = 8000  # … and updates …
_MAX_EPOCHS, _MIN_UPDATES = 100, 1000  # … and epochs, unless these are fewer than 1,000 updates
_MIN_EPOCHS = {"classify": 4, "tag": 7, "generate": 2, "forecast": 2, "translate": 10}  # these have priority
_FOLD_FLOPS = 2e12  # maximum of each fold of a cross-validation …
_FOLD_EPOCHS, _FOLD_UPDATES = 20, (200, 400)  # … and epochs, within this range of updates
_WORD_SYMBOLS, _SAMPLED_SYMBOLS = 2000, 8000  # distinct symbols that indicate words, that call for a sampled softmax
# Texts to classify are read as characters if most words of new ones would be unknown, and there are many texts, or what
# looks like words are none: in no language with spaces are they so long on average.
_MAX_UNKNOWN_WORDS, _MANY_TEXTS, _MAX_WORD_LENGTH = 0.5, 5000, 12
READ_FIRST = _MANY_TEXTS  # texts or pairs of texts, by whose words the tokenizer is chosen


class DataFacts(NamedTuple):
    """Properties of the training data that the rules use."""

    task: str
    kind: str  # "text" or "series"
    examples: int  # sequences; of one long text, its symbols
    length: float  # mean items per sequence
    symbols: int = 0  # distinct ones, of a text to generate
    words: WordFacts | None = None  # of the first `READ_FIRST` texts to classify; to translate, of the rarer side's
    lag: int = 0  # of series to forecast: see `steadiest_lag`


def default_settings(facts: DataFacts, size: str | None) -> dict[str, Any]:
    """Settings by name, for data of this size.

    Args:
        facts: about the data.
        size: `small`, `medium` (or None) or `large`: scales hidden and embedding sizes.
    """
    settings = _RULES[facts.task](facts)
    factor = SIZES[size or "medium"]
    for name in ("hidden_size", "embedding_size", "char_embedding_size", "char_hidden_size"):
        if name in settings:
            settings[name] = max(8, int(settings[name] * factor))
    return {"ema_decay": 0.999, "decay_ratio": 0.25, **settings}


def is_cross_validated(task: str, examples: int, items: int) -> bool:
    """Whether cross-validation is used for so many examples, with so many items in total."""
    is_cheap = task == "classify" and items <= _CHEAP_ITEMS
    return examples < (_MAX_CROSS_VALIDATED_CHEAP if is_cheap else _MAX_CROSS_VALIDATED)


def listed_settings(settings: Mapping[str, Any]) -> str:
    """Settings as one line of text."""
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in settings.items()
    )


def most_updates(task: str, updates_per_epoch: int, flops: float, *, are_folds: bool) -> int:
    """Maximum updates of a training without a limit of epochs, updates or time.

    Args:
        task: of the estimator.
        updates_per_epoch: updates per epoch.
        flops: floating-point operations per update.
        are_folds: whether it is one of the trainings of a cross-validation.
    """
    if are_folds:
        low, high = _FOLD_UPDATES
        by_epochs = min(high, max(low, _FOLD_EPOCHS * updates_per_epoch))
        return max(1, min(by_epochs, int(_FOLD_FLOPS / max(flops, 1.0))))
    by_data = min(_MAX_UPDATES, max(_MIN_UPDATES, _MAX_EPOCHS * updates_per_epoch))
    by_flops = int(_MAX_FLOPS[task] / max(flops, 1.0))
    return max(_MIN_EPOCHS[task] * updates_per_epoch, min(by_data, by_flops), 1)


def _classify(facts: DataFacts) -> dict[str, Any]:
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
        "tokenizer": _classify_tokenizer(facts),
    }


def _classify_tokenizer(facts: DataFacts) -> str:
    unknown, length = facts.words or (0.0, 0.0)
    can_be_learned = facts.examples >= _MANY_TEXTS or length > _MAX_WORD_LENGTH
    return "character" if unknown > _MAX_UNKNOWN_WORDS and can_be_learned else "word"


def _tag(facts: DataFacts) -> dict[str, Any]:
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


def _forecast(facts: DataFacts) -> dict[str, Any]:
    return {
        "seasonal_period": facts.lag,
        "layers": 1,
        "hidden_size": 64,
        "embedding_size": 32,
        "dropout": 0.1,
        "bptt": 64,
        "batch_size": 32,
        "learning_rate": 3e-3,
    }


def _generate(facts: DataFacts) -> dict[str, Any]:
    large, words = facts.examples >= 300_000, facts.symbols >= _WORD_SYMBOLS
    return {
        "layers": 2 if large else 1,
        "hidden_size": 512 if large and not words else 256,
        "embedding_size": 256 if words else 128,
        "forget_bias": -1.0,
        "tie_weights": words,
        "softmax_samples": 2048 if facts.symbols >= _SAMPLED_SYMBOLS else 0,
        "dropout": 0.3,
        "bptt": 35 if words else 100 if large else 64,
        "batch_size": 32 if large else 8,
        "learning_rate": 3e-3,
    }


def _translate(facts: DataFacts) -> dict[str, Any]:
    return {
        "decay_ratio": 1.0,
        "forget_bias": 0.0,
        "hidden_size": 256,
        "embedding_size": 256,
        "dropout": 0.3,
        "batch_size": 64 if facts.examples >= 10_000 else 32,
        "learning_rate": 3e-3,
        "vocabulary_size": 4000,
        "tokenizer": "character" if facts.words and facts.words.unknown > _MAX_UNKNOWN_WORDS else "bpe",
    }


_RULES = {
    "classify": _classify,
    "tag": _tag,
    "generate": _generate,
    "forecast": _forecast,
    "translate": _translate,
}
