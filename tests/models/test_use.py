"""A model says the same whether the estimator that trained it answers or its folder, loaded without torch."""

from __future__ import annotations

import random
import re
from typing import Any, NamedTuple

import numpy as np
import pytest

import stepscan as ss
from stepscan import runtime
from stepscan.data.example_checks import as_list
from stepscan.kernels import native

pytestmark = pytest.mark.skipif(native.library is None, reason="no native library was built")

SMALL: dict[str, Any] = {"hidden_size": 12, "embedding_size": 8, "epochs": 1, "batch_size": 16, "learning_rate": 0.02}
DRAW = random.Random(0)
TEXTS = [" ".join(DRAW.choices("abcdefgh", k=DRAW.randint(0, 12))) for _ in range(80)]
ASKED = [*TEXTS[:20], "", "never seen"]
CLASSES = ["yes" if "a" in text else "no" for text in TEXTS]
LABELS = [sorted(set(text.split()) & set("abc")) for text in TEXTS]
SERIES = [np.array([[len(word), ord(word)] for word in text.split()]).reshape(-1, 2) / 7 for text in TEXTS]
SENTENCES = [text.split() for text in TEXTS]
TAGS = [[word.upper() for word in words] for words in SENTENCES]
SPANS = [["B-x" if word in "ab" else "O" for word in words] for words in SENTENCES]
SOURCES = ["".join(DRAW.choices("abc", k=DRAW.randint(1, 5))) for _ in range(60)]
TARGETS = [source[::-1] for source in SOURCES]
STORY = "one two three\nfour five six\nseven eight\n" * 40

CLASSIFIERS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "class": ({}, TEXTS, CLASSES),
    "numbered classes": ({"pooling": "attention", "cell": "gru"}, TEXTS, [len(text) % 3 for text in TEXTS]),
    "multilabel": ({"problem_type": "multilabel", "pooling": "mean", "layers": 2}, TEXTS, LABELS),
    "regression": (
        {"problem_type": "regression", "pooling": "last", "bidirectional": False},
        TEXTS,
        list(map(len, TEXTS)),
    ),
    "series": ({"cell": "elman"}, SERIES, CLASSES),
}
TAGGERS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "spelled": ({"char_embedding_size": 4, "char_hidden_size": 4}, SENTENCES, TAGS),
    "words": ({"char_embedding_size": 0, "cell": "layer_norm_lstm", "layers": 2}, SENTENCES, TAGS),
    "crf": ({"char_embedding_size": 0, "crf": True, "cell": "gru"}, SENTENCES, SPANS),
    "series": ({"cell": "lstm,elman", "bidirectional": False}, SERIES, TAGS),
}
WRITERS: dict[str, dict[str, Any]] = {
    "characters": {},
    "words": {"tokenizer": "word", "tie_weights": True, "cell": "gru", "layers": 2},
    "bytes": {"tokenizer": "byte", "cell": "elman"},
}
TRANSLATORS: dict[str, dict[str, Any]] = {
    "additive": {},
    "fed": {"input_feeding": True, "cell": "gru"},
    "general": {"attention": "general", "layers": 2, "source_tokenizer": "byte"},
    "none": {"attention": "none", "cell": "elman"},
}


class Both(NamedTuple):
    trained: Any
    loaded: Any


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Trains a model of a kind once, and gives it beside what its folder makes."""
    folder, made = tmp_path_factory.mktemp("models"), {}

    def of(kind: type, name: str, settings: dict[str, Any], *data: Any) -> Both:
        key = f"{kind.__name__}-{name}"
        if key not in made:
            made[key] = kind(**{**SMALL, **settings}).fit(*data)
            made[key].save(folder / key)
        return Both(made[key], runtime.load(folder / key))

    return of


def classifiers(both, name: str) -> Both:
    settings, X, y = CLASSIFIERS[name]
    return both(ss.Classifier, name, settings, X, y)


def taggers(both, name: str) -> Both:
    settings, X, y = TAGGERS[name]
    return both(ss.Tagger, name, settings, X, y)


def writers(both, name: str) -> Both:
    return both(ss.LanguageModel, name, {"bptt": 16, **WRITERS[name]}, STORY)


def translators(both, name: str) -> Both:
    return both(ss.Translator, name, {"tokenizer": "character", **TRANSLATORS[name]}, SOURCES, TARGETS)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier(both, name):
    trained, loaded = classifiers(both, name)
    X, y = CLASSIFIERS[name][1:]
    asked = X[:20] if name == "series" else ASKED
    assert (type(loaded).__name__, loaded.problem_type, loaded.labels_) == (
        "Classifier",
        trained.problem_type,
        trained.labels_,
    )
    assert list(loaded.predict(asked)) == list(trained.predict(asked))
    assert loaded.predict_records(asked) == trained.predict_records(asked)
    assert np.array_equal(loaded.transform(asked), trained.transform(asked))
    assert loaded.metrics(X, y) == trained.metrics(X, y)
    assert loaded.score(X, y) == trained.score(X, y)
    if name != "regression":
        assert np.array_equal(loaded.predict_proba(asked), trained.predict_proba(asked))
        assert loaded.log_probabilities(X, y) == trained.log_probabilities(X, y)
        assert loaded.classes_.tolist() == trained.classes_.tolist()


@pytest.mark.parametrize("name", TAGGERS)
def test_tagger(both, name):
    trained, loaded = taggers(both, name)
    X, y = TAGGERS[name][1:]
    asked = X[:20] if name == "series" else [*X[:20], [], ["Ω", "a", ""]]
    assert loaded.predict(asked) == trained.predict(asked)
    assert loaded.predict_records(asked) == trained.predict_records(asked)
    for left, right in zip(loaded.predict_proba(asked), trained.predict_proba(asked), strict=True):
        assert np.array_equal(left, right)
    assert loaded.metrics(X, y) == trained.metrics(X, y)
    for left, right in zip(loaded.log_probabilities(X, y), trained.log_probabilities(X, y), strict=True):
        assert left == (pytest.approx(right[0], rel=1e-5, abs=1e-6), right[1])


@pytest.mark.parametrize("name", WRITERS)
def test_language_model(both, name):
    trained, loaded = writers(both, name)
    asked = ["one", "seven ei", ""]
    assert loaded.predict(asked) == trained.predict(asked)
    assert np.array_equal(loaded.predict_proba(asked), trained.predict_proba(asked))
    assert loaded.score(STORY) == pytest.approx(trained.score(STORY), rel=1e-6)
    assert loaded.metrics("one two") == pytest.approx(trained.metrics("one two"), rel=1e-5)
    for left, right in zip(loaded.log_probabilities(asked), trained.log_probabilities(asked), strict=True):
        assert left == (pytest.approx(right[0], rel=1e-5), right[1])


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0},
        {"temperature": 1.5, "seed": 3},
        {"top_k": 4, "top_p": 0.9, "min_p": 0.01, "seed": 4},
        {"repetition_penalty": 1.3, "seed": 5},
        {"stop": ["e"], "seed": 6},
        {"length": 0},
    ],
    ids=lambda options: ",".join(options),
)
def test_generated_text(both, name, options):
    trained, loaded = writers(both, name)
    for prompt in ("", "one "):
        given = {"prompt": prompt, "length": 40, **options}
        assert loaded.generate(**given) == trained.generate(**given)


def test_symbols_allowed_and_forbidden(both):
    trained, loaded = writers(both, "characters")
    for options in ({"allowed": ["o", "n", "e"]}, {"forbidden": ["e"]}):
        assert loaded.generate(length=40, seed=1, **options) == trained.generate(length=40, seed=1, **options)
    with pytest.raises(ss.SettingsError, match="expected a symbol of the model, got 'xx'"):
        loaded.generate(forbidden=["xx"])
    with pytest.warns(UserWarning, match="the prompt has symbols that the model never saw"):
        assert loaded.generate("Ω", length=3, seed=1) == "Ω" + loaded.generate("Ω", length=3, seed=1)[1:]


@pytest.mark.parametrize("name", TRANSLATORS)
def test_translator(both, name):
    trained, loaded = translators(both, name)
    asked = [*SOURCES[:10], "", "Ωa"]
    assert (loaded.beam_width, loaded.length_penalty) == (trained.beam_width, trained.length_penalty)
    assert loaded.predict(asked) == trained.predict(asked)
    assert alike(name, loaded.translate(asked, n_best=3), trained.translate(asked, n_best=3))
    assert [row["translation"] for row in loaded.predict_records(asked)] == loaded.predict(asked)
    assert (
        loaded.predict_records(["ab"], n_best=2)[0]["n_best"][1] == loaded.translate(["ab"], n_best=2)[0][1]._asdict()
    )
    limits = {"minimum_length": 3, "maximum_length": 6, "prefix": "c", "n_best": 2}
    assert alike(name, loaded.translate(asked, **limits), trained.translate(asked, **limits))
    assert loaded.metrics(SOURCES[:10], TARGETS[:10]) == trained.metrics(SOURCES[:10], TARGETS[:10])
    found, expected = (model.log_probabilities(SOURCES[:5], TARGETS[:5]) for model in (loaded, trained))
    assert alike(name, [found], [expected])


def alike(name: str, found: list[list[Any]], expected: list[list[Any]]) -> bool:
    """Whether rows of tuples are equal to the bit; with attention of products, which is NumPy's here and PyTorch's
    there, only nearly."""
    if name != "general":
        return found == expected
    flat = [[value for row in rows for one in row for value in one] for rows in (found, expected)]
    return flat[0] == [pytest.approx(value, rel=1e-5) if isinstance(value, float) else value for value in flat[1]]


@pytest.mark.parametrize("name", ["additive", "fed", "general"])
def test_where_it_looks(both, name):
    trained, loaded = translators(both, name)
    found, expected = (model.attention_weights("abc", "cba") for model in (loaded, trained))
    assert found[:2] == expected[:2] == (["a", "b", "c", "<eos>"], ["c", "b", "a", "<eos>"])
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-5 if name == "general" else 0)
    for model in (trained, loaded):
        model.coverage_penalty = 0.4
    found, expected = (model.translate(["abc", "b"], n_best=2, minimum_length=2) for model in (loaded, trained))
    assert alike(name, found, expected)


def test_without_attention(both):
    _, loaded = translators(both, "none")
    with pytest.raises(ss.SettingsError, match="train with attention='additive'"):
        loaded.attention_weights("a", "a")
    loaded.coverage_penalty = 0.1
    with pytest.raises(ss.SettingsError, match="coverage_penalty: expected a model with attention"):
        loaded.predict(["a"])


def test_errors_are_the_estimators(both):
    classifier, tagger = classifiers(both, "class").loaded, taggers(both, "words").loaded
    writer, series = writers(both, "characters").loaded, classifiers(both, "series").loaded
    for ask, words in (
        (lambda: classifier.predict("a b"), "expected a list, got one text, 'a b'; put it into a list"),
        (lambda: classifier.predict([3]), "text 1: expected a string, got 3"),
        (lambda: classifier.metrics(["a"], ["never"]), "labels: expected those of the model, no, yes, got only others"),
        (lambda: series.predict([[1.0, 2.0]]), "series 1: expected 2 dimensions per step, as the model has, got 1"),
        (lambda: tagger.predict(["a b"]), "expected a list of tokens, got the text 'a b'; split it first"),
        (lambda: writer.score(""), "text: expected at least one symbol"),
        (lambda: writer.metrics("one", dynamic=0.1), "dynamic evaluation trains the model, which requires"),
        (lambda: writer.generate(temperature=-1), "temperature: expected a finite number"),
    ):
        with pytest.raises(ss.SettingsError, match=words):
            ask()


ODD = {  # argument of generate → values, words of the error
    "temperature": (["1", None, True, float("nan"), [1.0]], "temperature: expected a finite number"),
    "top_k": ([1.0, "2", None, True], "top_k: expected a whole number"),
    "top_p": (["a", None, True, [0.5]], "top_p: expected a number above 0"),
    "min_p": (["x", None, True], "min_p: expected a number from 0"),
    "seed": ([1.5, "a", True, -1], "seed: expected"),
    "length": ([5.0, "5", None, True, -1], "length: expected"),
    "forbidden": ([[1], b"a", 3, "ab"], "forbidden: |got 'ab'"),
    "allowed": ([[1], b"a", 3, "ab"], "allowed: |got 'ab'"),
}
ODD_OF_MODELS = {
    "repetition_penalty": (["2", None, 0], "repetition_penalty: expected a finite number above 0"),
    "stop": ([[1], b"a", 3], "stop: "),
}


def test_arguments_of_generation(both):
    trained, loaded = writers(both, "characters")
    session = loaded.session()
    before = session.state()
    for name, (values, words) in (ODD | ODD_OF_MODELS).items():
        for value in values:
            for generate in [trained.generate, loaded.generate] + [session.generate] * (name in ODD):
                with pytest.raises(ss.SettingsError, match=words):
                    generate(**{name: value})
    assert session.state() == before


def test_one_text_or_several(both):
    for model in writers(both, "characters"):
        written = model.generate("one ", length=40, seed=1)
        end = written[10:12]
        assert model.generate("one ", length=40, seed=1, stop=end) == "one " + written[4:].partition(end)[0]
        assert model.generate("one ", length=40, seed=1, stop=[end]) == "one " + written[4:].partition(end)[0]
        assert model.generate("one ", length=40, seed=1, stop=None, forbidden=None, allowed=None) == written
        assert set(model.generate(length=9, allowed="o")) == {"o"} == set(model.generate(length=9, allowed={"o"}))


def test_arguments_of_translation(both):
    for model in translators(both, "additive"):
        for name, values in {
            "n_best": ["2", 1.0, None, True, 0],
            "minimum_length": ["1", 1.0, None, -1],
            "maximum_length": ["3", 1.5, True, 0],
            "prefix": [None, 1],
        }.items():
            for value in values:
                with pytest.raises(ss.SettingsError, match=name):
                    model.translate(["abc"], **{name: value})
        with pytest.raises(ss.SettingsError, match="source 1: expected a string, got None"):
            model.attention_weights(None, "a")
        with pytest.raises(ss.SettingsError, match="tokenize: expected a name or None, got 3"):
            model.metrics(["abc"], ["cba"], bleu_tokenize=3)


def test_a_text_of_numpy_is_one_text(both):
    for model in (classifiers(both, "class").loaded, writers(both, "characters").loaded):
        for one in (np.str_("a b"), np.array("a b")):
            with pytest.raises(ss.SettingsError, match="expected a list, got"):
                model.predict(one)


def test_what_was_trained_is_told(both):
    trained, loaded = classifiers(both, "multilabel")
    assert loaded.history_ == trained.history_
    assert loaded.settings["layers"] == 2
    assert repr(loaded).startswith("Classifier('")
    assert repr(loaded).endswith("Classifier-multilabel', weights='float32', threads=1)")


def test_threads_change_nothing(both, tmp_path):
    trained, _ = classifiers(both, "class")
    trained.save(tmp_path / "m")
    assert np.array_equal(runtime.load(tmp_path / "m", threads=2).predict_proba(ASKED), trained.predict_proba(ASKED))


def test_wrong_ways_to_run(models):
    for options, words in (
        ({"threads": 0}, "threads: expected 1 to 1,024, got 0"),
        ({"threads": 10**9}, "threads: expected 1 to 1,024, got 1000000000"),
        ({"weights": "int4"}, "weights: expected float32, bfloat16 or int8, got 'int4'. Did you mean 'int8'?"),
    ):
        with pytest.raises(ss.SettingsError, match=re.escape(words)):
            runtime.load(models["classify"], **options)


@pytest.mark.parametrize("head", ["gaussian", "quantile"])
def test_a_forecaster(tmp_path, head):
    series = np.exp(np.sin(np.arange(90.0)))
    trained = ss.Forecaster(**SMALL, bptt=8, head=head, seasonal_period=6, log_transform=True).fit(series)
    trained.save(tmp_path / "numbers")
    loaded = runtime.load(tmp_path / "numbers")
    assert type(loaded).__module__ == "stepscan.models.forecaster"
    for settings in ({}, {"level": 0.5, "num_samples": 7, "seed": 3}):
        for found, expected in zip(
            loaded.forecast(series, 5, **settings), trained.forecast(series, 5, **settings), strict=True
        ):
            assert np.array_equal(found, expected)
    for horizon in (0, 4):
        assert loaded.metrics(series, horizon=horizon) == pytest.approx(trained.metrics(series, horizon), rel=1e-6)


def test_tags_never_learned_are_said(both, caplog):
    for model in taggers(both, "words"):
        caplog.clear()
        known = str(model.classes_[0])
        model.metrics([["a", "b"]], [[known, known]])
        assert not caplog.records
        model.metrics([["a", "b", "c"]], [[known, "never", "never"]])
        [record] = caplog.records
        assert record.getMessage() == "2 tags are not among those learned: 'never'; the model is always wrong there"


def test_texts_of_an_array_are_plain_strings():
    assert type(as_list(np.array(["a", "b"]))[0]) is str
