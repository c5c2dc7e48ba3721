"""Tagger: a transducer, from the tokens of a sentence, or the steps of a series of numbers, to as many tags."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stepscan.errors import SettingsError
from stepscan.runtime.batches import PLACES, SCORES, Words, answering, by_length, pad, spelled
from stepscan.runtime.examples import check_known, checked_texts, label_array, listed, paired
from stepscan.runtime.model import RuntimeModel, Using
from stepscan.runtime.schemes import Scheme
from stepscan.runtime.series import are_numbers, checked_series
from stepscan.runtime.spans import span_scores
from stepscan.runtime.wide.crf import NetworkOnly

Sentence = Sequence[str]

logger = logging.getLogger(__name__)
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
        """The most probable tag of each token; with a CRF or a wide part, the most probable tags of the whole
        sentence."""
        self._check_usable()
        return self._decided(X)

    def _decided(self, X: Sequence[Sentence], *, wide: bool = True) -> list[list[str]]:
        classes = self.classes_
        return [classes[found].tolist() for found in self._found(X, lambda decider: decider.predict, wide)]

    def answers(self, X: Sequence[Sentence]) -> list[dict[str, Any]]:
        """What `stepscan predict` says of each sentence: `tokens` (of a series, each step's numbers) and `tags`."""
        X = _rows(X)
        tokens = [[t if isinstance(t, str) else ",".join(map(str, t)) for t in _plain(sentence)] for sentence in X]
        return [{"tokens": words, "tags": tags} for words, tags in zip(tokens, self.predict(X), strict=True)]

    def predict_proba(self, X: Sequence[Sentence]) -> list[np.ndarray]:
        """For each sentence, the probability of each tag `[T, tags]`, in the order of `classes_`."""
        self._check_usable()
        return self._found(X, lambda decider: decider.probabilities)

    def log_probabilities(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> list[tuple[float, int]]:
        """Of each sentence's true tags: the natural logarithm of their probability (with a CRF or a wide part, of them
        together; minus infinity for a tag unknown), and how many there are."""
        self._check_usable()
        decider, place = self._decider(), {tag: index for index, tag in enumerate(self.classes_.tolist())}
        examples = tagged(sentences_or_series(X), y, "sentences")
        read, found = self._reader([tokens for tokens, _ in examples]), []
        for number, (tokens, tags) in enumerate(examples):
            if not set(tags) <= set(place):
                found.append((-math.inf, len(tags)))
                continue
            targets = np.array([[place[tag] for tag in tags]], dtype=np.int64)
            with answering([len(tags)], "sentence"):
                data, lengths = decider.scores(read([number]), [tokens])
                found.append((float(decider.log_probability(data, lengths, targets)[0]), len(tags)))
        return found

    def score(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> float:
        """F1 of spans where the tags mark them, such as B-person, I-person, O; else accuracy: 0 … 1."""
        return next(iter(self._figures(tagged(sentences_or_series(X), y, "sentences")).values()))

    def metrics(self, X: Sequence[Sentence], y: Sequence[Sentence]) -> dict[str, Any]:
        """Accuracy over the tokens; before it, where the tags mark spans, their F1, precision and recall, over all and
        by type, as `conlleval` counts."""
        examples = tagged(sentences_or_series(X), y, "sentences")
        true = [tags for _, tags in examples]
        check_known([tag for tags in true for tag in tags], self.labels_)
        if not self._warn_of_other_scheme(true, "here"):
            self._warn_of_new_tags(true)
        return {**self._figures(examples), "tokens": sum(map(len, true)), "sentences": len(true)}

    def _warn_of_other_scheme(self, true: Sequence[Sentence], where: str) -> bool:
        broken = self.scheme_.first_break(true) if self.scheme_ else None
        if self.scheme_ and broken:
            logger.warning(
                f"the tags {where} are not {self.scheme_.name}, as the model's: {broken}; F1 counts the spans that "
                "they mark, but accuracy compares tags of different schemes"
            )
        return broken is not None

    def _warn_of_new_tags(self, true: Sequence[Sentence]) -> None:
        known = set(self.labels_ or ())
        if new := [tag for tags in true for tag in tags if tag not in known]:
            names = sorted(set(new))
            shown = ", ".join(map(repr, names[:3])) + ", …" * (len(names) > 3)
            said = f"{len(new)} tags are" if len(new) > 1 else "1 tag is"
            logger.warning(f"{said} not among those learned: {shown}; the model is always wrong there")

    def _figures(self, examples: Sequence[tuple[Any, Sentence]], *, wide: bool = True) -> dict[str, Any]:
        found, true = self._decided([tokens for tokens, _ in examples], wide=wide), [tags for _, tags in examples]
        return tag_figures(found, true, self.scheme_)

    def network_inputs(self, X: Sequence[Any]) -> Any:
        """What the network reads: of each sentence the ids `[T]` of its tokens, or `Words` with their spelling of all
        sentences together; of each series its values `[T, D]`."""
        return self._reader(X)(range(len(X)))

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
        spelling = self.tokenizers_["characters"].encode_batch(distinct)
        kinds = [np.array([number[token] for token in tokens], dtype=np.int64) for tokens in sentences]

        def read(chosen: Sequence[int] | np.ndarray) -> Words:
            return spelled(pad([words[i] for i in chosen]), pad([kinds[i] for i in chosen]).data, spelling)

        return read

    def _decider(self, wide: bool = True) -> Any:
        """What scores and decides: the network, with its `wide` part if there is one."""
        part: Any = self.wide_ if wide else None
        return NetworkOnly(self.network_) if part is None else part.combine_with(self.network_)

    def _found(
        self,
        X: Sequence[Sentence],
        answer: Callable[[Any], Callable[[np.ndarray, np.ndarray], np.ndarray]],
        wide: bool = True,
    ) -> list[np.ndarray]:
        """What `answer`, of what decides, makes of the scores, for each sentence, in order."""
        network, decider = self.network_, self._decider(wide)
        sentences: list[Any] = (
            [_strings(sentence, f"sentence {number}") for number, sentence in enumerate(_rows(X), start=1)]
            if self.tokenizers_
            else checked_series(X, network.embedding.size)
        )
        read = self._reader(sentences)
        found: list[np.ndarray] = [np.zeros(0)] * len(sentences)
        places = min(PLACES, SCORES // len(self.labels_ or [0]))
        for chosen in by_length([len(sentence) for sentence in sentences], _TOGETHER, places):
            with answering([len(sentences[i]) for i in chosen], "sentence"):
                data, lengths = decider.scores(read(chosen), [sentences[i] for i in chosen])
                answers = answer(decider)(data, lengths)
            for index, row, length in zip(chosen, answers, lengths, strict=True):
                found[index] = row[:length]
        return found


@dataclass(kw_only=True, eq=False, repr=False)
class Tagger(Tagging, RuntimeModel):
    """Says of every token, or of every step of a series, what it is."""


def sentences_or_series(X: Iterable[Any], like: Any = None) -> list[Any]:
    """Series, checked, or sentences, which `tagged` checks; `like` says which they must be and how wide."""
    rows = _rows(X)
    numeric = are_numbers(rows) if like is None else isinstance(like, np.ndarray)
    return checked_series(rows, None if like is None else like.shape[1]) if numeric else rows


def tagged(X: Sequence[Any], y: Iterable[Any], what: str) -> list[tuple[Any, list[str]]]:
    """The sentences, or series, each with its tags, checked: as many tags as tokens, and tokens at all."""
    examples = []
    for number, (sentence, given) in enumerate(paired(X, _rows(y), (what, "tag sequences")), start=1):
        name = f"{what[:-1]} {number}"
        tokens = sentence if _is_series(sentence) else _strings(sentence, name)
        tags = _strings(given, name, "tag")
        if len(tokens) != len(tags):
            shown = " ".join(map(str, tokens))[:60]
            raise SettingsError(f"{name} has {len(tokens)} tokens but {len(tags)} tags: {shown!r}")
        examples.append((tokens, tags))
    if not any(len(tokens) for tokens, _ in examples):
        raise SettingsError(f"there are no tokens: all {what} are empty")
    return examples


def tag_figures(found: Sequence[Sentence], true: Sequence[Sentence], scheme: Scheme | None) -> dict[str, Any]:
    """Accuracy over the tokens; before it, of tags that mark spans by a scheme, what `span_scores` says."""
    right = [f == t for pair in zip(found, true, strict=True) for f, t in zip(*pair, strict=True)]
    return {**(span_scores(found, true, scheme) if scheme else {}), "accuracy": sum(right) / len(right)}


def _rows(several: Any) -> list[Any]:
    """Sentences, series or tag sequences as a list of what can be read twice."""
    if hasattr(several, "columns") and not all(kind.kind in "iuf" for kind in several.dtypes):
        names = ", ".join(map(str, several.columns))
        raise SettingsError(
            f"a list of lists is needed, one a sentence, got a {type(several).__name__} with the columns {names}; give "
            f"a column of lists, such as df[{str(several.columns[0])!r}]"
        )
    return [list(one) if isinstance(one, Iterator) else one for one in listed(several)]


def _is_series(one: Any) -> bool:
    return isinstance(one, np.ndarray) and one.ndim == 2 and one.dtype.kind == "f"


def _strings(given: Any, name: str, what: str = "token") -> list[str]:
    """The tokens, or tags, of a sentence, checked; `name` is what errors call the sentence."""
    if isinstance(given, str):
        of = "a sentence is a list of tokens" if what == "token" else "expected a list of tags, one a token"
        raise SettingsError(f"{name}: {of}, got the text {given[:40]!r}; split it first")
    try:
        return checked_texts(given, what, f"{name}, ")
    except SettingsError as error:
        raise SettingsError(str(error) if str(error).startswith(name) else f"{name}: {what}s: {error}") from None


def _plain(sentence: Sentence | np.ndarray) -> list[Any]:
    return sentence.tolist() if isinstance(sentence, np.ndarray) else list(sentence)
