"""`stepscan bench`: that it runs, that baselines compute the same, and its output. No time is asserted."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

import stepscan as ss
from stepscan.benchmarks import onnx_baseline
from stepscan.benchmarks.report import KINDS
from stepscan.benchmarks.scans import lengths_of_text
from stepscan.benchmarks.timing import compare
from stepscan.cli import app


@pytest.mark.parametrize("make", [ss.LSTM, ss.GRU, ss.Elman])
def test_onnx_runtime_scans_the_same(make: type) -> None:
    cell, inputs = make(5, 7), ss.Sequences(torch.randn(4, 6, 5), [6, 3, 2, 1])
    run = onnx_baseline.scanner(cell, inputs, 1)
    if run is None:
        pytest.skip("onnx and onnxruntime are not installed")
    expected, _ = cell.scan(inputs)
    torch.testing.assert_close(torch.from_numpy(run())[:, 0].swapaxes(0, 1), expected.data, rtol=1e-4, atol=1e-5)


def test_lengths_are_those_of_the_published_tables() -> None:
    lengths = lengths_of_text()
    assert len(lengths) == 32
    assert int(lengths.sum()) == 970
    assert int(lengths.max()) == 60


def test_implementations_alternate() -> None:
    order: list[str] = []
    implementations = {name: lambda name=name: order.append(name) for name in ("stepscan", "other")}
    result = compare("line", implementations, rounds=3, min_seconds=0, prepare=lambda: order.append("prepare"))
    assert order[-12:] == ["stepscan", "prepare", "stepscan", "other", "prepare", "other"] * 2
    assert set(result.ratios) == {"other"}


def test_json(capfd: pytest.CaptureFixture[str]) -> None:
    run = CliRunner().invoke(app, ["bench", "step", "--only", "GRU 16", "--rounds", "1", "--threads", "1", "--json"])
    assert run.exit_code == 0, run.output
    machine, *rows = map(json.loads, run.output.splitlines())
    assert machine["machine"]["torch"] == torch.__version__
    assert [row["name"] for row in rows] == ["GRU 16, step", "GRU 16, one item, training"]
    assert all(seconds > 0 for row in rows for seconds in row["seconds"].values())


def test_table() -> None:
    run = CliRunner().invoke(app, ["bench", "scan", "--only", "Elman 16", "--rounds", "1"])
    assert run.exit_code == 0, run.output
    assert "Elman 16, one row of 1,000, per step" in run.output
    assert "torch packed ÷ stepscan" in run.output


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_benchmarks_are_distinct(kind: str) -> None:
    names = [benchmark.name for benchmark in KINDS[kind](1, 1)]
    assert len(set(names)) == len(names) > 10


def test_unknown_kind() -> None:
    run = CliRunner().invoke(app, ["bench", "scans"])
    assert run.exit_code != 0
    assert "expected a kind of benchmark, got 'scans'. Did you mean 'scan'" in str(run.exception)


def test_only_must_match_a_benchmark() -> None:
    run = CliRunner().invoke(app, ["bench", "step", "--only", "LSTM 255"])
    assert run.exit_code != 0
    assert "expected --only to match a step benchmark, got 'LSTM 255'; omit it to run all" in str(run.exception)
