"""bfloat16 in training: the arithmetic of the network, not the weights. A GPU is needed to train in it; that all tasks
can be computed in it is tested on a CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fake_task import SETTINGS, Line, Log, batches

from stepscan import kernels
from stepscan.errors import SettingsError
from stepscan.estimators.classifier import Classifier
from stepscan.estimators.forecaster import Forecaster
from stepscan.estimators.language_model import LanguageModel
from stepscan.estimators.tagger import Tagger
from stepscan.estimators.translator import Translator
from stepscan.options import TrainingOptions
from stepscan.training.loop import Task, Trainer

TEXTS = ["a b c", "b", "c a", "a a b c"] * 5
FEW = {"hidden_size": 6, "embedding_size": 6, "max_updates": 2, "refit": False}


class Watched(Line):
    """Keeps the dtypes that products have."""

    def loss(self, inputs, targets, state=None):
        self.dtypes = {(inputs @ self.weight.T).dtype, *vars(self).get("dtypes", ())}
        return super().loss(inputs, targets, state)


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_are_in_it_and_weights_are_not(precision, dtype):
    task = Task(Watched(), batches, 3, lambda: {"score": 0.0}, True)
    Trainer(task, TrainingOptions(**SETTINGS, precision=precision), Log()).run()
    assert task.model.dtypes == {dtype}
    assert task.model.weight.dtype == torch.float32
    assert task.model.weight.grad.dtype == torch.float32


def test_a_cpu_refuses_it():
    with pytest.raises(SettingsError, match="precision: expected 'float32' on a CPU, got 'bf16'"):
        Classifier(precision="bf16").fit(TEXTS, ["x", "y", "x", "y"] * 5)


@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_every_task_can_be_computed_in_it(cell, monkeypatch):
    """With PyTorch's kernels, as on a GPU."""

    def loss(enabled):
        def function(self, batch):
            with kernels.use("torch"), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                return self.task.model.loss(batch.inputs, batch.targets, self.carried_state)

        return function

    classes, words = ["x", "y", "x", "y"] * 5, [text.split() for text in TEXTS]
    series, text = np.sin(np.arange(60) / 3), "one two three. " * 20
    fits = [
        (Classifier(cell=cell, wide=False, **FEW), (TEXTS, classes), (TEXTS, classes)),
        (Tagger(cell=cell, wide=False, crf=True, **FEW), (words, words), (words, words)),
        (LanguageModel(cell=cell, bptt=8, batch_size=3, **FEW), (text,), text),
        (Translator(cell=cell, **FEW), (TEXTS, TEXTS), (TEXTS, TEXTS)),
        (Forecaster(cell=cell, bptt=8, **FEW), (series,), series),
    ]
    for estimator, data, validation in fits:
        monkeypatch.setattr(Trainer, "_loss", loss(False))
        expected = estimator.fit(*data, validation=validation).history_[-1]["train_loss"]
        monkeypatch.setattr(Trainer, "_loss", loss(True))
        found = estimator.fit(*data, validation=validation).history_[-1]["train_loss"]
        assert found == pytest.approx(expected, rel=0.05, abs=0.02)
        assert found != expected
