"""Examples in a cache: encoded once, read by index, trained on as those in memory are."""

from __future__ import annotations

import gzip
import json
import random
import threading

import numpy as np
import pytest

from stepscan.cli import app
from stepscan.data.bad_lines import BadLines
from stepscan.data.task_data import ReadOptions
from stepscan.data.vocabulary import word_facts
from stepscan.errors import DataError, SettingsError, StepscanError
from stepscan.estimators import example_cache, files
from stepscan.estimators.cache_sources import HeldOut, TextSource
from stepscan.estimators.classifier import Classifier
from stepscan.estimators.example_cache import open_cache
from stepscan.estimators.translator import Translator
from stepscan.options import TASKS as ALL_TASKS
from stepscan.runtime import load
from stepscan.storage import array_cache

GOOD, BAD = ["good", "fine", "great", "lovely"], ["bad", "poor", "awful", "dull"]
SMALL = {"hidden_size": 6, "embedding_size": 6, "seed": 1}


def examples(count, seed=0):
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        label = draw.choice(["pos", "neg"])
        words = [f"w{draw.randrange(30)}" for _ in range(draw.randint(1, 9))] + [
            draw.choice(GOOD if label == "pos" else BAD)
        ]
        rows.append((f"{' '.join(words)} n{number}", label))
    return rows


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in examples(300)))
    return path


def opened(corpus, tmp_path, reading=ReadOptions(), holds_out=True, **settings):  # noqa: B008
    estimator = Classifier(cache_dir=tmp_path / "cache", **{**SMALL, **settings})
    return open_cache(estimator, [corpus], reading, holds_out=holds_out)


def caches(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").iterdir() if not path.name.startswith("."))


def size(examples):
    return len(examples.columns["targets"])


def test_it_holds_what_the_file_holds(corpus, tmp_path):
    cached = opened(corpus, tmp_path)
    held_out = {text for text, _ in cached.held_out}
    kept = [(text, label) for text, label in examples(300) if text not in held_out]
    inputs, targets = cached.columns["inputs"], cached.columns["targets"]
    assert (len(inputs), len(targets), len(cached.held_out)) == (270, 270, 30)
    classes, tokenizer = cached.vocabulary.labels, cached.vocabulary.tokenizers["tokenizer"]
    assert classes == ["neg", "pos"]
    counts = [sum(label == name for _, label in kept) for name in classes]
    words = word_facts([text for text, _ in kept], lowercase=True)
    assert cached.vocabulary.facts == {"counts": counts, "examples": 270, "first": kept[0][1], "words": list(words)}
    rows = inputs.padded(np.arange(270))
    for row, length, label, (text, name) in zip(*rows, targets, kept, strict=True):
        assert row[:length].tolist() == tokenizer.encode(text)
        assert not row[length:].any()
        assert classes[label] == name
    assert isinstance(inputs.values.base, np.memmap)
    assert inputs.values.dtype == np.uint16


def test_its_tokenizer_is_chosen_by_its_texts(tmp_path):
    """Sequences of letters without spaces; an estimator that was fitted to texts with words before."""
    draw, path = random.Random(0), tmp_path / "sequences.csv"
    rows = [("".join(draw.choices("ACGT", k=20)), draw.choice("ab")) for _ in range(60)]
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    estimator = Classifier(**SMALL, max_updates=1).fit([text for text, _ in examples(40)], ["a", "b"] * 20)
    assert estimator.chosen_["tokenizer"] == "word"
    cached = open_cache(estimator.set_params(cache_dir=tmp_path / "cache"), [path], ReadOptions(), holds_out=True)
    assert cached.vocabulary.tokenizers["tokenizer"].kind == "character"
    estimator.fit_cached(cached)
    assert estimator.chosen_["tokenizer"] == "character"
    assert estimator.effective_settings.tokenizer == estimator.tokenizers_["tokenizer"].kind
    again = Classifier(**SMALL, cache_dir=tmp_path / "cache", tokenizer="word")
    assert open_cache(again, [path], ReadOptions(), holds_out=True).vocabulary.tokenizers["tokenizer"].kind == "word"


@pytest.mark.parametrize(
    ("words", "settings", "kinds"),
    [
        ("new", {}, {"tokenizer": "character"}),
        ("known", {}, {"tokenizer": "bpe"}),
        ("unspaced", {}, {"tokenizer": "bpe"}),
        ("new", {"vocabulary_size": 300}, {"tokenizer": "bpe"}),
        ("new", {"tokenizer": "bpe"}, {"tokenizer": "bpe"}),
        ("new", {"source_tokenizer": "whitespace"}, {"tokenizer": "bpe", "source_tokenizer": "whitespace"}),
    ],
)
def test_the_tokenizer_of_pairs_is_chosen_as_in_memory(tmp_path, words, settings, kinds):
    """Letters to sounds, with a space after each: no word comes again, but sounds do."""
    draw, path = random.Random(0), tmp_path / "pairs.tsv"
    distinct = {"".join(draw.choices("abcde", k=7)) for _ in range(60)}
    pool = ["abba", "cede"] if words == "known" else sorted(distinct)
    rows = [(pool[n % len(pool)], " ".join(pool[n % len(pool)].upper())) for n in range(60)]
    if words == "unspaced":
        rows = [(source, "".join(chr(0x4E00 + ord(letter)) for letter in source)) for source, _ in rows]
    path.write_text("".join(f"{source}\t{target}\n" for source, target in rows) + "no target\n")
    small = {"hidden_size": 8, "embedding_size": 8, "max_updates": 1, "refit": False, **settings}
    memory = Translator(**small).fit(*zip(*rows, strict=True), validation=([rows[0][0]], [rows[0][1]]))
    assert {name: tokenizer.kind for name, tokenizer in memory.tokenizers_.items()} == kinds
    estimator, bad_lines = Translator(**small, cache_dir=tmp_path / "cache"), BadLines()
    cached = open_cache(estimator, [path], ReadOptions(bad_lines=bad_lines), holds_out=False)
    assert sum(bad_lines.counts.values()) == 1
    estimator.fit_cached(cached, rows[:1])
    assert estimator.chosen_ == memory.chosen_
    for name, tokenizer in memory.tokenizers_.items():
        assert estimator.tokenizers_[name].to_json() == tokenizer.to_json()


def test_its_vocabulary_is_that_of_the_training_texts(corpus, tmp_path):
    cached = opened(corpus, tmp_path)
    held_out = {text for text, _ in cached.held_out}
    texts, labels = zip(*[example for example in examples(300) if example[0] not in held_out], strict=True)
    in_memory = Classifier(**SMALL).build(texts, labels, validation=(texts[:9], labels[:9])).tokenizers_["tokenizer"]
    assert cached.vocabulary.tokenizers["tokenizer"].to_json() == in_memory.to_json()


def test_data_in_memory_take_no_cache(tmp_path):
    with pytest.raises(SettingsError, match="cache_dir: expected None where the data are in memory already"):
        Classifier(cache_dir=tmp_path, **SMALL).fit(["a b", "c d"] * 9, ["x", "y"] * 9)


def test_the_format_in_a_name_is_of_the_fingerprint(tmp_path):
    """The same bytes, read as a table and as lines of labels and texts."""
    content = gzip.compress(b"text,label\na good film,pos\na bad film,neg\na film,neg\n")
    names = ["a.csv.gz", "a.txt.gz"]
    for name in names:
        (tmp_path / name).write_bytes(content)
    found = {example_cache._digest(tmp_path / name) for name in names}
    assert len(found) == 2


def test_labels_are_checked_as_in_memory(tmp_path):
    path = tmp_path / "ids.csv"
    path.write_text("text,label\n" + "".join(f"{text},id{n}\n" for n, (text, _) in enumerate(examples(40))))
    with pytest.raises(DataError, match="expected classes that several texts share, got 40 different labels"):
        opened(path, tmp_path, holds_out=False)


def test_a_label_that_is_only_held_out(tmp_path):
    rows = examples(300)
    kept_out = HeldOut(text for text, _ in rows)
    alone = next(text for text, _ in rows if kept_out(text))
    path = tmp_path / "rare.csv"
    path.write_text("text,label\n" + "".join(f"{t},{'rare' if t == alone else label}\n" for t, label in rows))
    with pytest.raises(DataError, match=r"got 'rare' in examples held out for validation alone.*--valid"):
        opened(path, tmp_path)


def test_it_is_made_once(corpus, tmp_path, monkeypatch):
    opened(corpus, tmp_path)
    monkeypatch.setattr(array_cache, "_make", lambda *_, **__: pytest.fail("made again"))
    assert size(opened(corpus, tmp_path)) == 270
    assert len(caches(tmp_path)) == 1


def test_another_file_tokenizer_or_option_has_another(corpus, tmp_path):
    opened(corpus, tmp_path)
    opened(corpus, tmp_path, lowercase=False)
    opened(corpus, tmp_path, vocabulary_size=20)
    opened(corpus, tmp_path, tokenizer="character")
    opened(corpus, tmp_path, holds_out=False)
    opened(corpus, tmp_path, ReadOptions(text_column="text"))
    corpus.write_text(corpus.read_text() + "one more,pos\n")
    assert size(opened(corpus, tmp_path, holds_out=False)) == 301
    assert len(caches(tmp_path)) == 7


def test_copies_of_a_text_are_on_one_side(tmp_path):
    path = tmp_path / "copies.csv"
    rows = [(f"text {n % 50}", "ab"[n % 2]) for n in range(1000)]
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    texts = opened(path, tmp_path)
    assert len(texts.held_out) == 5 * 20  # a tenth of the different ones
    assert size(texts) == 900


def test_what_is_held_out_has_a_largest_number(monkeypatch):
    monkeypatch.setattr(HeldOut, "MOST", 100)
    for count in (150, 999, 5000):
        texts = [f"text {n}" for n in range(count)]
        held_out = HeldOut(texts + texts)
        share = sum(map(held_out, texts))
        assert share == pytest.approx(min(100, count // 10), rel=0.25 if count > 200 else 0)
    with pytest.raises(StepscanError, match="one text cannot be split"):
        HeldOut(["the same"] * 10)


def test_two_that_need_it_at_once_make_it_once(corpus, tmp_path, monkeypatch):
    made, make = [], array_cache._make
    monkeypatch.setattr(array_cache, "_make", lambda *arguments, **more: (made.append(1), make(*arguments, **more)))
    sizes = []
    threads = [threading.Thread(target=lambda: sizes.append(size(opened(corpus, tmp_path)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sizes, len(made)) == ([270] * 4, 1)


def test_a_broken_file_leaves_nothing(corpus, tmp_path):
    corpus.write_text(corpus.read_text() + "no label\n")
    with pytest.raises(DataError, match="line 302"):
        opened(corpus, tmp_path)
    assert caches(tmp_path) == []


def test_a_writer_that_was_killed_is_followed_by_another(corpus, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(array_cache, "json_text", killed)
        patch.setattr(array_cache.shutil, "rmtree", lambda *_, **__: None)  # nothing is cleared up after kill -9
        with pytest.raises(KeyboardInterrupt):
            opened(corpus, tmp_path)
    assert [path for path in (tmp_path / "cache").iterdir() if path.suffix == ".tmp"]
    assert size(opened(corpus, tmp_path)) == 270
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix == ".tmp"]


def test_another_version_has_another(corpus, tmp_path, monkeypatch):
    """Its tokenizer may split texts otherwise."""
    opened(corpus, tmp_path)
    monkeypatch.setattr("stepscan.__version__", "0.0.9")
    opened(corpus, tmp_path)
    assert len(caches(tmp_path)) == 2


@pytest.mark.parametrize("name", ["inputs.bin", "inputs.ends.bin", "targets.bin", "facts.json"])
def test_a_byte_that_has_changed_is_an_error(corpus, tmp_path, name):
    opened(corpus, tmp_path)
    path = tmp_path / "cache" / caches(tmp_path)[0] / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"the cache is damaged: .*{name} is not the file that was written, by its SHA"):
        opened(corpus, tmp_path)


@pytest.mark.parametrize("damage", ["cut ids", "no labels", "manifest", "no manifest"])
def test_a_damaged_one_is_an_error(corpus, tmp_path, damage):
    opened(corpus, tmp_path)
    folder = tmp_path / "cache" / caches(tmp_path)[0]
    if damage == "cut ids":
        (folder / "inputs.bin").write_bytes((folder / "inputs.bin").read_bytes()[:-2])
    elif damage == "no labels":
        (folder / "targets.bin").unlink()
    elif damage == "no manifest":
        (folder / "manifest.json").unlink()
    else:
        (folder / "manifest.json").write_text("[1, 2]")
    with pytest.raises(DataError, match=r"the cache is damaged: .* Remove it; it is made anew"):
        opened(corpus, tmp_path)


def test_skipped_lines_are_reported_each_time(corpus, tmp_path, caplog):
    corpus.write_text(corpus.read_text() + "no label\n")
    bad_lines = BadLines()
    opened(corpus, tmp_path, ReadOptions(bad_lines=bad_lines))
    assert sum(bad_lines.counts.values()) == 1
    assert not caplog.records
    opened(corpus, tmp_path, ReadOptions(bad_lines=BadLines()))
    assert "when the cache was made: skipped 1 line of" in caplog.text


def test_other_facts_than_were_written_are_an_error(corpus, tmp_path, monkeypatch):
    make = array_cache._make
    monkeypatch.setattr(array_cache, "_make", lambda target, _: make(target, lambda writer: {"tokenizers": 1}))
    with pytest.raises(DataError, match=r"the cache is damaged: .* Remove it; it is made anew"):
        opened(corpus, tmp_path)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_it_learns_as_from_memory(tmp_path, ending):
    path = tmp_path / f"texts.{ending}"
    rows = [{"text": text, "label": label} for text, label in examples(600)]
    if ending == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(pytest.importorskip("pyarrow").Table.from_pylist(rows), path)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows))
    settings = {**SMALL, "epochs": 6, "learning_rate": 0.02, "cache_dir": tmp_path / "cache"}
    summary = files.train("classify", [path], tmp_path / "model", settings=settings)
    assert summary["valid_accuracy"] > 0.9
    assert summary["yardstick"]["name"] == "majority class"
    model = load(tmp_path / "model")
    assert model.predict(["w1 good w2", "w1 awful w2"]).tolist() == ["pos", "neg"]
    assert "cache" not in (tmp_path / "model" / "config.json").read_text()


def test_validation_data_of_your_own(corpus, tmp_path):
    valid = tmp_path / "valid.csv"
    valid.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in examples(40, seed=5)))
    settings = {**SMALL, "max_updates": 10, "cache_dir": tmp_path / "cache", "class_weights": "balanced"}
    summary = files.train("classify", [corpus], tmp_path / "model", valid_files=[valid], settings=settings)
    assert 0 <= summary["valid_macro_f1"] <= 1
    texts = opened(corpus, tmp_path, holds_out=False)
    assert (size(texts), texts.held_out) == (300, [])
    assert len(caches(tmp_path)) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wide": True}, "wide: expected off with cache_dir, got True"),
        ({"refit": True}, "refit: expected off with cache_dir, got True"),
        ({"problem_type": "regression"}, "problem_type: expected 'classification' or 'multilabel' with cache_dir, got"),
    ],
)
def test_what_it_cannot_do_is_refused(corpus, tmp_path, settings, message):
    with pytest.raises(SettingsError, match=message):
        opened(corpus, tmp_path, **settings)


def test_standard_input_and_numbers_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="files that can be read several times, got standard input"):
        opened("-", tmp_path)
    series = tmp_path / "numbers.npy"
    np.save(series, np.zeros((4, 5)))
    with pytest.raises(SettingsError, match="expected texts, got numbers"):
        opened(series, tmp_path)


def test_one_class_is_an_error(tmp_path):
    path = tmp_path / "one.csv"
    path.write_text("text,label\n" + "".join(f"text {n},a\n" for n in range(20)))
    with pytest.raises(DataError, match="expected at least two classes, got only"):
        opened(path, tmp_path)


def test_tasks_of_texts_have_the_option():
    from typer.testing import CliRunner

    helps = {task: CliRunner().invoke(app, ["train", task, "--help"]).output for task in ALL_TASKS}
    assert {task for task, text in helps.items() if "--cache-dir" in text} == {
        "classify",
        "tag",
        "translate",
        "generate",
    }


def test_the_tail_of_a_text_is_held_out(monkeypatch):
    pieces = ["abc\n", "de\n", "fghi\n", "jklmnopqr\n", "st"]
    source = TextSource(lambda: iter(pieces), holds_out=True)
    assert ("".join(source), source.held_out) == ("abc\nde\nfghi\njklmnopqr\n", "st")
    monkeypatch.setattr("stepscan.estimators.cache_sources._MOST_CHARACTERS", 1)
    source = TextSource(lambda: iter(pieces), holds_out=True)
    assert ["".join(source) for _ in range(2)] == ["abc\nde\nfghi\njklmnopqr\ns"] * 2
    assert source.held_out == "t"
    everything = TextSource(lambda: iter(pieces), holds_out=False)
    assert ("".join(everything), everything.held_out) == ("".join(pieces), "")
