"""Programs where numbers end: rows of zeros, NaN, and what the rows of a recorded step do not show."""

from __future__ import annotations

import importlib
import warnings

import pytest
import torch
from program_cells import Leaky, Plain
from torch import nn
from torch.nn import functional as F

import stepscan as ss
from stepscan.kernels.native import library
from stepscan.programs.tracing import tracer
from stepscan.programs.tracing.traced import traced, why_not_traced

native = pytest.mark.skipif(library is None, reason="the native library was not built")
NAN = float("nan")


class Pair(Plain):
    """A base: `into` of x without a bias, `back` of the state."""

    def build(self, i, h):
        self.into, self.back = nn.Linear(i, h, bias=False), nn.Linear(h, h)


class UnitInput(Pair):
    def step(self, x, h):
        h = torch.tanh(F.normalize(self.into(x), dim=-1) + self.back(h))
        return h, h


class Standardised(Pair):
    def step(self, x, h):
        a = self.into(x)
        h = torch.tanh(a / (a.std(-1, keepdim=True) + 1e-3) + self.back(h))
        return h, h


class UnitHeads(Pair):
    """Two norms side by side."""

    def step(self, x, h):
        unit = F.normalize(self.into(x).view(-1, 2, self.h // 2), dim=-1).flatten(1)
        h = torch.tanh(self.back(unit) + self.back(h))
        return h, h


class LearnedStart(Pair):
    def build(self, i, h):
        super().build(i, h)
        self.start = nn.Parameter(torch.zeros(h))

    def initial_state(self, batch_size, *, device=None, dtype=None):
        return self.start.expand(batch_size, -1).to(dtype or self.start.dtype)

    def step(self, x, h):
        h = torch.tanh(self.into(x) + self.back(F.normalize(h, dim=-1)))
        return h, h


def sequences(bad=0.0):
    torch.manual_seed(0)
    data = torch.randn(3, 5, 3)
    data[0, 2] = bad
    return ss.Sequences(data.requires_grad_(), torch.tensor([5, 3, 0]))


def results(cell, inputs, loop):
    """Output, gradients, and gradients of a function of these."""
    if loop:
        with ss.kernels.use("reference"):
            y, _ = cell.scan(inputs)
    else:
        y, _ = cell.scan(inputs)
    sources = [inputs.data, *cell.parameters()]
    first = torch.autograd.grad((y.zeroed().data ** 2).sum(), sources, create_graph=True)
    second = torch.autograd.grad(sum((d**2).sum() for d in first), sources)
    return [y.zeroed().data, *first, *second]


@native
@pytest.mark.parametrize("cls", [UnitInput, Standardised, UnitHeads, LearnedStart])
def test_a_norm_of_zeros_has_the_gradient_zero(cls):
    torch.manual_seed(1)
    cell = cls(3, 4)
    assert why_not_traced(cell) == ""
    inputs = sequences()
    count = 2 + len(list(cell.parameters()))
    found, expected = results(cell, inputs, False), results(cell, inputs, True)
    for a, b in zip(found[:count], expected[:count], strict=True):
        assert b.isfinite().all()
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.detach().abs().max()))
    assert all(d.isfinite().all() for d in found)


def test_a_root_of_zero_keeps_its_infinite_gradient():
    class Root(Pair):
        def step(self, x, h):
            h = torch.tanh(torch.sqrt(self.into(x) ** 2) + self.back(h))
            return h, h

    assert why_not_traced(Root(3, 4)) == ""
    ops = [value.op for value in traced(Root(3, 4)).trace.program.values]
    assert "sqrt" in ops
    assert "where" not in ops


def test_gradients_that_are_nan_at_zeros_are_not_believed(monkeypatch):
    def root(t, row, *args, **kwargs):
        return t.elements("sqrt", tracer._RULES[torch.ops.aten.var](t, row, *args, **kwargs))

    monkeypatch.setitem(tracer._RULES, torch.ops.aten.std, root)
    assert "(the gradient of x is NaN for rows with zeros)" in why_not_traced(Standardised(3, 4))


COMPARISONS = {
    "equal": lambda x, h: torch.where(x == x, x, h),
    "differs": lambda x, h: torch.where(x != x, h, x),
    "equal to a number": lambda x, h: (x == 0.0) * 1.0,
    "differs from a number": lambda x, h: (x != 0.0) * 1.0,
    "is NaN": lambda x, h: torch.where(torch.isnan(x), h, x),
    "at least": lambda x, h: torch.where(x >= 0, x, h),
    "at most": lambda x, h: torch.where(x <= h, x, h),
    "at least itself": lambda x, h: torch.where(x >= x, 1.0, h),
    "greater": lambda x, h: torch.where(x > 0, 1.0, h),
    "less": lambda x, h: torch.where(x < 0, 1.0, h),
    "not less": lambda x, h: torch.where(torch.logical_not(x < h), 1.0, h),
}


@native
@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_with_nan(name):
    class Compares(Pair):
        def step(self, x, h):
            h = torch.tanh(self.into(COMPARISONS[name](x, h)) + self.back(h))
            return h, h

    torch.manual_seed(2)
    cell = Compares(3, 3)
    assert why_not_traced(cell) == ""
    torch.manual_seed(0)
    data = torch.randn(3, 5, 3)
    data[0, 1, 0], data[1, 0] = NAN, torch.tensor([0.0, -0.0, float("inf")])
    inputs = ss.Sequences(data, torch.tensor([5, 3, 5]))
    y = cell.scan(inputs)[0].zeroed().data
    with ss.kernels.use("reference"):
        expected = cell.scan(inputs)[0].zeroed().data
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_a_comparison_that_takes_nan_for_a_number_is_not_believed(monkeypatch):
    class AtLeast(Pair):
        def step(self, x, h):
            h = torch.tanh(self.into(torch.where(x >= 0, x, 0.0)) + self.back(h))
            return h, h

    def wrong(t, a, b):
        return t.elements("subtract", 1.0, t.elements("greater", b, a))

    assert why_not_traced(AtLeast(3, 4)) == ""
    monkeypatch.setitem(tracer._RULES, torch.ops.aten.ge, wrong)
    assert "the output of rows with NaN differs" in why_not_traced(AtLeast(3, 4))


def test_gradual_unfreezing_is_traced_anew_for_each_structure():
    class Deep(Pair):
        def build(self, i, h):
            super().build(i, h)
            self.layers = nn.ModuleList(nn.Linear(h, h) for _ in range(10))

        def step(self, x, h):
            a = self.into(x)
            for layer in self.layers:
                a = torch.tanh(layer(a))
            h = torch.tanh(a + self.back(h))
            return h, h

    cell = Deep(3, 4)
    cell.layers.requires_grad_(False)
    for layer in cell.layers:
        assert why_not_traced(cell) == ""
        layer.requires_grad_(True)
    assert why_not_traced(cell) == ""


def test_a_structure_that_keeps_changing_is_left_alone(monkeypatch):
    class Grows(Pair):
        def step(self, x, h):
            h = torch.tanh(self.into(x) + self.back(h) * self.seen.sum())
            return h, h

    monkeypatch.setattr(importlib.import_module("stepscan.programs.tracing.traced"), "_MOST_STRUCTURES", 2)
    cell = Grows(3, 4)
    for size, words in ((1, ""), (2, ""), (3, "has been traced with 2 structures")):
        cell.register_buffer("seen", torch.ones(size))
        reason = why_not_traced(cell)
        assert words in reason
        assert bool(words) is bool(reason)
    cell.register_buffer("seen", torch.ones(1))
    assert why_not_traced(cell) == ""


class ManyRows(Pair):
    def step(self, x, h):
        h = torch.tanh(self.into(x) * (1.0 if len(x) <= 8 else 2.0) + self.back(h))
        return h, h


class AsksForGradients(Pair):
    def step(self, x, h):
        a = self.into(x)
        if not torch.is_grad_enabled():
            a = a * 0
        h = torch.tanh(a + self.back(h))
        return h, h


@pytest.mark.parametrize("cls", [ManyRows, AsksForGradients])
def test_a_step_that_asks_how_it_is_run_is_not_believed(cls):
    assert "the output of many rows without gradients differs" in why_not_traced(cls(3, 4))


def test_a_hook_of_all_modules_runs():
    cell, seen = Leaky(3, 4), []
    inputs = sequences()
    cell.scan(inputs)
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, result: seen.append(module))
    try:
        assert why_not_traced(cell).endswith("calls a module with hooks, which a program does not run")
        cell.scan(inputs)
    finally:
        handle.remove()
    assert cell.into in seen
    assert why_not_traced(cell) == ""


def test_tracing_warns_of_nothing():
    class Divides(Pair):
        def step(self, x, h):
            h = torch.tanh(self.into(x) / x.sum(-1, keepdim=True) + torch.log(h.abs()))
            return h, h

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert why_not_traced(Divides(3, 4)) == ""
