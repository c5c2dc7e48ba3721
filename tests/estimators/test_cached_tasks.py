"""Every task of texts learns the same from a cache as from memory, to the bit."""

from __future__ import annotations

import random

import pytest

import stepscan as ss
from stepscan.data.read_options import ReadOptions
from stepscan.data.task_data import read_examples
from stepscan.errors import DataError, Interrupted
from stepscan.estimators import files
from stepscan.estimators.base import ESTIMATORS
from stepscan.estimators.example_cache import open_cache
from stepscan.runtime import load
from stepscan.training.loop import Trainer

SMALL = {"hidden_size": 6, "embedding_size": 6, "max_updates": 12, "seed": 1}
CASES = {
    "classify": ("classify", {"class_weights": "balanced"}),
    "classify, several labels": (
        "classify",
        {"problem_type": "multilabel", "tokenizer": "bpe", "vocabulary_size": 300},
    ),
    "classify, chrono": ("classify", {"initialisation": "chrono", "tokenizer": "character", "batch_size": 7}),
    "tag": ("tag", {"crf": True}),
    "tag, words only": ("tag", {"char_embedding_size": 0, "batch_size": 9}),
    "translate": ("translate", {"vocabulary_size": 300}),
    "translate, two vocabularies": ("translate", {"tokenizer": "word", "source_tokenizer": "character"}),
    "translate, bytes": ("translate", {"tokenizer": "byte", "vocabulary_size": None}),
    "generate": ("generate", {"bptt": 9, "batch_size": 4}),
    "generate, words": ("generate", {"bptt": 9, "batch_size": 4, "tokenizer": "word", "softmax_samples": 8}),
    "generate, pairs of bytes": ("generate", {"bptt": 9, "batch_size": 4, "tokenizer": "bpe", "vary_bptt": True}),
}


def write(path, task, count, seed):
    """A file of `count` examples."""
    draw, lines = random.Random(seed), []
    for number in range(count):
        words = [f"W{draw.randrange(25)}é" for _ in range(draw.randint(1, 8))] + [f"n{number}"]
        text = " ".join(words)
        if task == "classify":
            lines.append(f"{text}\t{['a', 'b', 'a,c'][len(words) % 3]}")
        elif task == "tag":
            lines.append("".join(f"{word} {'B-x' if word[1] == '1' else 'O'}\n" for word in words))
        elif task == "translate":
            lines.append(f"{text}\t{' '.join(reversed(text.lower().split()))}")
        else:
            lines.append(f"{text}  \n" if number % 9 == 0 else text)
    header = {"classify": "text\tlabel\n", "translate": "source\ttarget\n"}.get(task, "")
    suffix = {"classify": ".tsv", "translate": ".tsv", "tag": ".conll"}.get(task, ".txt")
    file = path.with_suffix(suffix)
    file.write_text(header + "\n".join(lines) + "\n", "utf-8")
    return file


def trained(task, settings, arguments, validation):
    """Bits of a model that is trained on examples in memory."""
    model = ESTIMATORS[task](**SMALL, **settings, refit=False, **({"wide": False} if has_wide(task) else {}))
    return bits(model.fit(*arguments, validation=validation))


def has_wide(task):
    return task in ("classify", "tag")


def bits(model):
    weights = {name: tensor.numpy().tobytes() for name, tensor in model.model_.state_dict().items()}
    tokenizers = {name: tokenizer.to_json() for name, tokenizer in model.tokenizers_.items()}
    return weights, tokenizers, model.labels_, [row["train_loss"] for row in model.history_]


@pytest.mark.parametrize("case", CASES)
def test_the_same_weights_as_from_memory(case, tmp_path):
    task, settings = CASES[case]
    train, valid = write(tmp_path / "train", task, 120, 0), write(tmp_path / "valid", task, 20, 1)
    options = ReadOptions(problem_type=settings.get("problem_type", "classification"))
    arguments, validation = (read_examples(task, [file], options) for file in (train, valid))
    if task == "generate":
        arguments, validation = arguments[:1], validation[0]
    cached = ESTIMATORS[task](**SMALL, **settings, cache_dir=tmp_path / "cache")
    pairs = validation if task == "generate" else list(zip(*validation, strict=True))
    cached.fit_cached(open_cache(cached, [train], options, holds_out=False), pairs)
    assert bits(cached) == trained(task, settings, arguments, validation)


@pytest.mark.parametrize("task", ["classify", "tag", "translate", "generate"])
def test_the_same_weights_where_some_are_held_out(task, tmp_path):
    file = write(tmp_path / "train", task, 150, 0)
    settings = {"bptt": 9, "batch_size": 4} if task == "generate" else {}
    cached = ESTIMATORS[task](**SMALL, **settings, cache_dir=tmp_path / "cache")
    examples = open_cache(cached, [file], ReadOptions(), holds_out=True)
    cached.fit_cached(examples, examples.held_out)
    everything = read_examples(task, [file])
    if task == "generate":
        assert bits(cached) == trained(task, settings, everything[:1], None)  # the same tail
        return
    held_out = [(one, target) for one, target in zip(*everything, strict=True) if (one, target) in examples.held_out]
    kept = [pair for pair in zip(*everything, strict=True) if pair not in held_out]
    assert (len(held_out), len(kept)) == (15, 135)
    expected = trained(task, settings, list(zip(*kept, strict=True)), list(zip(*held_out, strict=True)))
    assert bits(cached) == expected


@pytest.mark.parametrize("task", ["classify", "tag", "translate", "generate"])
def test_a_model_folder_from_a_cache(task, tmp_path):
    file = write(tmp_path / "train", task, 150, 0)
    settings = {**SMALL, "cache_dir": tmp_path / "cache"} | ({"bptt": 9, "batch_size": 4} if task == "generate" else {})
    summary = files.train(task, [file], tmp_path / "model", settings=settings)
    assert summary["yardstick"]["scores"]
    assert load(tmp_path / "model").task == task
    assert "cache" not in (tmp_path / "model" / "config.json").read_text()
    [folder] = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert not list(folder.glob("tmp*"))


def test_several_labels_are_read_as_such(tmp_path):
    file = write(tmp_path / "train", "classify", 150, 0)
    settings = {**SMALL, "cache_dir": tmp_path / "cache", "problem_type": "multilabel"}
    summary = files.train("classify", [file], tmp_path / "model", settings=settings, valid_files=[file])
    assert load(tmp_path / "model").labels_ == ["a", "b", "c"]
    assert summary["yardstick"]["name"] == "most frequent labels"


def test_the_cache_is_mentioned_where_data_are_large(tmp_path, monkeypatch, capsys):
    file = write(tmp_path / "train", "classify", 60, 0)
    monkeypatch.setattr(files, "_LARGE", file.stat().st_size + 1)
    settings = {**SMALL, "wide": False, "refit": False, "verbose": True}
    files.train("classify", [file], tmp_path / "one", settings=settings)
    assert "--cache-dir" not in capsys.readouterr().err
    monkeypatch.setattr(files, "_LARGE", file.stat().st_size)
    files.train("classify", [file], tmp_path / "two", settings=settings)
    assert "of data are in memory; --cache-dir FOLDER reads them from disk" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["tag", "translate", "generate"])
def test_an_interrupted_training_is_resumed_to_the_same_bits(task, tmp_path, monkeypatch):
    file = write(tmp_path / "train", task, 150, 0)
    settings = {**SMALL, "max_updates": 60, "cache_dir": tmp_path / "cache", "checkpoint_every": 0.0}
    settings |= {"bptt": 9, "batch_size": 4} if task == "generate" else {}
    files.train(task, [file], tmp_path / "whole", settings=settings)
    with monkeypatch.context() as patch:
        update = Trainer._update

        def interrupted(self):
            update(self)
            if self.schedule.updates == 31:
                raise KeyboardInterrupt

        patch.setattr(Trainer, "_update", interrupted)
        with pytest.raises(Interrupted, match="resume with the same command and --resume"):
            files.train(task, [file], tmp_path / "model", settings=settings)
    files.train(task, [file], tmp_path / "model", settings=settings, resume=True)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "model")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("tokenizer", ["byte", "word"])
def test_settings_are_chosen_by_the_number_of_examples(tokenizer, tmp_path):
    """Whether or not the tokenizer has to see them."""
    for task in ("classify", "translate", "generate"):
        file = write(tmp_path / task, task, 70, 0)
        cached = ESTIMATORS[task](cache_dir=tmp_path / "cache", tokenizer=tokenizer)
        examples = open_cache(cached, [file], ReadOptions(), holds_out=False)
        sizes = dict(examples.vocabulary.facts)
        if task == "generate":
            text = file.read_text("utf-8")
            symbols = text if tokenizer == "byte" else text.split()
            assert sizes == {"symbols": len(symbols), "distinct": len(set(symbols))}
        else:
            assert sizes["examples"] == 70


def test_other_word_vectors_are_an_error(tmp_path):
    """The ids of a cache are those of a vocabulary with the words of the vectors."""
    file, vectors = write(tmp_path / "train", "classify", 60, 0), tmp_path / "vectors.txt"
    vectors.write_text("w1é 1 0\nw2é 0 1\nother 1 1\n")
    settings = {**SMALL, "embeddings": vectors, "cache_dir": tmp_path / "cache"}
    files.train("classify", [file], tmp_path / "model", settings=settings)
    vectors.write_text("w1é 1 0\nother 0 1\nw2é 1 1\nmore 1 1\n")
    with pytest.raises(DataError, match=r"made with other word vectors of the same name\. Remove it"):
        files.train("classify", [file], tmp_path / "model", settings=settings, overwrite=True)


def test_word_vectors_make_the_same_model_as_in_memory(tmp_path):
    file, vectors = write(tmp_path / "train", "tag", 60, 0), tmp_path / "vectors.txt"
    vectors.write_text("w1é 1 0\nn3 0 1\nother 1 1\n")
    settings = {"embeddings": vectors, "vocabulary_size": 20}
    arguments = read_examples("tag", [file])
    cached = ss.Tagger(**SMALL, **settings, cache_dir=tmp_path / "cache")
    examples = open_cache(cached, [file], ReadOptions(), holds_out=False)
    cached.fit_cached(examples, list(zip(*arguments, strict=True)))
    assert bits(cached) == trained("tag", settings, arguments, arguments)


def test_tags_of_spans_are_recognised(tmp_path, caplog):
    """By the successions of tags that occur, wherever they do."""
    file = tmp_path / "spans.conll"
    sentence = "a B-x\nb I-x\nc O\n\n"
    file.write_text(sentence * 40 + "a O\nb I-x\n\n" + sentence * 40)
    model = ss.Tagger(**SMALL, cache_dir=tmp_path / "cache")
    examples = open_cache(model, [file], ReadOptions(), holds_out=False)
    assert len(examples.vocabulary.facts["successions"]) == 2
    model.fit_cached(examples, examples.vocabulary.facts["sample"])
    assert (model.scheme_.name, model.labels_) == ("IOB2", ["B-x", "I-x", "O"])
    assert "the tags are not IOB2: sentence 41, token 2: I-x after O" in caplog.text
