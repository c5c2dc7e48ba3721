"""Tagger: a transducer, from the tokens of a sentence, or the steps of a series of numbers, to as many tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch

from stepscan.data.batching import Batch, by_length, pad, pad_numbers
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators.architecture import network
from stepscan.estimators.base import Estimator, bucketed_batches, checked_texts, hold_out, listed, paired
from stepscan.estimators.series import are_numbers, checked_series
from stepscan.patterns.embedding import Embedding, WordAndCharacterEmbedding, Words
from stepscan.patterns.numbers import Numbers
from stepscan.patterns.transducer import Transducer
from stepscan.sequences import Sequences
from stepscan.training.loop import Task
from stepscan.training.settings import TrainingSettings

Sentence = Sequence[str]


@dataclass(kw_only=True, eq=False, repr=False)
class Tagger(Estimator):
    """Says of every token what it is: each word by its own vector, by its spelling and by what stands around it.

    Wherever sentences `X` are taken, so are series, arrays `[T]` or `[T, D]` of T time steps of D dimensions, with a
    tag for each step. They are standardised by the training data's mean and deviation; the settings of words (spelling,
    vocabulary, case, hiding) are for texts alone.

    Args:
        cell: recurrent cell, such as `lstm`, `gru`, `elman`; also of the encoder that reads a word's characters.
        layers: cells one above the other.
        hidden_size: of each cell and direction.
        bidirectional: whether the sentence is read from both ends.
        embedding_size: numbers a word; for series, what a step is projected to.
        input_noise: standard deviation of noise on standardised numbers in training; for series alone.
        character_size: numbers a character; 0 leaves the spelling out.
        spelling_size: of the character encoder, each direction (Lample et al. 2016).
        dropout: probability, on word vectors, between layers and before the decision.
        unknown_probability: probability that a word is hidden in training, so that its spelling must do.
        vocabulary_size: words at most.
        lowercase: whether the word vectors drop case; the spelling keeps it.
        epochs … device: see `Estimator`.
    """

    task: ClassVar[str] = "tag"
    pattern: ClassVar[type] = Transducer

    cell: str = "lstm"
    layers: int = 1
    hidden_size: int = 128
    bidirectional: bool = True
    embedding_size: int = 100
    character_size: int = 32
    spelling_size: int = 48
    input_noise: float = 0.0
    dropout: float = 0.4
    unknown_probability: float = 0.1
    vocabulary_size: int = 30000
    lowercase: bool = True
    epochs: int = 7
    batch_size: int = 32
    learning_rate: float = 3e-3

    @property
    def classes_(self) -> np.ndarray:
        """The tags, sorted: the columns of `predict_proba`."""
        return np.array(self.labels_)

    def fit(
        self,
        X: Sequence[Sentence],
        y: Sequence[Sentence],
        validation: tuple[Sequence[Sentence], Sequence[Sentence]] | None = None,
    ) -> Self:
        """Learn from sentences `X` (lists of tokens) and their tags `y`; judged on `validation` or the last tenth.

        Raises:
            SettingsError: a setting is wrong, or a sentence has not as many tags as tokens.
        """
        with self._fitting() as settings:
            examples = _checked(_inputs(X), y, "sentences")
            valid = None
            if validation is not None:
                valid = _checked(_inputs(validation[0], like=examples[0][0]), validation[1], "validation sentences")
            train, held_out = hold_out(examples, valid, self.verbose)
            self.labels_ = sorted({tag for _, tags in train for tag in tags})
            self.tokenizers_ = self._tokenizers([tokens for tokens, _ in train])
            self.model_ = self._model([tokens for tokens, _ in train]).to(settings.device)
            batches, count = self._batches(train, settings)
            self._train(settings, Task(self.model_, batches, count, lambda: self._evaluate(held_out), True))
        return self

    def predict(self, X: Sequence[Sentence]) -> list[list[str]]:
        """The most probable tag of each token."""
        return [self.classes_[scores.argmax(axis=1)].tolist() for scores in self._scores(X)]

    def predict_proba(self, X: Sequence[Sentence]) -> list[np.ndarray]:
        """For each sentence, the probability of each tag `[T, tags]`, in the order of `classes_`."""
        return [torch.from_numpy(scores).softmax(dim=1).numpy() for scores in self._scores(X)]

    def score(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> float:
        """Accuracy: the share of tokens whose tag is right, 0 … 1."""
        pairs = zip(self.predict(X), (tags for _, tags in _checked(_inputs(X), y, "sentences")), strict=True)
        right = [found == true for sentence in pairs for found, true in zip(*sentence, strict=True)]
        return sum(right) / len(right)

    def metrics(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> dict[str, Any]:
        """Accuracy over the tokens."""
        self._check_known([tag for tags in y for tag in tags])
        return {"accuracy": self.score(X, y), "tokens": sum(map(len, X)), "sentences": len(X)}

    def _tokenizers(self, sentences: list[Sentence]) -> dict[str, TextTokenizer]:
        if are_numbers(sentences):
            return {}
        if self.input_noise:
            raise SettingsError(f"input_noise={self.input_noise} is for series of numbers, but X holds sentences")
        words = TextTokenizer.train(
            "whitespace", map(list, sentences), vocabulary_size=self.vocabulary_size, lowercase=self.lowercase
        )
        if not self.character_size:
            return {"tokenizer": words}
        distinct = sorted({token for sentence in sentences for token in sentence})
        return {"tokenizer": words, "characters": TextTokenizer.train("character", distinct)}

    def _embedding(self, X: list[Any]) -> Embedding | WordAndCharacterEmbedding | Numbers:
        if not self.tokenizers_:
            return Numbers(X[0].shape[1], self.embedding_size, self.dropout, self.input_noise).standardise(X)
        words = Embedding(
            len(self.tokenizers_["tokenizer"]),
            self.embedding_size,
            unknown_probability=self.unknown_probability,
            unknown=self.tokenizers_["tokenizer"].unknown,
            dropout=0.0 if self.character_size else self.dropout,
        )
        if not self.character_size:
            return words
        characters = Embedding(len(self.tokenizers_["characters"]), self.character_size)
        spelling = network(self.cell, self.character_size, self.spelling_size, bidirectional=True)
        return WordAndCharacterEmbedding(words, characters, spelling, self.dropout)

    def _model(self, X: list[Any]) -> Transducer:
        embedding = self._embedding(X)
        layer = network(
            self.cell,
            embedding.output_size,
            self.hidden_size,
            layers=self.layers,
            bidirectional=self.bidirectional,
            dropout=self.dropout,
        )
        return Transducer(embedding, layer, len(self.classes_), dropout=self.dropout)

    def _batches(self, examples: Sequence[tuple[Sentence, Sentence]], settings: TrainingSettings):
        collate_inputs = self._collator([tokens for tokens, _ in examples])
        number = {tag: index for index, tag in enumerate(self.classes_.tolist())}
        # A tag that only validation data has is never right; training never sees one.
        tags = [[number[tag] for tag in tags] for _, tags in examples]

        def collate(chosen: np.ndarray) -> Batch:
            targets = pad([tags[i] for i in chosen])
            count = int(targets.lengths.sum())
            return Batch(collate_inputs(chosen), targets, len(chosen), count, targets.data.numel())

        return bucketed_batches([len(row) for row in tags], settings, collate)

    def _collator(self, sentences: Sequence[Any]):
        """A function from chosen sentences to the model's inputs; each distinct word is looked up and spelled once."""
        if not self.tokenizers_:
            return lambda chosen: pad_numbers([sentences[i] for i in chosen])
        words = [self.tokenizers_["tokenizer"].encode_tokens(list(tokens)) for tokens in sentences]
        if not self.character_size:
            return lambda chosen: pad([words[i] for i in chosen])
        distinct = sorted({token for tokens in sentences for token in tokens})
        number = {token: index for index, token in enumerate(distinct)}
        spellings = pad(self.tokenizers_["characters"].encode_batch(distinct))
        kinds = [np.array([number[token] for token in tokens], dtype=np.int64) for tokens in sentences]

        def collate(chosen: np.ndarray) -> Words:
            padded = pad([kinds[i] for i in chosen])
            used, places = torch.unique(padded.data, return_inverse=True)
            return Words(pad([words[i] for i in chosen]), spellings.select(used), places)

        return collate

    def _evaluate(self, examples: Sequence[tuple[Sentence, Sentence]]) -> dict[str, float]:
        sentences, tags = zip(*examples, strict=True)
        return {"accuracy": self.score(sentences, tags)}

    @torch.inference_mode()
    def _scores(self, X: Sequence[Sentence]) -> list[np.ndarray]:
        self._check_fitted()
        embedding = self.model_.embedding
        sentences: list[Any] = listed(X) if self.tokenizers_ else checked_series(X, embedding.size)
        for sentence in sentences:
            _items(sentence)
        collate = self._collator(sentences)
        found: list[np.ndarray] = [np.zeros((0, len(self.classes_)), dtype=np.float32)] * len(sentences)
        for chosen in by_length([len(sentence) for sentence in sentences], 64):
            scores: Sequences = self.model_(collate(chosen).to(self._device))[0].to("cpu")
            for row, index in enumerate(chosen):
                found[index] = scores.data[row, : scores.lengths[row]].numpy()
        return found


def _inputs(X: Sequence[Any], like: Any = None) -> list[Any]:
    """Series, checked, or sentences, which `_checked` checks; `like` says which they must be and how wide."""
    numeric = are_numbers(X) if like is None else isinstance(like, np.ndarray)
    return checked_series(X, None if like is None else like.shape[1]) if numeric else listed(X)


def _items(sentence: Any) -> Sequence[Any]:
    """The tokens of a sentence, checked; a series is its own steps."""
    if isinstance(sentence, str):
        raise SettingsError(f"a sentence is a list of tokens, got the text {sentence[:40]!r}; split it first")
    if isinstance(sentence, np.ndarray) and sentence.ndim == 2:
        return list(sentence)
    return checked_texts(sentence, "token")


def _checked(X: Sequence[Any], y: Sequence[Sentence], what: str) -> list[tuple[Any, Sentence]]:
    examples = paired(X, y, (what, "tag sequences"))
    for number, (tokens, tags) in enumerate(examples, start=1):
        if len(_items(tokens)) != len(_items(tags)):
            raise SettingsError(
                f"sentence {number} has {len(tokens)} tokens but {len(tags)} tags: {' '.join(map(str, tokens))[:60]!r}"
            )
    if not any(len(tokens) for tokens, _ in examples):
        raise SettingsError(f"there are no tokens: all {what} are empty")
    return examples
