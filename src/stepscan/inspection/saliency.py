"""Saliency: which tokens of a text a classifier's score depends on, by gradient × input and by leave-one-out."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np
import torch

from stepscan.data.batching import by_length, pad
from stepscan.errors import SettingsError, nearest
from stepscan.inspection.trained_model import TrainedModel, is_estimator, pattern_of
from stepscan.patterns.encoder import Encoder

logger = logging.getLogger(__name__)
_BATCH_SIZE = 64  # texts with one token left out


class Saliency(NamedTuple):
    """The contribution of each of T tokens to one score of a text; positive where it raises the score."""

    tokens: list[str]  # T, as the tokenizer spells them
    gradient_times_input: np.ndarray  # [T]
    leave_one_out: np.ndarray  # [T]
    label: str  # whose score it is; empty for regression
    score: float  # of the whole text, before any softmax or sigmoid


def saliency(classifier: TrainedModel, text: str, *, label: str | None = None) -> Saliency:
    """The contribution of each token to the classifier's score of one class.

    Gradient × input (Simonyan et al. 2014; Li et al. 2016) is e_t · ∂score/∂e_t with the token's embedding e_t: its
    contribution if the score were linear. Leave-one-out (Li et al. 2017) is the score of the text minus that of the
    text without the token. Both are in units of the score; for a model that is linear in its tokens they are equal.

    Args:
        classifier: a trained `stepscan.Classifier` of texts.
        text: one text, of T tokens.
        label: the class or label; None for the one with the highest score. A regression has none.

    Raises:
        NotFittedError: the classifier is not trained.
        SettingsError: the classifier reads series instead of texts, is an ensemble, or has no such label.
        TypeError: `classifier` is not a Classifier.
    """
    if not is_estimator(classifier, "classify"):
        raise TypeError(f"expected a stepscan.Classifier, got {type(classifier).__name__}")
    model = pattern_of(classifier)
    tokenizer = classifier.tokenizers_.get("tokenizer")
    if tokenizer is None:
        raise SettingsError("saliency is computed for texts, but this classifier reads series of numbers")
    if classifier.wide_ is not None:
        logger.warning("saliency is computed for the network alone, without the model's wide part")
    ids = tokenizer.encode(text)
    was_training = model.training
    try:
        model.eval()
        column, score, products = _gradient_times_input(model, ids, _column(classifier, label))
        scores_without = _leave_one_out_scores(model, ids, column)
    finally:
        model.train(was_training)
    name = "" if classifier.labels_ is None else str(classifier.labels_[column])
    return Saliency([tokenizer.tokens[i] for i in ids], products, score - scores_without, name, score)


def _column(classifier: TrainedModel, label: str | None) -> int | None:
    if label is None:
        return None
    labels = [str(name) for name in (classifier.labels_ or [])]
    if str(label) not in labels:
        raise SettingsError(f"expected a label of this classifier, got {label!r}.{nearest(str(label), labels)}")
    return labels.index(str(label))


def _gradient_times_input(model: Encoder, ids: list[int], column: int | None) -> tuple[int, float, np.ndarray]:
    """The score's column, the score, and e_t · ∂score/∂e_t `[T]`."""
    embedded: list[Any] = []

    def capture(module: torch.nn.Module, arguments: tuple[Any, ...], vectors: Any) -> Any:
        embedded.append(vectors.replace(vectors.data.detach().requires_grad_()))
        return embedded[0]

    assert model.embedding is not None
    hook = model.embedding.register_forward_hook(capture)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            scores = model(pad([ids]).to(next(model.parameters()).device))[0]
            column = int(scores.argmax()) if column is None else column
            (gradient,) = torch.autograd.grad(scores[column], embedded[0].data, allow_unused=True)
    finally:
        hook.remove()
    score = float(scores[column].detach())
    if gradient is None:
        return column, score, np.zeros(len(ids))
    products = (gradient * embedded[0].data).sum(dim=2)[0].detach()
    return column, score, products.cpu().numpy().astype(float)


def _leave_one_out_scores(model: Encoder, ids: list[int], column: int) -> np.ndarray:
    """The score of the text without each of its tokens, `[T]`."""
    device = next(model.parameters()).device
    scores = np.zeros(len(ids))
    with torch.no_grad():
        for positions in by_length([len(ids) - 1] * len(ids), _BATCH_SIZE):
            rows = pad([[*ids[:t], *ids[t + 1 :]] for t in positions]).to(device)
            scores[positions] = model(rows)[:, column].cpu().numpy()
    return scores
