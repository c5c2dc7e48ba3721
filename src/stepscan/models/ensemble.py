"""Ensembles of models of one pattern (Hansen & Salamon 1990): the mean of their probabilities.

An ensemble has the methods by which a fitted model predicts, of trained models of either backend, and is neither
trained nor saved; its state is the tuple of its members' states.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from stepscan.backends.batches import Array, Batch
from stepscan.backends.weights import Weights
from stepscan.decoding.sampling import log_softmax
from stepscan.definitions.conditioned_generator import ConditionedGenerator
from stepscan.definitions.crf import CRF
from stepscan.definitions.encoder import Encoder
from stepscan.definitions.generator import Generator
from stepscan.definitions.transducer import CRFDecoder, CRFTransducer, Transducer
from stepscan.errors import SettingsError
from stepscan.models.model import FittedModel
from stepscan.state import State
from stepscan.wide.crf import TRANSITIONS, CombinedCRF, WideCRF, build_crf

Model = TypeVar("Model", bound=FittedModel)


def ensemble(models: Sequence[Model]) -> Model:
    """A model whose probabilities (in regression, predictions) are the mean of the models'.

    The models may differ in cell and size; they must have the same task, vocabulary and labels, so be trained on the
    same data. An ensemble takes as long as all its models together, and cannot be saved.

    Args:
        models: fitted estimators of one class, or models that `stepscan.runtime.load` returned.

    Raises:
        SettingsError: there are no models, one of them does not match the first, or they are forecasters.
    """
    check_match(models)
    if len(models) == 1:
        return models[0]
    joined = models[0].with_network(build_ensemble([model.network_ for model in models]))
    if any(model.wide_ is not None for model in models):
        joined.wide_ = _WideEnsemble([model.wide_ for model in models])  # type: ignore[assignment]
    joined.outside_penalty_ = mean_penalty(models)
    joined.members_ = list(models)
    return joined


def mean_penalty(models: Sequence[FittedModel]) -> float:
    """The mean `outside_penalty_`."""
    return sum(model.outside_penalty_ for model in models) / len(models)


def check_match(models: Sequence[FittedModel]) -> None:
    """Raise a `SettingsError` unless the models are trained, of one class, and have the same symbols and labels."""
    if not models:
        raise SettingsError("models: expected at least one, got none")
    first = models[0]
    for model in models:
        model._check_usable()
    if len(models) > 1 and any(model.members_ for model in models):
        raise SettingsError("models: expected single models, got an ensemble; join its models and the others at once")
    for number, model in enumerate(models[1:], start=2):
        if type(model) is not type(first):
            raise SettingsError(f"model {number}: expected one to {first.task}, as the first, got one to {model.task}")
        for name, value, expected in (
            ("symbols", _symbols(model), _symbols(first)),
            ("labels", model.labels_, first.labels_),
            ("kind of model", type(model.network_), type(first.network_)),
            ("problem_type", _problem_type(model), _problem_type(first)),
        ):
            if value != expected:
                raise SettingsError(
                    f"model {number}: expected the {name} of the first, got others; train both on the same data, with "
                    "the same settings of the tokenizer"
                )


def _problem_type(model: FittedModel) -> str:
    return getattr(model, "problem_type", "")


def _symbols(model: FittedModel) -> dict[str, list[str]]:
    return {name: tokenizer.tokens for name, tokenizer in model.tokenizers_.items()}


def log_mean(log_probabilities: Sequence[Array]) -> Array:
    """The logarithm of the mean of probabilities of one shape, from their logarithms."""
    stacked = np.stack([np.asarray(values, np.float64) for values in log_probabilities])
    greatest = stacked.max(axis=0)
    finite = np.where(np.isfinite(greatest), greatest, 0)
    with np.errstate(divide="ignore"):
        total = finite + np.log(np.exp(stacked - finite).sum(axis=0)) - math.log(len(stacked))
    return total.astype(np.float32)


class Ensemble:
    """Base of ensembles; inputs are read as by the first member.

    Args:
        members: trained models of one pattern, on arrays or tensors.
    """

    def __init__(self, members: Sequence[Any]) -> None:
        self.members = list(members)

    @property
    def embedding(self) -> Any:
        """The first member's embedding."""
        return self.members[0].embedding


class EncoderEnsemble(Ensemble):
    """Encoders: logits whose softmax (multilabel: sigmoid) is the members' mean; for regression, the mean."""

    @property
    def outputs(self) -> int:
        """The number of classes or labels."""
        return self.members[0].outputs

    @property
    def feature_size(self) -> int:
        """The sum of the members' feature sizes."""
        return sum(member.feature_size for member in self.members)

    def features(self, rows: Any) -> Array:
        """The members' feature vectors, concatenated `[B, ΣH]`."""
        return np.concatenate([member.features(rows) for member in self.members], axis=1)

    def scores(self, rows: Any) -> Array:
        """See `stepscan.definitions.encoder.Encoder.scores`."""
        return self.combine(self.member_scores(rows))

    def member_scores(self, rows: Any) -> list[Array]:
        """The logits of each member, `[B, outputs]`."""
        return [member.scores(rows) for member in self.members]

    def combine(self, scores: Sequence[Array]) -> Array:
        """The logits `[B, outputs]` of the ensemble, from those of its members."""
        problem_type = self.members[0].problem_type
        if problem_type == "regression":
            return np.mean(scores, axis=0)
        if problem_type == "multilabel":
            return log_mean([_log_sigmoid(s) for s in scores]) - log_mean([_log_sigmoid(-s) for s in scores])
        return log_mean([log_softmax(s) for s in scores])


class TransducerEnsemble(Ensemble):
    """Transducers: the mean of the members' probabilities."""

    crf: Any = None
    predict, probabilities, log_probability = Transducer.predict, Transducer.probabilities, Transducer.log_probability

    def scores(self, rows: Any) -> Batch:
        """See `stepscan.definitions.transducer.Transducer.scores`."""
        scores = [member.scores(rows) for member in self.members]
        return scores[0].replace(self._combine([batch.data for batch in scores]))

    def _combine(self, scores: list[Array]) -> Array:
        return log_mean([log_softmax(s) for s in scores])


class CRFTransducerEnsemble(CRFDecoder, TransducerEnsemble):
    """Transducers with CRFs: the mean of their scores, transitions included, which is the normalised geometric mean of
    their distributions."""

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__(members)
        first = members[0].crf
        paths = [np.mean(parts, axis=0) for parts in zip(*(m.crf.path_scores() for m in members), strict=True)]
        weights = dict(zip(("transitions", "start", "end"), paths, strict=True))
        self.crf = CRF(first.tags, first.forbidden).bind(Weights(weights))

    def _combine(self, scores: list[Array]) -> Array:
        return np.mean(scores, axis=0)


class GeneratorEnsemble(Ensemble):
    """Generators: at each step the mean of the members' probabilities of the next symbol."""

    def initial_state(self, rows: int) -> State:
        """The initial states of all members."""
        return tuple(member.initial_state(rows) for member in self.members)

    def array_step(self, ids: Array, state: State) -> tuple[Array, State]:
        """Ids `[B]` and a state → log-probabilities of the next symbols `[B, V]`, and the next state."""
        results = [member.array_step(ids, old) for member, old in zip(self.members, state, strict=True)]
        return log_mean([log_softmax(scores) for scores, _ in results]), tuple(new for _, new in results)

    def scan_rows(self, rows: Any, state: State | None = None) -> tuple[Array, Array, State]:
        """Rows of ids → log-probabilities of the next symbols `[B, T, V]`, lengths `[B]`, and the final state."""
        states = [None] * len(self.members) if state is None else state
        results = [member.scan_rows(rows, old) for member, old in zip(self.members, states, strict=True)]
        scores = log_mean([log_softmax(data) for data, _, _ in results])
        return scores, results[0][1], tuple(final for _, _, final in results)


class ConditionedGeneratorEnsemble(Ensemble):
    """Conditioned generators: each encodes the source; decoding uses the mean of their probabilities."""

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__(members)
        self.generator = GeneratorEnsemble([member.generator for member in members])

    def encode_rows(self, rows: Any) -> State:
        """The states of all members after reading the source."""
        return tuple(member.encode_rows(rows) for member in self.members)

    def attention_weights(self, state: State) -> Array | None:
        """The mean attention weights over the members that have attention; None if none has."""
        weights = [m.attention_weights(s) for m, s in zip(self.members, state, strict=True)]
        known = [w for w in weights if w is not None]
        return np.mean(known, axis=0) if known else None


_CLASSES: list[tuple[type, type[Ensemble]]] = [
    (Encoder, EncoderEnsemble),
    (CRFTransducer, CRFTransducerEnsemble),
    (Transducer, TransducerEnsemble),
    (Generator, GeneratorEnsemble),
    (ConditionedGenerator, ConditionedGeneratorEnsemble),
]


def build_ensemble(members: Sequence[Any]) -> Ensemble:
    """The ensemble of trained models of one pattern.

    Raises:
        SettingsError: there are no ensembles of such models.
    """
    for pattern, ensemble in _CLASSES:
        if isinstance(members[0], pattern):
            return ensemble(members)
    raise SettingsError("expected models that classify, tag, generate or translate, got forecasters")


def _log_sigmoid(x: Array) -> Array:
    return -np.logaddexp(0, -np.asarray(x, np.float64))


class _WideEnsemble(NamedTuple):
    """The wide parts of an ensemble's members, in place of one model's `WideModel`."""

    parts: list[Any]

    def combined_scores(self, network: EncoderEnsemble, rows: Sequence[Any], X: Sequence[Any]) -> Array:
        """See `WideModel.combined_scores`."""
        deep = network.member_scores(rows)
        scores = [
            member if wide is None else wide.combine(member, X) for member, wide in zip(deep, self.parts, strict=True)
        ]
        return network.combine(scores)

    def combine_with(self, network: Any) -> CombinedCRF:
        """See `WideCRF.combine_with`: the mean of all scores, transitions included, which is the normalised product of
        the members' probabilities of paths."""
        zero = next(wide for wide in self.parts if isinstance(wide, WideCRF)).disabled()
        members = [
            (wide or zero).combine_with(member) for member, wide in zip(network.members, self.parts, strict=True)
        ]

        def scores(rows: Any, sentences: Sequence[Any]) -> Batch:
            batches = [member.scores(rows, sentences) for member in members]
            return Batch(np.mean([batch.data for batch in batches], axis=0), batches[0].lengths)

        paths = [np.mean(parts, axis=0) for parts in zip(*(m.crf.path_scores() for m in members), strict=True)]
        weights = dict(zip(TRANSITIONS, paths, strict=True))
        return CombinedCRF(scores, build_crf(weights, members[0].crf))
