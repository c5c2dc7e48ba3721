from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from toy_tasks import FAST, RHYME, equal_to_the_bit, history_is_whole, weights_of

import stepscan as ss
from stepscan.data.batching import pad

TINY = {
    "hidden_size": 8,
    "embedding_size": 4,
    "epochs": 1,
    "batch_size": 4,
    "bptt": 16,
    "tokenizer": "character",
    "tie_weights": False,
    **FAST,
}
TEXT = "ab ba cab\n" * 40


def by_hand(model: ss.LanguageModel, text: str) -> float:
    """Mean log-probability of each symbol after all before it, by one `predict_proba` a symbol."""
    tokenizer = model.tokenizers_["tokenizer"]
    ids = [tokenizer.encode(character)[0] for character in text]
    probabilities = [model.predict_proba([text[:t]])[0] for t in range(len(text))]
    return float(np.mean([math.log(row[i]) for row, i in zip(probabilities, ids, strict=True)]))


def test_learns_a_rhyme_by_heart(language_model):
    assert -language_model.score(RHYME) < 0.05
    expected = RHYME[:100]
    assert language_model.generate("one", length=97, temperature=0) == expected
    assert history_is_whole(language_model.history_, 8, ["valid_nats"])


def test_score_by_hand(language_model):
    for text in ("o", "one two", "seven two four!"):
        assert language_model.score(text) == pytest.approx(by_hand(language_model, text), abs=1e-5)
    figures = language_model.metrics("one two")
    assert figures["nats"] == -language_model.score("one two")
    assert figures["perplexity"] == pytest.approx(math.exp(figures["nats"]))
    assert figures["bits"] == pytest.approx(figures["nats"] / math.log(2))
    assert figures["characters"] == 7


def test_score_of_a_text_longer_than_a_window(language_model):
    """It is read in pieces of 256 steps with the state carried on."""
    text = RHYME[:600]
    scores, _ = language_model.model_(_ids(language_model, text))
    log_probabilities = scores.data[0].log_softmax(dim=1).detach().numpy()
    ids = language_model.tokenizers_["tokenizer"].encode(text)
    expected = log_probabilities[np.arange(600), ids].mean()
    assert language_model.score(text) == pytest.approx(expected, abs=1e-5)


def test_a_long_text_is_scored_in_pieces_from_below(language_model):
    text = "two two one\n" * 300
    scores, _ = language_model.model_(_ids(language_model, text))
    ids = language_model.tokenizers_["tokenizer"].encode(text)
    whole = scores.data[0].log_softmax(dim=1).detach().numpy()[np.arange(len(ids)), ids].mean()
    assert language_model.score(text) == pytest.approx(whole, rel=0.05)


def _ids(model, text):
    tokenizer = model.tokenizers_["tokenizer"]
    return ss.Sequences.pad([[tokenizer.begin, *tokenizer.encode(text)[:-1]]])


def test_what_comes_next(language_model):
    prompts = ["one tw", "four fiv", "one two three", ""]
    probabilities = language_model.predict_proba(prompts)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert language_model.predict(prompts)[:3] == ["o", "e", "\n"]
    for prompt, row in zip(prompts, probabilities, strict=True):
        np.testing.assert_allclose(language_model.predict_proba([prompt])[0], row, atol=1e-5)


def test_generation(language_model):
    def generated(**settings):
        return language_model.generate("two", length=40, **settings)

    assert generated(seed=1) == generated(seed=1)
    assert len({generated(seed=seed, temperature=3.0) for seed in range(5)}) == 5
    greedy = generated(temperature=0)
    assert greedy == generated(temperature=0, seed=9)
    assert greedy == generated(top_k=1, seed=3) == generated(top_p=1e-6, seed=4) == generated(min_p=1.0, seed=5)
    assert len(greedy) == 43
    longer = language_model.generate("two", length=50, seed=1)
    assert longer.startswith(generated(seed=1)), "a greater length only adds"
    assert language_model.generate("two", length=0) == "two"


def test_special_symbols_are_never_generated(language_model):
    text = language_model.generate("", length=300, temperature=100.0, seed=1)
    assert set(text) <= set(RHYME)
    assert len(text) == 300


def test_symbols_never_seen(language_model):
    with pytest.warns(UserWarning, match="the prompt has symbols that the model never saw"):
        text = language_model.generate("Ω", length=5, seed=1)
    assert text[0] == "Ω"
    assert math.isfinite(language_model.score("Ω one"))


def test_saved_and_loaded(language_model, tmp_path):
    language_model.save(tmp_path / "model")
    again = ss.load(tmp_path / "model")
    assert type(again) is ss.LanguageModel
    assert (again.predict_proba(["one", "two t"]) == language_model.predict_proba(["one", "two t"])).all()
    assert again.generate(length=100, seed=4) == language_model.generate(length=100, seed=4)
    assert again.score(TEXT) == language_model.score(TEXT)


@pytest.mark.parametrize("tokenizer", ["whitespace", "word"])
def test_words_and_line_ends(tokenizer):
    """A line's end is the symbol <eos> inside, and a line's end again outside."""
    settings = {**TINY, "hidden_size": 24, "epochs": 10, "tokenizer": tokenizer}
    model = ss.LanguageModel(**settings).fit(RHYME)
    tokens = model.tokenizers_["tokenizer"].tokens
    assert [tokens[i] for i in model.encode("one two\n\nfour")] == ["one", "two", "<eos>", "<eos>", "four"]
    assert model.decode(model.encode("one two\n\nfour\n")) == "one two\n\nfour\n"
    assert model.generate("one", length=5, temperature=0) == "one two three\nfour five"
    assert model.generate("one two three", length=2, temperature=0) == "one two three\nfour"
    assert model.generate("one ", length=1, temperature=0) == "one two"


@pytest.mark.parametrize("tokenizer", ["byte", "bpe"])
def test_bytes(tokenizer):
    text = "grün ähm\n" * 60
    vocabulary = {"bpe": 270, "byte": None}[tokenizer]
    settings = {**TINY, "hidden_size": 24, "epochs": 12, "tokenizer": tokenizer, "vocabulary_size": vocabulary}
    model = ss.LanguageModel(**settings).fit(text)
    assert model.generate("grün", length=12, temperature=0).startswith("grün ähm\n")


@pytest.mark.parametrize("tied", [False, True])
def test_tied_weights(tied, tmp_path):
    model = ss.LanguageModel(**{**TINY, "cell": "gru", "tie_weights": tied}).fit(TEXT)
    assert (model.model_.head is None) == tied
    model.save(tmp_path / "model")
    assert (ss.load(tmp_path / "model").predict_proba(["ab"]) == model.predict_proba(["ab"])).all()


def test_seeds_and_held_out_tenth():
    fits = [ss.LanguageModel(**{**TINY, "dropout": 0.3}, seed=seed).fit(TEXT) for seed in (1, 1, 2)]
    model = ss.LanguageModel(**{**TINY, "dropout": 0.3}, seed=1).fit(TEXT[:360], validation=TEXT[360:])
    one, same, other, split = map(weights_of, [*fits, model])
    assert equal_to_the_bit(one, same)
    assert equal_to_the_bit(one, split)
    assert not equal_to_the_bit(one, other)
    assert fits[0].history_[0]["valid_nats"] == -fits[0].score(TEXT[360:])


def test_wrong_texts(language_model):
    with pytest.raises(ss.SettingsError, match=r"expected one text, got .*; join several texts into one"):
        ss.LanguageModel(**TINY).fit(["a", "b"])
    with pytest.raises(ss.SettingsError, match="expected a list, got one text, 'one'"):
        language_model.predict_proba("one")
    with pytest.raises(ss.SettingsError, match="text: expected at least one symbol"):
        language_model.score("")
    with pytest.raises(ss.SettingsError, match="the text has 4 symbols, too few for 4 parallel streams"):
        ss.LanguageModel(**TINY).fit("abcd", validation="ab")
    for ask in (ss.LanguageModel().generate, lambda: ss.LanguageModel().score("a")):
        with pytest.raises(ss.NotFittedError, match="this LanguageModel is not trained yet"):
            ask()


def test_dynamic_evaluation_by_hand():
    """Two windows: the second is predicted after one step of Adam on the first, and the model stays as it was."""
    model = ss.LanguageModel(**{**TINY, "bptt": 8}).fit(RHYME[:200])
    before = {name: tensor.clone() for name, tensor in weights_of(model).items()}
    text = "one two three\n"
    figures = model.metrics(text, dynamic=0.01)["dynamic_nats"]
    learner = copy.deepcopy(model.model_)
    ids = [model.begin_id, *model.encode(text)]
    total, count, state = learner.loss(pad([ids[:8]]), pad([ids[1:9]]))
    (total / count).backward()
    nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
    torch.optim.Adam(learner.parameters(), lr=0.01).step()
    rest, more, _ = learner.loss(pad([ids[8:-1]]), pad([ids[9:]]), learner.detach_state(state))
    assert figures == pytest.approx((total + rest).item() / (count + more))
    assert equal_to_the_bit(before, weights_of(model))


def test_dynamic_evaluation_learns_what_repeats():
    """A text in symbols that training had in another order: the longer it goes on, the better it is known."""
    model = ss.LanguageModel(**{**TINY, "hidden_size": 16, "epochs": 2}).fit(RHYME)
    figures = model.metrics("net owt ruof eno\n" * 90, dynamic=0.02)
    assert figures["dynamic_nats"] < 0.5 * figures["nats"]


def test_dynamic_evaluation_refused():
    model = ss.LanguageModel(**TINY).fit(RHYME[:200])
    with pytest.raises(ss.SettingsError, match="dynamic evaluation: expected a learning rate above 0, got -1"):
        model.metrics("one", dynamic=-1)


def test_how_embeddings_begin():
    text, settings = (
        "".join(map(chr, range(33, 300))) * 3,
        {"epochs": 1, "embedding_size": 64, "learning_rate": 1e-12, "weight_decay": 0.0},
    )
    wide = ss.LanguageModel(**settings, batch_size=4, bptt=16, hidden_size=4, dropout=0.1).fit(text).model_.embedding
    assert wide.weight.std().item() == pytest.approx(1.0, rel=0.05)
    assert wide.dropout == 0.0
    tied = (
        ss.LanguageModel(**settings, batch_size=4, bptt=16, hidden_size=4, dropout=0.1, tie_weights=True)
        .fit(text)
        .model_.embedding
    )
    assert tied.weight.std().item() == pytest.approx(64**-0.5, rel=0.05)
    assert tied.dropout == 0.1


def test_a_writing_of_many_characters_is_treated_as_words():
    """Tied, sampled, and with vectors that begin as output weights do."""
    text = "".join(chr(0x4E00 + n * 7 % 8500) for n in range(17_000))
    model = ss.LanguageModel(max_updates=1, hidden_size=8, embedding_size=64, batch_size=4, learning_rate=1e-9)
    model.fit(text, validation=text[:50])
    assert (model.chosen_["tie_weights"], model.chosen_["softmax_samples"]) == (True, 2048)
    assert model.model_.samples is not None
    assert model.model_.embedding.weight.std().item() == pytest.approx(64**-0.5, rel=0.05)
    assert ss.LanguageModel(**TINY).fit(TEXT).model_.samples is None
