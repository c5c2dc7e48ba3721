"""Builds the model of an estimator from its settings: layers, word vectors and initial weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from stepscan.contract import Recurrence
from stepscan.data.tokenizers import TextTokenizer
from stepscan.definitions.initialisation import Initialisation
from stepscan.errors import SettingsError
from stepscan.estimators.architecture import build_layer, listed_cells
from stepscan.estimators.pretrained import load_weights, load_word_vectors
from stepscan.estimators.word_vectors import WordVectors
from stepscan.memory import enough_memory
from stepscan.options import ModelOptions
from stepscan.training.defaults import DataFacts, default_settings
from stepscan.training.memory import check_memory
from stepscan.training.progress import ProgressBar


class ModelBuilder(ModelOptions):
    """The part of `Estimator` that builds its model."""

    task: ClassVar[str]
    tokenizers_: dict[str, TextTokenizer]
    labels_: list[Any] | None
    chosen_: dict[str, Any]
    embeddings: str | Path | None = None  # of the tasks that read texts
    _vectors: WordVectors | None = None
    _vector_arguments: dict[str, int]  # of an `Embedding` with fixed word vectors
    _model_arguments: tuple[Any, ...] = ()  # of `_make_model`, for an untrained `model_`
    _max_length: int | None = None  # of the training data, for chrono initialisation

    @property
    def effective_settings(self) -> Any:
        """All settings by name: as set, else as chosen by the size of the data."""
        raise NotImplementedError

    def _make_model(self, *arguments: Any) -> Any:
        """A new pattern with initial weights."""
        raise NotImplementedError

    def _make_layers(self) -> Any:
        """The layers of a model for any data; errors are those of settings that no data make good."""
        raise NotImplementedError

    def check_architecture(self) -> None:
        """Check, without data, the settings of which the layers are made.

        Raises:
            SettingsError: no data could make a model of them, as of an unknown cell.
        """
        before = dict(vars(self))
        self.chosen_ = self._chosen_for(DataFacts(self.task, "text", 1, 1.0))
        self._max_length = 3 if self.initialisation == "chrono" and self.t_max is None else None
        try:
            with torch.device("meta"), contextlib.suppress(NotImplementedError, RuntimeError):  # see `_build_model`
                self._make_layers()
        finally:
            vars(self).clear()
            vars(self).update(before)

    def _chosen_for(self, facts: DataFacts) -> dict[str, Any]:
        """The settings that are not set, chosen by rule."""
        defaults = default_settings(facts, self.size)
        cells = listed_cells(self.cell)
        if len(cells) > 1:  # one per layer: as many layers as names
            defaults.pop("layers", None)
        if set(cells) != {"lstm"} or self.initialisation != "orthogonal":
            defaults.pop("forget_bias", None)  # measured for LSTMs alone
        return {name: value for name, value in defaults.items() if getattr(self, name, value) is None}

    def _layer(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bidirectional: bool = False,
        causal: bool = False,
        memory_size: int = 0,
    ) -> Any:
        """A layer by the settings.

        Args:
            input_size: of the layer.
            hidden_size: of each cell.
            bidirectional: whether cells run in both directions.
            causal: whether the layer must be causal.
            memory_size: of the memory that each cell attends to; 0 for none.

        Raises:
            SettingsError: the cell is not causal, but must be.
        """
        settings = self.effective_settings
        layer = build_layer(
            settings.cell,
            input_size,
            hidden_size,
            layers=settings.layers or 1,
            bidirectional=bidirectional,
            dropout=settings.dropout,
            variational=settings.variational,
            zoneout=settings.zoneout,
            weight_drop=settings.weight_drop,
            memory_size=memory_size,
            initialisation=Initialisation(self.initialisation, self._t_max, settings.forget_bias),
            residual=settings.residual,
        )
        if causal and not isinstance(layer, Recurrence):
            raise SettingsError(
                f"cell: expected a causal cell to {self.task}, such as transformer or lstm, got {settings.cell!r}, "
                "which reads later symbols"
            )
        return layer

    @property
    def _input_dropout(self) -> float:
        """Dropout of the embedding: 0 with variational dropout, which acts before the first layer instead."""
        return 0.0 if self.effective_settings.variational else self.effective_settings.dropout

    def _with_word_vectors(
        self, tokenizers: dict[str, TextTokenizer], *, fixed: bool = False
    ) -> dict[str, TextTokenizer]:
        """Read word vectors for the training data's tokenizers, if the settings name any, and return the tokenizers.

        With `fixed`, the vectors are concatenated to trained ones and stay as they are, and the tokenizer gains their
        words; else they initialise the embedding.
        """
        if self.embeddings is None or not tokenizers:
            return tokenizers
        word_tokenizers = [tokenizer for name, tokenizer in tokenizers.items() if name != "characters"]
        self._vectors = vectors = WordVectors.read(self.embeddings, word_tokenizers)
        if not fixed:
            vectors.check_size(self.embedding_size)
            self.chosen_["embedding_size"] = vectors.size
            return tokenizers
        tokenizer = tokenizers["tokenizer"]
        extended = vectors.extended(tokenizer)
        self._vector_arguments = {"given": vectors.size, "others": len(extended) - len(tokenizer)}
        return {**tokenizers, "tokenizer": extended}

    @property
    def _t_max(self) -> int | None:
        """The setting `t_max`; else, for chrono initialisation, the length of the longest sequence."""
        return self._max_length if self.t_max is None else self.t_max

    def _build_model(self, *arguments: Any, max_length: Callable[[], int]) -> Any:
        """`_make_model(*arguments)`; first built on the meta device, to check that it fits into memory.

        Args:
            arguments: of `_make_model`.
            max_length: returns the length of the longest sequence; called only where the settings need it.

        Raises:
            SettingsError: the weights do not fit into memory.
        """
        self._max_length = max(3, max_length()) if self.initialisation == "chrono" and self.t_max is None else None
        try:
            with torch.device("meta"):
                empty = self._make_model(*arguments)
        except (NotImplementedError, RuntimeError):  # a cell whose constructor reads its weights
            empty = torch.nn.Identity()
        check_memory(empty)
        self._model_arguments = arguments
        with enough_memory("the weights of the model", "take a smaller hidden_size, vocabulary_size or fewer layers"):
            return self._make_model(*arguments)

    def _load_pretrained(self, model: Any) -> None:
        """Copy the weights of `init_from` and the word vectors of `embeddings` into a model, if these are set."""
        messages = []
        if self.init_from is not None:
            messages.append(load_weights(model, self.tokenizers_, self.labels_, self.init_from))
        if self.embeddings is not None:
            if self._vectors is None:
                raise SettingsError(f"embeddings: expected None for series of numbers, got {str(self.embeddings)!r}")
            load_word_vectors(model, self.tokenizers_, self._vectors)
            messages.append(str(self._vectors))
            self._vectors = replace(self._vectors, vectors={})  # the model has them
        for text in messages if self.verbose else []:
            ProgressBar().note(text)
