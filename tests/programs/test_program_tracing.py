"""What is traced, when a trace is believed, and in which words a step is refused."""

from __future__ import annotations

import copy
import importlib
import pickle
import threading

import numpy as np
import pytest
import torch
from program_cells import Leaky, Plain
from torch import nn
from torch.nn import functional as F

from stepscan.cells.elman import Elman
from stepscan.programs.tracing.traced import traced, why_not_traced
from stepscan.programs.tracing.tracer import trace
from stepscan.programs.tracing.untraceable import Untraceable
from stepscan.programs.tracing.verification import verify
from stepscan.registry import registered


class Tanh(Plain):
    """A base for steps that change one line."""

    def build(self, i, h):
        self.into = nn.Linear(i, h)

    def preactivation(self, x, h):
        return self.into(x) + h


class Branch(Tanh):
    def step(self, x, h):
        h = self.preactivation(x, h)
        if h.abs().max() > 5:
            h = h * 0.5
        return h, h


class Item(Tanh):
    def step(self, x, h):
        h = self.preactivation(x, h) * float(h.mean())
        return h, h


class Noise(Tanh):
    def step(self, x, h):
        h = self.preactivation(x, h) + 0.1 * torch.randn(self.h)
        return h, h


class Dropped(Tanh):
    def step(self, x, h):
        h = F.dropout(self.preactivation(x, h), 0.1, self.training)
        return h, h


class Sorted(Tanh):
    def step(self, x, h):
        h = self.preactivation(x, h).sort(dim=1).values
        return h, h


class MeanOfRows(Tanh):
    def step(self, x, h):
        h = self.preactivation(x, h)
        h = h - h.mean(0, keepdim=True)
        return h, h


class Flattened(Tanh):
    def step(self, x, h):
        h = self.preactivation(x, h).view(-1, 2).flip(0).view(-1, self.h)
        return h, h


class Masked(Tanh):
    def step(self, x, h):
        h = self.preactivation(x, h)
        h = h - h[h > 0].sum()
        return h, h


class InPlace(Tanh):
    def step(self, x, h):
        a = self.preactivation(x, h)
        a.tanh_()
        return a, a


class Attends(Tanh):
    def step(self, x, h):
        h = self.preactivation(x, h)
        h = torch.bmm(h[:, None, :], h[:, :, None]).flatten(1) + h
        return h, h


class OtherState(Tanh):
    def step(self, x, h):
        h = self.preactivation(x, h)
        return h, torch.cat([h, h], 1)


class WithoutGradient(Tanh):
    def step(self, x, h):
        with torch.no_grad():
            h = self.preactivation(x, h)
        return h, h


class ByPosition(Tanh):
    def step(self, x, h):
        h = self.preactivation(x, h) + torch.arange(len(x))[:, None]
        return h, h


class ByBatchSize(Tanh):
    def step(self, x, h):
        h = self.preactivation(x, h) * len(x)
        return h, h


class Rounds(Tanh):
    def step(self, x, h):
        h = self.preactivation(x, h).long().to(x.dtype)
        return h, h


class Breaks(Tanh):
    def step(self, x, h):
        raise RuntimeError("the step's own error")


class Counts(Tanh):
    count = 0

    def step(self, x, h):
        self.count += 1
        h = self.preactivation(x, h) * self.count
        return h, h


class NormOfBatch(Tanh):
    def build(self, i, h):
        self.into, self.norm = nn.Linear(i, h), nn.BatchNorm1d(h)

    def step(self, x, h):
        h = self.norm(self.preactivation(x, h))
        return h, h


@pytest.mark.parametrize(
    ("cell", "line", "words"),
    [
        (Branch, "if h.abs().max() > 5:", "looks at a number that it has computed"),
        (Item, "float(h.mean())", "write it with torch.where"),
        (Noise, "torch.randn(self.h)", "draws random numbers (randn)"),
        (Dropped, "F.dropout", "draws random numbers (dropout)"),
        (Sorted, "sort(dim=1)", "uses sort, which a program does not have"),
        (MeanOfRows, "h.mean(0, keepdim=True)", "mixes the rows of a batch (dimension 0)"),
        (Flattened, "view(-1, 2)", "the batch must remain a dimension of its own"),
        (Masked, "h[h > 0]", "write a mask as torch.where"),
        (InPlace, "a.tanh_()", "changes a tensor in place (tanh_): write tanh"),
        (Attends, "torch.bmm", "multiplies two things that both change from row to row"),
        (OtherState, "", "returns a state of the shapes [[7, 12]], not [[7, 6]]"),
        (WithoutGradient, "", "no_grad, autocast): write .detach()"),
        (ByPosition, "torch.arange(len(x))", "has other numbers for each row of a batch"),
        (ByBatchSize, "", "does not do what was recorded of it (the output of random rows differs by"),
        (Rounds, ".long()", "rounds or counts (to torch.int64)"),
        (Breaks, "raise RuntimeError", "the step's own error"),
        (Counts, "", "changes count: what a step keeps belongs in its state"),
        (NormOfBatch, "self.norm(", "batch_norm in training"),
    ],
)
def test_refuses_in_one_line(cell, line, words):
    made = cell(3, 6)
    reason = why_not_traced(made)
    assert words in reason
    assert reason.startswith(f"{cell.__name__}.step")
    assert line in reason
    assert "\n" not in reason
    if line:
        assert "test_program_tracing.py, line " in reason
    assert traced(made) is None


def test_says_why_once(caplog):
    importlib.import_module("stepscan.programs.tracing.traced")._said.clear()
    with caplog.at_level("WARNING", logger="stepscan"):
        for _ in range(2):
            assert traced(Sorted(3, 6)) is None
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.endswith("if you can; the cell runs as a loop in PyTorch")


def test_batch_norm_and_dropout_in_evaluation():
    assert why_not_traced(NormOfBatch(3, 6).eval()) == ""
    assert why_not_traced(Dropped(3, 6).eval()) == ""
    dropped = Dropped(3, 6)
    assert traced(dropped) is None
    assert traced(dropped.eval()) is not None
    assert traced(dropped.train()) is None


def test_a_subclass_is_traced_by_its_own_step():
    class Doubled(Elman):
        def step(self, x, state):
            h, _ = super().step(x, state)
            return 2 * h, type(state)(2 * h)

    cell = Doubled(3, 4)
    found = traced(cell)
    assert any(value.op == "constant" and value.attribute == (2.0,) for value in found.trace.program.values)


RATE = 0.5
TABLE = np.array([0.25, 0.75])


def gate(h):
    return RATE * h


class Settings:
    scale = 1.0

    def __init__(self):
        self.gain = 2.0

    def scaled(self, h):
        return self.scale * h


def make_closed(factor):
    class Closed(Tanh):
        offset = 1.0

        def __init__(self, i, h):
            super().__init__(i, h)
            self.settings, self.table, self.constant = Settings(), [1.0, 2.0], torch.ones(h)

        def step(self, x, h):
            h = gate(self.preactivation(x, h)) * factor["a"] + self.offset + self.settings.gain * self.table[1]
            return h * self.constant, self.settings.scaled(h) * float(TABLE[0])

    return Closed


def changes():
    def set_global(cell, factor, patch):
        patch.setitem(globals(), "RATE", 0.75)

    def set_array(cell, factor, patch):
        patch.setitem(globals(), "TABLE", TABLE + 1)

    def fill_array(cell, factor, patch):
        TABLE[0] += 1

    def set_closure(cell, factor, patch):
        factor["a"] = 4.0

    def set_class(cell, factor, patch):
        type(cell).offset = 3.0

    def set_attribute(cell, factor, patch):
        cell.settings.gain = 5.0

    def set_class_of_attribute(cell, factor, patch):
        patch.setattr(Settings, "scale", 3.0)

    def set_item(cell, factor, patch):
        cell.table[1] = 7.0

    def set_tensor(cell, factor, patch):
        cell.constant = torch.full((6,), 3.0)

    def fill_tensor(cell, factor, patch):
        cell.constant.data.fill_(5.0)

    return [value for name, value in sorted(locals().items())]


@pytest.mark.parametrize("change", changes())
def test_what_a_step_reads_may_change(change, monkeypatch):
    factor = {"a": 3.0}
    cell = make_closed(factor)(3, 6)
    first = traced(cell)
    assert traced(cell) is first
    change(cell, factor, monkeypatch)
    again = traced(cell)
    assert again is not None
    assert again is not first
    verify(cell, again.trace)
    if change.__name__ != "fill_tensor":  # whose values are read anew for each scan
        with pytest.raises(Untraceable):
            verify(cell, first.trace)


def test_a_buffer_may_change_without_a_new_trace():
    class Scaled(Tanh):
        def build(self, i, h):
            super().build(i, h)
            self.register_buffer("scale", torch.ones(h))

        def step(self, x, h):
            h = self.preactivation(x, h) * self.scale
            return h, h

    cell = Scaled(3, 6)
    first = traced(cell)
    cell.scale.fill_(3.0)
    assert traced(cell) is first
    names = [name for name, _ in first.trace.program.weights]
    assert first.trace.weights(cell)[names.index("scale")].tolist() == [3.0] * 6


def test_follows_weights_of_a_functional_call():
    class Inside(Leaky):
        def forward(self, x):
            found = traced(self)
            return found, found.trace.weights(self)

    cell = Inside(3, 6)
    first, _ = cell(None)
    other = {name: 0 * p for name, p in cell.named_parameters()}
    found, weights = torch.func.functional_call(cell, other, (None,))
    assert all(float(weight.detach().abs().sum()) == 0 for weight in weights)
    assert torch.autograd.grad(weights[0].sum(), cell.into.weight)[0].abs().sum() == 0
    assert found.trace.program == first.trace.program
    assert cell(None)[0] is first


GLOBAL_MAP = nn.Linear(6, 6)
LARGE = np.zeros((200, 200))


def test_what_is_read_from_outside_is_refused_or_followed():
    class Outside(Tanh):
        def step(self, x, h):
            h = torch.tanh(self.preactivation(x, h) + GLOBAL_MAP(h))
            return h, h

    class Large(Tanh):
        def step(self, x, h):
            h = torch.tanh(self.preactivation(x, h) + float(LARGE[0, 0]))
            return h, h

    assert "reads a parameter that is not the cell's" in why_not_traced(Outside(3, 6))
    assert why_not_traced(Large(3, 6)).endswith("reads LARGE, a NumPy array of 320,000 bytes: make it a buffer")
    GLOBAL_MAP.requires_grad_(False)
    cell = Outside(3, 6)
    first = traced(cell)
    GLOBAL_MAP.weight.add_(1.0)
    assert traced(cell) is not first
    verify(cell, traced(cell).trace)


def test_mode_dtype_and_hooks_are_part_of_the_key():
    cell = Leaky(3, 6)
    first = traced(cell)
    cell.eval()
    assert traced(cell) is not None
    cell.train()
    assert traced(cell) is first
    cell.double()
    assert traced(cell) is not first
    handle = cell.into.register_forward_hook(lambda module, args, result: result * 2)
    assert why_not_traced(cell).endswith("calls a module with hooks, which a program does not run")
    handle.remove()
    assert traced(cell) is not None
    cell.into.weight.requires_grad_(False)
    assert traced(cell) is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_default_dtypes(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        assert why_not_traced(Leaky(3, 6)) == ""
        assert why_not_traced(registered("mingru")(3, 6)) == ""
    finally:
        torch.set_default_dtype(before)


def test_a_step_of_one_dtype_is_compared_in_it():
    class Single(Tanh):
        def step(self, x, h):
            h = torch.tanh(self.preactivation(x, h) + F.linear(x, torch.ones(6, 3)))
            return h, h

    assert why_not_traced(Single(3, 6)) == ""


def test_is_left_alone_when_it_keeps_changing():
    class Annealed(Tanh):
        temperature = 1.0

        def step(self, x, h):
            h = torch.tanh(self.preactivation(x, h) / self.temperature)
            return h, h

    cell = Annealed(3, 6)
    for k in range(8):
        cell.temperature = 1.0 + k
        assert traced(cell) is not None
    cell.temperature = 10.0
    assert "reads what keeps changing (Annealed.temperature): make it a buffer" in why_not_traced(cell)


def test_copies_and_pickles_start_without_a_trace():
    cell = Leaky(3, 6)
    assert traced(cell) is not None
    twin = copy.deepcopy(cell)
    assert twin.__dict__["_stepscan_program"].last is None
    assert traced(twin) is not None
    assert pickle.loads(pickle.dumps(cell)).__dict__["_stepscan_program"].last is None
    assert "_stepscan_program" not in cell.state_dict()


def test_does_not_touch_the_generator_or_the_weights():
    cell = Leaky(3, 6)
    before, state = copy.deepcopy(cell.state_dict()), torch.get_rng_state()
    assert traced(cell) is not None
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in cell.state_dict().items())
    assert all(parameter.grad is None for parameter in cell.parameters())


def test_threads_share_one_trace():
    cell, found = Leaky(3, 6), []
    threads = [threading.Thread(target=lambda: found.append(traced(cell))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(result is found[0] for result in found)
    assert found[0] is not None


def test_is_not_traced_inside_transforms():
    cell = Leaky(3, 6)
    seen = []

    def inside(x):
        seen.append(traced(cell))
        return x.sum()

    torch.func.grad(inside)(torch.zeros(3))
    assert seen == [None]


def test_derived_weights_keep_their_gradients():
    class Rated(Tanh):
        def build(self, i, h):
            super().build(i, h)
            self.rate = nn.Parameter(torch.zeros(h))

        def step(self, x, h):
            h = torch.exp(-F.softplus(self.rate)) * h + self.into(x)
            return h, h

    cell = Rated(3, 6)
    found = trace(cell)
    (derived,) = found.derived
    weight = found.weights(cell)[derived]
    assert weight.tolist() == pytest.approx([0.5] * 6)
    weight.sum().backward()
    assert cell.rate.grad.tolist() == pytest.approx([-0.25] * 6)


def test_products_of_a_joined_row_become_two():
    program = trace(Leaky(3, 6)).program
    products = [value.attribute for value in program.values if value.op == "product"]
    assert products == [(0, 0, 6, 0, 3, 1), (0, 0, 6, 3, 9, -1)]
    assert program.depends.count("x") == 2  # x and its product: made for all items at once
