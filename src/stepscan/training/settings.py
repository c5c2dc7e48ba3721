"""Training settings, validated: an error names the setting, what was expected and what arrived."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stepscan.errors import SettingsError, nearest
from stepscan.runtime.outline import shown
from stepscan.runtime.settings import BOUNDS


def _bounded(name: str, *, default: float) -> Any:
    """A field with the bounds that a model folder's setting of that name has."""
    return Field(default=default, ge=BOUNDS[name].least, le=BOUNDS[name].greatest)


TokenizerKind = Literal["word", "whitespace", "character", "byte", "bpe"]
# Upper bounds refuse at once what no machine holds; what one machine may not hold is estimated before training.
Size = Annotated[int, Field(ge=1, le=2**20)]  # of a vector
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]


class TrainingSettings(BaseModel):
    """How a model is trained, whatever the model."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    epochs: Count | None = None  # passes over the training data, at most
    max_updates: Count | None = None  # updates of the weights, at most
    time_budget: float | None = Field(default=None, gt=0)  # seconds; training ends, its schedule complete, by then
    batch_size: Count = 32  # sequences a batch
    learning_rate: float = Field(default=2e-3, gt=0)  # at its highest
    warmup: float = Field(ge=0, le=1)  # share of training in which the learning rate rises
    decay: float = Field(default=1.0, ge=0, le=1)  # share of training, at its end, in which the learning rate falls
    weight_decay: float = Field(ge=0)  # AdamW's (Loshchilov & Hutter 2019)
    clip_norm: float = Field(gt=0)  # largest norm of all gradients together (Pascanu et al. 2013)
    clip_value: float | None = Field(default=None, gt=0)  # largest number in a gradient, cut before the norm is
    average_decay: float = Field(default=0.0, ge=0, lt=1)  # of the moving average of the weights; 0: none
    accumulate: Count = 1  # batches an update
    patience: Count | None = None  # evaluations without a better score after which the learning rate falls
    seed: int = Field(ge=0, lt=2**63)
    device: Literal["cpu", "cuda"]
    checkpoints: str | Path | None = None  # folder that training state is kept in
    checkpoint_every: float = Field(default=60, ge=0)  # seconds
    resume: bool = False
    watch_gradients: bool = False
    tensorboard: str | Path | None = None  # folder that the curve is written to


class ModelSettings(BaseModel):
    """The settings that shape a model; each estimator has some of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cell: str = "lstm"
    size: Literal["small", "medium", "large"] = "medium"
    refit: bool = False
    wide: bool = True
    layers: int = Field(default=1, ge=1, le=1000)
    hidden_size: Size = 1
    bidirectional: bool = False
    embedding_size: Size = 1
    character_size: int = Field(default=0, ge=0, le=2**20)
    spelling_size: Size = 1
    decision: Literal["class", "labels", "number"] = "class"
    class_weights: Literal["none", "balanced"] = "none"
    pooling: Literal["last", "mean", "max", "attention"] = "last"
    attention: Literal["none", "additive", "dot", "general", "cross"] = "none"
    input_feeding: bool = False
    tied: bool = False
    input_noise: float = Field(default=0, ge=0, allow_inf_nan=False)
    dropout: float = Field(default=0, ge=0, lt=1)
    embeddings: str | Path | None = None
    init_from: str | Path | None = None
    variational: bool = False
    embedding_dropout: float = Field(default=0, ge=0, lt=1)
    zoneout: float = Field(default=0, ge=0, lt=1)
    weight_drop: float = Field(default=0, ge=0, lt=1)
    unknown_probability: float = Field(default=0, ge=0, lt=1)
    label_smoothing: float = Field(default=0, ge=0, lt=1)
    residual: bool = False
    initialisation: Literal["orthogonal", "identity", "chrono"] = "orthogonal"
    t_max: int | None = Field(default=None, ge=3, le=2**31 - 1)
    forget_bias: float | None = Field(default=None, allow_inf_nan=False)
    tokenizer: TokenizerKind = "word"
    source_tokenizer: TokenizerKind | None = None
    vocabulary_size: int | None = Field(default=None, ge=5, le=2**31 - 1)
    lowercase: bool = False
    crf: bool = False
    head: Literal["gaussian", "quantile"] = "gaussian"
    season: int = Field(default=0, ge=0, le=2**31 - 1)
    logarithm: bool = False
    step: str = ""
    window: Count = 1
    vary_window: bool = False
    softmax_samples: int = Field(default=0, ge=0, le=2**31 - 1)
    activation_regularisation: float = Field(default=0, ge=0, allow_inf_nan=False)
    temporal_activation_regularisation: float = Field(default=0, ge=0, allow_inf_nan=False)
    beam_width: int = _bounded("beam_width", default=1)
    length_penalty: float = _bounded("length_penalty", default=0)
    coverage_penalty: float = _bounded("coverage_penalty", default=0)
    verbose: bool = False


Settings = TypeVar("Settings", bound=BaseModel)


def validated(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Settings of a kind from plain values, or a `SettingsError` in words."""
    try:
        return kind(**values)
    except ValidationError as error:
        raise SettingsError("; ".join(_in_words(kind, detail) for detail in error.errors())) from None


def _in_words(kind: type[BaseModel], error: Any) -> str:
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"unknown setting {name!r}.{nearest(name, kind.model_fields)}"
    return f"{name}: {error['msg'][0].lower()}{error['msg'][1:]}, got {shown(error['input'])}"
