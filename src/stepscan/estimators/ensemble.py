"""Several trained models as one: `ensemble`, which asks them all, and `average`, which makes one of their weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.networks import EncoderNetwork, TransducerNetwork
from stepscan.estimators.wide import mean
from stepscan.patterns.ensemble import average_weights, build_ensemble, has_ensemble
from stepscan.registry import describe
from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.wide.crf import TRANSITIONS, CombinedCRF, WideCRF, build_crf

Model = TypeVar("Model", bound=Estimator)


def ensemble(models: Sequence[Model]) -> Model:
    """An estimator whose probabilities are the mean of the models' (of numbers, the mean of what they say).

    The models may differ in cell and size; they must have the same task, symbols and labels, so be trained on the same
    data. An ensemble predicts, generates and scores, as slowly as all its models together; it cannot be saved.

    Raises:
        SettingsError: says which model does not go with the first.
    """
    _check_alike(models)
    together = copy.copy(models[0])
    if len(models) > 1 and not has_ensemble(models[0].model_):
        raise SettingsError(
            "these models cannot be joined: ensembles are of models that classify, tag, write or translate"
        )
    if len(models) > 1:
        together.model_ = build_ensemble([model.model_ for model in models]).eval()
        if any(model.wide_ is not None for model in models):
            together.wide_ = _WideParts([model.wide_ for model in models])  # type: ignore[assignment]
    return together


def average(models: Sequence[Model]) -> Model:
    """An estimator with the mean of the models' weights: of models that began alike, such as the last few of a run or
    fine-tuned ones (Wortsman et al. 2022); of models that were trained apart it is worthless.

    Raises:
        SettingsError: the models are not of one shape, symbols and labels.
    """
    _check_alike(models)
    first = describe(models[0].model_)
    for number, model in enumerate(models[1:], start=2):
        if describe(model.model_) != first:
            raise SettingsError(
                f"model {number} has other layers or sizes than the first, so their weights have no mean; "
                "an ensemble can join them"
            )
    middle = copy.copy(models[0])
    middle.wide_ = mean([model.wide_ for model in models])
    middle.model_ = copy.deepcopy(models[0].model_)
    average_weights(middle.model_, [model.model_ for model in models])
    return middle


class _WideParts(NamedTuple):
    """The wide parts of an ensemble's members, in place of one model's."""

    parts: list[Any]

    def combined_scores(self, network: EncoderNetwork, rows: Sequence[Any], X: Sequence[Any]) -> Array:
        """See `WideModel.combined_scores`."""
        deep = network.member_scores(rows)
        combined = [own if part is None else part.combine(own, X) for own, part in zip(deep, self.parts, strict=True)]
        return network.combine(combined)

    def combine_with(self, network: TransducerNetwork) -> CombinedCRF:
        """See `WideCRF.combine_with`: the mean of all scores, transitions included, which is the normalised geometric
        mean of the members' distributions."""
        networks = [TransducerNetwork(member) for member in network.model.members]
        nothing = next(part for part in self.parts if isinstance(part, WideCRF)).disabled()
        own = [(part or nothing).combine_with(one) for one, part in zip(networks, self.parts, strict=True)]

        def scores(rows: Any, sentences: Sequence[Any]) -> Batch:
            several = [one.scores(rows, sentences) for one in own]
            return Batch(np.mean([batch.data for batch in several], axis=0), several[0].lengths)

        weights = {name: np.mean([getattr(one.crf, name) for one in own], axis=0) for name in TRANSITIONS}
        return CombinedCRF(scores, build_crf(weights, own[0].crf))


def _check_alike(models: Sequence[Estimator]) -> None:
    if not models:
        raise SettingsError("there are no models to join")
    first = models[0]
    for model in models:
        model._check_fitted()
    for number, model in enumerate(models[1:], start=2):
        if type(model) is not type(first):
            raise SettingsError(f"model {number} is for {model.task}, but the first is for {first.task}")
        for what, own, of_first in (
            ("symbols", _symbols(model), _symbols(first)),
            ("labels", model.labels_, first.labels_),
            ("kind of model", type(model.model_), type(first.model_)),
            ("problem_type", getattr(model, "problem_type", ""), getattr(first, "problem_type", "")),
        ):
            if own != of_first:
                raise SettingsError(
                    f"model {number} has other {what} than the first; models that are to work together are trained on "
                    "the same data, with the same settings of the tokenizer"
                )


def _symbols(model: Estimator) -> dict[str, list[str]]:
    return {name: tokenizer.tokens for name, tokenizer in model.tokenizers_.items()}
