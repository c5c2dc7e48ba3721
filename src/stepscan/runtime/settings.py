"""The settings that a model folder records: which there are, and the bounds of those that using a model depends on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple

from stepscan.errors import SettingsError, nearest
from stepscan.runtime.outline import shown

logger = logging.getLogger(__name__)

_OF_ALL = """
    accumulate average_decay batch_size cell checkpoint_every checkpoints clip_norm clip_value decay device dropout
    embedding_dropout embedding_size embeddings epochs forget_bias hidden_size init_from initialisation label_smoothing
    layers learning_rate max_updates patience refit residual resume seed size t_max tensorboard time_budget variational
    verbose warmup watch_gradients weight_decay weight_drop zoneout
"""
_OF_ONE = {
    "classify": """
        bidirectional class_weights decision input_noise lowercase pooling tokenizer unknown_probability
        vocabulary_size wide
    """,
    "generate": """
        activation_regularisation head input_noise logarithm season softmax_samples step
        temporal_activation_regularisation tied tokenizer vary_window vocabulary_size window
    """,
    "tag": """
        bidirectional character_size crf input_noise lowercase spelling_size unknown_probability vocabulary_size wide
    """,
    "translate": """
        attention beam_width coverage_penalty input_feeding length_penalty source_tokenizer tokenizer vocabulary_size
    """,
}
SETTINGS = {task: frozenset(f"{_OF_ALL} {own}".split()) for task, own in _OF_ONE.items()}  # task → names
# Settings of a run: places on this machine, and what does not change the result. No model folder holds them.
OF_A_RUN = {
    *("checkpoint_every", "checkpoints", "resume", "embeddings", "init_from"),
    *("device", "tensorboard", "verbose", "watch_gradients"),
}
_ONCE_RECORDED = {"device": "cpu", "verbose": False}  # by early versions, which nothing depends on: ignored
_DECISIONS = ("class", "labels", "number")


class Bounds(NamedTuple):
    """The least and the greatest value of a setting."""

    least: int
    greatest: int


BOUNDS = {  # of the settings that may change after training
    "beam_width": Bounds(1, 1000),
    "length_penalty": Bounds(0, 10),
    "coverage_penalty": Bounds(0, 100),
    "n_best": Bounds(1, 1000),
}
_WHOLE = ("beam_width", "n_best")
_KINDS: tuple[tuple[Any, str], ...] = ((Real, "number"), (Integral, "integer"))


def of_the_model(settings: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The settings that a model folder records, checked, without the two of a run that early versions recorded.

    Raises:
        SettingsError: one is not a setting of such models, or is a setting of a run, or is out of its bounds.
    """
    check_names(settings, task)
    for name in _ONCE_RECORDED.keys() & settings.keys():
        if settings[name] != _ONCE_RECORDED[name]:
            value = shown(settings[name])
            logger.info("the model folder records %s: %s, a setting of a training run; it is ignored", name, value)
    kept = {name: value for name, value in settings.items() if name not in _ONCE_RECORDED}
    check_not_of_a_run(kept, "a model folder")
    check_use(kept)
    return kept


def check_not_of_a_run(settings: Mapping[str, Any], where: str) -> None:
    """Raise a `SettingsError` that names the first setting of a run: such are for who trains, not for a file."""
    for name in sorted(OF_A_RUN & settings.keys()):
        raise SettingsError(
            f"expected settings of the model, got {name}: {shown(settings[name])}, which is a setting of a training "
            f"run, and {where} must not choose it; remove it"
        )


def check_use(settings: Mapping[str, Any]) -> None:
    """Check those settings that using a model depends on.

    Raises:
        SettingsError: says which one is wrong, what was expected and what arrived.
    """
    for name, bounds in BOUNDS.items():
        if name in settings:
            _check_number(name, settings[name], bounds)
    decision = settings.get("decision", "class")
    if decision not in _DECISIONS:
        raise SettingsError(f"decision: input should be 'class', 'labels' or 'number', got {shown(decision)}")


def check_names(settings: Mapping[str, Any], task: str) -> None:
    """Raise a `SettingsError` that names the first setting that models of the task do not have."""
    for name in sorted(settings):
        if name not in SETTINGS[task]:
            raise SettingsError(f"{task} has no setting {shown(name)}.{nearest(name, SETTINGS[task])}")


def _check_number(name: str, value: Any, bounds: Bounds) -> None:
    kind, called = _KINDS[name in _WHOLE]
    if isinstance(value, bool) or not isinstance(value, kind):
        raise SettingsError(f"{name}: input should be a valid {called}, got {shown(value)}")
    if not value >= bounds.least:  # NaN is not
        raise SettingsError(f"{name}: input should be greater than or equal to {bounds.least}, got {shown(value)}")
    if value > bounds.greatest:
        raise SettingsError(f"{name}: input should be less than or equal to {bounds.greatest}, got {shown(value)}")
