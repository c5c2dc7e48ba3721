"""The command line end to end: train, evaluate, predict and generate, for each task, on tiny files."""

from __future__ import annotations

import json
import math

import pytest

import stepscan as ss
from stepscan.options import TrainingOptions, settings_of

TINY = "--hidden-size 8 --embedding-size 8 --epochs 1 --batch-size 8 --decay-ratio 1 --ema-decay 0 --no-refit --quiet"
OWN = {
    "classify": "--cell gru --pooling mean --no-wide",
    "tag": "--cell lstm --char-embedding-size 0 --no-wide",
    "generate": "--cell elman --bptt 16 --tie-weights",
    "translate": "--cell gru --tokenizer character --attention none",
}
VALID = {
    "classify": {"valid_accuracy", "valid_macro_f1", "valid_nats"},
    "tag": {"valid_accuracy"},
    "generate": {"valid_nats"},
    "translate": {"valid_nats"},
}
METRICS = {
    "classify": {"accuracy", "macro_f1", "texts"},
    "tag": {"accuracy", "tokens", "sentences"},
    "generate": {"nats", "bits", "perplexity", "characters"},
    "translate": {"bleu", "chrf", "error_rate", "symbol_error_rate", "signature", "texts"},
}
TASKS = list(OWN)

BUDGET = settings_of(TrainingOptions)["time_budget"].option.kind


@pytest.mark.parametrize("task", TASKS)
def test_train(task, corpora, run, tmp_path):
    out = tmp_path / "model"
    command = f"train {task} --train {corpora[task]} --out {out} {TINY} {OWN[task]}".split()
    result = run(*command, "--json")
    assert result.code == 0
    assert all("better than" in line for line in result.err.splitlines())  # it has hardly begun to learn
    summary = json.loads(result.out)
    model = ss.load(out)
    about = {"task", "folder", "seconds", "parameters", "epochs", "updates", "chosen", "yardstick"}
    assert set(summary) == about | VALID[task]
    assert summary["updates"] == model.history_[-1]["updates"]
    assert summary["chosen"]["dropout"] == model.get_params()["dropout"]
    assert not {"hidden_size", "batch_size", "decay_ratio", "refit"} & set(summary["chosen"])
    assert (
        f"| dropout | {summary['chosen']['dropout']} (chosen by the size of the data) |"
        in (out / "README.md").read_text()
    )
    assert summary["yardstick"] == {name: model.yardstick_[name] for name in ("name", "scores")}
    assert (summary["task"], summary["folder"], summary["epochs"]) == (task, str(out), 1)
    assert summary["parameters"] == sum(parameter.numel() for parameter in model.model_.parameters())
    assert {name: summary[name] for name in VALID[task]} == {name: model.history_[0][name] for name in VALID[task]}
    settings = model.get_params()
    assert (settings["hidden_size"], settings["epochs"], settings["verbose"]) == (8, 1, False)
    assert settings["cell"] == OWN[task].split()[1]


@pytest.mark.parametrize("task", TASKS)
def test_evaluate(task, models, corpora, run):
    result = run("evaluate", models[task], corpora[task], "--json")
    assert result.code == 0
    figures = json.loads(result.out)
    assert set(figures) == {"task", "file", *METRICS[task], "yardstick"}
    assert (figures["task"], figures["file"]) == (task, str(corpora[task]))
    text = run("evaluate", models[task], corpora[task]).out
    shown = dict(line.split(maxsplit=1) for line in text.splitlines())
    yardstick = figures.pop("yardstick")
    assert shown.pop("yardstick").startswith(f"{yardstick['name']}: {next(iter(yardstick['scores']))} ")
    assert shown == {
        name: f"{value:.4f}" if isinstance(value, float) else str(value) for name, value in figures.items()
    }


def test_evaluated_figures(models, corpora, run):
    figures = {task: json.loads(run("evaluate", models[task], corpora[task], "--json").out) for task in TASKS}
    assert (figures["classify"]["texts"], figures["translate"]["texts"], figures["generate"]["characters"]) == (
        (40, 40, 800)
    )
    nats = figures["generate"]["nats"]
    assert nats == pytest.approx(-ss.load(models["generate"]).score(corpora["generate"].read_text()))
    assert figures["generate"]["bits"] == pytest.approx(nats / math.log(2))
    assert figures["generate"]["perplexity"] == pytest.approx(math.exp(nats))
    assert figures["translate"]["signature"].startswith("nrefs:1|case:mixed")


def test_classify(models, run, tmp_path):
    texts = ["a good film", "a bad film , z"]
    model = ss.load(models["classify"])
    labels, probabilities = model.predict(texts), model.predict_proba(texts).max(axis=1)
    expected = [f"{a}\t{p:.4f}\t{text}" for text, a, p in zip(texts, labels, probabilities, strict=True)]
    assert run("predict", models["classify"], *texts).out.splitlines() == expected
    assert run("predict", models["classify"], stdin="\n".join(texts) + "\n").out.splitlines() == expected
    (tmp_path / "in.txt").write_text("\n".join(texts) + "\n")
    (tmp_path / "in.csv").write_text("id,body\n" + "".join(f'{n},"{text}"\n' for n, text in enumerate(texts)))
    assert run("predict", models["classify"], "--input", tmp_path / "in.txt").out.splitlines() == expected
    options = ["--input", tmp_path / "in.csv", "--text-column", "body"]
    assert run("predict", models["classify"], *options).out.splitlines() == expected
    result = run("predict", models["classify"], *options, "--output", tmp_path / "out.txt")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert (tmp_path / "out.txt").read_text().splitlines() == expected
    rows = [json.loads(line) for line in run("predict", models["classify"], *texts, "--json").out.splitlines()]
    assert rows == [
        {"text": text, "label": label, "probability": pytest.approx(float(p))}
        for text, label, p in zip(texts, labels, probabilities, strict=True)
    ]


def test_tag(models, run, tmp_path):
    sentences = [["ab", "cd"], [], ["ba"]]
    tags = ss.load(models["tag"]).predict(sentences)
    expected = "".join(
        "".join(f"{token}\t{tag}\n" for token, tag in zip(tokens, found, strict=True)) + "\n"
        for tokens, found in zip(sentences, tags, strict=True)
    )
    assert run("predict", models["tag"], "ab cd", "", "ba").out == expected
    (tmp_path / "in.txt").write_text("ab cd\n\nba\n")
    assert run("predict", models["tag"], "--input", tmp_path / "in.txt").out == expected
    (tmp_path / "in.conllu").write_text("".join(f"{n}\t{w}" + "\t_" * 8 + "\n" for n, w in ((1, "ab"), (2, "cd"))))
    rows = run("predict", models["tag"], "--input", tmp_path / "in.conllu", "--json").out
    assert json.loads(rows) == {"text": "ab cd", "tokens": ["ab", "cd"], "tags": tags[0]}


def test_tags_written_to_a_file_can_be_evaluated(models, run, tmp_path):
    """A model agrees with itself: what `predict` writes is what `evaluate` reads."""
    (tmp_path / "in.txt").write_text("ab cd\nba ab\n")
    result = run("predict", models["tag"], "--input", tmp_path / "in.txt", "--output", tmp_path / "out.txt")
    assert (result.code, result.err) == (0, "")
    figures = json.loads(run("evaluate", models["tag"], tmp_path / "out.txt", "--json").out)
    assert (figures["accuracy"], figures["tokens"], figures["sentences"]) == (1.0, 4, 2)


def test_a_text_of_several_lines_is_shown_in_one(models, run, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "a good\\r\\n\\nfilm"}\n')
    result = run("predict", models["classify"], "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.txt")
    assert (result.code, result.err) == (0, "")
    assert (tmp_path / "out.txt").read_text().split("\t")[2] == "a good film\n"
    row = run("predict", models["classify"], "--input", tmp_path / "in.jsonl", "--json").out
    assert json.loads(row)["text"] == "a good\r\n\nfilm"


def test_translate(models, run):
    model = ss.load(models["translate"])
    best = model.translate(["abc"], n_best=3)[0]
    assert run("predict", models["translate"], "abc").out == best[0].text + "\n"
    row = json.loads(run("predict", models["translate"], "abc", "--json", "--n-best", "3").out)
    assert row == {
        "text": "abc",
        "translation": best[0].text,
        "score": pytest.approx(best[0].score),
        "n_best": [{"text": b.text, "log_probability": b.log_probability, "score": b.score} for b in best],
    }
    model.beam_width, model.length_penalty = 1, 0.0
    expected = model.translate(["abc"])[0][0].score
    options = ["--json", "--beam-width", "1", "--length-penalty", "0"]
    assert json.loads(run("predict", models["translate"], "abc", *options).out)["score"] == pytest.approx(expected)


def test_generate(models, run):
    model, folder = ss.load(models["generate"]), models["generate"]
    expected = model.generate("abc", length=20, seed=5)
    assert run("generate", folder, "--prompt", "abc", "--length", 20, "--seed", 5).out == expected + "\n"
    row = run("generate", folder, "--prompt", "abc", "--length", 20, "--seed", 5, "--json").out
    assert json.loads(row) == {"prompt": "abc", "text": expected}
    assert (
        run("generate", folder, "--length", 30, "--seed", 6).out
        != run("generate", folder, "--length", 30, "--seed", 7).out
    )
    cold = run("generate", folder, "--length", 20, "--temperature", 0).out
    assert cold == model.generate(length=20, temperature=0) + "\n"


def test_config_and_precedence(corpora, run, tmp_path):
    """The option goes before the file, the file before the default."""
    (tmp_path / "settings.toml").write_text(
        "cell = 'elman'\nhidden-size = 4\nembedding_size = 6\nepochs = 1\nlearning-rate = 1\ntime-budget = '1h'\n"
    )
    out = tmp_path / "model"
    files = ["--train", corpora["classify"], "--valid", corpora["classify"], "--out", out]
    result = run("train", "classify", *files, "--config", tmp_path / "settings.toml", "--hidden-size", 5, "--seed", 9)
    assert result.code == 0
    model = ss.load(out)
    found = model.get_params()
    expected = {"cell": "elman", "hidden_size": 5, "embedding_size": 6, "epochs": 1, "seed": 9, "time_budget": 3600.0}
    assert {name: found[name] for name in expected} == expected
    default = ss.Classifier().get_params()
    own = (*expected, *model.chosen_, "learning_rate", "verbose")
    assert {n: v for n, v in found.items() if n not in own} == {n: v for n, v in default.items() if n not in own}
    assert "held out" not in result.err


def test_overwrite_and_what_training_says(corpora, run, tmp_path):
    out = tmp_path / "model"
    loud = TINY.replace(" --quiet", "").split()
    command = ["train", "classify", "--train", corpora["classify"], "--out", out, "--no-wide", *loud]
    result = run(*command)
    assert result.err.startswith(
        "no validation data given: a tenth (4 of 40), drawn at random, stratified, is held out\n"
        "chosen by the size of the data: dropout 0.5, learning_rate 0.002, input_noise 0, word_dropout 0.1, "
        "tokenizer word\n"
        "epoch  1 · "
    )
    shown = dict(line.split(maxsplit=1) for line in result.out.splitlines())
    row = ss.load(out).history_[0]
    assert shown["valid_accuracy"] == f"{row['valid_accuracy']:.4f}"
    first = (out / "model.safetensors").read_bytes()
    assert run(*command).code == 1
    assert (out / "model.safetensors").read_bytes() == first
    assert run(*command, "--overwrite").code == 0
    assert (out / "model.safetensors").read_bytes() == first, "the same seed gives the same weights"
    assert run(*command, "--overwrite", "--seed", 77).code == 0
    assert (out / "model.safetensors").read_bytes() != first
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("0.5s", 0.5),
        ("10m", 600),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1h2m3s", 3723),
        (" 5 ", 5),
        (45, 45),
        (2.5, 2.5),
    ],
)
def test_time_budget(text, seconds):
    assert BUDGET.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "10 m", "5d", "30m1h", "s", "1e3", True])
def test_no_time_budget(text):
    with pytest.raises(ValueError, match="expected a duration such as 90s, 10m or 1h30m, got"):
        BUDGET.parse(text)


def test_validation_data_may_be_in_another_format(run, tmp_path):
    """The published phrases of SST are TSV without a header, its sentences `label text` lines."""
    (tmp_path / "train.tsv").write_text("a good film\t1\na bad film\t0\n" * 10)
    (tmp_path / "dev").write_text("1 a good film\n0 a bad film\n")
    command = ["classify", "--train", tmp_path / "train.tsv", "--text-column", 1, "--label-column", 2]
    done = run(*["train", *command, "--valid", tmp_path / "dev", "--out", tmp_path / "model", "--epochs", 1, "--quiet"])
    assert done.code == 0, done.err
    assert run("evaluate", tmp_path / "model", tmp_path / "dev", "--json").code == 0


def test_dynamic_evaluation(models, run, tmp_path):
    (tmp_path / "a.txt").write_text("one two three\n")
    figures = json.loads(run("evaluate", models["generate"], tmp_path / "a.txt", "--dynamic", "0.001", "--json").out)
    assert figures["dynamic_nats"] > 0
    result = run("evaluate", models["classify"], tmp_path / "a.txt", "--dynamic", "0.001")
    assert "--dynamic: expected a model for generate, got one for classify" in result.words
