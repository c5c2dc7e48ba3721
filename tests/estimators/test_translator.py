from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_tasks import FAST, equal_to_the_bit, history_is_whole, reversals, weights_of

import stepscan as ss
from stepscan.estimators.data_split import hold_out, same_input
from stepscan.evaluation.error_rates import edit_distance

TINY = {"hidden_size": 8, "embedding_size": 4, "epochs": 1, "batch_size": 8, "tokenizer": "character", **FAST}
SOURCES, TARGETS = reversals(40, 3)


def right(model: ss.Translator, sources, targets) -> float:
    return float(np.mean([result == target for result, target in zip(model.predict(sources), targets, strict=True)]))


def test_learns_to_reverse(translator):
    assert right(translator, *reversals(60, 2)) >= 0.95
    assert history_is_whole(translator.history_, 12, ["valid_nats"])


@pytest.mark.parametrize(
    "settings", [{"attention": "none", "cell": "gru"}, {"input_feeding": True, "cell": "elman"}, {"cell": "lstm"}]
)
def test_learns_to_copy(settings, tmp_path):
    sources, _ = reversals(200, 4)
    sources = [source[:2] for source in sources]
    size = {"hidden_size": 24, "embedding_size": 12, "label_smoothing": 0.05, "epochs": 8}
    model = ss.Translator(**{**TINY, **size, **settings}).fit(sources, sources)
    assert right(model, ["a", "bc", "dd", "da", "cb"], ["a", "bc", "dd", "da", "cb"]) >= 0.8
    model.save(tmp_path / "model")
    assert ss.load(tmp_path / "model").translate(sources[:5], n_best=2) == model.translate(sources[:5], n_best=2)


def test_n_best(translator):
    for result in translator.translate(["abcd", "a", ""], n_best=4):
        scores = [one.score for one in result]
        assert len({one.text for one in result}) == len(result) == 4
        assert scores == sorted(scores, reverse=True)
        assert all(one.log_probability <= one.score <= 0 for one in result)
    many = translator.translate(["abc"], n_best=9)[0]
    assert len(many) == 9, "the beam is as wide as it must be"
    assert translator.predict(["abcd", "a"]) == [best[0].text for best in translator.translate(["abcd", "a"])]


def test_log_probability_by_hand(translator):
    """Of a translation: the sum over its symbols, each after the true ones before it."""
    tokenizer, model = translator.tokenizers_["tokenizer"], translator.model_
    for best in translator.translate(["abc"], n_best=3)[0]:
        ids = [*tokenizer.encode(best.text), tokenizer.end]
        source = ss.Sequences.pad([[*tokenizer.encode("abc"), tokenizer.end]])
        scores, _ = model(source, ss.Sequences.pad([[tokenizer.begin, *ids[:-1]]]))
        allowed = scores.data[0].detach().clone()
        allowed[:, [tokenizer.pad, tokenizer.unknown, tokenizer.begin]] = -torch.inf
        expected = allowed.log_softmax(dim=1)[range(len(ids)), ids].sum().item()
        assert best.log_probability == pytest.approx(expected, abs=1e-4)


def test_a_text_alone_is_a_text_in_a_batch(translator):
    sources, _ = reversals(50, 6)
    together = translator.translate(sources)
    for source, best in list(zip(sources, together, strict=True))[:10]:
        alone = translator.translate([source])[0][0]
        assert alone.text == best[0].text
        assert alone.score == pytest.approx(best[0].score, abs=1e-4)


def test_where_it_looks(translator):
    read, written, weights = translator.attention_weights("abc", "cba")
    assert (read, written) == (["a", "b", "c", "<eos>"], ["c", "b", "a", "<eos>"])
    assert weights.shape == (4, 4)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert (weights >= 0).all()


def test_where_it_looks_without_attention(models_without_attention):
    with pytest.raises((TypeError, ss.SettingsError), match="train with attention='additive'"):
        models_without_attention.attention_weights("a", "a")


@pytest.fixture
def models_without_attention() -> ss.Translator:
    return ss.Translator(**TINY, attention="none").fit(SOURCES, TARGETS)


def test_saved_and_loaded(translator, tmp_path):
    sources, _ = reversals(20, 7)
    translator.save(tmp_path / "model")
    again = ss.load(tmp_path / "model")
    assert type(again) is ss.Translator
    assert (again.get_params(), again.history_, again.labels_) == (
        translator.get_params(),
        translator.history_,
        None,
    )
    assert again.translate(sources, n_best=3) == translator.translate(sources, n_best=3)


def test_bleu(translator):
    sources = ["a b c d", "b c d a"]
    predictions = translator.predict(sources)
    assert translator.metrics(sources, predictions)["chrf"] == pytest.approx(100)
    figures = translator.metrics(sources, [predictions[0], "nothing alike"])
    assert translator.score(sources, [predictions[0], "nothing alike"]) == figures["bleu"]
    assert figures["texts"] == 2
    assert figures["chrf"] < 100


def test_two_vocabularies(tmp_path):
    """Letters on one side, numbers of several letters on the other: each side has ids and vectors of its own."""
    sources, _ = reversals(300, 8)
    targets = [" ".join(f"{'abcd'.index(letter)}{letter}" for letter in source) for source in sources]
    size = {"hidden_size": 24, "embedding_size": 12, "label_smoothing": 0.0, "epochs": 8, "cell": "gru"}
    kinds = {"source_tokenizer": "character", "tokenizer": "whitespace"}
    model = ss.Translator(**{**TINY, **size, **kinds}).fit(sources, targets)
    assert model.tokenizers_["source_tokenizer"].tokens[4:] == sorted("abcd", key="".join(sources).count, reverse=True)
    assert set(model.tokenizers_["tokenizer"].tokens[4:]) == {"0a", "1b", "2c", "3d"}
    assert model.predict(["ab", "d"]) == ["0a 1b", "3d"]
    assert model.attention_weights("ab", "0a 1b")[:2] == (["a", "b", "<eos>"], ["0a", "1b", "<eos>"])
    model.save(tmp_path / "model")
    assert (tmp_path / "model" / "source_tokenizer.json").is_file()
    assert ss.load(tmp_path / "model").translate(sources[:5], n_best=2) == model.translate(sources[:5], n_best=2)
    (tmp_path / "model" / "source_tokenizer.json").unlink()
    with pytest.raises(ss.ModelFormatError, match=r"source_tokenizer\.json is missing"):
        ss.load(tmp_path / "model")


def test_error_rates(translator):
    sources = ["ab", "abc", "d", "cc"]
    predictions = translator.predict(sources)
    true = [predictions[0], predictions[1] + "a", predictions[2], "bd"]
    figures = translator.metrics(sources, true)
    assert figures["error_rate"] == 50
    wrong = 1 + edit_distance(predictions[3], "bd")
    assert figures["symbol_error_rate"] == pytest.approx(100 * wrong / sum(map(len, true)))


def test_beam_settings_may_change_after_training(translator, tmp_path):
    translator.save(tmp_path / "model")
    model = ss.load(tmp_path / "model").set_params(beam_width=1, length_penalty=0.0)
    best = model.translate(["abcd"])[0][0]
    assert best.score == pytest.approx(best.log_probability)


def test_symbols_never_seen_and_empty_texts(translator):
    predictions = translator.predict(["Ωa", "", "a\nb"])
    assert len(predictions) == 3
    assert not any("<" in text or "\ufffd" in text for text in predictions)
    assert translator.predict([]) == []


def test_wrong_texts(translator):
    with pytest.raises(ss.SettingsError, match="expected a list, got one text, 'abc'"):
        translator.predict("abc")
    with pytest.raises(ss.SettingsError, match="expected a list"):
        ss.Translator(**TINY).fit("abc", "cba")
    with pytest.raises(ss.SettingsError, match="expected as many sources as targets, got 40 and 39"):
        ss.Translator(**TINY).fit(SOURCES, TARGETS[1:])
    with pytest.raises(
        ss.SettingsError, match="attention: expected 'additive', 'dot' or 'general' with input_feeding, got"
    ):
        ss.Translator(**TINY, attention="none", input_feeding=True).fit(SOURCES, TARGETS)
    with pytest.raises(ss.SettingsError, match="source_tokenizer: expected 'word', 'whitespace'"):
        ss.Translator(**TINY, source_tokenizer="letters").fit(SOURCES, TARGETS)
    with pytest.raises(ss.NotFittedError, match="this Translator is not trained yet"):
        ss.Translator().predict(["a"])


def test_seeds_and_held_out_tenth():
    fits = [ss.Translator(**{**TINY, "dropout": 0.3}, seed=seed).fit(SOURCES, TARGETS) for seed in (1, 1, 2)]
    train, held_out = hold_out([*zip(SOURCES, TARGETS, strict=True)], None, verbose=False, groups=same_input)
    model = ss.Translator(**{**TINY, "dropout": 0.3}, seed=1).fit(
        *zip(*train, strict=True), validation=[*zip(*held_out, strict=True)]
    )
    one, same, other, split = map(weights_of, [*fits, model])
    assert equal_to_the_bit(one, same)
    assert equal_to_the_bit(one, split)
    assert not equal_to_the_bit(one, other)
