"""A trace is not believed once the cell is another: tied weights, exchanged modules, attributes that appear."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from program_cells import Plain
from torch import nn

from stepscan.programs.tracing.traced import traced, why_not_traced
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


class Library(Plain):
    def build(self, i, h):
        self.into, self.norm = nn.Linear(i + h, h), nn.LayerNorm(h)
        self.leaky, self.drop = nn.LeakyReLU(0.1), nn.Dropout(0.0)

    def step(self, x, h):
        h = self.leaky(self.norm(self.into(torch.cat([x, h], 1))))
        return self.drop(h), h


@pytest.mark.parametrize(("module", "name"), [("norm", "eps"), ("leaky", "negative_slope")])
def test_attributes_of_torch_modules(module, name):
    cell = Library(3, 6)
    assert_traced_anew(cell, lambda: setattr(getattr(cell, module), name, 0.7))


def test_dropout_that_begins():
    cell = Library(3, 6)
    assert traced(cell) is not None
    cell.drop.p = 0.5
    assert "draws random numbers" in why_not_traced(cell)
    cell.eval()
    assert why_not_traced(cell) == ""


def test_an_exchanged_module_of_the_same_kind():
    cell = Library(3, 6)
    assert_traced_anew(cell, lambda: setattr(cell, "leaky", nn.LeakyReLU(0.7)))


class Alpha:
    alpha = 0.5


class Slots:
    __slots__ = ("alpha",)

    def __init__(self):
        self.alpha = 0.5


class Act:
    def __init__(self):
        self.gain_of_act = 0.5

    def __call__(self, h):
        return self.gain_of_act * h


def of_class(cell, x):
    return cell.factor * x


def by_getattr(cell, x):
    return getattr(cell, "later", 0.5) * x


def of_object(cell, x):
    return cell.settings.alpha * x


def of_slots(cell, x):
    return cell.slots.alpha * x


def of_callable(cell, x):
    return cell.act(x)


def of_container(cell, x):
    return cell.table["a"][0](x)


def of_partial(cell, x):
    return cell.part(x)


GAIN = 0.5


def gained(h):
    return GAIN * h


class Reader(Plain):
    factor = 0.5

    def __init__(self, i, h, read):
        super().__init__(i, h)
        self.read, self.settings, self.slots, self.act = read, Alpha(), Slots(), Act()
        self.table, self.part = {"a": [gained]}, functools.partial(gained)

    def step(self, x, h):
        h = torch.tanh(self.read(self, self.into(torch.cat([x, h], 1))))
        return h, h


def set_gain():
    globals()["GAIN"] = 0.75 if GAIN == 0.5 else 0.5


@pytest.mark.parametrize(
    ("read", "change"),
    [
        (of_class, lambda cell: setattr(cell, "factor", 0.1)),
        (by_getattr, lambda cell: setattr(cell, "later", 0.1)),
        (of_object, lambda cell: setattr(cell.settings, "alpha", 0.1)),
        (of_slots, lambda cell: setattr(cell.slots, "alpha", 0.1)),
        (of_callable, lambda cell: setattr(cell.act, "gain_of_act", 0.1)),
        (of_container, lambda cell: set_gain()),
        (of_partial, lambda cell: set_gain()),
        (of_class, lambda cell: setattr(cell, "step", lambda x, h: (0.5 * h, 0.5 * h))),
    ],
)
def test_what_appears_or_is_read_indirectly(read, change):
    cell = Reader(3, 6, read)
    assert_traced_anew(cell, lambda: change(cell))


def test_an_attribute_that_no_step_reads_may_appear():
    cell = Reader(3, 6, of_class)
    first = traced(cell)
    cell.note = "a remark"
    assert traced(cell) is first


def test_a_shallow_copy_has_traces_of_its_own():
    cell = Reader(3, 6, of_class)
    first = traced(cell)
    twin = copy.copy(cell)
    twin.factor = 0.1
    assert traced(twin) is not first
    verify(twin, traced(twin).trace)
    assert traced(cell) is first


def test_a_module_in_a_plain_list():
    class Listed(Plain):
        def __init__(self, i, h):
            super().__init__(i, h)
            self.others = [nn.Sequential(nn.Linear(h, h), nn.LeakyReLU(0.1)).requires_grad_(False)]

        def step(self, x, h):
            h = self.others[0](self.into(torch.cat([x, h], 1)))
            return h, h

    cell = Listed(3, 6)
    inner = cell.others[0]
    assert_traced_anew(cell, lambda: setattr(inner[1], "negative_slope", 0.7))
    assert_traced_anew(cell, lambda: setattr(inner[0], "weight", nn.Parameter(torch.randn(6, 6), False)))
    assert_traced_anew(cell, lambda: inner.append(nn.Tanh()))
