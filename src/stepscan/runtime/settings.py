"""The settings that a model folder records: which of them there are, and the few that using a model depends on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stepscan.errors import SettingsError, nearest

_OF_ALL = """
    accumulate average_decay batch_size cell checkpoint_every checkpoints clip_norm clip_value device dropout
    embedding_dropout embedding_size embeddings epochs forget_bias hidden_size init_from initialisation label_smoothing
    layers learning_rate patience residual resume seed t_max tensorboard time_budget variational verbose warmup
    watch_gradients weight_decay weight_drop zoneout
"""
_OF_ONE = {
    "classify": """
        bidirectional decision input_noise lowercase pooling tokenizer unknown_probability vocabulary_size
    """,
    "generate": "head input_noise logarithm season step tied tokenizer vocabulary_size window",
    "tag": """
        bidirectional character_size crf input_noise lowercase spelling_size unknown_probability vocabulary_size
    """,
    "translate": """
        attention beam_width coverage_penalty input_feeding length_penalty source_tokenizer tokenizer vocabulary_size
    """,
}
SETTINGS = {task: frozenset(f"{_OF_ALL} {own}".split()) for task, own in _OF_ONE.items()}  # task → names
_LEAST = {"beam_width": 1, "length_penalty": 0, "coverage_penalty": 0}  # those that may change after training
_DECISIONS = ("class", "labels", "number")


def check_use(settings: Mapping[str, Any]) -> None:
    """Check those settings that using a model depends on.

    Raises:
        SettingsError: says which one is wrong, what was expected and what arrived.
    """
    for name, least in _LEAST.items():
        if name in settings:
            _check_number(name, settings[name], least)
    decision = settings.get("decision", "class")
    if decision not in _DECISIONS:
        raise SettingsError(f"decision: input should be 'class', 'labels' or 'number', got {decision!r}")


def check_names(settings: Mapping[str, Any], task: str, owner: str) -> None:
    """Raise a `SettingsError` that names the first setting that models of the task do not have."""
    for name in sorted(settings):
        if name not in SETTINGS[task]:
            raise SettingsError(f"{owner} has no setting {name!r}.{nearest(name, SETTINGS[task])}")


def _check_number(name: str, value: Any, least: int) -> None:
    whole = name == "beam_width"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise SettingsError(f"{name}: input should be a valid {'integer' if whole else 'number'}, got {value!r}")
    if not value >= least:
        raise SettingsError(f"{name}: input should be greater than or equal to {least}, got {value!r}")
    if name == "coverage_penalty" and not math.isfinite(value):
        raise SettingsError(f"{name}: input should be a finite number, got {value!r}")
