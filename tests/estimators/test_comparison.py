"""`stepscan compare`: the same data with several cells, at equal parameters or in equal time."""

from __future__ import annotations

import io
import json
import statistics

import pytest
from rich.console import Console

import stepscan as ss
from stepscan.estimators import comparison, learning_curves
from stepscan.estimators.comparison import compare, show
from stepscan.estimators.files import ReadOptions, train

TINY = {
    **{"hidden_size": 8, "embedding_size": 8, "epochs": 2, "batch_size": 8, "learning_rate": 0.02, "seed": 3},
    **{"decay_ratio": 1.0, "ema_decay": 0.0, "refit": False},
}
CELLS = ["gru", "elman", "lstm", "transformer"]


def parameters(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def sizes_by_hand(task, data, cell, sizes, folder) -> dict[int, int]:
    """Parameters by hidden size, of models that were really trained."""
    result = {}
    for size in sizes:
        out = folder / f"{cell}{size}"
        settings = {**TINY, "epochs": 1, "cell": cell, "hidden_size": size}
        result[size] = train(task, [data], out, settings=settings)["parameters"]
    return result


@pytest.mark.parametrize("task", ["classify", "tag", "generate", "translate"])
def test_as_many_parameters_as_can_be(task, corpora, tmp_path):
    """Sizes one lower and one higher (a transformer's: two) are further from the first cell's number."""
    rows = compare(task, [corpora[task]], tmp_path / "out", cells=CELLS, settings=TINY)
    assert [row["cell"] for row in rows] == CELLS
    assert rows[0]["hidden_size"] == 8
    expected = rows[0]["parameters"]
    for row in rows:
        assert row["parameters"] == parameters(ss.load(tmp_path / "out" / row["cell"]).model_)
    for row, step in zip(rows[1:], (1, 1, 2), strict=True):
        size = row["hidden_size"]
        near = sizes_by_hand(
            task, corpora[task], row["cell"], [n for n in (size - step, size, size + step) if n > 0], tmp_path
        )
        assert near[size] == row["parameters"]
        assert abs(near[size] - expected) == min(abs(count - expected) for count in near.values())
    assert abs(rows[1]["parameters"] - expected) < 0.1 * expected


def test_each_cell_is_trained_as_by_hand(corpora, tmp_path):
    rows = compare("tag", [corpora["tag"]], tmp_path / "out", cells=["lstm", "elman"], settings=TINY)
    for row in rows:
        settings = {**TINY, "wide": False, "cell": row["cell"], "hidden_size": row["hidden_size"]}
        summary = train("tag", [corpora["tag"]], tmp_path / row["cell"], settings=settings)
        by_hand = ss.load(tmp_path / row["cell"]).history_
        assert row["score"] == summary["valid_accuracy"] == max(one["valid_accuracy"] for one in by_hand)
        assert [one["valid_accuracy"] for one in row["curve"]] == [one["valid_accuracy"] for one in by_hand]
        assert [one["train_loss"] for one in row["curve"]] == [one["train_loss"] for one in by_hand]
        assert (row["epochs"], row["metric"]) == (2, "validation accuracy")
        kept = ss.load(tmp_path / "out" / row["cell"]).history_
        assert row["tokens_per_second"] == statistics.median(one["tokens_per_second"] for one in kept)
        assert row["seconds"] == kept[-1]["seconds"]
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == rows


def test_running_cost(corpora, tmp_path):
    """Of layers that can run a step at a time: an LSTM of 8 units has h and c of 8 numbers of 4 bytes."""
    [lstm, mingru, both] = [
        compare(
            "classify", [corpora["classify"]], tmp_path / str(n), cells=[cell, "elman"],
            settings={**TINY, "epochs": 1, "bidirectional": bidirectional},
        )[0]
        for n, (cell, bidirectional) in enumerate([("lstm", False), ("mingru", False), ("lstm", True)])
    ]  # fmt: skip
    assert (lstm["state_bytes"], mingru["state_bytes"], both["state_bytes"]) == (64, 32, None)
    assert lstm["step_microseconds"] > 0
    assert mingru["step_microseconds"] > 0
    assert both["step_microseconds"] is None


def test_equal_time(corpora, tmp_path):
    settings = {name: value for name, value in TINY.items() if name != "epochs"} | {"time_budget": 0.3}
    rows = compare("classify", [corpora["classify"]], tmp_path / "out", cells=CELLS, equal="time", settings=settings)
    assert [row["hidden_size"] for row in rows] == [8] * 4
    assert len({row["parameters"] for row in rows}) == 4
    assert all(row["seconds"] >= 0.3 for row in rows), "neither epochs nor patience end it before the time does"


def test_numbers(tmp_path):
    path = tmp_path / "series.tsv"
    path.write_text("".join(f"{i % 2}\t{i % 2}.5\t{i}\t1\n" for i in range(20)))
    rows = compare(
        "classify",
        [path],
        tmp_path / "out",
        cells=["lstm", "gru"],
        settings=TINY,
        reading=ReadOptions("ucr"),
    )
    for row in rows:
        assert row["parameters"] == parameters(ss.load(tmp_path / "out" / row["cell"]).model_)


ROWS = [
    {"cell": cell, "hidden_size": size, "parameters": count, "epochs": 2, "seconds": 1.25, "score": score}
    | {"metric": "validation accuracy", "tokens_per_second": 12345.6}
    | {"state_bytes": 8 * size if cell == "lstm" else None, "step_microseconds": 3.21 if cell == "lstm" else None}
    | {"curve": [{"epoch": n, "seconds": n / 2, "train_loss": 1.0, "valid_accuracy": score - 0.1 * n} for n in (1, 2)]}
    for cell, size, count, score in (("lstm", 8, 1234567, 0.91234), ("elman", 17, 1234000, 0.5))
]


def test_table():
    output = io.StringIO()
    show(ROWS, Console(file=output, width=80))
    lines = [line.replace("│", " ").split() for line in output.getvalue().splitlines()]
    assert ["lstm", "8", "1,234,567", "2", "1.2", "0.9123", "12,346", "64", "3.2"] in lines
    assert ["elman", "17", "1,234,000", "2", "1.2", "0.5000", "12,346", "–", "–"] in lines
    assert "best validation accuracy" in output.getvalue()


def test_curves(tmp_path, monkeypatch):
    """What the picture shows: each row's curve over passes and over seconds, axes named with their units."""
    from matplotlib.figure import Figure

    figures = []
    write = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), write(self, *a, **k)))
    learning_curves.plot_learning_curves(ROWS, tmp_path / "curves.png", "a title")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    left, right = figures[0].axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("epochs", "training time, s")
    assert left.get_ylabel() == "validation accuracy"
    assert [line.get_xydata().tolist() for line in left.lines][1] == [[1, 0.4], [2, 0.3]]
    assert right.lines[0].get_xdata().tolist() == [0.5, 1.0]
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == [
        "lstm 8 (1,234,567 parameters)",
        "elman 17 (1,234,000 parameters)",
    ]
    assert len({(line.get_color()) for line in left.lines}) == len({line.get_marker() for line in left.lines}) == 2


def test_on_the_command_line(corpora, tmp_path, run):
    (tmp_path / "tiny.toml").write_text('embedding_size = 8\n"batch-size" = 8\nhidden_size = 99\n')
    arguments = ["compare", "classify", "--train", corpora["classify"], "--cells", "gru, elman", "--epochs", 1]
    arguments += ["--hidden-size", 6, "--config", tmp_path / "tiny.toml"]
    done = run(*arguments, "--out", tmp_path / "a", "--quiet", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 0
    assert all("better than always answering" in line for line in done.err.splitlines())
    assert [(row["cell"], row["epochs"]) for row in rows] == [("gru", 1), ("elman", 1)]
    assert rows[0]["hidden_size"] == 6
    assert ss.load(tmp_path / "a" / "gru").get_params()["embedding_size"] == 8
    done = run(*arguments, "--out", tmp_path / "b")
    assert f"{rows[1]['parameters']:,}" in done.out
    assert f"elman: hidden size {rows[1]['hidden_size']}, {rows[1]['parameters']:,} parameters" in done.err
    for name in ("curves.png", "comparison.json", "gru/config.json", "elman/config.json"):
        assert (tmp_path / "b" / name).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--cells gru,lstn", "unknown cell 'lstn'. Did you mean 'lstm'?"),
        ("--cells gru", "cells: expected two or more, each once, got gru"),
        ("--cells gru,gru", "cells: expected two or more, each once, got gru, gru"),
        (
            "--cells gru,lstm --equal time",
            "time_budget: expected a time per cell with equal time, got None; give --time-budget 5m",
        ),
        (
            "--cells gru,lstm --equal time --time-budget 1s --epochs 3",
            "epochs: expected None with equal time, got 3; omit --epochs",
        ),
        (
            "--cells gru,lstm --config refit.toml",
            "refit: expected False in a comparison of networks, got True; omit it",
        ),
        ("--cells gru,lstm --config cell.toml", "it takes no setting 'cell'"),
        ("--cells gru,lstm --config typo.toml", "typo.toml: unknown setting 'epocs'. Did you mean 'epochs'?"),
        ("--cells gru,lstm --epochs 0", "epochs: expected a whole number of at least 1, got 0"),
        ("--cells gru,lstm --out full", "full exists already; choose another name"),
        ("--cells gru,lstm --out none/out", "none is not a folder, so out cannot be written into it; make it first"),
        ("--cells gru,lstm --train missing.csv", "missing.csv"),
    ],
)
def test_refused_on_the_command_line(arguments, message, corpora, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "cell.toml").write_text('cell = "lstm"\n')
    (tmp_path / "typo.toml").write_text("epocs = 2\n")
    (tmp_path / "refit.toml").write_text("refit = true\n")
    before = sorted(tmp_path.iterdir())
    given = arguments.split()
    given += [] if "--train" in given else ["--train", corpora["classify"]]
    given += [] if "--out" in given else ["--out", "out"]
    done = run("compare", "classify", *given, "--quiet")
    assert (done.code, done.out) == (1, "")
    assert message in done.words
    assert sorted(tmp_path.iterdir()) == before


def test_a_number_that_cannot_be_reached_is_said(corpora, tmp_path):
    """The spelling encoder is of the same cell and has its own size: here it alone is larger than the first model."""
    with pytest.warns(
        UserWarning, match=r"lstm: hidden size 1 comes nearest to the 8,407 parameters of elman, with 32,665"
    ):
        compare("tag", [corpora["tag"]], tmp_path / "out", cells=["elman", "lstm"], settings={**TINY, "hidden_size": 1})


@pytest.mark.parametrize("cells", ["lstm,bidirectional_transformer", "bidirectional_transformer,lstm"])
def test_a_cell_that_the_task_cannot_use(cells, corpora, tmp_path, run):
    done = run("compare", "generate", "--train", corpora["generate"], "--cells", cells, "--out", tmp_path / "out")
    assert (done.code, done.out) == (1, "")
    assert "cell: expected a causal cell to generate, such as transformer or lstm, got 'bidirectional_" in done.words
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("at", "message"), [(1, "nothing was written"), (2, "out holds the finished cells: gru")])
def test_interrupted(at, message, corpora, tmp_path, run, monkeypatch):
    """At the training of the first cell or of the second."""
    fits = []

    def fit(*arguments):
        fits.append(arguments)
        if len(fits) == at:
            raise KeyboardInterrupt
        comparison_fit(*arguments)

    comparison_fit = comparison.fit_on
    monkeypatch.setattr(comparison, "fit_on", fit)
    monkeypatch.chdir(tmp_path)
    options = ["--cells", "gru,lstm", "--epochs", "1", "--hidden-size", "4", "--out", "out", "--quiet"]
    done = run("compare", "classify", "--train", corpora["classify"], *options)
    assert (done.code, done.out) == (130, "")
    assert message in done.words
    if at == 2:
        assert [row["cell"] for row in json.loads((tmp_path / "out" / "comparison.json").read_text())] == ["gru"]
    else:
        assert not (tmp_path / "out").exists()


def test_without_matplotlib(corpora, tmp_path, monkeypatch):
    """It is said before training, not after."""
    monkeypatch.setattr(learning_curves, "find_spec", lambda name: None)
    with pytest.raises(ss.StepscanError, match=r"which is not installed: pip install 'stepscan\[plots\]'"):
        compare("tag", [corpora["tag"]], tmp_path / "out", cells=["lstm", "gru"], settings=TINY)
    assert not (tmp_path / "out").exists()


def test_forecasts(tmp_path):
    (tmp_path / "a.csv").write_text("x\n" + "".join(f"{(t % 6) + 0.1 * t}\n" for t in range(60)))
    rows = compare("forecast", [tmp_path / "a.csv"], tmp_path / "out", cells=["gru", "lstm"], settings=TINY)
    assert [row["metric"] for row in rows] == ["validation nats"] * 2
    assert ss.load(tmp_path / "out" / "lstm").forecast([1.0, 2.0, 3.0] * 3, 2).median.shape == (2, 1)
