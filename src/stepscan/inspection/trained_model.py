"""What inspection needs of a trained estimator: its public methods and attributes, whichever class it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError


class TrainedModel(Protocol):
    """An estimator (`stepscan.Classifier` and the like), as far as inspection uses it."""

    @property
    def task(self) -> str:
        """`classify`, `tag`, `generate`, `forecast` or `translate`."""

    @property
    def cell(self) -> str:
        """The name of the cell, or one per layer separated by commas."""

    @property
    def hidden_size(self) -> int | None:
        """Hidden size of each layer; None: chosen by the size of the data."""

    @property
    def tokenizers_(self) -> Mapping[str, TextTokenizer]:
        """The tokenizers, by file name without `.json`."""

    @property
    def labels_(self) -> Sequence[Any] | None:
        """The label of each output; None without labels."""

    @property
    def wide_(self) -> object | None:
        """The linear model next to the network, if there is one."""

    @property
    def network_(self) -> Any:
        """The pattern, of which `batch(rows)` makes the inputs. NotFittedError before training."""

    def network_inputs(self, X: Any) -> Any:
        """What the network reads of texts, sentences or series."""

    def predict(self, X: Any) -> Any:
        """The prediction for each text, sentence or series."""


class TrainedTranslator(TrainedModel, Protocol):
    """A `stepscan.Translator`, as far as inspection uses it."""

    @property
    def attention(self) -> str:
        """Kind of attention; `none` for none."""

    def attention_weights(self, source: str, target: str) -> tuple[list[str], list[str], np.ndarray]:
        """Source tokens [S], target tokens [T] and attention weights `[T, S]`."""


def is_estimator(value: Any, *tasks: str) -> bool:
    """Whether it is an estimator (of one of these tasks), trained or not; a model loaded without PyTorch is not."""
    has_methods = all(hasattr(type(value), name) for name in ("task", "fit", "network_inputs"))
    return has_methods and (not tasks or value.task in tasks)


def pattern_of(estimator: TrainedModel) -> Any:
    """The pattern of a trained estimator: an `nn.Module` with its layers.

    Raises:
        NotFittedError: the estimator is not trained.
        SettingsError: it is an ensemble.
    """
    pattern = estimator.network_
    if hasattr(pattern, "members"):
        raise SettingsError("an ensemble has no layers of its own; inspect its models one by one")
    return pattern
