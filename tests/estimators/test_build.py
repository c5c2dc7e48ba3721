"""An estimator before it trains; and what a model card tells of how it was trained."""

from __future__ import annotations

import pytest
import torch
from toy_tasks import NETWORK, ordered

import stepscan as ss
from stepscan.estimators.training_history import TrainingHistory
from stepscan.training.loop import Trainer
from stepscan.training.progress import NullReporter

TEXTS, LABELS = ordered(40, 3)
TINY = {"hidden_size": 4, "embedding_size": 4, "epochs": 2, "batch_size": 8, **NETWORK}

REVIEWS, CLASSES = [f"a {word} film {n}" for n in range(30) for word in ("good", "bad")], ["good", "bad"] * 30
WIDE = {**TINY, "wide": True, "learning_rate": 1e-6}  # the network learns nothing, so that the wide part is used


def test_build():
    """The weights are those that training begins with: a rate of nearly 0 leaves them."""
    ready = ss.Classifier(**TINY).build(TEXTS, LABELS)
    begun = ss.Classifier(**{**TINY, "learning_rate": 1e-30}).fit(TEXTS, LABELS)
    weights = [model.model_.state_dict() for model in (ready, begun)]
    assert all(torch.allclose(weights[0][name], weights[1][name], rtol=0, atol=1e-20) for name in weights[0])
    assert (ready.history_, ready.wide_) == ([], None)
    assert (ready.labels_, ready.chosen_) == (begun.labels_, begun.chosen_)
    assert ready.chosen_ == {"word_dropout": 0.1, "tokenizer": "word"}
    assert (len(ready._model_arguments), begun._model_arguments) == (1, ())


def test_training_the_first_stage_is_what_fit_does():
    data = {**TINY, "refit": False, "wide": False}
    model = ss.Classifier(**data).fit(TEXTS, LABELS, validation=(TEXTS, LABELS))
    stage = ss.Classifier(**data).first_stage(TEXTS, LABELS, validation=(TEXTS, LABELS))
    history = Trainer(stage.task, stage.settings, NullReporter()).run()
    weights, expected = stage.task.model.state_dict(), model.model_.state_dict()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert [row["updates"] for row in history] == [row["updates"] for row in model.history_]


def test_the_first_stage_has_the_limit_that_the_data_give():
    stage = ss.Classifier(batch_size=8).first_stage(TEXTS, LABELS, validation=(TEXTS, LABELS))
    assert (stage.task.batches_per_epoch, stage.settings.max_updates) == (5, 1000)


def test_build_with_nothing_set():
    ready = ss.Classifier().build(TEXTS, LABELS, validation=(TEXTS, LABELS))
    assert ready.model_.layer.forward_layer.hidden_size == ready.chosen_["hidden_size"] == 128


def test_build_keeps_nothing_of_an_earlier_training_and_can_be_saved(tmp_path):
    model = ss.Classifier(**WIDE).fit(REVIEWS, CLASSES)
    assert model.history_
    assert model.wide_
    model.build(REVIEWS, CLASSES).save(tmp_path / "m")
    assert (model.history_, model.wide_) == ([], None)
    assert (ss.load(tmp_path / "m").predict_proba(REVIEWS) == model.predict_proba(REVIEWS)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "10 updates were evaluated on validation data; the best weights are those after {best}."),
        (
            {"refit": True},
            "with 4 folds chose how long to train. Then it was trained once more, on all data, for {all} u",
        ),
    ],
)
def test_the_card_tells_the_stages(options, message, tmp_path):
    model = ss.Classifier(**{**TINY, **options}).fit(TEXTS, LABELS)
    model.save(tmp_path / "m")
    history = TrainingHistory.from_rows(model.history_)
    best = [row["updates"] for row in model.history_ if row["best"]][-1]
    card = (tmp_path / "m" / "README.md").read_text()
    assert message.format(best=best, all=history.updates) in card
    assert "| word_dropout | 0.1 (chosen by the size of the data) |" in card
    ss.load(tmp_path / "m").save(tmp_path / "again")
    assert (tmp_path / "again" / "README.md").read_text() == card


def test_the_card_tells_of_the_wide_part(tmp_path):
    model = ss.Classifier(**WIDE).fit(REVIEWS, CLASSES)
    model.save(tmp_path / "m")
    deep, wide = model.wide_.shares
    message = f"Scores are {deep:g} times those of the network plus {wide:g} times those of a linear model on "
    assert message + f"{model.wide_.features.size:,} fixed features." in (tmp_path / "m" / "README.md").read_text()


def test_training_history():
    """Seconds are of all trainings, updates and passes of the last."""
    row = {"epoch": 1, "step": 4, "updates": 2, "seconds": 1.0, "valid_accuracy": 0.5, "best": True}
    folds = [{**row, "fold": 1}, {**row, "fold": 1, "seconds": 3.0}, {**row, "fold": 2, "seconds": 2.0}]
    everything = {"epoch": 3, "step": 9, "updates": 7, "seconds": 1.5, "best": False}
    history = TrainingHistory.from_rows([*folds, row, everything])
    assert (history.seconds, history.updates, history.epochs) == (6.5, 7, 3)
    assert (TrainingHistory.from_rows([row]).seconds, TrainingHistory.from_rows([row]).updates) == (1.0, 2)
    early = {name: value for name, value in row.items() if name != "updates"}
    assert TrainingHistory.from_rows([early]).updates == 4  # a curve of an early version
    empty = TrainingHistory.from_rows([])
    assert (empty.seconds, empty.updates, empty.summary()) == (0, 0, "")
