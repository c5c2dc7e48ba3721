"""What `benchmarks/programs.py peers` compares computes the same."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

import stepscan as ss
from stepscan.cells.catalogue import cell_classes

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import program_peers

HAS_JAX = importlib.util.find_spec("jax") is not None


def case(name):
    torch.manual_seed(0)
    cell = program_peers.Leaky(3, 5) if name == "leaky" else cell_classes()[name](3, 5)
    inputs = ss.Sequences(torch.randn(4, 6, 3, requires_grad=True), torch.tensor([6, 2, 5, 3]))
    return program_peers.Case(cell, inputs, torch.randn(4, 6, 5))


@pytest.mark.parametrize("name", program_peers.CELLS)
def test_all_peers_agree_with_the_program(name, capsys):
    runs, first = program_peers.all_of(name, case(name), compiles=False)
    jax = ["jax", "jax, hoisted"] if HAS_JAX else []
    assert list(runs) == ["program", "loop", *jax]
    assert list(first) == jax
    assert ("JAX is not installed" in capsys.readouterr().out) == (not HAS_JAX)


def test_the_loop_that_is_compiled_agrees_with_the_program(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    leaky = case("leaky")
    run, seconds = program_peers.compiled(leaky)
    expected = program_peers.ours(leaky, lambda: leaky.cell.scan(leaky.inputs))()
    program_peers.check("leaky", expected, run())
    assert seconds >= 0


def test_a_difference_is_an_error():
    one, two = torch.zeros(2), torch.full((2,), 2e-5)
    program_peers.check("gru, jax", (one, [one]), (two / 4, [two]))
    with pytest.raises(ValueError, match=r"expected outputs within 1\.0e-05 of ours, got a difference of 2"):
        program_peers.check("gru, jax", (one, [one]), (two, [one]))
    with pytest.raises(ValueError, match=r"expected gradient 0 within 1\.0e-04"):
        program_peers.check("gru, jax", (one, [one]), (one, [10 * two]))
