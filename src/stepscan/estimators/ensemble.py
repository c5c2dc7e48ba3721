"""Several trained models as one: `ensemble` averages their probabilities, `average` their weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.classifier import Classifier
from stepscan.estimators.inference_models import InferenceEncoder, InferenceTransducer
from stepscan.estimators.wide_model import mean_wide
from stepscan.patterns.ensemble import average_weights, build_ensemble, has_ensemble
from stepscan.registry import describe
from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.wide.crf import TRANSITIONS, CombinedCRF, WideCRF, build_crf

Model = TypeVar("Model", bound=Estimator)


def ensemble(models: Sequence[Model]) -> Model:
    """An estimator whose probabilities (in regression, predictions) are the mean of the models'.

    The models may differ in cell and size; they must have the same task, vocabulary and labels, so be trained on the
    same data. An ensemble takes as long as all its models together, and cannot be saved.

    Args:
        models: fitted estimators of one class.

    Raises:
        SettingsError: there are no models, or one of them does not match the first.
    """
    _check_match(models)
    joined = copy.copy(models[0])
    if len(models) > 1 and not has_ensemble(models[0].model_):
        raise SettingsError("expected models that classify, tag, generate or translate, got forecasters")
    if len(models) > 1:
        joined.model_ = build_ensemble([model.model_ for model in models]).eval()
        if any(model.wide_ is not None for model in models):
            joined.wide_ = _WideEnsemble([model.wide_ for model in models])  # type: ignore[assignment]
    return joined


def average(models: Sequence[Model]) -> Model:
    """An estimator with the mean of the models' weights.

    It is useful for models with a common start, such as checkpoints of one training or models fine-tuned from one
    (Wortsman et al. 2022), not for models trained independently.

    Args:
        models: fitted estimators of one class.

    Raises:
        SettingsError: there are no models, or one of them has another architecture, vocabulary or labels.
    """
    _check_match(models)
    first = describe(models[0].model_)
    for number, model in enumerate(models[1:], start=2):
        if describe(model.model_) != first:
            raise SettingsError(
                f"model {number}: expected the layers and sizes of the first, got others; an ensemble can join them"
            )
    averaged = copy.copy(models[0])
    averaged.wide_ = mean_wide([model.wide_ for model in models])
    averaged.model_ = copy.deepcopy(models[0].model_)
    average_weights(averaged.model_, [model.model_ for model in models])
    return averaged


class _WideEnsemble(NamedTuple):
    """The wide parts of an ensemble's members, in place of one model's `WideModel`."""

    parts: list[Any]

    def combined_scores(self, network: InferenceEncoder, rows: Sequence[Any], X: Sequence[Any]) -> Array:
        """See `WideModel.combined_scores`."""
        deep = network.member_scores(rows)
        scores = [
            member if wide is None else wide.combine(member, X) for member, wide in zip(deep, self.parts, strict=True)
        ]
        return network.combine(scores)

    def combine_with(self, network: InferenceTransducer) -> CombinedCRF:
        """See `WideCRF.combine_with`: the mean of all scores, transitions included, which is the normalised product of
        the members' probabilities of paths."""
        networks = [InferenceTransducer(member) for member in network.model.members]
        zero = next(wide for wide in self.parts if isinstance(wide, WideCRF)).disabled()
        members = [(wide or zero).combine_with(member) for member, wide in zip(networks, self.parts, strict=True)]

        def scores(rows: Any, sentences: Sequence[Any]) -> Batch:
            batches = [member.scores(rows, sentences) for member in members]
            return Batch(np.mean([batch.data for batch in batches], axis=0), batches[0].lengths)

        weights = {name: np.mean([getattr(member.crf, name) for member in members], axis=0) for name in TRANSITIONS}
        return CombinedCRF(scores, build_crf(weights, members[0].crf))


def _check_match(models: Sequence[Estimator]) -> None:
    if not models:
        raise SettingsError("models: expected at least one, got none")
    first = models[0]
    for model in models:
        model.check_fitted()
    for number, model in enumerate(models[1:], start=2):
        if type(model) is not type(first):
            raise SettingsError(f"model {number}: expected one to {first.task}, as the first, got one to {model.task}")
        for name, value, expected in (
            ("symbols", _symbols(model), _symbols(first)),
            ("labels", model.labels_, first.labels_),
            ("kind of model", type(model.model_), type(first.model_)),
            ("problem_type", _problem_type(model), _problem_type(first)),
        ):
            if value != expected:
                raise SettingsError(
                    f"model {number}: expected the {name} of the first, got others; train both on the same data, with "
                    "the same settings of the tokenizer"
                )


def _problem_type(model: Estimator) -> str:
    return model.problem_type if isinstance(model, Classifier) else ""


def _symbols(model: Estimator) -> dict[str, list[str]]:
    return {name: tokenizer.tokens for name, tokenizer in model.tokenizers_.items()}
