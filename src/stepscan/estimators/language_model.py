"""LanguageModel: a generator over text, which predicts the next symbol and generates text."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch

from stepscan.data.batching import NO_ROWS, TrainingBatch, bptt_windows, pad
from stepscan.data.lines import split_lines
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.dynamic_evaluation import dynamic_nats
from stepscan.estimators.training_data import TrainingData, evaluation_cost
from stepscan.estimators.yardsticks import symbol_frequencies
from stepscan.models.language_model import GenerationMixin
from stepscan.options import GenerateOptions, TrainingOptions
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.generator import Generator
from stepscan.patterns.sampled_softmax import SoftmaxSamples
from stepscan.processes.dealing import stretch
from stepscan.processes.joining import join
from stepscan.processes.team import ALONE, Team
from stepscan.sequences import Sequences
from stepscan.state import State
from stepscan.training.flops import training_flops
from stepscan.training.loop import Task
from stepscan.training.progress import ProgressBar


class LanguageModel(GenerationMixin, GenerateOptions, Estimator):
    """Predicts the next symbol of a text, and generates text.

    `batch_size` is the number of parallel streams that the text is cut into; the state is carried from one window of
    `bptt` symbols to the next (truncated back-propagation through time).
    """

    pattern: ClassVar[Any] = Generator

    def fit(self, text: Any, y: None = None, validation: Any = None) -> Self:
        """Train on a text.

        Args:
            text: the training text.
            y: not used.
            validation: a text; without it, the last tenth of `text` is held out.

        Raises:
            SettingsError: a setting is wrong, the data are not a text, or it is too short for one window.
        """
        return self._fit(text, validation)

    def _data(self, text: Any, validation: Any) -> TrainingData:
        train, valid = self._split(text, validation)
        count, symbols = self._count_symbols(train)
        self._choose_settings("text", count, count, symbols)
        return TrainingData([(train, valid)], validation is not None, len(train) + len(valid), lambda: train + valid)

    def _prepare(self, train: Any, held_out: Any, settings: TrainingOptions) -> Task:
        """A new model and its training task."""
        window = self.effective_settings.bptt
        self.tokenizers_, self.labels_ = self._with_word_vectors({"tokenizer": self._train_tokenizer(train)}), None
        ids = np.array([self.begin_id, *self.encode(train)])
        if len(ids) < 2 * settings.batch_size:
            raise SettingsError(
                f"the text has {len(ids) - 1} symbols, too few for {settings.batch_size} parallel streams; "
                "give more text, or a smaller batch_size"
            )
        self.model_ = self._build_model(max_length=lambda: window).to(settings.device)
        self._sample_softmax(ids)

        def windows(epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
            random = np.random.default_rng([settings.seed, epoch]) if self.vary_bptt else None
            return bptt_windows(ids, settings.batch_size, window, random)

        team = join(settings)
        evaluate = None if held_out is None else lambda: {"nats": self._shared_loss(held_out, team)}
        cost, items = 1, settings.batch_size * window
        if held_out is not None:
            held_out_ids = np.array(self.encode(held_out), dtype=np.int64)
            self.yardstick_ = symbol_frequencies(ids[1:], held_out_ids, len(self.tokenizers_["tokenizer"])).to_dict()
            flops = training_flops(self.model_, len(held_out_ids)), training_flops(self.model_, items)
            cost = evaluation_cost(*flops)
        count = len(windows(0))
        return Task(
            self.model_,
            lambda epoch: _batches(windows(epoch)),
            count,
            evaluate,
            False,
            items,
            cost,
            lambda epoch, team: _batches(windows(epoch), team),
        )

    def _shared_loss(self, text: str, team: Team) -> float:
        """Minus `score(text)`; each process computes some of its rows."""
        if team.size == 1:
            return -self.score(text)
        nats, symbols = self._row_nats(text, team.rank, team.size)
        return sum(team.gather(nats)) / symbols

    @torch.inference_mode()
    def _nats(self, inputs: Sequence[Any], targets: Sequence[Any], state: State | None) -> tuple[float, State]:
        """By the pattern's loss, which also runs on a GPU."""
        if not isinstance(self.model_, Generator):  # an ensemble
            return super()._nats(inputs, targets, state)
        loss = self.model_.loss(pad(inputs).to(self._device), pad(targets).to(self._device), state)
        return loss.total.item(), loss.state

    def _dynamic_nats(self, text: str, learning_rate: float) -> float:
        if self.members_:
            raise SettingsError("dynamic: expected 0 for an ensemble, whose models would be trained, got a rate")
        ids = np.array([self.begin_id, *self.encode(text)])
        return dynamic_nats(self.model_, ids, learning_rate=learning_rate, window=self.effective_settings.bptt)

    def _count_symbols(self, text: str) -> tuple[int, int]:
        """The number of symbols and of distinct ones, approximately, before there is a tokenizer."""
        symbols: Sequence[str] = text if self.tokenizer in ("character", "byte") else text.split()
        return len(symbols), min(len(set(symbols)), self.vocabulary_size or len(symbols))

    def _train_tokenizer(self, text: str) -> TextTokenizer:
        return TextTokenizer.train(self.tokenizer, split_lines(text), vocabulary_size=self.vocabulary_size)

    def _make_model(self) -> Generator:
        settings, embedding = self.effective_settings, self._embedding(self.tokenizers_["tokenizer"])
        layer = self._layer(embedding.output_size, settings.hidden_size, causal=True)
        return Generator(
            embedding,
            layer,
            tie_weights=settings.tie_weights,
            dropout=settings.dropout,
            label_smoothing=self.label_smoothing,
            activation_regularisation=self.activation_regularisation,
            temporal_activation_regularisation=self.temporal_activation_regularisation,
        )

    def _sample_softmax(self, ids: np.ndarray) -> None:
        """Train with a sampled softmax, if `softmax_samples` is set and smaller than the vocabulary."""
        samples, symbols = self.effective_settings.softmax_samples, self.model_.embedding.vocabulary_size
        if samples and samples < symbols:
            counts = torch.from_numpy(np.bincount(ids, minlength=symbols))
            self.model_.samples = SoftmaxSamples(counts, samples)

    def _embedding(self, tokenizer: TextTokenizer) -> Embedding:
        """The input map. Vectors of characters, each of which is frequent, are initialised with a standard deviation of
        1 and have no dropout: after 120 updates on Shakespeare 2.166 nats, 2.175 with a dropout of 0.1, and 2.469 if
        the standard deviation is E^-½, too."""
        settings = self.effective_settings
        are_frequent = tokenizer.kind in ("character", "byte") and not settings.tie_weights
        dropout = 0.0 if are_frequent else self._input_dropout
        embedding = Embedding(
            len(tokenizer), settings.embedding_size, dropout, embedding_dropout=self.embedding_dropout
        )
        return embedding.rescale(1.0) if are_frequent else embedding

    def _split(self, text: str, validation: str | None) -> tuple[str, str]:
        """Training and validation text."""
        for value in (text, "" if validation is None else validation):
            if not isinstance(value, str):
                raise SettingsError(
                    f"expected one text, got {reprlib.repr(value)}; join several texts into one; for series of numbers "
                    "use stepscan.Forecaster"
                )
        if validation == "" or (validation is None and len(text) < 2):
            raise SettingsError("validation: expected a text, got an empty one; give more text, or validation text")
        if validation is not None:
            return text, validation
        cut = len(text) - max(1, len(text) // 10)
        if self.verbose:
            ProgressBar().note(f"no validation data given: the last tenth ({len(text) - cut:,} characters) is held out")
        return text[:cut], text[cut:]


def _batches(windows: Sequence[tuple[torch.Tensor, torch.Tensor]], team: Team = ALONE) -> Iterator[TrainingBatch]:
    """The batches of windows; of several processes, each has the same streams in all of them."""
    for window in windows:
        inputs, targets = (part[stretch(len(part), team.rank, team.size)] for part in window)
        if not len(inputs):
            yield NO_ROWS
            continue
        lengths = [inputs.shape[1]] * len(inputs)
        count = inputs.numel()
        yield TrainingBatch(Sequences(inputs, lengths), Sequences(targets, lengths), len(inputs), count, count)
