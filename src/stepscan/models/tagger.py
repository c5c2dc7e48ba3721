"""Tagger: a transducer, with one tag for each token of a sentence, or for each step of a numeric series."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stepscan.backends.batches import PLACES, SCORES, Batch, Words, by_length, enough_memory_for, make_words, pad
from stepscan.data.example_checks import as_list, check_known, checked_texts, label_array, make_pairs
from stepscan.data.series.checks import are_numbers, check_range, checked_series
from stepscan.errors import SettingsError
from stepscan.evaluation.schemes import Scheme
from stepscan.evaluation.spans import span_scores
from stepscan.models.model import FittedModel, RuntimeModel
from stepscan.wide.crf import NetworkOnly

Sentence = Sequence[str]

logger = logging.getLogger(__name__)
_BATCH_SIZE = 64  # sentences per batch, at most


class TaggingMixin(FittedModel):
    """Methods of a fitted tagger.

    `X` is a list of sentences, each a list of tokens, or of series: arrays `[T]` or `[T, D]` of T time steps of D
    dimensions.
    """

    task: ClassVar[str] = "tag"

    @property
    def classes_(self) -> np.ndarray:
        """The sorted tags `[K]`: the columns of `predict_proba`."""
        return label_array(self.labels_ or [])

    def predict(self, X: Sequence[Sentence]) -> list[list[str]]:
        """The most probable tag of each token; with a CRF or a wide part, the most probable tags of the whole
        sentence. Of tags that mark spans, the score of O is lowered by `outside_penalty_`, with which F1 is best on
        held-out sentences (Minkov et al. 2006); probabilities are without it."""
        self._check_usable()
        return self._predict_tags(X)

    def _predict_tags(self, X: Sequence[Sentence], *, wide: bool = True) -> list[list[str]]:
        """The tags; of the network alone, without a penalty."""
        classes, penalties = self.classes_, self.tag_penalties if wide else np.float32(0)

        def method(scorer: Any) -> Callable[[Batch], np.ndarray]:
            return lambda scores: scorer.predict(scores.map(lambda data: data - penalties))

        return [classes[indices].tolist() for indices in self._map_scores(X, method, wide)]

    @property
    def tag_penalties(self) -> np.ndarray:
        """What is subtracted from the score of each tag `[K]` where tags are predicted: `outside_penalty_` for those
        outside of spans."""
        return outside_penalties(self.labels_ or [], self.scheme_, self.outside_penalty_)

    def predict_records(self, X: Sequence[Sentence]) -> list[dict[str, Any]]:
        """The output of `stepscan predict` for each sentence: `tokens` (for a series, the values of steps), `tags`."""
        X = _as_rows(X)
        tokens = [[t if isinstance(t, str) else ",".join(map(str, t)) for t in _as_items(sentence)] for sentence in X]
        return [{"tokens": words, "tags": tags} for words, tags in zip(tokens, self.predict(X), strict=True)]

    def predict_proba(self, X: Sequence[Sentence]) -> list[np.ndarray]:
        """For each sentence, the probability of each tag `[T, K]`, in the order of `classes_`."""
        self._check_usable()
        return self._map_scores(X, lambda scorer: scorer.probabilities)

    def log_probabilities(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> list[tuple[float, int]]:
        """For each sentence, the natural logarithm of the probability of its true tags (with a CRF or a wide part,
        their joint probability; minus infinity for an unknown tag), and their number."""
        self._check_usable()
        scorer, tag_index = self._scorer(), {tag: index for index, tag in enumerate(self.classes_.tolist())}
        examples = tagged_examples(as_sentences(X), y, "sentences")
        sentences: list[Any] = [tokens for tokens, _ in examples]
        if not self.tokenizers_:
            check_range(sentences, self.network_)
        read_batch, results = self._reader(sentences), []
        for number, (tokens, tags) in enumerate(examples):
            if not set(tags) <= set(tag_index):
                results.append((-math.inf, len(tags)))
                continue
            targets = np.array([[tag_index[tag] for tag in tags]], dtype=np.int64)
            with enough_memory_for([len(tags)], "sentence"):
                scores = scorer.scores(read_batch([number]), [tokens])
                results.append((float(scorer.log_probability(scores, targets)[0]), len(tags)))
        return results

    def score(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> float:
        """F1 of spans if the tags mark them, as B-person, I-person, O do, else accuracy: 0 … 1."""
        return next(iter(self._tag_metrics(tagged_examples(as_sentences(X), y, "sentences")).values()))

    def metrics(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> dict[str, Any]:
        """Token accuracy; preceded, if the tags mark spans, by the spans' F1, precision and recall, over all and by
        type, as `conlleval` computes them."""
        examples = tagged_examples(as_sentences(X), y, "sentences")
        true = [tags for _, tags in examples]
        check_known([tag for tags in true for tag in tags], self.labels_)
        if not self._warn_of_other_scheme(true, "here"):
            self._warn_of_new_tags(true)
        return {**self._tag_metrics(examples), "tokens": sum(map(len, true)), "sentences": len(true)}

    def _warn_of_other_scheme(self, true: Sequence[Sentence], where: str) -> bool:
        broken = self.scheme_.first_break(true) if self.scheme_ else None
        if self.scheme_ and broken:
            logger.warning(
                f"the tags {where}: expected the model's scheme {self.scheme_.name}, got {broken}; F1 counts the spans "
                "that they mark, but accuracy compares tags of different schemes"
            )
        return broken is not None

    def _warn_of_new_tags(self, true: Sequence[Sentence]) -> None:
        known = set(self.labels_ or ())
        if unknown := [tag for tags in true for tag in tags if tag not in known]:
            names = sorted(set(unknown))
            shown_tags = ", ".join(map(repr, names[:3])) + ", …" * (len(names) > 3)
            subject = f"{len(unknown)} tags are" if len(unknown) > 1 else "1 tag is"
            logger.warning(f"{subject} not among those learned: {shown_tags}; the model is always wrong there")

    def _tag_metrics(self, examples: Sequence[tuple[Any, Sentence]], *, wide: bool = True) -> dict[str, Any]:
        predicted = self._predict_tags([tokens for tokens, _ in examples], wide=wide)
        return tag_metrics(predicted, [tags for _, tags in examples], self.scheme_)

    def network_inputs(self, X: Sequence[Any]) -> Any:
        """The network's inputs: for each sentence the ids `[T]` of its tokens, or one `Words` for all sentences with
        the characters of their words; for each series its values `[T, D]`."""
        return self._reader(X)(range(len(X)))

    def _reader(self, sentences: Sequence[Any]) -> Callable[[Any], Any]:
        """A function from indices of sentences to the network's inputs; each distinct word is encoded once."""
        if not self.tokenizers_:
            return lambda indices: [sentences[i] for i in indices]
        words = [self.tokenizers_["tokenizer"].encode_tokens(list(tokens)) for tokens in sentences]
        if "characters" not in self.tokenizers_:
            return lambda indices: [words[i] for i in indices]
        distinct = sorted({token for tokens in sentences for token in tokens})
        word_index = {token: index for index, token in enumerate(distinct)}
        spellings = self.tokenizers_["characters"].encode_batch(distinct)
        word_rows = [np.array([word_index[token] for token in tokens], dtype=np.int64) for tokens in sentences]

        def read(indices: Sequence[int] | np.ndarray) -> Words:
            return make_words(pad([words[i] for i in indices]), pad([word_rows[i] for i in indices]).data, spellings)

        return read

    def _scorer(self, wide: bool = True) -> Any:
        """The network, joined with the `wide` part if there is one."""
        wide_part: Any = self.wide_ if wide else None
        return NetworkOnly(self.network_) if wide_part is None else wide_part.combine_with(self.network_)

    def _map_scores(
        self,
        X: Sequence[Sentence],
        method: Callable[[Any], Callable[[Batch], np.ndarray]],
        wide: bool = True,
    ) -> list[np.ndarray]:
        """For each sentence, in order, the result of a method of the scorer (`method(scorer)`) on the scores."""
        network, scorer = self.network_, self._scorer(wide)
        sentences: list[Any] = (
            [_check_strings(sentence, f"sentence {number}") for number, sentence in enumerate(_as_rows(X), start=1)]
            if self.tokenizers_
            else checked_series(X, network.embedding.size)
        )
        if not self.tokenizers_:
            check_range(sentences, network)
        read_batch = self._reader(sentences)
        outputs: list[np.ndarray] = [np.zeros(0)] * len(sentences)
        max_items = min(PLACES, SCORES // len(self.labels_ or [0]))
        for indices in by_length([len(sentence) for sentence in sentences], _BATCH_SIZE, max_items):
            with enough_memory_for([len(sentences[i]) for i in indices], "sentence"):
                scores = scorer.scores(read_batch(indices), [sentences[i] for i in indices])
                rows = method(scorer)(scores)
            for index, row, length in zip(indices, rows, scores.lengths, strict=True):
                outputs[index] = row[:length]
        return outputs


@dataclass(kw_only=True, eq=False, repr=False)
class Tagger(TaggingMixin, RuntimeModel):
    """Predicts a tag for each token of a sentence, or for each step of a numeric series."""


def as_sentences(X: Iterable[Any], like: Any = None) -> list[Any]:
    """Checked series, or sentences, which `tagged_examples` checks.

    Args:
        X: sentences or series.
        like: an example of the expected kind; a series also gives the number of dimensions. None: by the first of `X`.

    Raises:
        SettingsError: one is not a valid series.
    """
    rows = _as_rows(X)
    is_numeric = are_numbers(rows) if like is None else isinstance(like, np.ndarray)
    return checked_series(rows, None if like is None else like.shape[1]) if is_numeric else rows


def tagged_examples(X: Sequence[Any], y: Iterable[Any], what: str) -> list[tuple[Any, list[str]]]:
    """Pairs of a sentence or series and its tags.

    Raises:
        SettingsError: a sentence does not have as many tags as tokens, a token or tag is not a string, or there are no
            tokens.
    """
    examples = []
    for number, (sentence, raw_tags) in enumerate(make_pairs(X, _as_rows(y), (what, "tag sequences")), start=1):
        name = f"{what[:-1]} {number}"
        tokens = sentence if _is_series(sentence) else _check_strings(sentence, name)
        tags = _check_strings(raw_tags, name, "tag")
        if len(tokens) != len(tags):
            shown_tokens = " ".join(map(str, tokens))[:60]
            raise SettingsError(
                f"{name}: expected a tag for each of {len(tokens)} tokens, got {len(tags)}: {shown_tokens!r}"
            )
        examples.append((tokens, tags))
    if not any(len(tokens) for tokens, _ in examples):
        raise SettingsError(f"{what}: expected tokens, got only empty ones")
    return examples


def outside_penalties(tags: Sequence[str], scheme: Scheme | None, penalty: float) -> np.ndarray:
    """The penalty for tags that are outside of spans, 0 for the others, `[K]` float32."""
    return np.array([penalty if scheme and scheme.is_outside(tag) else 0.0 for tag in tags], np.float32)


def tag_metrics(predicted: Sequence[Sentence], true: Sequence[Sentence], scheme: Scheme | None) -> dict[str, Any]:
    """Token accuracy; preceded, for tags that mark spans by a scheme, by `span_scores`."""
    correct = [f == t for pair in zip(predicted, true, strict=True) for f, t in zip(*pair, strict=True)]
    return {**(span_scores(predicted, true, scheme) if scheme else {}), "accuracy": sum(correct) / len(correct)}


def _as_rows(values: Any) -> list[Any]:
    """Sentences, series or tag sequences as a list, with iterators as lists."""
    if hasattr(values, "columns") and not all(dtype.kind in "iuf" for dtype in values.dtypes):
        names = ", ".join(map(str, values.columns))
        raise SettingsError(
            f"expected a list of lists, one per sentence, got a {type(values).__name__} with the columns {names}; give "
            f"a column of lists, such as df[{str(values.columns[0])!r}]"
        )
    return [list(value) if isinstance(value, Iterator) else value for value in as_list(values)]


def _is_series(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind == "f"


def _check_strings(values: Any, name: str, what: str = "token") -> list[str]:
    """The checked tokens or tags of a sentence; messages call the sentence `name`."""
    if isinstance(values, str):
        expected = "a list of tokens" if what == "token" else "a list of tags, one per token"
        raise SettingsError(f"{name}: expected {expected}, got the text {values[:40]!r}; split it first")
    try:
        return checked_texts(values, what, f"{name}, ")
    except SettingsError as error:
        raise SettingsError(str(error) if str(error).startswith(name) else f"{name}: {what}s: {error}") from None


def _as_items(sentence: Sentence | np.ndarray) -> list[Any]:
    return sentence.tolist() if isinstance(sentence, np.ndarray) else list(sentence)
