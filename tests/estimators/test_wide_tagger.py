"""The wide part of a tagger: its fit, its share, and all that is done with such a model."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

import stepscan as ss
from stepscan import runtime
from stepscan.backends.probabilities import softmax
from stepscan.errors import ModelFormatError, SettingsError
from stepscan.estimators import crf_mixture, linear_chain_crf
from stepscan.estimators.average import average
from stepscan.estimators.tagger import Tagger
from stepscan.models.ensemble import ensemble
from stepscan.storage.compression import compress
from stepscan.storage.tensor_file import write_tensors
from stepscan.storage.wide_part import wide_tensors
from stepscan.wide.crf import TRANSITIONS, WideCRF

TAGS = ("A", "B", "C")


def sentences(count: int, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """The tag of a word is in its ending; of a word `x`, it is that of the word before."""
    random = np.random.default_rng(seed)
    words, tags = [], []
    for _ in range(count):
        own_words, own_tags = [], []
        for _ in range(random.integers(1, 8)):
            if own_words and random.random() < 0.3:
                own_words.append("x")
                own_tags.append(own_tags[-1])
            else:
                tag = int(random.integers(3))
                own_words.append(f"{random.integers(1000)}{('ung', 'lich', 'te')[tag]}")
                own_tags.append(TAGS[tag])
        words.append(own_words)
        tags.append(own_tags)
    return words, tags


def ids(tags: list[list[str]]) -> list[list[int]]:
    return [[TAGS.index(tag) for tag in sentence] for sentence in tags]


@pytest.fixture(scope="module")
def wide() -> WideCRF:
    X, y = sentences(60)
    return dataclasses.replace(linear_chain_crf.fit_wide_crf(X, ids(y), 3), shares=(0.5, 1.5))


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "crf"])
def model(request: pytest.FixtureRequest, wide: WideCRF) -> Tagger:
    X, y = sentences(30)
    settings = {"hidden_size": 4, "embedding_size": 3, "char_embedding_size": 0, "max_updates": 5, "wide": False}
    fitted = ss.Tagger(**settings, crf=request.param, refit=False).fit(X, y)
    assert fitted.wide_ is None
    fitted.wide_ = wide
    return fitted


X, Y = sentences(40, seed=5)


# The fit --------------------------------------------------------------------------------------------------------------


def small() -> tuple[linear_chain_crf.PackedSequences, np.ndarray, np.ndarray, list[np.ndarray]]:
    random = np.random.default_rng(1)
    lengths = np.array([2, 4, 1, 3])
    weights = [random.normal(size=shape) for shape in ((3, 3), (3,), (3,))]
    return linear_chain_crf.PackedSequences.from_lengths(lengths), lengths, random.normal(size=(10, 3)), weights


def test_the_partition_is_the_sum_over_all_paths():
    packed, lengths, scores, (transitions, start, end) = small()
    expected = 0.0
    for begin, length in zip(np.cumsum(lengths) - lengths, lengths, strict=True):
        emissions = scores[begin : begin + length]
        paths = [
            start[path[0]]
            + end[path[-1]]
            + emissions[np.arange(length), path].sum()
            + transitions[path[:-1], path[1:]].sum()
            for path in map(np.array, itertools.product(range(3), repeat=int(length)))
        ]
        expected += np.log(np.exp(paths).sum())
    assert packed.log_partition(scores[packed.order], transitions, start, end) == pytest.approx(expected)


def test_the_derivatives_are_those_of_the_partition():
    packed, _, scores, weights = small()
    scores = scores[packed.order]
    value, shares, expected = packed.expected(scores, *weights)
    assert value == packed.log_partition(scores, *weights)
    assert shares.sum(axis=1) == pytest.approx(np.ones(10))
    for array, derivative in zip([scores, *weights], [shares, *expected], strict=True):
        for place in np.ndindex(array.shape):
            array[place] += 1e-5
            more = packed.log_partition(scores, *weights)
            array[place] -= 2e-5
            less = packed.log_partition(scores, *weights)
            array[place] += 1e-5
            assert (more - less) / 2e-5 == pytest.approx(derivative[place], abs=1e-6)


def test_one_token_each_is_logistic_regression():
    random = np.random.default_rng(0)
    tags = random.integers(0, 3, 200)
    rows = csr_matrix((random.random((200, 8)) + np.eye(8)[tags]).astype(np.float32))
    fit = linear_chain_crf.fit_crf(rows, np.ones(200, np.int64), tags, 3, 1.0)
    expected = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(rows, tags)
    scores = rows @ fit.weight + fit.bias + fit.start + fit.end
    assert np.abs(softmax(scores) - expected.predict_proba(rows)).max() < 0.02


def test_it_learns_what_follows_what():
    fit = linear_chain_crf.fit_wide_crf(*[f(one) for f, one in zip((list, ids), sentences(100), strict=True)], 3)
    assert (np.argmax(fit.transitions, axis=1) == np.arange(3)).all()
    words, true = sentences(50, seed=2)
    zeros = [[[0.0] * 3] * len(sentence) for sentence in words]
    scores = crf_mixture.HeldOutScores.from_network(ids(true), zeros, None, 3).with_wide(fit, words)
    right = [
        np.array_equal(path, tags) for path, tags in zip(scores.best_paths((0, 1), np.zeros(3)), ids(true), strict=True)
    ]
    assert np.mean(right) > 0.9
    assert scores.loss(0, 1) < 0.3 * scores.loss(1, 0)
    assert scores.loss(1, 0) == pytest.approx(np.log(3) * sum(map(len, words)))


def test_a_step_too_far_is_taken_back():
    """Of many tokens of one tag the first steps overshoot."""
    lengths = np.full(1000, 20)
    tags = (np.random.default_rng(0).random(20_000) < 0.02).astype(int)
    rows = csr_matrix(np.stack([np.ones(20_000), tags], axis=1).astype(np.float32))
    fit = linear_chain_crf.fit_crf(rows, lengths, tags, 2, 0.1)
    scores = rows @ fit.weight + fit.bias
    assert (scores.argmax(axis=1) == tags).all()


def test_many_sentences_are_sampled(monkeypatch):
    words, tags = sentences(200)
    monkeypatch.setattr(linear_chain_crf, "_MAX_WORK", 50 * (25 * 3 + 0.25 * 9))
    few, again = (linear_chain_crf.fit_wide_crf(words, ids(tags), 3) for _ in range(2))
    other = linear_chain_crf.fit_wide_crf(words, ids(tags), 3, seed=1)
    assert few.weight.tobytes() == again.weight.tobytes()
    assert few.features.tensors()["keys"].tolist() != other.features.tensors()["keys"].tolist()
    monkeypatch.setattr(linear_chain_crf, "_MAX_WEIGHTS", 30)
    assert linear_chain_crf.fit_wide_crf(words, ids(tags), 3).weight.shape == (10, 3)


def test_shares():
    _, tags = sentences(60, seed=3)
    random = np.random.default_rng(0)
    right = [2 * np.eye(3)[sentence] for sentence in ids(tags)]
    noise = [3 * random.standard_normal(one.shape) for one in right]
    zeros = {"transitions": np.zeros((3, 3)), "start": np.zeros(3), "end": np.zeros(3)}

    def judged(deep, wide):
        result = crf_mixture.HeldOutScores.from_network(ids(tags), deep, None, 3)
        return [result._replace(wide=crf_mixture._CRFScores(np.concatenate(wide)[result.packed.order], zeros))]

    assert crf_mixture.most_likely(judged(right, noise)) == (1, 0)
    assert crf_mixture.most_likely(judged(noise, right)) == (0, 1)
    assert crf_mixture.most_likely([]) == (1, 0)


def test_of_spans_the_score_chooses_and_the_likelihood_the_scale():
    _, tags = sentences(60, seed=3)
    right = [2 * np.eye(3)[sentence] for sentence in ids(tags)]
    zeros = {"transitions": np.zeros((3, 3)), "start": np.zeros(3), "end": np.zeros(3)}
    result = crf_mixture.HeldOutScores.from_network(ids(tags), [20 * one for one in right], None, 3)
    both = [result._replace(wide=crf_mixture._CRFScores(np.concatenate(right)[result.packed.order], zeros))]

    def best(f1):
        return crf_mixture.best_for_spans(both, lambda shares, penalty: float(f1(shares)), wide=True)

    (deep, wide), penalty = best(lambda shares: shares[0] == 2 * shares[1])
    assert penalty == 0
    assert deep == 2 * wide
    assert crf_mixture.loss(both, deep, wide) == min(crf_mixture.loss(both, 2 * s, s) for s in crf_mixture._SHARES)
    assert best(lambda shares: shares[0] == 0) == ((0, 1), 0)
    assert best(lambda shares: shares[1] == 0) == ((1, 0), 0)


def test_spans_of_which_none_can_judge():
    """All validation tags are unknown to the model: the network is taken alone."""
    words, tags = [["a", "b", "c"], ["x", "y"]] * 10, [["B-P", "O", "O"], ["O", "B-Q"]] * 10
    model = ss.Tagger(max_updates=2, hidden_size=4).fit(words, tags, validation=([["a"]], [["B-Z"]]))
    assert model.wide_ is None


# In a model -----------------------------------------------------------------------------------------------------------


def test_scores_are_joined(model, wide):
    """The probability of a sentence's tags is that of all paths by the sum of both scores."""
    network = model.network_
    words, true = ["1ung", "x", "2te"], [0, 0, 2]
    [data], _ = network.scores(model._reader([words])([0]))
    scores = 0.5 * data.astype(float) + 1.5 * wide.scores([words])
    weights = {name: 1.5 * getattr(wide, name).astype(float) for name in TRANSITIONS}
    if network.crf is not None:
        paths = dict(zip(TRANSITIONS, network.crf.path_scores(), strict=True))
        weights = {name: weight + 0.5 * paths[name] for name, weight in weights.items()}

    def score(path):
        path = np.array(path)
        passed = weights["transitions"][path[:-1], path[1:]].sum()
        return scores[np.arange(3), path].sum() + passed + weights["start"][path[0]] + weights["end"][path[-1]]

    paths = list(itertools.product(range(3), repeat=3))
    likely = np.exp([score(path) for path in paths])
    likely /= likely.sum()
    [(nats, count)] = model.log_probabilities([words], [[TAGS[i] for i in true]])
    assert count == 3
    assert nats == pytest.approx(np.log(likely[paths.index(tuple(true))]), abs=1e-4)
    [tags] = model.predict([words])
    assert tags == [TAGS[i] for i in paths[int(likely.argmax())]]
    [marginals] = model.predict_proba([words])
    expected = [[likely[[path[t] == k for path in paths]].sum() for k in range(3)] for t in range(3)]
    assert marginals == pytest.approx(np.array(expected), abs=1e-4)


def test_it_is_better_than_the_network(model):
    alone = copy.copy(model)
    alone.wide_ = None
    assert model.score(X, Y) == model.metrics(X, Y)["accuracy"] > 0.9 > alone.score(X, Y)
    assert model._tag_metrics(list(zip(X, Y, strict=True)), wide=False)["accuracy"] == alone.score(X, Y)


def test_both_sides_say_the_same(model, tmp_path):
    model.save(tmp_path / "model")
    expected = model.predict_proba(X)
    for loaded in (ss.load(tmp_path / "model"), runtime.load(tmp_path / "model")):
        probabilities = loaded.predict_proba(X)
        assert all(np.array_equal(one, other) for one, other in zip(probabilities, expected, strict=True))
        alone = [loaded.predict_proba([sentence])[0] for sentence in X]
        assert all(np.array_equal(one, other) for one, other in zip(alone, expected, strict=True))
        assert loaded.predict(X) == model.predict(X)
        assert loaded.log_probabilities(X, Y) == model.log_probabilities(X, Y)
    assert runtime.load(tmp_path / "model").predict([[], ["x"]])[0] == []


def test_copies_and_fingerprints(model, tmp_path):
    model.save(tmp_path / "model")
    used = runtime.load(tmp_path / "model")
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), pickle.loads(pickle.dumps(used))):
        assert copied.predict(X) == model.predict(X)
    other = copy.copy(model)
    other.wide_ = dataclasses.replace(model.wide_, end=model.wide_.end + 1)
    other.save(tmp_path / "other")
    assert runtime.load(tmp_path / "other").fingerprint != used.fingerprint


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_compressed(model, tmp_path, weights):
    model.save(tmp_path / "model")
    compress(tmp_path / "model", weights, tmp_path / "small")
    small = runtime.load(tmp_path / "small")
    assert np.abs(small.wide_.weight - model.wide_.weight).max() <= np.abs(model.wide_.weight).max() / 256
    assert small.wide_.transitions == pytest.approx(model.wide_.transitions, rel=1 / 128)
    assert small.score(X, Y) == pytest.approx(model.score(X, Y), abs=0.02)


def test_ensembles_and_averages(model, wide):
    alone = copy.copy(model)
    alone.wide_ = None
    assert ensemble([model, model]).predict(X) == model.predict(X)
    together = ensemble([alone, model])
    expected = wide.combine_with(model.network_)
    crf = together._scorer().crf
    before = np.zeros((3, 3)) if model.network_.crf is None else model.network_.crf.path_scores()[0]
    assert crf.transitions == pytest.approx((expected.crf.transitions + before) / 2, abs=1e-6)
    other = copy.copy(model)
    other.wide_ = dataclasses.replace(wide, transitions=3 * wide.transitions, shares=(0.5, 0.5))
    middle = average([model, other]).wide_
    assert middle.transitions == pytest.approx(2 * wide.transitions)
    assert middle.shares == (0.5, 1.0)
    with pytest.raises(SettingsError, match="got others in model 2"):
        average([model, alone])


def test_a_session_says_that_it_goes_without(model, tmp_path, caplog):
    if model.crf:
        return
    one_way = ss.Tagger(hidden_size=4, embedding_size=3, bidirectional=False, max_updates=5, wide=False, refit=False)
    one_way.fit(*sentences(20)).wide_ = model.wide_
    one_way.save(tmp_path / "model")
    caplog.set_level(logging.WARNING)
    session = runtime.load(tmp_path / "model").session()
    one_way.wide_ = None
    pushed = [tag for word in X[0] for tag in session.push([word])]
    assert pushed == one_way.predict([X[0]])[0]
    [message] = [record.message for record in caplog.records if "wide part" in record.message]
    assert message.startswith("a session uses the network alone")


# Trained --------------------------------------------------------------------------------------------------------------

TINY = {"hidden_size": 4, "embedding_size": 3, "char_embedding_size": 0, "max_updates": 5}


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("count", [40, 420])
def test_fit_chooses_a_share(crf, count):
    """Of few sentences by cross-validation, and the wide part is then fitted on all of them."""
    words, tags = sentences(count)
    fitted = ss.Tagger(**TINY, crf=crf).fit(words, tags)
    assert fitted.wide_ is not None
    assert fitted.wide_.shares[1] > 0
    assert fitted.wide_.weight.tobytes() == linear_chain_crf.fit_wide_crf(words, ids(tags), 3).weight.tobytes()
    assert fitted.score(X, Y) > 0.9
    best = [row for row in fitted.history_ if row["best"]][-1]
    assert best["valid_accuracy"] > 0.8
    assert ("fold" in fitted.history_[0]) is (count == 40)
    assert fitted.yardstick_["scores"]["accuracy"] > 0.5


def test_it_can_be_left_out():
    words, tags = sentences(30)
    assert ss.Tagger(**TINY, wide=False).fit(words, tags).wide_ is None
    series = [np.arange(5.0) + i for i in range(20)]
    fitted = ss.Tagger(**TINY).fit(series, [["a", "b", "a", "b", "a"]] * 20)
    assert fitted.wide_ is None
    assert fitted.predict(series[:1])[0][0] in ("a", "b")


def test_too_many_tags_go_without(monkeypatch, caplog):
    monkeypatch.setattr(linear_chain_crf, "_MAX_TAGS", 2)
    caplog.set_level(logging.INFO, logger="stepscan")
    assert ss.Tagger(**TINY).fit(*sentences(30)).wide_ is None
    assert "no wide part: it is for up to 2 tags, and there are 3" in caplog.text


def test_without_refit_it_is_of_the_training_part():
    words, tags = sentences(60)
    fitted = ss.Tagger(**TINY, refit=False).fit(words[:40], tags[:40], (words[40:], tags[40:]))
    assert (
        fitted.wide_.weight.tobytes() == linear_chain_crf.fit_wide_crf(words[:40], ids(tags[:40]), 3).weight.tobytes()
    )


def test_tags_of_validation_data_alone():
    """They are learned where all is trained on in the end."""
    words, tags = sentences(60)
    valid = ([*words[40:], [], ["new"]], [*tags[40:], [], ["Z"]])
    fitted = ss.Tagger(**TINY, refit=True).fit(words[:40], tags[:40], valid)
    assert fitted.labels_ == ["A", "B", "C", "Z"]
    assert fitted.wide_.weight.shape[1] == 4
    assert fitted.predict([["new"]]) == [["Z"]]


def test_spans_with_a_crf_stay_within_their_scheme():
    words = [[f"{i}on", "the", f"{i}isle", "."] for i in range(60)]
    tags = [["O", "B-X", "I-X", "O"]] * 60
    fitted = ss.Tagger(**TINY, crf=True).fit(words, tags)
    assert fitted.score(words, tags) == 1
    [(nats, _)] = fitted.log_probabilities([["a", "b"]], [["O", "I-X"]])
    assert nats == -np.inf


# Folders --------------------------------------------------------------------------------------------------------------


def test_a_folder_with_a_part_of_another_task_is_refused(model, tmp_path):
    model.save(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    text = config.read_text()
    for old, new, message in (
        ('"token_features"', '"ngrams"', "features: expected the name token_features, got 'ngrams'"),
        ('"token_features"', '"token_feature"', "Did you mean"),
        ('"shares"', '"share"', "expected an object of features and shares"),
    ):
        assert old in text
        config.write_text(text.replace(old, new))
        with pytest.raises(ModelFormatError, match=message):
            runtime.load(tmp_path / "model")


def test_a_file_that_does_not_fit_is_refused(model, tmp_path):
    for name, change, message in (
        ("transitions", lambda one: one[:2], r"transitions: expected float32 \[3, 3\], got float32 \[2, 3\]"),
        ("end", lambda one: one.astype(np.float64), r"float64|end"),
    ):
        broken = copy.copy(model)
        broken.wide_ = dataclasses.replace(model.wide_, **{name: change(getattr(model.wide_, name))})
        broken.save(tmp_path / name)
        with pytest.raises(ModelFormatError, match=message):
            runtime.load(tmp_path / name)


def test_a_file_without_transitions_is_refused(model, tmp_path):
    model.save(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["files"].pop("wide.safetensors")
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    tensors = wide_tensors(model.wide_)
    del tensors["transitions"]
    write_tensors(tmp_path / "model" / "wide.safetensors", tensors)
    with pytest.raises(ModelFormatError, match=r"wide\.safetensors does not fit config\.json: transitions is missing"):
        runtime.load(tmp_path / "model")


def test_a_model_of_before_has_none():
    golden = Path(__file__).parents[1] / "golden" / "0.1.0" / "tag"
    assert runtime.load(golden).wide_ is ss.load(golden).wide_ is None
