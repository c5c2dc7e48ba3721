"""The command line on sequences of numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

SMALL = "--hidden-size 8 --embedding-size 4 --epochs 6 --batch-size 4 --learning-rate 0.03 --dropout 0 --quiet"


@pytest.fixture(scope="module")
def ts(tmp_path_factory):
    draw = np.random.default_rng(0)
    lines = []
    for i in range(40):
        values = draw.normal(0, 0.1, 5) + (2 if i % 2 else -2)
        lines.append(",".join(map(repr, values.tolist())) + f":{'up' if i % 2 else 'down'}")
    path = tmp_path_factory.mktemp("series") / "a.ts"
    path.write_text("@classLabel true up down\n@data\n" + "\n".join(lines) + "\n")
    return path


def test_classify(ts, run, tmp_path):
    assert (
        run("train", "classify", "--train", ts, "--out", tmp_path / "m", *SMALL.split(), "--input-noise", "0.1").code
        == 0
    )
    figures = json.loads(run("evaluate", tmp_path / "m", ts, "--json").out)
    assert (figures["accuracy"], figures["series"]) == (1.0, 40)
    lines = run("predict", tmp_path / "m", "--input", ts).out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["down", "up"] * 20
    assert lines[1].endswith("\tseries 2")
    row = json.loads(run("predict", tmp_path / "m", "--input", ts, "--json").out.splitlines()[0])
    assert (set(row), row["series"], row["label"]) == ({"series", "label", "probability"}, 1, "down")


def test_tag(run, tmp_path):
    values = np.random.default_rng(0).normal(size=(30, 4)).round(3)
    path, bare = tmp_path / "a.csv", tmp_path / "bare.csv"
    series = [[f"{x},{'+' if x > 0 else '-'}" for x in row] for row in values]
    path.write_text("x,tag\n" + "\n\n".join("\n".join(rows) for rows in series) + "\n")
    bare.write_text("\n".join(map(str, values[0])) + "\n")
    numbers = ("--format", "numbers")
    assert run("train", "tag", "--train", path, "--out", tmp_path / "m", *SMALL.split(), *numbers).code == 0
    figures = json.loads(run("evaluate", tmp_path / "m", path, *numbers, "--json").out)
    assert (figures["tokens"], figures["sentences"]) == (120, 30)
    assert figures["accuracy"] > 0.9
    lines = run("predict", tmp_path / "m", "--input", bare, *numbers).out.splitlines()
    assert lines == [*(f"{x}\t{'+' if x > 0 else '-'}" for x in values[0]), ""]


def monthly(places):
    return "month,sales\n" + "".join(f"{2015 + i // 12}-{1 + i % 12:02},{100 + i + 10 * (i % 12)}\n" for i in places)


@pytest.fixture(scope="module")
def model_of_months(tmp_path_factory):
    from stepscan.estimators.files import train

    folder = tmp_path_factory.mktemp("months")
    (folder / "a.csv").write_text(monthly(range(96)))
    settings = {"seasonal_period": 12, "hidden_size": 4, "embedding_size": 4, "epochs": 1}
    train("forecast", [folder / "a.csv"], folder / "m", settings=settings)
    return folder / "m"


def test_times_of_a_history(model_of_months, run, tmp_path):
    """A forecast carries its times; a gap is filled as asked, and what is newest-first or daily is not forecast."""

    def forecast(content, *options):
        (tmp_path / "a.csv").write_text(content)
        return run("forecast", model_of_months, "--context", tmp_path / "a.csv", "--length", "2", *options)

    whole = forecast(monthly(range(60))).out
    assert [line.split("\t")[4] for line in whole.splitlines()] == ["2020-01", "2020-02"]
    rows = [json.loads(line) for line in forecast(monthly(range(60)), "--json").out.splitlines()]
    assert [row["time"] for row in rows] == ["2020-01", "2020-02"]
    head, *lines = monthly(range(60)).splitlines()
    newest = "\n".join([head, *reversed(lines)])
    result = forecast(newest)
    assert (result.code, result.out) == (1, "")
    assert "the newest row is first" in result.words
    assert forecast(newest, "--sort").out == whole
    gap = monthly([*range(30), *range(32, 60)])
    assert "line 32: expected 2017-07 after 2017-06 (line 31)" in forecast(gap).words
    filled = forecast(gap, "--fill", "linear")
    assert "2 missing rows were filled (--fill linear)" in filled.words
    assert filled.out.splitlines()[0].split("\t")[4] == "2020-01"
    daily = "day,x\n" + "".join(f"2021-01-{day:02},{day}\n" for day in range(1, 32))
    result = forecast(daily)
    assert (result.code, result.out) == (1, "")
    assert "model's step of 1 month, got 2021-01-02" in result.words
    assert "model's step of 1 month, got 2021-01-02" in run("evaluate", model_of_months, tmp_path / "a.csv").words
    assert "no such option: --sort" in run("generate", model_of_months, "--sort").words


def test_validation_has_the_step_of_the_training_data(run, tmp_path):
    (tmp_path / "a.csv").write_text(monthly(range(96)))
    (tmp_path / "b.csv").write_text("year,sales\n" + "".join(f"{1990 + i},{i}\n" for i in range(30)))
    files = ("--train", tmp_path / "a.csv", "--valid", tmp_path / "b.csv")
    result = run("train", "forecast", *files, "--out", tmp_path / "m", "--quiet")
    assert (
        "b.csv, line 3: expected a time 1 month after 1990 (line 2), with the model's step of 1 month, got 1991"
        in result.words
    )


def test_times_of_a_tagger(run, tmp_path):
    """A time stamp is no input: the same tags with it and without, and a series that skips steps is refused."""
    values = np.random.default_rng(0).normal(size=(30, 4)).round(3)
    path, bare, gap = (tmp_path / name for name in ("a.csv", "bare.csv", "gap.csv"))
    tagged = [[f"{20 * t},{x},{'+' if x > 0 else '-'}" for t, x in enumerate(row)] for row in values]
    path.write_text("timestamp,x,state\n" + "\n\n".join(map("\n".join, tagged)) + "\n")
    bare.write_text("\n\n".join("\n".join(map(str, row)) for row in values) + "\n")
    gap.write_text("timestamp,x,state\n0,1,+\n20,1,+\n40,1,+\n80,1,+\n")
    numbers = ("--format", "numbers")
    assert run("train", "tag", "--train", path, "--out", tmp_path / "m", *SMALL.split(), *numbers).code == 0
    with_times = run("predict", tmp_path / "m", "--input", path, *numbers)
    assert "column 'timestamp' is the time of the rows, not a value" in with_times.words
    assert with_times.out == run("predict", tmp_path / "m", "--input", bare, *numbers).out
    refused = run("predict", tmp_path / "m", "--input", gap, *numbers)
    assert (
        "gap.csv, line 5: expected 60 after 40 (line 4), with a step of 20, got 80: 1 row is missing" in refused.words
    )
    assert run("predict", tmp_path / "m", "--input", gap, *numbers, "--ignore-time").code == 0


def test_refused(ts, models, run, tmp_path):
    result = run("predict", models["classify"], "--input", ts)
    assert result.code == 1
    assert "expected texts, as the model was trained on, got numbers in " in result.words
    bad = tmp_path / "bad.ts"
    bad.write_text("1,2:a\n3,?:b\n")
    result = run("train", "classify", "--train", bad, "--out", tmp_path / "m")
    assert "bad.ts, line 2: expected a number as value 2 of dimension 1, got a missing value (?)." in result.words
    result = run("train", "tag", "--train", ts, "--out", tmp_path / "m")
    assert "expected a format with one label per step ('numbers' or 'npy'), got 'ts'" in result.words


def test_several_series_by_name(model_of_months, run, tmp_path):
    """A long table: each series is forecast by itself, as alone, and train, evaluate and compare take them, too."""
    rows = [monthly(range(60)).splitlines()[1:], monthly(range(7, 50)).splitlines()[1:]]
    long, alone = tmp_path / "long.csv", tmp_path / "alone.csv"
    long.write_text(
        "shop,month,sales\n" + "".join(f"{n},{row}\n" for n, part in zip("BA", rows, strict=True) for row in part)
    )
    alone.write_text("\n".join(["month,sales", *rows[1]]))
    options, named = ("--length", "2"), ("--series-column", "shop")
    refused = run("forecast", model_of_months, "--context", long, *options)
    assert "value 1, got 'B'. If its column names the series" in refused.words
    both = run("forecast", model_of_months, "--context", long, *options, *named)
    assert "column 'shop' names the series of a row: 2 series" in both.words
    lines = [line.split("\t") for line in both.out.splitlines()]
    assert [(line[0], line[4], line[5]) for line in lines] == [
        ("1", "2020-01", "B"),
        ("2", "2020-02", "B"),
        ("1", "2019-03", "A"),
        ("2", "2019-04", "A"),
    ]
    one = run("forecast", model_of_months, "--context", alone, *options).out
    assert [line[:5] for line in lines[2:]] == [line.split("\t") for line in one.splitlines()]
    rows = run("forecast", model_of_months, "--context", long, *options, *named, "--json").out.splitlines()
    assert [json.loads(row)["series"] for row in rows] == ["B", "B", "A", "A"]
    figures = json.loads(run("evaluate", model_of_months, long, *named, "--horizon", "3", "--json").out)
    assert figures["numbers"] == 6
    small = ("--seasonal-period", "12", *SMALL.split())
    trained = run("train", "forecast", "--train", long, "--valid", long, "--out", tmp_path / "m", *named, *small)
    assert trained.code == 0, trained.err
    assert (
        "no such option: --series-column. It is an option of train classify and train tag and train forecast"
        in run("train", "translate", "--train", long, "--out", tmp_path / "n", *named).words
    )
    long.write_text("shop,month,sales\nB,2021-01,1\n" + long.read_text().split("\n", 1)[1].replace("B,", "C,"))
    result = run("forecast", model_of_months, "--context", long, *options, *named)
    assert "series B: context has 1 step, but at least 14 are needed" in result.words
