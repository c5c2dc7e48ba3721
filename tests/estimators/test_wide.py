"""The wide part: what it is fitted to, how much it counts, and that it goes wherever a classifier goes."""

from __future__ import annotations

import copy
import dataclasses
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

import stepscan as ss
from stepscan import runtime
from stepscan.backends.probabilities import sigmoid, softmax
from stepscan.errors import SettingsError
from stepscan.estimators import linear_model
from stepscan.estimators.average import average
from stepscan.estimators.lbfgs import minimise
from stepscan.estimators.score_mixture import best_mixture
from stepscan.estimators.temperature import fit_temperature
from stepscan.estimators.wide_model import fit_wide
from stepscan.inspection.report import report
from stepscan.inspection.saliency import saliency
from stepscan.models.ensemble import ensemble
from stepscan.models.files import predict
from stepscan.storage.compression import compress
from stepscan.wide.model import WideModel
from stepscan.wide.ngrams import NGramFeatures


def texts(count: int, classes: int = 3, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts whose class is in some of their words, of 200."""
    random = np.random.default_rng(seed)
    words = np.random.default_rng(9).permutation(
        ["".join(chr(97 + i // d % 8) for d in (1, 8, 64)) for i in range(200)]
    )
    ids = random.integers(0, classes, count)
    chosen = random.integers(0, 200, (count, 12))
    chosen[:, :5] = random.integers(0, 40, (count, 5)) + 40 * ids[:, None]
    return [" ".join(words[row]) for row in chosen], ids


@pytest.fixture(scope="module")
def wide() -> WideModel:
    return dataclasses.replace(fit_wide(*texts(200), "classification", 3), shares=(0.5, 1.5))


@pytest.fixture(scope="module")
def model(wide: WideModel) -> ss.Classifier:
    X, ids = texts(60)
    fitted = ss.Classifier(hidden_size=5, embedding_size=4, epochs=1, bidirectional=False).fit(
        X, [f"c{i}" for i in ids]
    )
    fitted.wide_ = wide
    return fitted


X, IDS = texts(40, seed=5)


# The fit --------------------------------------------------------------------------------------------------------------


def test_minimise_finds_the_least():
    scale = np.array([1, 10, 100, 0.1], np.float32)
    goal = np.array([1, -2, 3, -4], np.float32)

    def bowl(point):
        away = point - goal
        return float((scale * away**2).sum()), 2 * scale * away

    assert minimise(bowl, np.zeros(4, np.float32), 100, 0.0) == pytest.approx(goal, abs=1e-3)
    assert minimise(bowl, goal, 100).tolist() == goal.tolist()


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_classes_as_scikit_learn_fits_them(classes):
    texts_, ids = texts(300, classes)
    fit = fit_wide(texts_, ids, "classification", classes)
    rows = fit.features.transform(texts_)
    matrix = csr_matrix((rows.values, rows.columns, rows.indptr), (300, fit.features.size))
    expected = LogisticRegression(C=40, max_iter=1000, tol=1e-6).fit(matrix, ids)
    assert np.abs(softmax(fit.scores(texts_)) - expected.predict_proba(matrix)).max() < 0.02


def test_as_good_as_tf_idf_and_logistic_regression():
    train, ids = texts(1000, 5)
    test, true = texts(1000, 5, seed=1)
    accuracy = (fit_wide(train, ids, "classification", 5).scores(test).argmax(axis=1) == true).mean()
    best = 0.0
    for how in ({"ngram_range": (1, 2)}, {"ngram_range": (1, 5), "analyzer": "char_wb"}):
        features = TfidfVectorizer(sublinear_tf=True, **how)
        peer = LogisticRegression(C=20, max_iter=500).fit(features.fit_transform(train), ids)
        best = max(best, (peer.predict(features.transform(test)) == true).mean())
    assert best > 0.8
    assert accuracy > best - 0.01


def test_labels_are_fitted_each_by_itself():
    texts_, ids = texts(300)
    targets = np.stack([ids == 0, ids != 1], axis=1).astype(np.float32)
    fit = fit_wide(texts_, targets, "multilabel", 2)
    alone = fit_wide(texts_, targets[:, 0].astype(int), "classification", 2)
    probability = sigmoid(fit.scores(texts_))
    assert np.abs(probability[:, 0] - softmax(alone.scores(texts_))[:, 1]).max() < 0.02
    assert ((probability > 0.5) == targets).all()


def test_numbers_are_fitted_in_their_own_units():
    texts_, ids = texts(300)
    numbers = 1000 + 10.0 * ids
    fit = fit_wide(texts_, numbers, "regression", 1)
    rows = fit.features.transform(texts_)
    matrix = csr_matrix((rows.values, rows.columns, rows.indptr), (300, fit.features.size))
    penalty = linear_model.best_penalty(matrix, (numbers - numbers.mean()) / numbers.std())
    expected = Ridge(penalty).fit(matrix.toarray(), numbers).predict(matrix.toarray())
    assert fit.scores(texts_)[:, 0] == pytest.approx(expected, abs=0.5)
    assert np.abs(fit.scores(texts(100, seed=1)[0])[:, 0] - 1000 - 10 * texts(100, seed=1)[1]).mean() < 5


def test_the_penalty_is_that_of_leaving_out():
    texts_, ids = texts(30)
    rows = NGramFeatures.fit(texts_).transform(texts_)
    matrix = csr_matrix((rows.values, rows.columns, rows.indptr))
    dense, numbers = matrix.toarray(), ids.astype(float)
    errors = []
    for alpha in linear_model.ALPHAS:
        left = [np.delete(np.arange(30), i) for i in range(30)]
        each = [Ridge(alpha).fit(dense[kept], numbers[kept]).predict(dense[[i]])[0] for i, kept in enumerate(left)]
        errors.append(np.square(np.array(each) - numbers).mean())
    assert linear_model.best_penalty(matrix, numbers) == linear_model.ALPHAS[np.argmin(errors)]


def test_weights_of_classes_move_the_decision():
    texts_, ids = texts(300, 2)
    for classes in (2, 3):
        plain, weighted = (
            fit_wide(["a b", "a c"] * 50, np.array([0, 1] * 50), "classification", classes, class_weights=weights)
            for weights in (None, np.array([1.0, 9.0, 1.0])[:classes])
        )
        assert softmax(plain.scores(["a"]))[0, 1] < softmax(weighted.scores(["a"]))[0, 1]
    rare = fit_wide(texts_, ids, "classification", 2, class_weights=np.array([1e-3, 1.0]))
    assert rare.scores(["zz"]).argmax() == 1


def test_many_texts_are_sampled(monkeypatch):
    texts_, ids = texts(500)
    monkeypatch.setattr("stepscan.estimators.wide_model._MAX_TEXTS", 50)
    few = fit_wide(texts_, ids, "classification", 3)
    again, other = fit_wide(texts_, ids, "classification", 3), fit_wide(texts_, ids, "classification", 3, seed=1)
    assert few.weight.tobytes() == again.weight.tobytes()
    assert few.features.size != other.features.size
    monkeypatch.setattr("stepscan.estimators.wide_model._MAX_CHARACTERS", 0)
    assert fit_wide(texts_, ids, "classification", 3).features.description()["words"] <= 2 * 12 - 1  # of one text


def test_many_outputs_take_fewer_features(monkeypatch):
    monkeypatch.setattr("stepscan.estimators.wide_model._MAX_WEIGHTS", 300)
    assert fit_wide(*texts(100), "classification", 3).weight.shape == (100, 3)


@pytest.mark.parametrize("nothing", [["", ""], [" ", "\n"]])
def test_texts_of_nothing(nothing):
    fit = fit_wide(nothing, np.array([0, 1]), "classification", 2)
    assert softmax(fit.scores(["a"])).tolist() == [[0.5, 0.5]]


def test_series():
    """Classes, labels and numbers of series of one length; log odds are calibrated."""
    pytest.importorskip("stepscan.wide.convolutions", reason="features of series are not there yet")
    random = np.random.default_rng(0)
    ids = np.arange(40) % 2
    series = [np.sin(np.arange(30) * (0.2 + 0.3 * i))[:, None] + random.normal(0, 0.3, (30, 1)) for i in ids]
    classifier = fit_wide(series[:20], ids[:20], "classification", 2)
    assert (classifier.scores(series[20:]).argmax(axis=1) == ids[20:]).all()
    together, alone = classifier.scores(series), [classifier.scores([one]) for one in series]
    assert together.tobytes() == np.concatenate(alone).tobytes()
    weighted = fit_wide(series[:20], ids[:20], "classification", 2, class_weights=np.array([1.0, 5.0]))
    assert weighted.bias - classifier.bias == pytest.approx([0, np.log(5)], abs=1e-5)
    targets = np.stack([ids, 1 - ids], axis=1)
    multilabel = fit_wide(series[:20], targets[:20], "multilabel", 2)
    assert ((multilabel.scores(series[20:]) > 0) == targets[20:]).all()
    regressor = fit_wide(series[:20], 100.0 + ids[:20], "regression", 1)
    assert np.abs(regressor.scores(series[20:])[:, 0] - 100 - ids[20:]).max() < 0.5


# The mixture ----------------------------------------------------------------------------------------------------------


FEW, MANY = 1000, 10_000  # training examples


def scored(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes, and two scores of them with independent noise; each is their log odds."""
    random = np.random.default_rng(seed)
    true = random.integers(0, 3, count)
    return true, *(np.eye(3)[true] + random.standard_normal((2, count, 3)))


def test_few_examples_cannot_tell_them_apart():
    """The network is surer of some examples than the wide part, less sure of as many: a little better on average."""
    confident = np.array([1.2, 1.2, 1.2, -1.2] * 2)
    surer = confident + np.repeat([1.2, -0.6], 4)
    deep, wide = (np.stack([scores, np.zeros(8)], axis=1) for scores in (surer, confident))
    assert best_mixture(deep, wide, np.zeros(8, int), "classification", FEW)[0] == 0
    many = [np.tile(scores, (100, 1)) for scores in (deep, wide)]
    assert best_mixture(*many, np.zeros(800, int), "classification", FEW)[0] > 0


def test_the_wide_part_alone_has_its_own_temperature():
    true, good, _ = scored(300)
    assert best_mixture(0 * good, 4 * good, true, "classification", FEW) == (0, 1 / fit_temperature(4 * good, true))


def test_of_many_training_examples_both_parts_count_alike():
    """A network that is a little worse on 200 held-out examples, but not surely: mixed one to one it is better than
    the wide part alone on 20,000 others. By a tenth of mpqa and sst2 the wide part stayed alone, and lost a point."""
    (true, first, second), (judge, one, two) = scored(200, seed=5), scored(20_000, seed=6)
    noise = np.random.default_rng(7).standard_normal((20_200, 3))
    deep, wide = 3 * (first + 0.6 * noise[:200]), 0.5 * second  # too sure of itself, and not sure enough
    a, b = best_mixture(deep, wide, true, "classification", MANY)
    scales = [1 / fit_temperature(scores, true) for scores in (deep, wide)]
    assert a / b == pytest.approx(scales[0] / scales[1])
    assert fit_temperature(a * deep + b * wide, true) == pytest.approx(1, rel=0.01)
    mixed = a * 3 * (one + 0.6 * noise[200:]) + b * 0.5 * two
    assert (mixed.argmax(axis=1) == judge).mean() > (two.argmax(axis=1) == judge).mean() + 0.02


@pytest.mark.parametrize("examples", [FEW, MANY])
def test_surely_better_shares_count(examples):
    true, good, bad = scored(2000)
    bad = 3 * (bad - np.eye(3)[true])  # noise
    assert best_mixture(good, bad, true, "classification", examples) == (1, 0)
    assert best_mixture(4 * good, bad, true, "classification", examples) == (1, 0)  # compared at its best scale
    deep, wide = best_mixture(bad, good, true, "classification", examples)
    assert deep < 0.02
    assert wide == pytest.approx(1, abs=0.1)
    deep, wide = best_mixture(good, scored(2000)[2], true, "classification", examples)
    assert deep == pytest.approx(1, abs=0.15)
    assert wide == pytest.approx(1, abs=0.15)


def test_the_simpler_of_equal_models():
    true, good, _ = scored(200)
    assert best_mixture(good, good, true, "classification", FEW)[0] == 0
    deep, wide = best_mixture(good, good, true, "classification", MANY)
    assert deep == pytest.approx(wide)


@pytest.mark.parametrize("examples", [FEW, MANY])
def test_parts_that_know_nothing_decide_still(examples):
    """Scores that speak against the classes: the factors are small, but not all 0, which would be the first class."""
    true, good, other = scored(200)
    assert any(best_mixture(-good, -other, true, "classification", examples))


def test_shares_of_labels():
    true, good, other = scored(200)
    labels = np.eye(3)[true]
    noise = 3 * np.random.default_rng(3).standard_normal((200, 3))
    assert best_mixture(good - 1.2, noise, labels, "multilabel", FEW) == (1, 0)
    assert best_mixture(noise, good - 1.2, labels, "multilabel", FEW)[0] == 0
    deep, wide = best_mixture(2 * (good - 0.5), other - 0.5, labels, "multilabel", MANY)
    assert 2 * deep / wide == pytest.approx(1, rel=0.2)


def test_shares_of_numbers_add_up_to_one():
    random = np.random.default_rng(0)
    true, noise = random.normal(100, 5, 300), random.standard_normal((2, 300, 1))
    deep, wide = true[:, None] + noise
    assert best_mixture(deep, wide, true, "regression", MANY) == (0.5, 0.5)
    assert best_mixture(deep, wide + 10 * noise[1], true, "regression", MANY)[0] == pytest.approx(1, abs=0.02)
    assert best_mixture(deep + 10 * noise[0], wide, true, "regression", FEW) == (0, 1)
    shares = best_mixture(deep, wide + noise[1], true, "regression", FEW)  # weights by the inverse of the variances
    assert shares == pytest.approx((0.8, 0.2), abs=0.05)
    assert sum(shares) == pytest.approx(1)


# In a model -----------------------------------------------------------------------------------------------------------


def test_scores_are_joined(model, wide):
    deep = model._scores(X, wide=False)
    joined = np.float32(0.5) * deep + np.float32(1.5) * wide.scores(X)
    assert np.array_equal(model._scores(X), joined)
    assert np.array_equal(wide.combine(deep, X), joined)
    assert np.array_equal(model.predict_proba(X), softmax(joined))
    assert model.predict(X).tolist() == [f"c{i}" for i in joined.argmax(axis=1)]
    assert [one["label"] for one in model.predict_records(X)] == model.predict(X).tolist()
    true = [f"c{i}" for i in IDS]
    assert model.score(X, true) == model.metrics(X, true)["accuracy"] == (joined.argmax(axis=1) == IDS).mean()
    expected = np.log(softmax(joined)[np.arange(len(X)), IDS].astype(float))
    assert [nats for nats, _ in model.log_probabilities(X, true)] == pytest.approx(expected.tolist())
    assert model.score(X, true) > (deep.argmax(axis=1) == IDS).mean()


def test_transform_is_the_networks(model):
    alone = copy.copy(model)
    alone.wide_ = None
    assert np.array_equal(model.transform(X), alone.transform(X))
    assert not np.array_equal(model.predict_proba(X), alone.predict_proba(X))


def test_a_generator_of_texts(model):
    assert np.array_equal(model.predict_proba(iter(X)), model.predict_proba(X))


def test_both_sides_have_the_same_bits(model, tmp_path):
    model.save(tmp_path / "model")
    expected = model.predict_proba(X)
    for loaded in (ss.load(tmp_path / "model"), runtime.load(tmp_path / "model")):
        assert loaded.predict_proba(X).tobytes() == expected.tobytes()
        alone = np.concatenate([loaded.predict_proba([text]) for text in X])
        assert alone.tobytes() == expected.tobytes()
        assert [one["label"] for part in predict(loaded, X) for one in part] == model.predict(X).tolist()


def test_copies(model, tmp_path):
    model.save(tmp_path / "model")
    used = runtime.load(tmp_path / "model")
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), pickle.loads(pickle.dumps(used))):
        assert np.array_equal(copied.predict_proba(X), model.predict_proba(X))


def test_the_fingerprint_is_of_the_wide_part_too(model, tmp_path):
    model.save(tmp_path / "model")
    other = copy.copy(model)
    other.wide_ = dataclasses.replace(model.wide_, shares=(0.5, 1.0))
    other.save(tmp_path / "other")
    one, again, two = (runtime.load(tmp_path / name).fingerprint for name in ("model", "model", "other"))
    assert one == again != two


def test_a_folder_is_replaced_and_its_files_belong_together(model, tmp_path):
    other = copy.copy(model)
    other.wide_ = None
    model.save(tmp_path / "model")
    other.save(tmp_path / "model", overwrite=True)
    assert not (tmp_path / "model" / "wide.safetensors").exists()
    assert runtime.load(tmp_path / "model").wide_ is None
    model.save(tmp_path / "model", overwrite=True)
    content = bytearray((tmp_path / "model" / "wide.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "model" / "wide.safetensors").write_bytes(content)
    with pytest.raises(ss.errors.ModelFormatError, match=r"expected wide\.safetensors with the SHA-256"):
        runtime.load(tmp_path / "model")


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_compressed_it_is_bfloat16(model, tmp_path, weights):
    model.save(tmp_path / "model")
    figures = compress(tmp_path / "model", weights, tmp_path / "small")
    files = ("model.safetensors", "wide.safetensors")
    assert figures["after"] == sum((tmp_path / "small" / name).stat().st_size for name in files) < figures["before"]
    small = runtime.load(tmp_path / "small")
    weight = model.wide_.weight
    assert np.abs(small.wide_.weight - weight).max() <= np.abs(weight).max() / 256
    assert (small.wide_.weight.view(np.uint32) & 0xFFFF == 0).all()
    assert np.abs(small.predict_proba(X) - model.predict_proba(X)).max() < 0.02
    assert ss.load(tmp_path / "small").wide_.weight.tobytes() == small.wide_.weight.tobytes()


def test_an_ensemble_has_the_mean_of_the_joined_probabilities(model):
    alone = copy.copy(model)
    alone.wide_ = None
    together = ensemble([model, alone])
    expected = (model.predict_proba(X) + alone.predict_proba(X)) / 2
    assert together.predict_proba(X) == pytest.approx(expected, abs=1e-6)
    assert ensemble([model, model]).predict_proba(X) == pytest.approx(model.predict_proba(X), abs=1e-6)


def test_an_average_needs_the_same_features(model, wide):
    other = copy.copy(model)
    other.wide_ = dataclasses.replace(wide, weight=3 * wide.weight, shares=(0.5, 0.5))
    middle = average([model, other]).wide_
    assert middle.weight == pytest.approx(2 * wide.weight)
    assert middle.shares == (0.5, 1.0)
    assert average([model, model]).predict_proba(X) == pytest.approx(model.predict_proba(X), abs=1e-6)
    other.wide_ = fit_wide(*texts(100), "classification", 3)
    with pytest.raises(SettingsError, match=r"wide parts have the same features, got others in model 2; an ensemble"):
        average([model, other])
    other.wide_ = None
    with pytest.raises(SettingsError, match="got others in model 2"):
        average([model, other])
    with pytest.raises(SettingsError, match="got others in model 1"):
        average([other, model])


def test_what_looks_at_the_network_alone_says_so(model, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    saliency(model, X[0])
    report(model)
    model.save(tmp_path / "model")
    runtime.load(tmp_path / "model").session()
    messages = [record.message for record in caplog.records]
    assert len([message for message in messages if "wide part" in message]) == 3


def test_a_model_of_before_has_none():
    golden = Path(__file__).parents[1] / "golden" / "0.1.0" / "classify"
    assert runtime.load(golden).wide_ is ss.load(golden).wide_ is None
