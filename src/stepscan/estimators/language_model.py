"""LanguageModel: a generator over text, which predicts the next symbol and generates text."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch

from stepscan.data.batching import TrainingBatch, bptt_windows, pad
from stepscan.data.lines import split_lines
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.dynamic_evaluation import dynamic_nats
from stepscan.estimators.examples import evaluation_cost
from stepscan.estimators.learning import Data
from stepscan.estimators.networks import GeneratorNetwork
from stepscan.estimators.yardsticks import symbol_frequencies
from stepscan.options import GenerateOptions, TrainingOptions
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.generator import Generator
from stepscan.patterns.sampled_softmax import SoftmaxSamples
from stepscan.runtime.language_model import GenerationMixin
from stepscan.sequences import Sequences
from stepscan.state import State
from stepscan.training.loop import Task
from stepscan.training.progress import ProgressBar
from stepscan.training.work import operations


class LanguageModel(GenerationMixin, GenerateOptions, Estimator):
    """Learns to predict the next symbol of a text, and generates text.

    `batch_size` is the number of parallel streams that the text is cut into; the state is carried from one window of
    `bptt` symbols to the next (truncated back-propagation through time).
    """

    pattern: ClassVar[Any] = Generator
    adaptor: ClassVar[type] = GeneratorNetwork

    def fit(self, text: Any, y: None = None, validation: Any = None) -> Self:
        """Learn from a text; validated on the text `validation`, or on the last tenth held out.

        Raises:
            SettingsError: a setting is wrong, the data are not a text, or it is too short for one window.
        """
        return self._fit(text, validation)

    def _data(self, text: Any, validation: Any) -> Data:
        train, valid = self._split(text, validation)
        count, symbols = self._counted(train)
        self._choose("text", count, count, symbols)
        return Data([(train, valid)], validation is not None, len(train) + len(valid), lambda: train + valid)

    def _prepare(self, train: Any, held_out: Any, settings: TrainingOptions) -> Task:
        """Model and task for a text."""
        window = self._in_force.bptt
        self.tokenizers_, self.labels_ = self._with_vectors({"tokenizer": self._train_tokenizer(train)}), None
        ids = np.array([self.begin_id, *self.encode(train)])
        if len(ids) < 2 * settings.batch_size:
            raise SettingsError(
                f"the text has {len(ids) - 1} symbols, too few for {settings.batch_size} parallel streams; "
                "give more text, or a smaller batch_size"
            )
        self.model_ = self._built(longest=lambda: window).to(settings.device)
        self._sample_softmax(ids)

        def windows(epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
            random = np.random.default_rng([settings.seed, epoch]) if self.vary_bptt else None
            return bptt_windows(ids, settings.batch_size, window, random)

        evaluate = None if held_out is None else lambda: {"nats": -self.score(held_out)}
        cost, items = 1, settings.batch_size * window
        if held_out is not None:
            asked = np.array(self.encode(held_out), dtype=np.int64)
            self.yardstick_ = symbol_frequencies(ids[1:], asked, len(self.tokenizers_["tokenizer"])).to_dict()
            cost = evaluation_cost(operations(self.model_, len(asked)), operations(self.model_, items))
        count = len(windows(0))
        return Task(self.model_, lambda epoch: _batches(windows(epoch)), count, evaluate, False, items, cost)

    @torch.inference_mode()
    def _nats(self, inputs: Sequence[Any], targets: Sequence[Any], state: State | None) -> tuple[float, State]:
        """By the pattern's own loss, which also runs on a GPU."""
        loss = self.model_.loss(*(pad(rows).to(self._device) for rows in (inputs, targets)), state)
        return loss.total.item(), loss.state

    def _dynamic_nats(self, text: str, learning_rate: float) -> float:
        ids = np.array([self.begin_id, *self.encode(text)])
        return dynamic_nats(self.model_, ids, learning_rate=learning_rate, window=self._in_force.bptt)

    def _counted(self, text: str) -> tuple[int, int]:
        """Symbols of a text and how many different ones, roughly, before there is a tokenizer."""
        if self.tokenizer in ("character", "byte"):
            found: Sequence[str] = text
        else:
            found = text.split()
        return len(found), min(len(set(found)), self.vocabulary_size or len(found))

    def _train_tokenizer(self, text: str) -> TextTokenizer:
        return TextTokenizer.train(self.tokenizer, split_lines(text), vocabulary_size=self.vocabulary_size)

    def _model(self) -> Generator:
        own, embedding = self._in_force, self._embedding(self.tokenizers_["tokenizer"])
        layer = self._network(embedding.output_size, own.hidden_size, causal=True)
        return Generator(
            embedding,
            layer,
            tie_weights=own.tie_weights,
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
        often = symbols.kind in ("character", "byte") and not self._in_force.tie_weights
        noise = 0.0 if often else self._input_dropout
        embedding = Embedding(
            len(symbols), self._in_force.embedding_size, noise, embedding_dropout=self.embedding_dropout
        )
        return embedding.begun_at(1.0) if often else embedding

    def _split(self, text: str, validation: str | None) -> tuple[str, str]:
        for one in (text, "" if validation is None else validation):
            if not isinstance(one, str):
                raise SettingsError(
                    f"expected one text, got {reprlib.repr(one)}; join several texts into one; for series of numbers "
                    "use stepscan.Forecaster"
                )
        if validation == "" or (validation is None and len(text) < 2):
            raise SettingsError("there is no text to validate on; give more text, or validation text")
        if validation is not None:
            return text, validation
        cut = len(text) - max(1, len(text) // 10)
        if self.verbose:
            ProgressBar().note(f"no validation data given: the last tenth ({len(text) - cut:,} characters) is held out")
        return text[:cut], text[cut:]


def _batches(windows: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[TrainingBatch]:
    for inputs, targets in windows:
        lengths = [inputs.shape[1]] * len(inputs)
        count = inputs.numel()
        yield TrainingBatch(Sequences(inputs, lengths), Sequences(targets, lengths), len(inputs), count, count)
