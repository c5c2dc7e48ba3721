"""Several models as one: ensembles ask them all, averages are one model of their weights."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from toy_tasks import FAST, RHYME, neighbours, ordered, reversals

import stepscan as ss
from stepscan import runtime
from stepscan.data.batching import pad

TINY = {**FAST, "hidden_size": 8, "embedding_size": 4, "batch_size": 8, "epochs": 2}
OTHER = {"seed": 1, "cell": "gru", "hidden_size": 12}


def two(kind, *data, **settings):
    """Two models of other cells, sizes and seeds, trained on the same."""
    return [kind(**{**TINY, **settings, **other}).fit(*data) for other in ({}, OTHER)]


@pytest.fixture(scope="module")
def classifiers():
    return two(ss.Classifier, *ordered(40, 0))


@pytest.fixture(scope="module")
def translators():
    return two(ss.Translator, *reversals(60, 0), tokenizer="character")


def test_classifier(classifiers):
    texts, labels = ordered(20, 1)
    together = ss.ensemble(classifiers)
    mean = np.mean([model.predict_proba(texts) for model in classifiers], axis=0)
    np.testing.assert_allclose(together.predict_proba(texts), mean, atol=1e-6)
    assert together.metrics(texts, labels)["texts"] == 20
    features = np.concatenate([model.transform(texts) for model in classifiers], axis=1)
    np.testing.assert_array_equal(together.transform(texts), features)


def test_labels_and_numbers():
    texts, _ = ordered(40, 0)
    labels = [text.split() for text in texts]
    models = two(ss.Classifier, texts, labels, problem_type="multilabel")
    mean = np.mean([model.predict_proba(texts[:5]) for model in models], axis=0)
    np.testing.assert_allclose(ss.ensemble(models).predict_proba(texts[:5]), mean, atol=1e-6)
    models = two(ss.Classifier, texts, [len(text) for text in texts], problem_type="regression")
    mean = np.mean([model.predict(texts[:5]) for model in models], axis=0)
    np.testing.assert_allclose(ss.ensemble(models).predict(texts[:5]), mean, rtol=1e-6)


def test_series():
    series = [np.arange(4.0) + i for i in range(12)]
    models = two(ss.Classifier, series, ["a", "b"] * 6, epochs=1)
    mean = np.mean([model.predict_proba(series) for model in models], axis=0)
    np.testing.assert_allclose(ss.ensemble(models).predict_proba(series), mean, atol=1e-6)


def test_tagger():
    sentences, tags = neighbours(20, 0)
    models = two(ss.Tagger, sentences, tags, char_embedding_size=0, wide=False)
    together = ss.ensemble(models)
    for joint, *own in zip(
        together.predict_proba(sentences), *(m.predict_proba(sentences) for m in models), strict=True
    ):
        np.testing.assert_allclose(joint, np.mean(own, axis=0), atol=1e-6)
    log_probability = together.log_probabilities(sentences[:1], tags[:1])[0]
    probabilities = together.predict_proba(sentences[:1])[0]
    places = [together.classes_.tolist().index(tag) for tag in tags[0]]
    assert log_probability == (
        pytest.approx(np.log(probabilities[range(len(places)), places]).sum(), rel=1e-4),
        len(places),
    )


def test_tagger_with_a_crf():
    """The mean of all scores: of two equal models it is the model, of others its marginals are normal."""
    sentences, tags = neighbours(20, 0)
    models = two(ss.Tagger, sentences, tags, char_embedding_size=0, crf=True)
    same = ss.ensemble([models[0], models[0]])
    assert same.predict(sentences) == models[0].predict(sentences)
    together = ss.ensemble(models)
    assert np.concatenate(together.predict_proba(sentences)).sum(axis=1) == pytest.approx(1, abs=1e-5)
    log_probabilities = together.log_probabilities(sentences[:3], tags[:3])
    crf = models[0].model_.crf
    mean = (crf.transitions + models[1].model_.crf.transitions) / 2
    np.testing.assert_allclose(together.network_.crf.transitions, mean.detach().numpy(), rtol=1e-6)
    assert all(value < 0 for value, _ in log_probabilities)


def test_language_model():
    models = two(ss.LanguageModel, RHYME, bptt=16)
    together = ss.ensemble(models)
    mean = np.mean([model.predict_proba(["one", ""]) for model in models], axis=0)
    np.testing.assert_allclose(together.predict_proba(["one", ""]), mean, atol=1e-6)
    [(total, count)] = together.log_probabilities(["one two"])
    assert total / count == pytest.approx(together.score("one two"), rel=1e-5)
    step_by_step = together.generate("one", length=1, temperature=0)
    assert step_by_step[-1] == together.predict(["one"])[0]
    assert together.generate("one", length=20, seed=0) == together.generate("one", length=20, seed=0)
    with pytest.raises(ss.SettingsError, match="dynamic: expected 0 for an ensemble"):
        together.metrics("one two", dynamic=0.01)


def test_translator(translators):
    sources, targets = reversals(10, 1)
    together = ss.ensemble(translators)
    source, begin = pad([together._encode(["abcd"], together._source_tokenizer)[0]]), np.array([2])
    with torch.inference_mode():
        scores = [
            m.network_.generator.array_step(begin, m.network_.encode_rows(source))[0] for m in (together, *translators)
        ]
    joint, *own = (np.exp(s) / np.exp(s).sum() for s in scores)
    np.testing.assert_allclose(joint, np.mean(own, axis=0), rtol=1e-5)
    one_by_one = [model.log_probabilities(["ab"], ["ba"])[0][0] for model in translators]
    assert min(one_by_one) < together.log_probabilities(["ab"], ["ba"])[0][0]
    assert 0 <= together.score(sources, targets) <= 100


def test_one_is_itself(translators):
    assert ss.ensemble(translators[:1]).predict(["ab"]) == translators[0].predict(["ab"])


def test_refused(classifiers, translators, tmp_path):
    texts, labels = ordered(40, 0)
    with pytest.raises(ss.SettingsError, match="models: expected at least one, got none"):
        ss.ensemble([])
    with pytest.raises(ss.SettingsError, match="model 2: expected one to classify, as the first, got one to translate"):
        ss.ensemble([classifiers[0], translators[0]])
    with pytest.raises(ss.SettingsError, match="model 2: expected the symbols of the first, got others"):
        ss.ensemble([classifiers[0], ss.Classifier(**TINY).fit([text + " new" for text in texts], labels)])
    with pytest.raises(ss.SettingsError, match="model 2: expected the labels of the first, got others"):
        ss.ensemble([classifiers[0], ss.Classifier(**TINY).fit(texts, [label.upper() for label in labels])])
    with pytest.raises(ss.StepscanError, match="EncoderEnsemble"):
        ss.ensemble(classifiers).save(tmp_path / "m")
    with pytest.raises(ss.NotFittedError):
        ss.ensemble([ss.Classifier()])


def test_average():
    texts, labels = ordered(40, 0)
    models = [ss.Classifier(**TINY, seed=seed).fit(texts, labels) for seed in (0, 1)]
    middle = ss.average(models)
    for name, tensor in middle.model_.state_dict().items():
        torch.testing.assert_close(tensor, sum(model.model_.state_dict()[name] for model in models) / 2)
    assert ss.average([models[0], models[0]]).predict_proba(texts).tolist() == models[0].predict_proba(texts).tolist()


def test_average_refused(classifiers):
    with pytest.raises(ss.SettingsError, match="model 2: expected the layers and sizes of the first, got others"):
        ss.average(classifiers)


def test_command_line(classifiers, translators, run, tmp_path):
    for number, model in enumerate(classifiers):
        model.save(tmp_path / f"c{number}")
    reply = json.loads(run("predict", tmp_path / "c0", "x a b", "--ensemble", tmp_path / "c1", "--json").out)
    assert reply["probability"] == pytest.approx(ss.ensemble(classifiers).predict_proba(["x a b"]).max(), abs=1e-6)
    (tmp_path / "a.tsv").write_text("text\tlabel\nx a b\tfirst a\nb a\tfirst b\n")
    assert (
        json.loads(run("evaluate", tmp_path / "c0", tmp_path / "a.tsv", "--ensemble", tmp_path / "c1", "--json").out)[
            "texts"
        ]
        == 2
    )
    assert run("average", tmp_path / "c0", tmp_path / "c0", "--out", tmp_path / "mean").code == 0
    assert ss.load(tmp_path / "mean").predict_proba(["a b"]).tolist() == classifiers[0].predict_proba(["a b"]).tolist()
    result = run("average", tmp_path / "c0", tmp_path / "c1", "--out", tmp_path / "mean2")
    assert "an ensemble can join them" in result.words
    assert not (tmp_path / "mean2").exists()


def test_prefix(translators):
    model = translators[0]
    for result in model.translate(["abcd", "a"], n_best=3, prefix="dc"):
        assert all(one.text.startswith("dc") for one in result)
    [[best]] = model.translate(["abcd"], prefix="dc")
    [(whole, _)], [(begun, _)] = (model.log_probabilities(["abcd"], [text]) for text in (best.text, best.text))
    assert whole == begun
    prefix_alone = model.log_probabilities(["abcd"], ["dc"])[0][0]
    assert best.log_probability > whole
    assert prefix_alone < 0
    assert all(len(one.text) >= 5 for one in model.translate(["abcd"], n_best=2, prefix="dc", minimum_length=3)[0])


def test_coverage_penalty(translators, run, tmp_path):
    """By hand: the score is the log-probability and the coverage of the source by where the decoder looked."""
    model = translators[0]
    covered = ss.Translator(**{**model.get_params(), "length_penalty": 0.0, "coverage_penalty": 0.7})
    vars(covered).update({name: value for name, value in vars(model).items() if name.endswith("_")})
    tokenizer = model.tokenizers_["tokenizer"]
    for actual in covered.translate(["abcd", "a"], n_best=2):
        assert [one.score for one in actual] == sorted((one.score for one in actual), reverse=True)
    [best, *_] = covered.translate(["abcd"], n_best=2)[0]
    looked = np.zeros(5)
    state = model.network_.encode_rows([[*tokenizer.encode("abcd"), tokenizer.end]])
    for symbol in [tokenizer.begin, *tokenizer.encode(best.text)]:
        _, state = model.network_.generator.array_step(np.array([symbol]), state)
        looked += model.network_.attention_weights(state)[0]
    expected = best.log_probability + 0.7 * float(np.log(looked.clip(max=1)).sum())
    assert best.score == pytest.approx(expected, rel=1e-4)
    without = ss.Translator(**{**TINY, "attention": "none", "tokenizer": "character"}).fit(*reversals(20, 0))
    without.save(tmp_path / "m")
    result = run("predict", tmp_path / "m", "ab", "--coverage-penalty", "0.2")
    assert "coverage_penalty: expected a model with attention, got one without" in result.words


def test_models_loaded_without_torch(translators, tmp_path):
    for number, model in enumerate(translators):
        model.save(tmp_path / str(number))
    loaded = [runtime.load(tmp_path / str(number)) for number in range(len(translators))]
    together = ss.ensemble(loaded)
    assert together.translate(["abcd"]) == ss.ensemble(translators).translate(["abcd"])
    together.beam_width, together.length_penalty = 1, 0.3
    for again in (pickle.loads(pickle.dumps(together)), copy.deepcopy(together)):
        assert (again.beam_width, again.length_penalty) == (1, 0.3)
        assert again.translate(["abcd"]) == together.translate(["abcd"])
    with pytest.raises(ss.SettingsError, match="got an ensemble"):
        together.session("abcd")
    with pytest.raises(ss.SettingsError, match="expected single models, got an ensemble"):
        ss.ensemble([together, loaded[0]])
    with pytest.raises(ss.SettingsError, match="expected single models, got an ensemble"):
        ss.average([ss.ensemble(translators)] * 2)
