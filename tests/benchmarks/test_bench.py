"""`stepscan bench`: that it runs, that rivals compute the same, and what it prints. No time is asserted."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

import stepscan as ss
from stepscan.benchmarks import onnx_rival
from stepscan.benchmarks.race import race
from stepscan.benchmarks.report import KINDS
from stepscan.benchmarks.scans import lengths_of_text
from stepscan.cli import app


@pytest.mark.parametrize("make", [ss.LSTM, ss.GRU, ss.Elman])
def test_onnx_runtime_scans_the_same(make: type) -> None:
    cell, inputs = make(5, 7), ss.Sequences(torch.randn(4, 6, 5), [6, 3, 2, 1])
    run = onnx_rival.scanner(cell, inputs, 1)
    if run is None:
        pytest.skip("onnx and onnxruntime are not installed")
    expected, _ = cell.scan(inputs)
    torch.testing.assert_close(torch.from_numpy(run())[:, 0].swapaxes(0, 1), expected.data, rtol=1e-4, atol=1e-5)


def test_lengths_are_those_of_the_published_tables() -> None:
    lengths = lengths_of_text()
    assert len(lengths) == 32
    assert int(lengths.sum()) == 970
    assert int(lengths.max()) == 60


def test_rivals_take_turns() -> None:
    order: list[str] = []
    runners = {name: lambda name=name: order.append(name) for name in ("stepscan", "other")}
    result = race("line", runners, rounds=3, least_seconds=0, prepare=lambda: order.append("prepare"))
    assert order[-12:] == ["stepscan", "prepare", "stepscan", "other", "prepare", "other"] * 2
    assert set(result.ratios) == {"other"}


def test_json(capfd: pytest.CaptureFixture[str]) -> None:
    found = CliRunner().invoke(app, ["bench", "step", "--only", "GRU 16", "--rounds", "1", "--threads", "1", "--json"])
    assert found.exit_code == 0, found.output
    machine, *rows = map(json.loads, found.output.splitlines())
    assert machine["machine"]["torch"] == torch.__version__
    assert [row["name"] for row in rows] == ["GRU 16, step", "GRU 16, one item, training"]
    assert all(seconds > 0 for row in rows for seconds in row["seconds"].values())


def test_table() -> None:
    found = CliRunner().invoke(app, ["bench", "scan", "--only", "Elman 16", "--rounds", "1"])
    assert found.exit_code == 0, found.output
    assert "Elman 16, one row of 1,000, a step" in found.output
    assert "torch packed ÷ ours" in found.output


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_has_a_name_of_its_own(kind: str) -> None:
    names = [line.name for line in KINDS[kind](1, 1)]
    assert len(set(names)) == len(names) > 10


def test_unknown_kind() -> None:
    found = CliRunner().invoke(app, ["bench", "scans"])
    assert found.exit_code != 0
    assert "no benchmark 'scans'. Did you mean 'scan'" in str(found.exception)


def test_a_choice_of_no_line() -> None:
    found = CliRunner().invoke(app, ["bench", "step", "--only", "LSTM 255"])
    assert found.exit_code != 0
    assert "no line of step has 'LSTM 255' in its name; without --only all are shown" in str(found.exception)
