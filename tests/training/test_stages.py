"""A training in several stages, interrupted in each of them: the same weights to the bit, and nothing done twice."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

import stepscan as ss
from stepscan.errors import SettingsError
from stepscan.training.checkpoints import Checkpoints
from stepscan.training.loop import Trainer

TEXT = "".join(f"{n} and {n} is {2 * n}.\n" for n in range(60))
SMALL = {"hidden_size": 4, "embedding_size": 4, "batch_size": 8, "epochs": 2, "dropout": 0.3}


class Stopped(Exception):
    pass


def stopping_at(number, monkeypatch):
    """An exception before an update, counted through all stages, as if the process had died."""
    update, done = Trainer._update, []

    def spy(self):
        done.append(self)
        if len(done) == number:
            raise Stopped
        update(self)

    monkeypatch.setattr(Trainer, "_update", spy)
    return done


def judged(count=40):
    draw = random.Random(0)
    labels = [draw.choice(["good", "bad"]) for _ in range(count)]
    return [f"a {label} film {draw.choice('xyz')} {n}" for n, label in enumerate(labels)], labels


def tagged(*counts):
    """Sentences and tags to learn from and, as one argument, those to validate on."""
    sentences = [text.split() for text in judged(sum(counts))[0]]
    tags = [list("DAFXN") for _ in sentences]
    return sentences[: counts[0]], tags[: counts[0]], (sentences[counts[0] :], tags[counts[0] :])


FITS = {  # what is fitted, and how many updates that takes
    "refit": (lambda **more: ss.LanguageModel(**SMALL, bptt=8, refit=True, **more), (TEXT,)),
    "folds": (lambda **more: ss.Classifier(**SMALL, **more), judged()),
    "early": (
        lambda **more: ss.Tagger(**{**SMALL, "epochs": 30}, char_embedding_size=0, patience=1, refit=True, **more),
        tagged(40, 8),
    ),
}


def rows(model):
    """The curve without what depends on the time."""
    told = ("seconds", "tokens_per_second", "sequences_per_second")
    return [{name: value for name, value in row.items() if name not in told} for row in model.history_]


@pytest.fixture(scope="module")
def whole():
    """Each of them fitted without interruption, and how many updates that took in each stage."""
    result = {}
    for name, (make, data) in FITS.items():
        with pytest.MonkeyPatch.context() as patch:
            done = stopping_at(0, patch)
            model = make().fit(*data)
        counts = [done.count(one) for one in dict.fromkeys(done)]
        result[name] = (model, counts)
    return result


def test_the_stages(whole):
    """Two; four folds and the training on all; two, of which the first goes back to its best weights."""
    assert {name: len(counts) for name, (_, counts) in whole.items()} == {"refit": 2, "folds": 5, "early": 2}
    model, counts = whole["folds"]
    assert counts[:4] == [2 * 4] * 4  # 30 examples by 8, two epochs
    assert [row["fold"] for row in model.history_ if "fold" in row] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert model.history_[-1]["updates"] == counts[4] in (4, 8)


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("where", ["first", "end of the first", "second", "last"])
def test_the_same_weights_to_the_bit(whole, name, where, tmp_path, monkeypatch):
    expected, counts = whole[name]
    total = sum(counts)
    number = {
        "first": 2,
        "end of the first": counts[0] + 1,
        "second": counts[0] + 3,
        "last": total - counts[-1] + 3,
    }[where]
    make, data = FITS[name]
    model = make(checkpoints=tmp_path, checkpoint_every=0)
    with monkeypatch.context() as patch:
        stopping_at(number, patch)
        with pytest.raises(Stopped):
            model.fit(*data)
    with monkeypatch.context() as patch:
        done = stopping_at(0, patch)
        model.set_params(resume=True).fit(*data)
    weights = [one.model_.state_dict() for one in (expected, model)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][one], weights[1][one]) for one in weights[0])
    assert rows(model) == rows(expected)
    assert (model.yardstick_, model.labels_, model.chosen_) == (expected.yardstick_, expected.labels_, expected.chosen_)
    if name == "folds":
        assert (model.predict_proba(data[0]) == expected.predict_proba(data[0])).all()
    ended = sum(counts[:stage][-1] for stage in range(1, len(counts) + 1) if sum(counts[:stage]) < number)
    assert len(done) <= total - ended + (counts[0] if where == "end of the first" else 0), "no stage is run twice"


def test_a_stage_has_its_seed():
    """The training on all data begins as it would alone, whatever was trained before."""
    result = [ss.LanguageModel(**SMALL, bptt=8, refit=True, seed=3).fit(TEXT) for _ in range(2)]
    assert all(
        torch.equal(one, other) for one, other in zip(*(model.model_.parameters() for model in result), strict=True)
    )


def test_checkpoints_of_stages_are_counted_on(tmp_path):
    """A later stage's are newer than those of the stages before it."""
    model = ss.LanguageModel(**SMALL, bptt=8, refit=True, checkpoints=tmp_path).fit(TEXT)
    newest, _ = Checkpoints(tmp_path).newest()
    assert newest is not None
    first, second = newest.state["earlier"][0]["steps"], newest.state["trainer"]["clock"]["step"]
    assert model.history_[-1]["step"] == second
    assert (tmp_path / f"step-{first + second:09}").is_dir()


def test_other_settings_are_refused_in_a_later_stage(tmp_path, monkeypatch, whole):
    make, data = FITS["folds"]
    with monkeypatch.context() as patch:
        stopping_at(12, patch)
        with pytest.raises(Stopped):
            make(checkpoints=tmp_path, checkpoint_every=0).fit(*data)
    with pytest.raises(ss.StepscanError, match=r"but dropout was 0\.3 and is now 0\.2"):
        make(checkpoints=tmp_path, resume=True).set_params(dropout=0.2).fit(*data)
    with pytest.raises(SettingsError, match="resume=True needs checkpoints"):
        make(resume=True).fit(*data)


def test_a_refit_is_on_everything_for_as_long_as_was_best():
    """Words of held-out sentences are known, and the updates are those of the best evaluation."""
    X, y, validation = FITS["early"][1]
    settings = {**SMALL, "epochs": 30, "char_embedding_size": 0, "patience": 1}
    searched, refitted = (ss.Tagger(**settings, refit=refit).fit(X, y, validation) for refit in (False, True))
    words = {word for sentence in [*X, *validation[0]] for word in sentence}
    known = [words & set(model.tokenizers_["tokenizer"].tokens) for model in (searched, refitted)]
    assert known[1] == words > known[0]
    judged_rows = [row for row in refitted.history_ if "valid_accuracy" in row]
    assert [row["valid_accuracy"] for row in judged_rows] == [row["valid_accuracy"] for row in searched.history_]
    assert refitted.history_[-1]["train_loss"] > 0
    assert not any(name.startswith("valid_") for name in refitted.history_[-1])
    assert not refitted.history_[-1]["best"]
    assert np.isfinite(refitted.history_[-1]["train_loss"])
