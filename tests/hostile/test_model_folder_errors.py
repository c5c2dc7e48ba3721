"""Every fault of a model folder, and every wrong use of a whole one, is an error in words."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from hostile_folders import HOSTILE
from safetensors.numpy import load_file, save_file


@pytest.fixture
def classifier(models, workplace):
    """A copy of a whole model folder, to be broken."""
    shutil.copytree(models["classify"], workplace / "model")
    return workplace / "model"


def test_whole(classifier, run):
    assert run("predict", "model", "a good film").code == 0


@pytest.mark.parametrize("answer", [None, "pos"])
def test_a_yardstick_of_anybody(classifier, run, answer):
    """Whatever it is called, what it scores is found out anew."""
    config = json.loads((classifier / "config.json").read_text())
    config["yardstick"] = {"name": "majority class", "scores": {}, "error": 0, "answer": answer}
    (classifier / "config.json").write_text(json.dumps(config))
    result = run("evaluate", "model", "reviews.csv", "--json")
    assert result.code == 0
    assert json.loads(result.out)["yardstick"]["scores"]["macro_f1"] == pytest.approx(
        1 / 2 if answer is None else 1 / 3
    )


@pytest.mark.parametrize("answer", ["maybe", ["pos"], 3])
def test_a_yardstick_of_another_model_is_ignored(classifier, run, answer):
    """Labels may be renamed by hand."""
    config = json.loads((classifier / "config.json").read_text())
    config["yardstick"]["answer"] = answer
    (classifier / "config.json").write_text(json.dumps(config))
    result = run("evaluate", "model", "reviews.csv", "--json")
    assert (result.code, "yardstick" in json.loads(result.out)) == (0, False)
    assert f"the yardstick answers {answer!r}, which the model cannot; it is ignored" in result.words


MISSING = {
    "config.json": "model is not a model folder: it has no config.json",
    "model.safetensors": "model is not a complete model folder: model.safetensors is missing",
    "tokenizer.json": "model is not a complete model folder: tokenizer.json is missing",
    "labels.json": "model is not a complete model folder: labels.json is missing",
}
BROKEN = {
    "config.json": "model/config.json is not JSON",
    "model.safetensors": "model/model.safetensors: expected 5,704 bytes of tensors, got",
    "tokenizer.json": "model/tokenizer.json: not a valid tokenizer: ",
    "labels.json": "model/labels.json is not JSON",
}
NOT_TEXT = {
    "config.json": "model/config.json cannot be read: 'utf-8' codec",
    "labels.json": "model/labels.json cannot be read: 'utf-8' codec",
    "tokenizer.json": "model/tokenizer.json cannot be read: 'utf-8' codec",
}


@pytest.mark.parametrize(("name", "expected"), MISSING.items())
def test_missing_file(classifier, workplace, refuses, name, expected):
    (classifier / name).unlink()
    refuses(workplace, 1, [expected], "predict", "model", "a good film")


@pytest.mark.parametrize(("name", "expected"), MISSING.items())
def test_a_folder_in_place_of_a_file(classifier, workplace, refuses, name, expected):
    (classifier / name).unlink()
    (classifier / name).mkdir()
    expected = expected.partition("is missing")[0].partition("it has no")[0]
    refuses(workplace, 1, [expected], "predict", "model", "a good film")


@pytest.mark.parametrize(("name", "expected"), BROKEN.items())
def test_broken_file(classifier, workplace, refuses, name, expected):
    whole = (classifier / name).read_bytes()
    (classifier / name).write_bytes(whole[:-3])
    refuses(workplace, 1, [expected], "predict", "model", "a good film")


@pytest.mark.parametrize(("name", "expected"), NOT_TEXT.items())
def test_not_utf8(classifier, workplace, refuses, name, expected):
    (classifier / name).write_bytes(b"\xff\xfe\x00")
    refuses(workplace, 1, [expected], "predict", "model", "a good film")


CONFIG = [
    ({"format_version": 3}, "model was written by a newer Stepscan: its format is 3, this one reads 2"),
    ({"format_version": "1"}, "config.json: format_version: expected 1 to 2, got '1'"),
    ({"format": "other"}, "config.json: format: expected 'stepscan', got 'other'"),
    ({"task": "sing"}, "model: unknown task 'sing'. Known: classify, forecast, generate, tag, translate."),
    ({"extra": 1}, "config.json: unknown key 'extra'"),
    ({"settings": {"hiden_size": 1}}, "config.json: unknown setting 'hiden_size'"),
    ({"settings": {"checkpoints": "/home"}}, "got checkpoints: '/home', which is a setting of a training run"),
    ({"settings": {"resume": True}}, "got resume: True, which is a setting of a training run"),
    ({"chosen": 3}, "config.json: chosen: expected a list of names of settings, got 3"),
    ({"chosen": ["dropout", 3]}, "config.json: chosen: expected a list of names of settings, got ['dropout', 3]"),
    ({"yardstick": 3}, "config.json: yardstick: expected an object with name, scores, error and answer, got 3"),
    (
        {"yardstick": {"name": "majority class", "scores": {"accuracy": "high"}, "error": 0, "answer": "pos"}},
        "config.json: yardstick: expected scores and an error that are finite numbers, got {'name': 'majority class'",
    ),
    ({"model": {}}, "config.json: 'model' cannot be built: expected a model, got {}"),
    (
        {"model": {"encodr": {}}},
        "expected the name of a registered layer or model, got 'encodr'. Did you mean 'encoder'?",
    ),
    ({"model": {"encoder": {}}}, "the description of 'encoder' does not fit its constructor: missing"),
    (
        {"model": {"encoder": {"embedding": None, "layer": 3, "outputs": 2}}},
        "model/config.json: 'model' cannot be built: Encoder: expected a Layer, got 3",
    ),
    (
        {"model": {"lstm": {"input_size": 3, "hidden_size": -1}}},
        "model/config.json: 'model' cannot be built: hidden_size: expected a whole number of at least 1, got -1",
    ),
    (
        {"model": {"lstm": {"input_size": 3, "hidden_size": 10**8}}},
        "model/config.json: 'model' cannot be built: expected a model, got LSTM(3 → 100000000)",
    ),
    (
        {
            "model": {
                "transducer": {"embedding": None, "layer": {"gru": {"input_size": 3, "hidden_size": 3}}, "outputs": 2}
            }
        },
        "model/config.json: model: expected encoder for the task 'classify', got transducer",
    ),
]


@pytest.mark.parametrize(("change", "expected"), CONFIG)
def test_wrong_config(classifier, workplace, refuses, change, expected):
    config = json.loads((classifier / "config.json").read_text())
    (classifier / "config.json").write_text(json.dumps({**config, **change}))
    refuses(workplace, 1, [expected], "predict", "model", "a good film")


OTHER = [
    ("labels.json", '["one"]', "model/labels.json: expected a list of 2 labels"),
    ("labels.json", "[1.5, 2]", "model/labels.json: expected labels that are all strings or all whole numbers"),
    ("labels.json", '{"neg": 0, "pos": 1}', "model/labels.json: expected a list of 2 labels"),
    ("config.json", "[]", "model/config.json: expected an object, got []"),
    ("config.json", "[" * 100_000, "model/config.json: expected at most 200 levels of nesting"),
]


@pytest.mark.parametrize(("name", "text", "expected"), OTHER)
def test_other_content(classifier, workplace, refuses, name, text, expected):
    (classifier / name).write_text(text)
    refuses(workplace, 1, [expected], "predict", "model", "a good film")


CURVES = [
    (None, "model is not a complete model folder: metrics.jsonl is missing"),
    (b'{"seconds": 1, "best": tr', "model/metrics.jsonl is not JSON"),
    (b"\xff\xfe\x00", "model/metrics.jsonl cannot be read: 'utf-8' codec"),
    (b"[1]\n", "model/metrics.jsonl: expected a JSON object with seconds and best on each line"),
]


@pytest.mark.parametrize(("text", "expected"), CURVES)
def test_a_wrong_curve(classifier, workplace, run, refuses, text, expected):
    """Who only uses a model does not need it."""
    (classifier / "metrics.jsonl").unlink()
    if text is not None:
        (classifier / "metrics.jsonl").write_bytes(text)
    assert run("predict", "model", "a good film").code == 0
    command = "train classify --train reviews.csv --init-from model --out out --quiet"
    refuses(workplace, 1, [expected], *command.split())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder(workplace, refuses, name):
    shutil.copytree(Path(__file__).parents[1] / "golden" / "0.1.0" / "classify", workplace / "model")
    change, expected = HOSTILE[name]
    change(workplace / "model")
    refuses(workplace, 1, [expected], "predict", "model", "a good film")


def test_weights_of_another_size(classifier, workplace, refuses):
    weights = load_file(classifier / "model.safetensors")
    save_file({**weights, "head.weight": weights["head.weight"][:, 1:].copy()}, classifier / "model.safetensors")
    expected = [
        "model/model.safetensors does not fit config.json",
        "head.weight: expected F32 [2, 16], got F32 [2, 15]",
    ]
    refuses(workplace, 1, expected, "predict", "model", "a good film")


def test_files_of_another_model(classifier, models, workplace, refuses):
    shutil.copy(models["tag"] / "tokenizer.json", classifier / "tokenizer.json")
    expected = ["symbols, as in the embedding of config.json, got 7"]
    refuses(workplace, 1, expected, "predict", "model", "a good film")


NO_MODEL = [
    ("predict nowhere x", "nowhere does not exist; a model folder is what `stepscan train … --out nowhere` writes"),
    ("evaluate file reviews.csv", "file is a file, not a model folder"),
    ("generate full", "full is not a model folder: it has no config.json"),
]


@pytest.mark.parametrize(("command", "expected"), NO_MODEL)
def test_no_model(workplace, refuses, command, expected):
    refuses(workplace, 1, [expected], *shlex.split(command))


# {task} stands for the folder of that task's model.
USES = [
    ("predict {generate} x", "predict is not available for language models: use `stepscan generate`, or"),
    ("generate {classify}", "expected a language model, got"),
    ("forecast {classify} --context reviews.csv --length 2", "expected a forecaster, got"),
    ("evaluate {classify} reviews.csv --label-column text", "labels: expected those of the model, neg, pos, got"),
    ("evaluate {classify} reviews.csv reviews.csv", "classify: expected one data file, got 2"),
    ("evaluate {classify} empty.csv", "empty.csv: expected at least one line of text, got an empty file"),
    ("evaluate {translate} source.txt short.txt", "expected 2 lines, as in short.txt"),
    ("evaluate {tag} reviews.csv --field xpos", "--field xpos: expected CoNLL-U, got columns in reviews.csv"),
    ("predict {classify} x --input source.txt", "--input: expected either texts or a file, got both"),
    (
        "predict {tag} x --format conllu --no-header",
        "--format, --no-header: for files, from --input; texts given as arguments are used as they are",
    ),
    ("predict {tag} --input source.txt --text-column 1", "--text-column is not an option of tag"),
    ("predict {classify} --input source.txt --token-column 2", "--token-column is not an option of classify"),
    ("predict {classify} --input source.txt --source-column 2", "--source-column is not an option of classify"),
    ("predict {translate} --input pairs.tsv --fill zero", "--fill is not an option of translate"),
    ("compress {classify} --out out --format csv", "--format: expected a file to score the model on, got none"),
    ("predict {classify} --input sorce.txt", "sorce.txt: no such file. Did you mean 'source.txt'?"),
    (
        "predict {classify} --input reviews.csv --text-column title",
        "expected a column 'title', got the columns 'text', 'label'",
    ),
    ("predict {classify} x --output nowhere/o", "nowhere/o: the file cannot be written: No such file or directory"),
    ("predict {classify} x --output .", ".: the file cannot be written"),
    ("predict {classify} x --output full", "full: the file cannot be written: Is a directory"),
    (
        "predict {classify} --input reviews.csv --output reviews.csv",
        "--output: expected a new file, got reviews.csv, the file that is read; choose another name",
    ),
    ("predict {classify} x --output {classify}/config.json", "/config.json, a file of the model"),
    ("predict {classify} x --beam-width 3", "unknown setting 'beam_width'. It is an option of translate."),
    ("predict {tag} x --n-best 2", "n_best: only for translate, not for tag"),
    ("predict {translate} x --n-best 0", "n_best: expected a whole number from 1 to 1,000, got 0"),
    ("predict {translate} x --beam-width 0", "beam_width: expected a whole number from 1 to 1,000, got 0"),
    (
        "predict {translate} x --length-penalty -1",
        "length_penalty: expected a number of at least 0 and at most 10",
    ),
    ("generate {generate} --temperature -1", "temperature: expected a finite number, 0 (greedy) or more, got -1.0"),
    ("generate {generate} --top-p 0", "top_p: expected a number above 0 and at most 1 (off), got 0.0"),
    ("generate {generate} --top-k -1", "top_k: expected a whole number, 0 (off) or more, below 2**63, got -1"),
    ("generate {generate} --min-p 2", "min_p: expected a number from 0 (off) to 1, got 2.0"),
    ("generate {generate} --seed -1", "seed: expected a whole number, 0 or more, got -1"),
    (
        "train classify --train reviews.csv --out {classify}",
        "is already a model folder; choose another name, or overwrite it",
    ),
]


@pytest.mark.parametrize(("command", "expected"), USES)
def test_wrong_use(models, workplace, refuses, command, expected):
    refuses(workplace, 1, [expected], *shlex.split(command.format(**models)))


def test_wrong_usage(models, workplace, refuses):
    refuses(workplace, 2, ["Invalid value for '--length'"], "generate", models["generate"], "--length", "-1")


def test_an_unknown_symbol_in_a_prompt_is_a_warning(models, run):
    result = run("generate", models["generate"], "--prompt", "Ω", "--length", 3)
    assert (result.code, result.out[0], len(result.out)) == (0, "Ω", 5)
    assert result.words == "warning: the prompt has symbols that the model never saw; they are read as unknown"
