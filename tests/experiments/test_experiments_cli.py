"""`stepscan reproduce` of experiments."""

from __future__ import annotations

import json

import pytest

from stepscan.experiments import catalogue, order


@pytest.fixture
def short(monkeypatch):
    """`order-2` with two updates."""
    make = lambda: order.experiment()._replace(updates=2, updates_per_evaluation=1)  # noqa: E731
    monkeypatch.setitem(catalogue._EXPERIMENTS, "order-2", make)


def test_run(short, run):
    done = run("reproduce", "order-2", "--seed", 3, "--time-budget", "20s", "--quiet", "--json")
    result = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert result["command"] == "stepscan reproduce order-2 --seed 3 --time-budget 20s"
    assert (result["budget"], result["seed"]) == (20, 3)
    assert [row["updates"] for row in result["rows"]] == [2, 2, 2]
    assert [row["expected"] for row in result["rows"]] == ["≥ 99", "", ""]
    assert result["rows"][0]["as_expected"] is False
    assert result["baselines"] == [{"what": "chance", "figure": 25.0}]


def test_shown(short, run):
    done = run("reproduce", "order-2")
    for words in ("Temporal order, two symbols", "LSTM", "≥ 99", "not as", "chance", "seed 0", "at most"):
        assert words in done.out
    assert "order-2: LSTM" in done.err


def test_all_of_chomsky(run, monkeypatch):
    for name, make in list(catalogue._EXPERIMENTS.items()):
        shorter = lambda make=make: make()._replace(updates=1, updates_per_evaluation=1, seconds=1e6)  # noqa: E731
        monkeypatch.setitem(catalogue._EXPERIMENTS, name, shorter)
    lines = run("reproduce", "chomsky", "--json", "--quiet").out.splitlines()
    expected = {(run := json.loads(line))["experiment"]: [row["expected"] for row in run["rows"]] for line in lines}
    assert expected == {
        "chomsky-parity": ["paper 100 (≥ 90)", "", "paper 100 (≥ 90)"],
        "chomsky-even-pairs": ["paper 100 (≥ 90)", "", "paper 100 (≥ 90)"],
        "chomsky-modular-arithmetic": ["paper 100 (≥ 90)", "", "paper 100 (≥ 90)"],
        "chomsky-cycle-navigation": ["paper 100 (≥ 90)", "", "paper 100 (≥ 90)"],
        "chomsky-bucket-sort": ["paper 27.9", "", "paper 99.3 (≥ 90)"],
        "chomsky-reverse": ["paper 62", "", "paper 60.9"],
    }


def test_cells_of_chomsky(run, monkeypatch):
    make = catalogue._EXPERIMENTS["chomsky-parity"]
    shorter = lambda **chosen: make(**chosen)._replace(updates=1, updates_per_evaluation=1, seconds=1e6)  # noqa: E731
    monkeypatch.setitem(catalogue._EXPERIMENTS, "chomsky-parity", shorter)
    result = json.loads(run("reproduce", "chomsky-parity", "--cells", "mgu, elman", "--json", "--quiet").out)
    assert result["command"] == "stepscan reproduce chomsky-parity --cells mgu,elman --seed 0"
    assert [row["cell"] for row in result["rows"]] == ["mgu", "RNN (Elman, relu)", "RNN (Elman, tanh)"]


def test_listed(run):
    assert all(name in run("reproduce").out for name in ("g2p-dutch", "adding-200", "chomsky-reverse", "counter"))
    rows = {(row := json.loads(line))["name"]: row for line in run("reproduce", "--json").out.splitlines()}
    assert rows["adding-200"]["metric"]["label"] == "mean squared error"
    assert rows["adding-200"]["cells"] == {
        "LSTM": "< 0.01",
        "IRNN, growing lengths": "< 0.01",
        "Elman, tanh": "near 0.167",
        "Elman, tanh, growing lengths": "",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("adding-20", "unknown recipe 'adding-20'. Did you mean 'adding-200'?"),
        ("counter --data here", "counter is an experiment, which generates its data and keeps no model; omit --data"),
        ("counter --out here", "omit --out"),
        ("counter --cells gru", "only chomsky and its tasks take cells, not counter; omit --cells"),
        ("g2p-dutch --cells gru", "only chomsky and its tasks take cells, not g2p-dutch; omit --cells"),
        ("chomsky --cells gruu", "unknown cell 'gruu'. Did you mean 'gru'?"),
        ("counter --time-budget soon", "time_budget: expected a duration such as 90s, 10m or 1h30m, got 'soon'"),
    ],
)
def test_refused(run, arguments, message):
    done = run("reproduce", *arguments.split(), "--quiet")
    assert (done.code, done.out) == (1, "")
    assert message in done.words
    done = run("reproduce", "counter", "--seed", "-1", "--quiet")
    assert (done.code, done.out) == (2, "")
    assert "Invalid value for '--seed': -1 is not in the range" in done.words
