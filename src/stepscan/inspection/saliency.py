"""Which symbols of a text a classifier's decision rests on: gradient × input, and leaving each out in turn."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from stepscan.data.batching import by_length, pad
from stepscan.errors import SettingsError, nearest
from stepscan.patterns.encoder import Encoder

if TYPE_CHECKING:  # training watches gradients, and estimators train: at run time they come after this package
    from stepscan.estimators.classifier import Classifier

logger = logging.getLogger(__name__)
_TOGETHER = 64  # texts with one symbol left out that are read in one batch


class Saliency(NamedTuple):
    """Of one text of T symbols: what each does to one score, positive where it speaks for it."""

    tokens: list[str]  # T symbols as the tokenizer spells them
    gradient_times_input: np.ndarray  # [T]
    leave_one_out: np.ndarray  # [T]
    label: str  # whose score it is; empty for a number
    score: float  # of the whole text, before any softmax or sigmoid


def saliency(classifier: Classifier, text: str, *, label: str | None = None) -> Saliency:
    """Which symbols the classifier's score of one class rests on.

    Gradient × input (Simonyan et al. 2014; Li et al. 2016) is e_t · ∂score/∂e_t with the symbol's vector e_t: what it
    adds, if the score were as straight everywhere as it is here. Leave-one-out (Li et al. 2017) is the score of the
    text minus that of the text without the symbol. Both are in the score's own units; for a linear model that adds up
    its symbols they are equal.

    Args:
        classifier: a trained `Classifier` of texts.
        text: one text.
        label: the class or label looked at; None is the one with the highest score. A model of numbers has none.

    Raises:
        SettingsError: the classifier is of series of numbers, or has no such label.
        TypeError: `classifier` is no Classifier.
    """
    from stepscan.estimators.classifier import Classifier

    if not isinstance(classifier, Classifier):
        raise TypeError(f"saliency is of a stepscan.Classifier's decision, got {type(classifier).__name__}")
    classifier._check_usable()
    tokenizer = classifier.tokenizers_.get("tokenizer")
    if tokenizer is None:
        raise SettingsError("saliency is of the symbols of a text, but this classifier reads series of numbers")
    if classifier.wide_ is not None:
        logger.warning("saliency is of the network's score alone, without the model's wide part")
    model, ids = classifier.model_, tokenizer.encode(text)
    training = model.training
    try:
        model.eval()
        column, score, products = _gradient_times_input(model, ids, _column(classifier, label))
        without = _scores_without(model, ids, column)
    finally:
        model.train(training)
    name = "" if classifier.labels_ is None else str(classifier.labels_[column])
    return Saliency([tokenizer.tokens[one] for one in ids], products, score - without, name, score)


def _column(classifier: Classifier, label: str | None) -> int | None:
    if label is None:
        return None
    known = [str(one) for one in (classifier.labels_ or [])]
    if str(label) not in known:
        raise SettingsError(f"this classifier has no label {label!r}.{nearest(str(label), known)}")
    return known.index(str(label))


def _gradient_times_input(model: Encoder, ids: list[int], column: int | None) -> tuple[int, float, np.ndarray]:
    """The score's column, the score, and e_t · ∂score/∂e_t `[T]`."""
    device = next(model.parameters()).device
    with torch.inference_mode(False), torch.enable_grad():
        inputs = pad([ids]).to(device)
        assert model.embedding is not None
        vectors = model.embedding(inputs)
        vectors = vectors.replace(vectors.data.detach().requires_grad_())
        reading = copy.copy(model)  # the same layer and head, given vectors in place of ids
        reading._modules = {**model._modules, "embedding": None}
        scores = reading(vectors)[0]
        column = int(scores.argmax()) if column is None else column
        (gradient,) = torch.autograd.grad(scores[column], vectors.data, allow_unused=True)
    products = (
        np.zeros(len(ids)) if gradient is None else (gradient * vectors.data).sum(dim=2)[0].detach().cpu().numpy()
    )
    return column, float(scores[column].detach()), products.astype(float)


def _scores_without(model: Encoder, ids: list[int], column: int) -> np.ndarray:
    """The score of the text without each of its symbols `[T]`."""
    device = next(model.parameters()).device
    found = np.zeros(len(ids))
    with torch.no_grad():
        for chosen in by_length([len(ids) - 1] * len(ids), _TOGETHER):
            rows = pad([[*ids[:t], *ids[t + 1 :]] for t in chosen]).to(device)
            found[chosen] = model(rows)[:, column].cpu().numpy()
    return found
