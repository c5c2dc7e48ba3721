"""LanguageModel: a generator over text, which predicts the next symbol and generates text."""

from __future__ import annotations

import reprlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch

from stepscan.data.batching import NO_ROWS, TrainingBatch, Windows, bptt_windows, pad
from stepscan.data.lines import split_lines
from stepscan.data.ragged_rows import occurrences, smallest_dtype
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.dynamic_evaluation import dynamic_nats
from stepscan.estimators.encoded_fit import cached_parts
from stepscan.estimators.encoding import Column, EncodedExamples, Vocabulary
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

_BLOCK = 2**16  # characters that are encoded together


class LanguageModel(GenerationMixin, GenerateOptions, Estimator):
    """Predicts the next symbol of a text, and generates text.

    `batch_size` is the number of parallel streams that the text is cut into; the state is carried from one window of
    `bptt` symbols to the next (truncated back-propagation through time).
    """

    pattern: ClassVar[Any] = Generator
    cached_settings: ClassVar[tuple[str, ...]] = ("tokenizer", "vocabulary_size")

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
        facts = _Symbols(self.tokenizer)
        facts.add(train)
        self._choose_settings_for(facts.to_dict())
        return TrainingData([(train, valid)], validation is not None, len(train) + len(valid), lambda: train + valid)

    def _prepare(self, train: Any, held_out: Any, settings: TrainingOptions) -> Task:
        """A new model and its training task."""
        window = self.effective_settings.bptt
        encoded = self._encoded(train)
        ids = encoded.columns["ids"]
        if len(ids) < 2 * settings.batch_size:
            raise SettingsError(
                f"the text has {len(ids) - 1} symbols, too few for {settings.batch_size} parallel streams; "
                "give more text, or a smaller batch_size"
            )
        self.model_ = self._build_model(max_length=lambda: window).to(settings.device)
        self._sample_softmax(ids)

        def windows(epoch: int) -> Windows:
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
            encoded.fingerprint,
        )

    def _choose_settings_for(self, facts: Mapping[str, int]) -> None:
        count, distinct = facts["symbols"], facts["distinct"]
        self._choose_settings("text", count, count, symbols=min(distinct, self.vocabulary_size or count))

    def _learn(self, examples: Any) -> Vocabulary:
        """The vocabulary of a text, or of the pieces of one, which end at ends of lines."""
        facts, is_whole = _Symbols(self.tokenizer), isinstance(examples, str)

        def lines() -> Iterator[str]:
            for piece in [examples] if is_whole else examples:
                if not is_whole:  # of a whole text, the settings are chosen
                    facts.add(piece)
                yield from split_lines(piece)

        texts = lines()
        tokenizer = TextTokenizer.train(self.tokenizer, texts, vocabulary_size=self.vocabulary_size)
        deque(texts, maxlen=0)  # of a tokenizer that needs none
        return Vocabulary({"tokenizer": tokenizer}, None, facts.to_dict())

    def _encode_examples(self, examples: Any, vocabulary: Vocabulary) -> Iterator[dict[str, Column]]:
        dtype = smallest_dtype(len(self.tokenizers_["tokenizer"]))
        yield {"ids": np.array([self.begin_id], dtype=dtype)}
        rest = ""
        for piece in _in_blocks(examples):
            settled, rest = self.split_settled(rest + piece)
            yield {"ids": np.array(self.encode(settled), dtype=dtype)}
        yield {"ids": np.array(self.encode(rest), dtype=dtype)}

    def _cached_data(self, examples: EncodedExamples, held_out: str) -> TrainingData:
        if not held_out:
            raise SettingsError("validation: expected a text, got an empty one; give more text, or validation text")
        self._choose_settings_for(examples.vocabulary.facts)
        return cached_parts(examples, held_out, len(examples.columns["ids"]) - 1)

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

    def _make_layers(self, input_size: int = 8) -> Any:
        return self._layer(input_size, self.effective_settings.hidden_size, causal=True)

    def _make_model(self) -> Generator:
        settings, embedding = self.effective_settings, self._embedding(self.tokenizers_["tokenizer"])
        layer = self._make_layers(embedding.output_size)
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
            self.model_.samples = SoftmaxSamples(torch.from_numpy(occurrences(ids, symbols)), samples)

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


class _Symbols:
    """The number of symbols of a text and of distinct ones, approximately, before there is a tokenizer.

    Args:
        tokenizer: its kind.
    """

    def __init__(self, tokenizer: str) -> None:
        self.has_letters = tokenizer in ("character", "byte")
        self.count, self.distinct = 0, set[str]()

    def add(self, text: str) -> None:
        """Count the symbols of a piece, which begins and ends between words."""
        symbols: Sequence[str] = text if self.has_letters else text.split()
        self.count += len(symbols)
        self.distinct.update(symbols)

    def to_dict(self) -> dict[str, int]:
        """The two numbers."""
        return {"symbols": self.count, "distinct": len(self.distinct)}


def _in_blocks(text: Any) -> Iterator[str]:
    """A text, or pieces of one, in blocks of at least 2^16 characters; the last may be shorter."""
    if isinstance(text, str):
        yield from (text[start : start + _BLOCK] for start in range(0, len(text), _BLOCK))
        return
    pieces, size = [], 0
    for piece in text:
        pieces.append(piece)
        size += len(piece)
        if size >= _BLOCK:
            yield "".join(pieces)
            pieces, size = [], 0
    yield "".join(pieces)
