"""A trace is not believed once the cell is another: tied weights, exchanged modules, attributes that appear."""

from __future__ import annotations

import pytest
import torch
from program_cells import Plain
from torch import nn

from stepscan.programs.tracing.traced import traced
from stepscan.programs.tracing.untraceable import Untraceable
from stepscan.programs.tracing.verification import verify


def assert_traced_anew(cell, change):
    """Trace, change, trace again: the new program is right and the old one would have been wrong."""
    first = traced(cell)
    assert first is not None
    assert traced(cell) is first
    change()
    again = traced(cell)
    assert again is not None
    assert again is not first
    verify(cell, again.trace)
    with pytest.raises((Untraceable, KeyError)):
        verify(cell, first.trace)


class Tied(Plain):
    def build(self, i, h):
        self.into, self.u, self.v = nn.Linear(i, h), nn.Linear(h, h, bias=False), nn.Linear(h, h, bias=False)
        self.v.weight = self.u.weight

    def step(self, x, h):
        h = torch.tanh(self.into(x) + self.u(torch.tanh(self.v(h))))
        return h, h


def test_tied_weights_that_are_untied():
    cell = Tied(3, 6)
    assert_traced_anew(cell, lambda: setattr(cell.v, "weight", nn.Parameter(torch.randn(6, 6))))
    cell = Tied(3, 6)
    tensors = {name: torch.randn_like(tensor) for name, tensor in cell.state_dict().items()}
    assert_traced_anew(cell, lambda: cell.load_state_dict(tensors, assign=True))


def test_weights_that_are_tied_later():
    cell = Tied(3, 6)
    tied = traced(cell)
    cell.v.weight = nn.Parameter(torch.randn(6, 6))
    assert_traced_anew(cell, lambda: setattr(cell.v, "weight", cell.u.weight))
    assert traced(cell) is tied  # a structure that was seen before


class Shared(Plain):
    """`b` is `a`; `last` is one of `a` and `c`."""

    def build(self, i, h):
        self.into, self.a, self.c = nn.Linear(i, h), nn.Linear(h, h), nn.Linear(h, h)
        self.b, self.last = self.a, self.c

    def step(self, x, h):
        h = torch.tanh(self.into(x) + self.a(h) + 2 * self.c(h) + 3 * self.b(h) + 4 * self.last(h))
        return h, h


def test_a_module_of_two_names_keeps_its_weights():
    cell = Shared(3, 6)
    before = list(cell.parameters())
    assert traced(cell) is not None
    assert all(now is then for now, then in zip(cell.parameters(), before, strict=True))
    assert all(type(parameter) is nn.Parameter for parameter in before)


def test_a_module_that_is_shared_in_another_way():
    cell = Shared(3, 6)
    assert_traced_anew(cell, lambda: setattr(cell, "last", cell.a))
