"""`stepscan reproduce`: the same as training and evaluating by hand, with the figures of others beside it."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

import stepscan as ss
from stepscan.data.task_data import ReadOptions
from stepscan.estimators.files import train
from stepscan.estimators.reproduction import reproduce, show
from stepscan.models.files import evaluate

RECIPE = """
title = "Good or bad"
task = "classify"
data = "made here"

[metric]
name = "accuracy"
label = "accuracy, %"
factor = 100
target = {target}

[train]
files = ["reviews/train.tsv"]

[valid]
files = ["reviews/valid.txt"]

[test]
files = ["reviews/test.txt"]

[reading]
text_column = "1"
label_column = "2"

[settings]
hidden_size = 4
embedding_size = 4
epochs = 2
batch_size = 8
learning_rate = 0.02

[[published]]
figure = 77.5
what = "a coin"
source = "a pocket"
read = false
"""
SETTINGS = {"hidden_size": 4, "embedding_size": 4, "epochs": 2, "batch_size": 8, "learning_rate": 0.02}


@pytest.fixture
def recipe(tmp_path):
    """A recipe and its data: a table without a header to train on, `label text` lines to score on."""
    folder = tmp_path / "data" / "reviews"
    folder.mkdir(parents=True)
    rows = [(f"a {word} film {letter}", label) for word, label in (("good", "1"), ("bad", "0")) for letter in "xyzuvw"]
    (folder / "train.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in rows))
    (folder / "valid.txt").write_text("1 good\n0 bad\n")
    (folder / "test.txt").write_text("1 good film\n0 bad film\n1 bad bad bad\n")
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE.format(target=50.0))
    return path


def test_is_training_and_scoring_by_hand(recipe, tmp_path):
    data = tmp_path / "data"
    row = reproduce(recipe, data=data, out=tmp_path / "model", seed=3)
    files, reading = data / "reviews", ReadOptions(text_column="1", label_column="2")
    settings = {**SETTINGS, "seed": 3}
    trained = train(
        "classify",
        [files / "train.tsv"],
        tmp_path / "by-hand",
        valid_files=[files / "valid.txt"],
        settings=settings,
        reading=reading,
    )
    figures = evaluate(ss.load(tmp_path / "by-hand"), [files / "test.txt"])
    assert row["value"] == 100 * figures["accuracy"] != 0
    yardstick = figures["yardstick"]
    assert row["figures"] == {"macro_f1": figures["macro_f1"], "texts": 3, "yardstick": yardstick}
    assert (row["parameters"], row["epochs"], row["seed"]) == (trained["parameters"], 2, 3)
    assert (row["recipe"], row["metric"], row["target"]) == ("mine", "accuracy, %", 50.0)
    assert row["published"] == [{"figure": 77.5, "what": "a coin", "source": "a pocket", "read": False}]
    assert row["reached"] is (row["value"] >= 50)
    assert row["command"] == f"stepscan reproduce {recipe} --seed 3"
    assert ss.load(tmp_path / "model").get_params()["seed"] == 3
    assert json.loads(json.dumps(row)) == row


def test_several_seeds_and_their_ensemble(recipe, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone = [reproduce(recipe, data="data", out=f"model{seed}", seed=seed)["value"] for seed in (3, 4)]
    row = reproduce(recipe, data="data", seed=3, seeds=2)
    assert row["values"] == alone
    assert row["value"] == sum(alone) / 2
    joined = ss.ensemble([ss.load("model3"), ss.load("model4")])
    assert row["ensemble"] == 100 * evaluate(joined, ["data/reviews/test.txt"])["accuracy"]
    assert row["ensemble_reached"] is (row["ensemble"] >= 50)
    assert row["command"] == "stepscan reproduce " + str(recipe) + " --seed 3 --seeds 2"
    shown = run("reproduce", recipe, "--data", "data", "--seeds", "2", "--quiet").out
    assert "by the mean of" in shown
    assert re.search(r"ensemble of 2 +│ [\d.]+ +│ target (reached|missed)", shown)
    assert "seed 0 to 1" in shown
    for seed, seeds in ((0, 0), (2**63 - 1, 2)):
        with pytest.raises(ss.SettingsError, match=f"seeds: expected 1 or more, .* got {seeds} from {seed} on"):
            reproduce(recipe, data="data", seed=seed, seeds=seeds)
    refused = run("reproduce", recipe, "--data", "data", "--seeds", "2", "--out", "model5")
    assert "out: expected none with 2 trainings, of which no model is kept, got 'model5'" in refused.words


def test_slices_of_a_text(tmp_path):
    """Train, valid and test are cut by shares of the characters: no more, no less, in this order."""
    text = "".join(chr(97 + (i * i) % 7) for i in range(990)) + "xyzzyxyzzy"
    (tmp_path / "text.txt").write_text(text)
    parts = {"train": [0.0, 0.8], "valid": [0.8, 0.99], "test": [0.99, 1.0]}
    path = tmp_path / "mine.toml"
    path.write_text(
        'title = "t"\ntask = "generate"\ndata = "d"\n'
        'metric = {name = "nats", label = "nats", greater_is_better = false, target = 1e-9}\n'
        "settings = {hidden_size = 4, embedding_size = 4, epochs = 1, batch_size = 4}\n"
        + "".join(f'{name} = {{files = ["text.txt"], slice = {cut}}}\n' for name, cut in parts.items())
    )
    row = reproduce(path, data=tmp_path, out=tmp_path / "model")
    model = ss.load(tmp_path / "model")
    assert row["figures"]["characters"] == 10
    assert row["value"] == pytest.approx(-model.score("xyzzyxyzzy"))
    assert row["reached"] is False
    assert set(model.tokenizers_["tokenizer"].tokens[4:]) == set(text[:800]), "no letter of the test text is known"
    assert model.history_[0]["valid_nats"] == pytest.approx(-model.score(text[800:990]))


def test_shown_beside_what_was_published(recipe, tmp_path):
    for target, verdict in ((50.0, "target reached"), (101.0, "target missed")):
        recipe.write_text(RECIPE.format(target=target))
        row = reproduce(recipe, data=tmp_path / "data")
        output = io.StringIO()
        show(row, Console(file=output, width=150))
        for words in ("a coin", "77.5", "a pocket (from memory)", f"{row['value']:.4g}", "2 epochs", "seed 0", verdict):
            assert words in output.getvalue(), words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "mine.toml"], "no model was asked for"


def test_no_such_metric(recipe, tmp_path):
    recipe.write_text(RECIPE.format(target=50.0).replace('name = "accuracy"', 'name = "acuracy"'))
    with pytest.raises(ss.SettingsError, match=r"no metric 'acuracy'. Did you mean 'accuracy'\? Metrics: {'task'"):
        reproduce(recipe, data=tmp_path / "data")


def test_on_the_command_line(recipe, tmp_path, run, monkeypatch):
    monkeypatch.setenv("STEPSCAN_DATA", str(tmp_path / "data"))
    done = run("reproduce", recipe, "--json", "--quiet", "--time-budget", "30s")
    row = json.loads(done.out)
    assert done.code == 0
    assert all("better than always answering" in line for line in done.err.splitlines())
    assert row["command"] == f"stepscan reproduce {recipe} --seed 0 --time-budget 30s"
    assert "target" in run("reproduce", recipe, "--quiet").out


def test_list_on_the_command_line(run):
    assert all(name in run("reproduce").out for name in ("sst2", "g2p-dutch", "ewt-upos"))
    rows = [json.loads(line) for line in run("reproduce", "--json").out.splitlines()]
    assert {row["name"]: row["metric"]["target"] for row in rows}["g2p-french"] == 8.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("sst3", "unknown recipe 'sst3'. Did you mean 'sst"),
        ("sst2 --data nowhere", "recipe sst2 needs sst/derived.sst2.phrases.train.tsv.gz, sst/stsa.binary.dev, "),
        ("{recipe} --data data --out data", "data: expected a new name or a model folder, got something else"),
        (
            "{recipe} --data data --time-budget soon",
            "time_budget: expected a duration such as 90s, 10m or 1h30m, got 'soon'",
        ),
    ],
)
def test_refused_on_the_command_line(recipe, run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    done = run("reproduce", *arguments.format(recipe=recipe).split(), "--quiet")
    assert (done.code, done.out) == (1, "")
    assert message in done.words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "mine.toml"]
    done = run("reproduce", recipe, "--data", "data", "--seed", "-1", "--quiet")
    assert (done.code, done.out) == (2, "")
    assert "Invalid value for '--seed': -1 is not in the range" in done.words
