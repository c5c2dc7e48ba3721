"""Several trained models as one: the mean of their weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.wide_model import mean_wide
from stepscan.models.ensemble import check_match, mean_penalty
from stepscan.registry import describe

Model = TypeVar("Model", bound=Estimator)


def average(models: Sequence[Model]) -> Model:
    """An estimator with the mean of the models' weights.

    It is useful for models with a common start, such as checkpoints of one training or models fine-tuned from one
    (Wortsman et al. 2022), not for models trained independently.

    Args:
        models: fitted estimators of one class.

    Raises:
        SettingsError: there are no models, or one of them has another architecture, vocabulary or labels.
    """
    check_match(models)
    first = describe(models[0].model_)
    for number, model in enumerate(models[1:], start=2):
        if describe(model.model_) != first:
            raise SettingsError(
                f"model {number}: expected the layers and sizes of the first, got others; an ensemble can join them"
            )
    averaged = copy.copy(models[0])
    averaged.outside_penalty_ = mean_penalty(models)
    averaged.wide_ = mean_wide([model.wide_ for model in models])
    averaged.model_ = copy.deepcopy(models[0].model_)
    average_weights(averaged.model_, [model.model_ for model in models])
    return averaged


@torch.no_grad()
def average_weights(model: nn.Module, others: Sequence[nn.Module]) -> None:
    """Set the weights of `model` to the mean of those of `others`; integer buffers to those of the first."""
    state_dicts = [other.state_dict() for other in others]
    for name, tensor in model.state_dict().items():
        values = [weights[name] for weights in state_dicts]
        is_integer = not tensor.is_floating_point()
        tensor.copy_(values[0] if is_integer else torch.stack([v.double() for v in values]).mean(dim=0))
