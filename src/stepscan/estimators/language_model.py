"""LanguageModel: a generator over text or numbers, which predicts what comes next and goes on."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch

from stepscan.data.batching import TrainingBatch, bptt_windows, pad
from stepscan.data.lines import split_lines
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators.dynamic_evaluation import dynamic_nats
from stepscan.estimators.examples import evaluation_cost
from stepscan.estimators.forecasting import Forecasting, is_series
from stepscan.estimators.learning import Data
from stepscan.estimators.networks import GeneratorNetwork
from stepscan.estimators.yardsticks import symbol_frequencies
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.forecaster import Forecaster
from stepscan.patterns.generator import Generator
from stepscan.patterns.sampled_softmax import SoftmaxSamples
from stepscan.runtime.language_model import Writing
from stepscan.sequences import Sequences
from stepscan.state import State
from stepscan.training.loop import Task
from stepscan.training.progress import Bar
from stepscan.training.settings import TrainingSettings
from stepscan.training.work import operations


@dataclass(kw_only=True, eq=False, repr=False)
class LanguageModel(Writing, Forecasting):
    """Learns what follows what in a text, and generates; or in series of numbers, and forecasts.

    For numbers there are `head`, `season`, `logarithm` and `input_noise`; `tied`, `tokenizer`, `vocabulary_size`,
    `vary_window`, `softmax_samples` and the two regularisations of activations are for texts alone.

    Args:
        cell: recurrent cell, such as `lstm`, `gru`, `elman`.
        layers: cells one above the other.
        hidden_size: of each cell.
        embedding_size: numbers a symbol.
        tied: whether the output weights are the embedding's; None: where there are many symbols.
        dropout: probability, on embeddings (not of characters or bytes), between layers and before the output.
        tokenizer: `character`, `byte`, `bpe`, `word` or `whitespace`; the last two write a line's end as `<eos>`.
        vocabulary_size: symbols at most; None for all.
        head: of numbers: `gaussian` (mean and deviation) or `quantile`.
        season: of numbers: steps after which they repeat; what is learned is the change from so many steps before. 0:
            the numbers themselves; 1: the change from the last.
        logarithm: of numbers above 0: whether their logarithms are learned, so that growth is a sum.
        step: of numbers: time between two steps, such as `month` or `15 minutes`, which the times of every file must
            have; "": unknown. The command line sets it to that of the training file.
        input_noise: standard deviation of noise on standardised numbers in training.
        window: steps that gradients go back (truncated back-propagation through time); the state is carried on.
        vary_window: whether the windows' ends lie elsewhere in each pass (Merity et al. 2018, §4.1).
        softmax_samples: symbols, beside those of a window, that each symbol of it is compared with in training (see
            `stepscan.patterns.sampled_softmax`); 0: all; None: all where there are few.
        activation_regularisation, temporal_activation_regularisation: how much the loss grows with the squares of the
            layers' outputs, and of their changes (AR and TAR: Merity et al. 2017).
        epochs … device: see `Estimator`; `batch_size` is the number of parallel streams of text.
    """

    pattern: ClassVar[Any] = (Generator, Forecaster)
    adaptor: ClassVar[type] = GeneratorNetwork

    cell: str = "lstm"
    layers: int | None = None
    hidden_size: int | None = None
    embedding_size: int | None = None
    tied: bool | None = None
    dropout: float | None = None
    tokenizer: str = "character"
    vocabulary_size: int | None = None
    head: str = "gaussian"
    season: int = 0
    logarithm: bool = False
    step: str = ""
    input_noise: float = 0.0
    window: int | None = None
    vary_window: bool = False
    softmax_samples: int | None = None
    activation_regularisation: float = 0.0
    temporal_activation_regularisation: float = 0.0

    def fit(self, text: Any, y: None = None, validation: Any = None) -> Self:
        """Learn from a text; judged on the text `validation`, or on the last tenth held out.

        In place of a text there may be numbers: one series `[T]` or `[T, D]`, or several in a list. Without
        `validation`, the last tenth of each is held out.

        Raises:
            SettingsError: a setting is wrong, or the text is too short for one window.
        """
        return self._fit(text, validation)

    def _data(self, text: Any, validation: Any) -> Data:
        if is_series(text):
            return self._data_of_series(text, validation)
        self._check_of_text()
        train, valid = self._split(text, validation)
        count, symbols = self._counted(train)
        self._choose("text", count, count, symbols)
        return Data([(train, valid)], validation is not None, len(train) + len(valid), lambda: train + valid)

    def _prepare(self, train: Any, held_out: Any, settings: TrainingSettings) -> Task:
        """Model and task for a text, or for series."""
        if not isinstance(train, str):
            return self._prepare_series(train, held_out, settings)
        window = self._in_force.window
        self.tokenizers_, self.labels_ = self._with_vectors({"tokenizer": self._train_tokenizer(train)}), None
        ids = np.array([self._begin, *self._encode(train)])
        if len(ids) < 2 * settings.batch_size:
            raise SettingsError(
                f"the text has {len(ids) - 1} symbols, too few for {settings.batch_size} parallel streams; "
                "give more text, or a smaller batch_size"
            )
        self.model_ = self._built(longest=lambda: window).to(settings.device)
        self._sample_softmax(ids)

        def windows(epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
            random = np.random.default_rng([settings.seed, epoch]) if self.vary_window else None
            return bptt_windows(ids, settings.batch_size, window, random)

        evaluate = None if held_out is None else lambda: {"nats": -self.score(held_out)}
        cost, items = 1, settings.batch_size * window
        if held_out is not None:
            asked = np.array(self._encode(held_out), dtype=np.int64)
            self.yardstick_ = symbol_frequencies(ids[1:], asked, len(self.tokenizers_["tokenizer"])).described()
            cost = evaluation_cost(operations(self.model_, len(asked)), operations(self.model_, items))
        count = len(windows(0))
        return Task(self.model_, lambda epoch: _batches(windows(epoch)), count, evaluate, False, items, cost)

    def score(self, text: Any, y: None = None) -> float:
        """Minus nats a symbol: greater is better. Perplexity is `exp(-score)`.

        A text of 2,000 symbols or more is scored in up to 64 pieces side by side, each from the initial state: a bound
        from below. Of numbers: minus the loss a number (nats or pinball loss of standardised numbers).
        """
        self._check_fitted()
        return -self._series_loss(text) if isinstance(self.model_, Forecaster) else super().score(text)

    def metrics(self, text: Any, dynamic: float = 0.0, horizon: int = 0) -> dict[str, Any]:
        """Nats and bits a symbol, and perplexity.

        Of numbers: the mean absolute error (`mae`) and root mean squared error of the last `horizon` steps of each
        series, forecast from those before (0: of every step, one ahead); beside them those of the seasonal naive
        forecast, which says what was one season before; the share of numbers within the 90 % interval; and the loss.

        With `dynamic`, a learning rate such as 0.001, also `dynamic_nats`, of the model that goes on learning from what
        it has read; see `stepscan.estimators.dynamic_evaluation`.
        """
        self._check_fitted()
        if not isinstance(self.model_, Forecaster):
            return super().metrics(text, dynamic, horizon)
        if dynamic:
            raise SettingsError("dynamic evaluation is of texts, but this model is one of numbers")
        return self._series_metrics(text, horizon)

    def _check_of_text(self) -> None:
        """Settings that only numbers have are a mistake where the data are text."""
        for name in ("season", "logarithm", "step", "input_noise", "head"):
            if getattr(self, name) != getattr(type(self), name):
                raise SettingsError(
                    f"{name}={getattr(self, name)!r} is for series of numbers, but the data are text; of a CSV file "
                    "say format numbers"
                )

    def _check_usable(self) -> None:
        self._check_fitted()
        if isinstance(self.model_, Forecaster):
            raise SettingsError("this model is one of numbers: use forecast (stepscan generate --history FILE)")

    @torch.inference_mode()
    def _nats(self, inputs: Sequence[Any], targets: Sequence[Any], state: State | None) -> tuple[float, State]:
        """By the pattern's own loss, which also runs on a GPU."""
        loss = self.model_.loss(*(pad(rows).to(self._device) for rows in (inputs, targets)), state)
        return loss.total.item(), loss.state

    def _dynamic_nats(self, text: str, learning_rate: float) -> float:
        ids = np.array([self._begin, *self._encode(text)])
        return dynamic_nats(self.model_, ids, learning_rate=learning_rate, window=self._in_force.window)

    def _counted(self, text: str) -> tuple[int, int]:
        """Symbols of a text and how many different ones, roughly, before there is a tokenizer."""
        if self.tokenizer in ("character", "byte"):
            found: Sequence[str] = text
        else:
            found = text.split()
        return len(found), min(len(set(found)), self.vocabulary_size or len(found))

    def _train_tokenizer(self, text: str) -> TextTokenizer:
        return TextTokenizer.train(self.tokenizer, split_lines(text), vocabulary_size=self.vocabulary_size)

    def _model(self, changes: Sequence[np.ndarray] | None = None) -> Generator | Forecaster:
        """The pattern for text; given what is to be learned of series, that for numbers."""
        if changes is not None:
            return self._forecaster(changes)
        own, embedding = self._in_force, self._embedding(self.tokenizers_["tokenizer"])
        layer = self._network(embedding.output_size, own.hidden_size, causal=True)
        return Generator(
            embedding,
            layer,
            tied=own.tied,
            dropout=own.dropout,
            label_smoothing=self.label_smoothing,
            activation_regularisation=self.activation_regularisation,
            temporal_activation_regularisation=self.temporal_activation_regularisation,
        )

    def _sample_softmax(self, ids: np.ndarray) -> None:
        """Let training compare each target with some symbols alone, as the settings say."""
        number, symbols = self._in_force.softmax_samples, self.model_.embedding.vocabulary_size
        if number and number < symbols:
            counts = torch.from_numpy(np.bincount(ids, minlength=symbols))
            self.model_.samples = SoftmaxSamples(counts, number)

    def _embedding(self, symbols: TextTokenizer) -> Embedding:
        """Characters, of which each is seen often, begin at a deviation of 1 and keep all numbers: after 120 updates on
        Shakespeare 2.166 nats, 2.175 with dropout of 0.1 on them, and 2.469 if they begin at E^-½, too."""
        often = symbols.kind in ("character", "byte") and not self._in_force.tied
        noise = 0.0 if often else self._input_dropout
        embedding = Embedding(len(symbols), self._in_force.embedding_size, noise, symbol_dropout=self.embedding_dropout)
        return embedding.begun_at(1.0) if often else embedding

    def _split(self, text: str, validation: str | None) -> tuple[str, str]:
        for one in (text, "" if validation is None else validation):
            if not isinstance(one, str):
                raise SettingsError(
                    f"one text, or series of numbers, is needed, got {reprlib.repr(one)}; join texts into one"
                )
        if validation == "" or (validation is None and len(text) < 2):
            raise SettingsError("there is no text to validate on; give more text, or validation text")
        if validation is not None:
            return text, validation
        cut = len(text) - max(1, len(text) // 10)
        if self.verbose:
            Bar().note(f"no validation data given: the last tenth ({len(text) - cut:,} characters) is held out")
        return text[:cut], text[cut:]


def _batches(windows: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[TrainingBatch]:
    for inputs, targets in windows:
        lengths = [inputs.shape[1]] * len(inputs)
        count = inputs.numel()
        yield TrainingBatch(Sequences(inputs, lengths), Sequences(targets, lengths), len(inputs), count, count)
