"""A tagger whose tags mark spans: judged by F1; with a CRF, no tag stands where IOB2 forbids it."""

from __future__ import annotations

import json
import random
import re

import numpy as np
import pytest
from toy_tasks import FAST, TAGGER, equal_to_the_bit, weights_of

import stepscan as ss
from stepscan.evaluation.schemes import Notation, Scheme, near_miss, recognise
from stepscan.evaluation.spans import span_scores


def opened(count: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """A span goes from `(` to before `)`; its type is the next word after `(`, all other words mean nothing."""
    draw, sentences, tags = random.Random(seed), [], []
    for _ in range(count):
        kind, inner = draw.choice("pq"), draw.randint(0, 2)
        before, after = (draw.choices("xyz", k=draw.randint(0, 2)) for _ in range(2))
        sentences.append([*before, "(", kind, *draw.choices("xyz", k=inner), ")", *after])
        tags.append([*"O" * len(before), f"B-{kind}", *[f"I-{kind}"] * (inner + 1), "O", *"O" * len(after)])
    return sentences, tags


SENTENCES, TAGS = opened(40, 3)


@pytest.fixture(scope="module")
def tagger() -> ss.Tagger:
    return ss.Tagger(**{**TAGGER, "hidden_size": 16, "epochs": 8}, crf=True).fit(*opened(200, 1))


def test_learns_spans(tagger):
    sentences, tags = opened(100, 2)
    assert type(tagger.model_) is ss.CRFTransducer
    result, figures = tagger.predict(sentences), tagger.metrics(sentences, tags)
    assert figures["f1"] == tagger.score(sentences, tags) == span_scores(result, tags)["f1"] > 0.95
    assert list(figures["types"]) == ["p", "q"]
    right = [f == t for pair in zip(result, tags, strict=True) for f, t in zip(*pair, strict=True)]
    assert (figures["accuracy"], figures["tokens"], figures["spans"]) == (np.mean(right), len(right), 100)


def test_the_best_weights_are_those_of_the_best_f1(tagger):
    scores = [row["valid_f1"] for row in tagger.history_]
    assert [name for name in tagger.history_[0] if name.startswith("valid_")] == ["valid_f1", "valid_accuracy"]
    assert [row["valid_f1"] for row in tagger.history_ if row["best"]][-1] == max(scores)


def test_probabilities_are_the_marginals(tagger):
    """Each step adds up to 1; no sentence begins with an I-; after a certain O neither."""
    sentences, _ = opened(20, 4)
    inside = [number for number, tag in enumerate(tagger.classes_) if tag.startswith("I-")]
    for sentence, row in zip(sentences, tagger.predict_proba(sentences), strict=True):
        assert row.shape == (len(sentence), 5)
        np.testing.assert_allclose(row.sum(axis=1), 1, rtol=1e-5)
        assert (row[0, inside] == 0).all()
        np.testing.assert_allclose(tagger.predict_proba([sentence])[0], row, atol=1e-5)


def test_what_an_untrained_crf_says_is_iob2():
    """Without it, weights that have hardly been trained break IOB2 somewhere in as many sentences."""
    draw = random.Random(0)
    sentences = [draw.choices("()pqxyz", k=12) for _ in range(60)]
    settings = {**TAGGER, "epochs": 1, "learning_rate": 1e-6}
    model, loose = (ss.Tagger(**settings, crf=crf).fit(SENTENCES, TAGS) for crf in (True, False))
    assert Scheme().first_break(model.predict(sentences)) is None
    assert Scheme().first_break(loose.predict(sentences)) is not None


def test_saved_and_loaded(tagger, tmp_path):
    sentences, _ = opened(30, 7)
    tagger.save(tmp_path / "model")
    again = ss.load(tmp_path / "model")
    assert (again.crf, type(again.model_)) == (True, ss.CRFTransducer)
    assert again.predict(sentences) == tagger.predict(sentences)
    for left, right in zip(again.predict_proba(sentences), tagger.predict_proba(sentences), strict=True):
        assert (left == right).all()
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| valid_f1 |" in card
    assert "| crf | True |" in card


def test_a_folder_from_before_there_was_a_crf(tmp_path):
    model = ss.Tagger(**TAGGER).fit(SENTENCES, TAGS)
    model.save(tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    config = json.loads(file.read_text())
    del config["settings"]["crf"]
    file.write_text(json.dumps(config))
    again = ss.load(tmp_path / "model")
    assert again.crf is False
    assert equal_to_the_bit(weights_of(again), weights_of(model))
    assert again.predict(SENTENCES) == model.predict(SENTENCES)


def test_tags_that_break_every_scheme(caplog):
    """Learned as they are, with a warning that names the first break."""
    tags = [[tag.replace("B-", "I-") for tag in row] for row in TAGS]
    tags[1][0:1] = ["B-p"]
    model = ss.Tagger(**TAGGER, crf=True).fit(SENTENCES, tags)
    [record] = [one for one in caplog.records if one.levelname == "WARNING" and "tagger" in one.name]
    assert re.fullmatch(
        r"the tags are not IOB2: sentence 1, token \d: I-[pq] after O; F1 counts spans as conlleval does; "
        "the CRF forbids no transitions",
        record.getMessage(),
    )
    assert model.model_.crf.allowed.all()
    assert model.model_.crf.may_start.all()


def test_other_tags_have_a_crf_without_constraints():
    tags = [[token.upper() for token in sentence] for sentence in SENTENCES]
    model = ss.Tagger(**{**TAGGER, "epochs": 8}, crf=True).fit(SENTENCES, tags)
    assert model.model_.crf.allowed.all()
    assert list(model.metrics(SENTENCES, tags)) == ["accuracy", "tokens", "sentences"]
    assert model.predict([["(", "p", ")"], []]) == [["(", "P", ")"], []]


def test_a_validation_tag_that_marks_nothing_is_an_error_before_training():
    with pytest.raises(ss.SettingsError, match="sentence 1, token 2: expected O, B-… or I-…, got 'NOUN'"):
        ss.Tagger(**TAGGER).fit(SENTENCES, TAGS, validation=([["x", "y"]], [["O", "NOUN"]]))


def test_series_have_it_too():
    draw = np.random.default_rng(0)
    series = [draw.normal(size=(6, 1)) for _ in range(40)]
    tags = [["up" if step > 0 else "down" for step in one[:, 0]] for one in series]
    settings = {"cell": "gru", "hidden_size": 8, "embedding_size": 4, "batch_size": 8, "epochs": 5, **FAST}
    model = ss.Tagger(**settings, crf=True).fit(series, tags)
    assert model.predict([[3.0, -3.0]]) == [["up", "down"]]


def test_wrong_value():
    with pytest.raises(ss.SettingsError, match="crf: expected True or False, got 'yes'"):
        ss.Tagger(crf="yes").fit(SENTENCES, TAGS)


def in_scheme(name: str, tags: list[list[str]]) -> list[list[str]]:
    """Tags of one span a sentence, IOB2, in another scheme."""
    letters = {"IOB1": ("I", "I", "I", "I"), "IOE2": ("I", "I", "E", "E"), "IOBES": tuple("BIES")}
    letters |= {"BILOU": tuple("BILU"), "untyped": tuple("BIIB"), "suffix": tuple("BIES")}
    begin, inside, end, whole = letters[name]
    written = []
    for row in tags:
        places = [place for place, tag in enumerate(row) if tag != "O"]
        first, last = places[0], places[-1]
        one = list(row)
        for place in places:
            letter = inside if first < place < last else begin if place == first else end
            letter, kind = whole if first == last else letter, row[place][2:]
            one[place] = {"untyped": letter, "suffix": f"{kind}-{letter}"}.get(name, f"{letter}-{kind}")
        written.append(one)
    return written


KINDS = [
    ("IOB1", Scheme("IOB1")),
    ("IOE2", Scheme("IOE2")),
    ("IOBES", Scheme("IOBES")),
    ("BILOU", Scheme("BILOU")),
    ("untyped", Scheme("IOB2", Notation(""))),
    ("suffix", Scheme("IOBES", Notation("-", True))),
]


@pytest.mark.parametrize(("name", "scheme"), KINDS)
def test_every_scheme_is_scored_kept_and_constrained(name, scheme, tmp_path):
    tags = in_scheme(name, TAGS)
    model = ss.Tagger(**TAGGER, crf=True).fit(SENTENCES, tags)
    assert model.scheme_ == scheme
    assert [name for name in model.history_[0] if name.startswith("valid_")] == ["valid_f1", "valid_accuracy"]
    model.save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["scheme"] == scheme.to_dict()
    draw = random.Random(0)
    others = [draw.choices("()pqxyz", k=draw.randint(1, 12)) for _ in range(60)]
    for one in (model, ss.load(tmp_path / "model"), ss.runtime.load(tmp_path / "model")):
        assert one.scheme_ == scheme
        assert scheme.first_break(one.predict(others)) is None
        figures = one.metrics(SENTENCES, tags)
        assert figures["f1"] == span_scores(one.predict(SENTENCES), tags, scheme)["f1"]
        assert (figures["spans"], list(figures["types"])) == (40, ["span"] if name == "untyped" else ["p", "q"])
        assert one.score(SENTENCES, tags) == figures["f1"]


def test_ends_are_ruled_out_on_both_sides(tmp_path):
    """In IOBES no sentence ends inside of a span: probability 0 there, and −∞ for a path that does."""
    model = ss.Tagger(**TAGGER, crf=True).fit(SENTENCES, in_scheme("IOBES", TAGS))
    model.save(tmp_path / "model")
    inner = [number for number, tag in enumerate(model.classes_) if tag[0] in "BI"]
    cut = [["O", "B-p"]], [["O", "O"]]
    for one in (model, ss.runtime.load(tmp_path / "model")):
        assert all((row[-1, inner] == 0).all() for row in one.predict_proba(SENTENCES))
        assert one.log_probabilities([["x", "("]], cut[0])[0] == (-np.inf, 2)
        assert np.isfinite(one.log_probabilities([["x", "("]], cut[1])[0][0])


def test_other_data_are_read_in_the_models_scheme(caplog):
    model = ss.Tagger(**TAGGER).fit(SENTENCES, TAGS)
    others = in_scheme("IOBES", TAGS)
    figures = model.metrics(SENTENCES, others)
    [record] = [one for one in caplog.records if one.levelname == "WARNING" and "tagger" in one.name]
    assert re.match(
        r"the tags here: expected the model's scheme IOB2, got sentence \d+, token \d+: [ES]-[pq], which IOB2 does not",
        record.getMessage(),
    )
    assert figures["f1"] == model.metrics(SENTENCES, TAGS)["f1"]
    assert figures["spans"] == 40


def test_validation_data_in_another_scheme_are_said(caplog):
    for tags, count in ((TAGS, 0), (in_scheme("IOBES", TAGS), 1)):
        ss.Tagger(**TAGGER).fit(SENTENCES, TAGS, validation=(SENTENCES, tags))
        records = [one.getMessage() for one in caplog.records if one.levelname == "WARNING" and "tagger" in one.name]
        assert len(records) == count
    assert records[0].startswith("the tags of the validation data: expected the model's scheme IOB2, got sentence ")


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ([["(PER*", "*)", "*"], ["*", "(LOC)"]], "they are brackets, as in CoNLL-2012, such as '(PER*'; expected B-…"),
        ([["B-", "I-", "O"], ["O", "B-"]], "they have no types: expected such as B-person or B, got 'B-'"),
        ([["*", "*"], ["NN", "("]], ""),
        ([["*", "*"]], ""),
        ([["O", "O"]], ""),
        ([["DT", "NN", "IN", "O"], ["BE", "E", "S"]], ""),
    ],
)
def test_why_tags_are_no_spans(tags, words):
    assert recognise(tags)[0] is None
    assert near_miss(tags).startswith(words)
    assert bool(near_miss(tags)) == bool(words)


def test_tags_that_only_look_like_spans_are_said(caplog):
    tags = [[*row[:-1], "X-p"] if number == 3 else row for number, row in enumerate(TAGS)]
    model = ss.Tagger(**TAGGER, crf=True).fit(SENTENCES, tags)
    [record] = [one for one in caplog.records if one.levelname == "WARNING" and "tagger" in one.name]
    token = len(tags[3])
    assert record.getMessage() == (
        "no F1 of spans, only accuracy: the tags look like spans, but sentence 4, "
        f"token {token}: expected O, B-…, I-…, E-…, S-… or the same with L, U, M, W, got 'X-p'"
    )
    assert (model.scheme_, list(model.history_[0])[-1]) == (None, "best")
    assert "valid_f1" not in model.history_[0]


def test_a_folder_without_a_scheme_means_iob2_or_none(tmp_path):
    """As before schemes were kept."""
    for name, tags, expected in [("a", TAGS, Scheme()), ("b", in_scheme("IOBES", TAGS), None)]:
        ss.Tagger(**TAGGER).fit(SENTENCES, tags).save(tmp_path / name)
        file = tmp_path / name / "config.json"
        config = json.loads(file.read_text())
        del config["scheme"]
        file.write_text(json.dumps(config))
        assert ss.load(tmp_path / name).scheme_ == ss.runtime.load(tmp_path / name).scheme_ == expected


@pytest.mark.parametrize(
    "scheme",
    [
        "IOB2",
        {},
        {"name": "IOB3", "delimiter": "-", "suffix": False},
        {"name": "IOB2", "delimiter": "--", "suffix": False},
        {"name": "IOB2", "delimiter": "-", "suffix": 1},
        {"name": "IOB2", "delimiter": "-", "suffix": False, "more": 1},
        {"name": ["IOB2"], "delimiter": "-", "suffix": False},
    ],
)
def test_a_wrong_scheme_in_a_folder(tagger, tmp_path, scheme):
    tagger.save(tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"scheme": scheme}))
    for load in (ss.load, ss.runtime.load):
        with pytest.raises(ss.ModelFormatError, match=r"config\.json: scheme: expected name, one of IOB1, IOB2, "):
            load(tmp_path / "model")
