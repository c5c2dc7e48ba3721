"""Tagger: a transducer, from the tokens of a sentence, or the steps of a series of numbers, to as many tags."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stepscan.errors import SettingsError
from stepscan.runtime.batches import Words, by_length, pad
from stepscan.runtime.examples import check_known, checked_texts, label_array, listed, paired
from stepscan.runtime.model import RuntimeModel, Using
from stepscan.runtime.series import are_numbers, checked_series
from stepscan.runtime.spans import are_spans, span_scores

Sentence = Sequence[str]

_TOGETHER = 64  # sentences that are tagged in one batch


class Tagging(Using):
    """What a tagger does once it is trained.

    Wherever sentences `X` are taken, so are series, arrays `[T]` or `[T, D]` of T time steps of D dimensions.
    """

    task: ClassVar[str] = "tag"

    @property
    def classes_(self) -> np.ndarray:
        """The tags, sorted: the columns of `predict_proba`."""
        return label_array(self.labels_ or [])

    def predict(self, X: Sequence[Sentence]) -> list[list[str]]:
        """The most probable tag of each token; with a CRF, the most probable tags of the whole sentence."""
        self._check_usable()
        classes = self.classes_
        return [classes[found].tolist() for found in self._found(X, self.network_.decide)]

    def answers(self, X: Sequence[Sentence]) -> list[dict[str, Any]]:
        """What `stepscan predict` says of each sentence: `tokens` (of a series, each step's numbers) and `tags`."""
        tokens = [[t if isinstance(t, str) else ",".join(map(str, t)) for t in _plain(sentence)] for sentence in X]
        return [{"tokens": words, "tags": tags} for words, tags in zip(tokens, self.predict(X), strict=True)]

    def predict_proba(self, X: Sequence[Sentence]) -> list[np.ndarray]:
        """For each sentence, the probability of each tag `[T, tags]`, in the order of `classes_`."""
        self._check_usable()
        return self._found(X, self.network_.probabilities)

    def log_probabilities(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> list[tuple[float, int]]:
        """Of each sentence's true tags: the natural logarithm of their probability (with a CRF, of them together; minus
        infinity for a tag unknown), and how many there are."""
        self._check_usable()
        network, place = self.network_, {tag: index for index, tag in enumerate(self.classes_.tolist())}
        examples = tagged(sentences_or_series(X), y, "sentences")
        read, found = self._reader([tokens for tokens, _ in examples]), []
        for number, (_, tags) in enumerate(examples):
            if not set(tags) <= set(place):
                found.append((-math.inf, len(tags)))
                continue
            data, lengths = network.scores(read([number]))
            targets = np.array([[place[tag] for tag in tags]], dtype=np.int64)
            found.append((float(network.log_probability(data, lengths, targets)[0]), len(tags)))
        return found

    def score(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> float:
        """F1 of spans where the tags are of the kind B-person, I-person, O; else accuracy: 0 … 1."""
        return next(iter(self._figures(X, y).values()))

    def metrics(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> dict[str, Any]:
        """Accuracy over the tokens; before it, where the tags mark spans, their F1, precision and recall, over all and
        by type, as `conlleval` counts."""
        check_known([tag for tags in y for tag in tags], self.labels_)
        return {**self._figures(X, y), "tokens": sum(map(len, X)), "sentences": len(X)}

    def _figures(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> dict[str, Any]:
        examples = tagged(sentences_or_series(X), y, "sentences")
        found, true = self.predict(X), [list(tags) for _, tags in examples]
        right = [f == t for pair in zip(found, true, strict=True) for f, t in zip(*pair, strict=True)]
        of_spans = span_scores(found, true) if are_spans(self.classes_) else {}
        return {**of_spans, "accuracy": sum(right) / len(right)}

    def _reader(self, sentences: Sequence[Any]) -> Callable[[Any], Any]:
        """A function from chosen sentences to what the network reads; each distinct word is looked up and spelled
        once."""
        if not self.tokenizers_:
            return lambda chosen: [sentences[i] for i in chosen]
        words = [self.tokenizers_["tokenizer"].encode_tokens(list(tokens)) for tokens in sentences]
        if "characters" not in self.tokenizers_:
            return lambda chosen: [words[i] for i in chosen]
        distinct = sorted({token for tokens in sentences for token in tokens})
        number = {token: index for index, token in enumerate(distinct)}
        spellings = pad(self.tokenizers_["characters"].encode_batch(distinct))
        kinds = [np.array([number[token] for token in tokens], dtype=np.int64) for tokens in sentences]

        def read(chosen: Sequence[int] | np.ndarray) -> Words:
            padded = pad([kinds[i] for i in chosen]).data
            used, places = np.unique(padded, return_inverse=True)
            return Words(pad([words[i] for i in chosen]), spellings.select(used), places.reshape(padded.shape))

        return read

    def _found(self, X: Sequence[Sentence], answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> list[np.ndarray]:
        """What `answer` makes of the network's scores, for each sentence, in order."""
        network = self.network_
        sentences: list[Any] = listed(X) if self.tokenizers_ else checked_series(X, network.embedding.size)
        for sentence in sentences:
            _items(sentence)
        read = self._reader(sentences)
        found: list[np.ndarray] = [np.zeros(0)] * len(sentences)
        for chosen in by_length([len(sentence) for sentence in sentences], _TOGETHER):
            data, lengths = network.scores(read(chosen))
            for index, row, length in zip(chosen, answer(data, lengths), lengths, strict=True):
                found[index] = row[:length]
        return found


@dataclass(kw_only=True, eq=False, repr=False)
class Tagger(Tagging, RuntimeModel):
    """Says of every token, or of every step of a series, what it is."""


def sentences_or_series(X: Sequence[Any], like: Any = None) -> list[Any]:
    """Series, checked, or sentences, which `tagged` checks; `like` says which they must be and how wide."""
    numeric = are_numbers(X) if like is None else isinstance(like, np.ndarray)
    return checked_series(X, None if like is None else like.shape[1]) if numeric else listed(X)


def tagged(X: Sequence[Any], y: Sequence[Sentence], what: str) -> list[tuple[Any, Sentence]]:
    """The sentences, or series, each with its tags, checked: as many tags as tokens, and tokens at all."""
    examples = paired(X, y, (what, "tag sequences"))
    for number, (tokens, tags) in enumerate(examples, start=1):
        if len(_items(tokens)) != len(_items(tags)):
            raise SettingsError(
                f"sentence {number} has {len(tokens)} tokens but {len(tags)} tags: {' '.join(map(str, tokens))[:60]!r}"
            )
    if not any(len(tokens) for tokens, _ in examples):
        raise SettingsError(f"there are no tokens: all {what} are empty")
    return examples


def _items(sentence: Any) -> Sequence[Any]:
    """The tokens of a sentence, checked; a series is its own steps."""
    if isinstance(sentence, str):
        raise SettingsError(f"a sentence is a list of tokens, got the text {sentence[:40]!r}; split it first")
    if isinstance(sentence, np.ndarray) and sentence.ndim == 2:
        return list(sentence)
    return checked_texts(sentence, "token")


def _plain(sentence: Sentence | np.ndarray) -> list[Any]:
    return sentence.tolist() if isinstance(sentence, np.ndarray) else list(sentence)
