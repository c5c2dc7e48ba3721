"""Training settings, validated: an error names the setting, what was expected and what arrived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stepscan.errors import SettingsError, nearest


class TrainingSettings(BaseModel):
    """How a model is trained, whatever the model."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    epochs: int = Field(ge=1)  # passes over the training data, at most
    time_budget: float | None = Field(default=None, gt=0)  # seconds; training ends, its schedule complete, by then
    batch_size: int = Field(ge=1)  # sequences a batch
    learning_rate: float = Field(gt=0)  # at its highest
    warmup: float = Field(ge=0, le=1)  # share of training in which the learning rate rises
    weight_decay: float = Field(ge=0)  # AdamW's (Loshchilov & Hutter 2019)
    clip_norm: float = Field(gt=0)  # largest norm of all gradients together (Pascanu et al. 2013)
    patience: int = Field(ge=1)  # evaluations without a better score after which training stops
    seed: int = Field(ge=0)
    device: Literal["cpu", "cuda"]


def validated(settings: Mapping[str, Any]) -> TrainingSettings:
    """`TrainingSettings` from plain values, or a `SettingsError` in words."""
    try:
        return TrainingSettings(**settings)
    except ValidationError as error:
        raise SettingsError("; ".join(map(_in_words, error.errors()))) from None


def _in_words(error: Any) -> str:
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"unknown setting {name!r}.{nearest(name, TrainingSettings.model_fields)}"
    return f"{name}: {error['msg'][0].lower()}{error['msg'][1:]}, got {error['input']!r}"
