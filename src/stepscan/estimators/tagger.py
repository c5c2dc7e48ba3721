"""Tagger: a transducer, from the tokens of a sentence, or the steps of a series of numbers, to as many tags."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch

from stepscan.data.batching import Batch, by_length, pad, pad_numbers
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators.architecture import network
from stepscan.estimators.base import Estimator
from stepscan.estimators.examples import Buckets, checked_texts, hold_out, listed, paired
from stepscan.estimators.series import are_numbers, checked_series
from stepscan.estimators.spans import are_spans, first_break, forbidden_transitions, span_scores, spans
from stepscan.patterns.crf import CRFTransducer
from stepscan.patterns.embedding import Embedding, WordAndCharacterEmbedding, Words
from stepscan.patterns.numbers import Numbers
from stepscan.patterns.transducer import Transducer
from stepscan.sequences import Sequences
from stepscan.training.loop import Task
from stepscan.training.progress import Bar
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
        crf: whether the tags of a sentence are decided together, by a conditional random field (Lample et al. 2016).
            Where they mark spans (B-person, I-person, O), an I- that continues nothing then has probability 0, unless
            the training data have one. It costs time, and pays where tags depend on each other.
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
    crf: bool = False
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
            self._say_judge([tags for _, tags in held_out])
            self.tokenizers_ = self._tokenizers([tokens for tokens, _ in train])
            forbidden = self._forbidden([tags for _, tags in train])
            self.model_ = self._built([tokens for tokens, _ in train], forbidden).to(settings.device)
            batches = self._batches(train, settings)
            self._train(settings, Task(self.model_, batches, len(batches), lambda: self._evaluate(held_out), True))
        return self

    def predict(self, X: Sequence[Sentence]) -> list[list[str]]:
        """The most probable tag of each token; with a CRF, the most probable tags of the whole sentence."""
        self._check_fitted()
        return [self.classes_[found].tolist() for found in self._found(X, self.model_.decide)]

    def answers(self, X: Sequence[Sentence]) -> list[dict[str, Any]]:
        """What `stepscan predict` says of each sentence: `tokens` (of a series, each step's numbers) and `tags`."""
        tokens = [[t if isinstance(t, str) else ",".join(map(str, t)) for t in _plain(sentence)] for sentence in X]
        return [{"tokens": words, "tags": tags} for words, tags in zip(tokens, self.predict(X), strict=True)]

    def predict_proba(self, X: Sequence[Sentence]) -> list[np.ndarray]:
        """For each sentence, the probability of each tag `[T, tags]`, in the order of `classes_`."""
        self._check_fitted()
        return self._found(X, self.model_.probabilities)

    @torch.inference_mode()
    def log_probabilities(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> list[tuple[float, int]]:
        """Of each sentence's true tags: the natural logarithm of their probability (with a CRF, of them together; minus
        infinity for a tag unknown), and how many there are."""
        self._check_fitted()
        place = {tag: index for index, tag in enumerate(self.classes_.tolist())}
        found = []
        for tokens, tags in _checked(_inputs(X), y, "sentences"):
            if not set(tags) <= set(place):
                found.append((-math.inf, len(tags)))
                continue
            inputs = self._collator([tokens])(np.array([0])).to(self._device)
            targets = pad([[place[tag] for tag in tags]]).to(self._device)
            found.append((-self.model_.loss(inputs, targets).total.item(), len(tags)))
        return found

    def score(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> float:
        """F1 of spans where the tags are of the kind B-person, I-person, O; else accuracy: 0 … 1."""
        return next(iter(self._figures(X, y).values()))

    def metrics(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> dict[str, Any]:
        """Accuracy over the tokens; before it, where the tags mark spans, their F1, precision and recall, over all and
        by type, as `conlleval` counts."""
        self._check_known([tag for tags in y for tag in tags])
        return {**self._figures(X, y), "tokens": sum(map(len, X)), "sentences": len(X)}

    def _figures(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> dict[str, Any]:
        examples = _checked(_inputs(X), y, "sentences")
        found, true = self.predict(X), [list(tags) for _, tags in examples]
        right = [f == t for pair in zip(found, true, strict=True) for f, t in zip(*pair, strict=True)]
        of_spans = span_scores(found, true) if are_spans(self.classes_) else {}
        return {**of_spans, "accuracy": sum(right) / len(right)}

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
            if self.embedding_dropout:
                raise SettingsError(f"embedding_dropout={self.embedding_dropout} is for words, but X holds numbers")
            return Numbers(X[0].shape[1], self.embedding_size, self._input_dropout, self.input_noise).standardise(X)
        words = Embedding(
            len(self.tokenizers_["tokenizer"]),
            self.embedding_size,
            unknown_probability=self.unknown_probability,
            unknown=self.tokenizers_["tokenizer"].unknown,
            dropout=0.0 if self.character_size else self._input_dropout,
            symbol_dropout=self.embedding_dropout,
        )
        if not self.character_size:
            return words
        characters = Embedding(len(self.tokenizers_["characters"]), self.character_size)
        spelling = network(self.cell, self.character_size, self.spelling_size, bidirectional=True)
        return WordAndCharacterEmbedding(words, characters, spelling, self._input_dropout)

    def _say_judge(self, held_out: list[Sentence]) -> None:
        """Validation tags that spans cannot be read from are an error before training, not after it."""
        if are_spans(self.classes_):
            count = len(spans(held_out))
            if self.verbose:
                Bar().note(f"the tags mark spans: the best weights are those with the best F1 of {count:,} spans")

    def _forbidden(self, y: Sequence[Sentence]) -> list[list[int]]:
        """What a CRF rules out: of tags that mark spans, what IOB2 never has, if these tags never have it either."""
        if not (self.crf and are_spans(self.classes_)):
            return []
        broken = first_break(y)
        if broken is None:
            return forbidden_transitions(self.classes_.tolist())
        sentence, token = broken
        warnings.warn(
            f"the tags are not IOB2: in sentence {sentence}, token {token} is {y[sentence - 1][token - 1]}, which "
            "continues nothing; so the CRF learns what follows what, but rules nothing out",
            stacklevel=3,
        )
        return []

    def _model(self, X: list[Any], forbidden: list[list[int]]) -> Transducer:
        embedding = self._embedding(X)
        layer = self._network(embedding.output_size, self.hidden_size, bidirectional=self.bidirectional)
        if self.crf:
            if self.label_smoothing:
                raise SettingsError("label_smoothing is for tags decided one by one; a CRF decides them together")
            return CRFTransducer(embedding, layer, len(self.classes_), dropout=self.dropout, forbidden=forbidden)
        return Transducer(
            embedding, layer, len(self.classes_), dropout=self.dropout, label_smoothing=self.label_smoothing
        )

    def _batches(self, examples: Sequence[tuple[Sentence, Sentence]], settings: TrainingSettings) -> Buckets:
        collate_inputs = self._collator([tokens for tokens, _ in examples])
        number = {tag: index for index, tag in enumerate(self.classes_.tolist())}
        # A tag that only validation data has is never right; training never sees one.
        tags = [[number[tag] for tag in tags] for _, tags in examples]

        def collate(chosen: np.ndarray) -> Batch:
            targets = pad([tags[i] for i in chosen])
            count = int(targets.lengths.sum())
            return Batch(collate_inputs(chosen), targets, len(chosen), count, targets.data.numel())

        return Buckets([len(row) for row in tags], settings, collate)

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
        figures = self._figures(sentences, tags)
        return {name: figures[name] for name in ("f1", "accuracy") if name in figures}

    @torch.inference_mode()
    def _found(self, X: Sequence[Sentence], answer: Callable[[Sequences], Sequences]) -> list[np.ndarray]:
        """What `answer` makes of the model's scores, for each sentence, in order."""
        embedding = self.model_.embedding
        sentences: list[Any] = listed(X) if self.tokenizers_ else checked_series(X, embedding.size)
        for sentence in sentences:
            _items(sentence)
        collate = self._collator(sentences)
        found: list[np.ndarray] = [np.zeros(0)] * len(sentences)
        for chosen in by_length([len(sentence) for sentence in sentences], 64):
            answers = answer(self.model_(collate(chosen).to(self._device))[0]).to("cpu")
            for row, index in enumerate(chosen):
                found[index] = answers.data[row, : answers.lengths[row]].numpy()
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


def _plain(sentence: Sentence | np.ndarray) -> list[Any]:
    return sentence.tolist() if isinstance(sentence, np.ndarray) else list(sentence)
