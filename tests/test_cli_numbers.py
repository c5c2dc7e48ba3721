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
    assert (figures["accuracy"], figures["texts"]) == (1.0, 40)
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


def test_refused(ts, models, run, tmp_path):
    result = run("predict", models["classify"], "--input", ts)
    assert result.code == 1
    assert "a.ts holds numbers, but the model reads texts" in result.words
    bad = tmp_path / "bad.ts"
    bad.write_text("1,2:a\n3,?:b\n")
    result = run("train", "classify", "--train", bad, "--out", tmp_path / "m")
    assert "bad.ts, line 2: value 2 of dimension 1 is missing (?)." in result.words
    result = run("train", "tag", "--train", ts, "--out", tmp_path / "m")
    assert "Format 'ts' has one label a series, not one a step" in result.words
