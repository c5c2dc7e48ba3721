"""How an estimator makes its model: layers, word vectors, and the weights that it begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from stepscan.cells.initialisation import Initialisation
from stepscan.contract import Recurrence
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators.architecture import network
from stepscan.estimators.initialisation import set_vectors, take_weights
from stepscan.estimators.word_vectors import WordVectors
from stepscan.memory import enough_memory
from stepscan.options import ModelOptions
from stepscan.training.memory import check_memory
from stepscan.training.progress import ProgressBar


class Making(ModelOptions):
    """The part of `Estimator` that makes the model, by its settings."""

    task: ClassVar[str]
    tokenizers_: dict[str, TextTokenizer]
    labels_: list[Any] | None
    chosen_: dict[str, Any]
    embeddings: str | Path | None = None  # of the tasks that read texts
    _vectors: WordVectors | None
    _of_vectors: dict[str, int]
    _made_from: tuple[Any, ...]

    @property
    def _in_force(self) -> Any:
        raise NotImplementedError

    def _network(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bidirectional: bool = False,
        causal: bool = False,
        memory_size: int = 0,
    ) -> Any:
        """The layers that the settings ask for; `causal` ones look at nothing that comes later, or it is an error. With
        a `memory_size`, each looks at such a memory."""
        own = self._in_force
        layer = network(
            own.cell,
            input_size,
            hidden_size,
            layers=own.layers or 1,
            bidirectional=bidirectional,
            dropout=own.dropout,
            variational=own.variational,
            zoneout=own.zoneout,
            weight_drop=own.weight_drop,
            memory_size=memory_size,
            initialisation=Initialisation(self.initialisation, self._t_max, own.forget_bias),
            residual=own.residual,
        )
        if causal and not isinstance(layer, Recurrence):
            raise SettingsError(
                f"{self.task} writes one symbol after the other, but cell {own.cell!r} looks at those that are not "
                "written yet; take one that reads in one direction, such as transformer or lstm"
            )
        return layer

    @property
    def _input_dropout(self) -> float:
        """Of the embedding: variational dropout stands before the first layer instead."""
        return 0.0 if self._in_force.variational else self._in_force.dropout

    def _with_vectors(self, tokenizers: dict[str, TextTokenizer], *, beside: bool = False) -> dict[str, TextTokenizer]:
        """The tokenizers of the training data, and the word vectors, if there are any. What only reads has them beside
        its own vectors, and then its tokenizer gains their words; what writes begins with them."""
        if self.embeddings is None or not tokenizers:
            return tokenizers
        symbols = [one for name, one in tokenizers.items() if name != "characters"]
        self._vectors = vectors = WordVectors.read(self.embeddings, symbols)
        if not beside:
            given: Any = self
            vectors.check_size(given.embedding_size)
            self.chosen_["embedding_size"] = vectors.size
            return tokenizers
        own, extended = tokenizers["tokenizer"], vectors.extended(tokenizers["tokenizer"])
        self._of_vectors = {"given": vectors.size, "others": len(extended) - len(own)}
        return {**tokenizers, "tokenizer": extended}

    @property
    def _t_max(self) -> int | None:
        """As set; else, of chrono, what `_built` found."""
        return getattr(self, "_longest", None) if self.t_max is None else self.t_max

    def _built(self, *given: Any, longest: Callable[[], int]) -> Any:
        """`_model(*given)`, or an error at once if it cannot fit into memory: it is made without weights first.
        `longest` counts the steps of the longest sequence; it is asked only where the settings leave that open."""
        make: Any = self
        self._longest = max(3, longest()) if self.initialisation == "chrono" and self.t_max is None else None
        try:
            with torch.device("meta"):
                empty = make._model(*given)
        except (NotImplementedError, RuntimeError):  # a cell that looks at its weights while it is made
            empty = torch.nn.Identity()
        check_memory(empty)
        self._made_from = given
        with enough_memory("the weights of the model", "take a smaller hidden_size, vocabulary_size or fewer layers"):
            return make._model(*given)

    def _begin_with(self, model: Any) -> None:
        """Weights from elsewhere, as the settings say."""
        said = []
        if self.init_from is not None:
            said.append(take_weights(model, self.tokenizers_, self.labels_, self.init_from))
        if self.embeddings is not None:
            if self._vectors is None:
                raise SettingsError("embeddings are vectors of words, but the data are numbers")
            set_vectors(model, self.tokenizers_, self._vectors)
            said.append(str(self._vectors))
            self._vectors = replace(self._vectors, vectors={})  # the model has them
        for text in said if self.verbose else []:
            ProgressBar().note(text)
