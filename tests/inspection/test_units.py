"""Hidden states, and the search for units that track something, on a cell whose units are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import stepscan as ss
from stepscan.inspection import (
    gate_statistics,
    hidden_states,
    inside_quotes,
    nesting_depth,
    position_in_line,
    text_property,
    unit_correlations,
)
from stepscan.inspection.units import TEXT_PROPERTIES

TEXT = 'He said "so (it [is])" to me\nand (I (heard)) it: "yes"\n(done)'


class Keeping(ss.Recurrence):
    """Reads code points. Unit 0 is noise, 1 minus the depth of brackets, 2 whether quotes are open, 3 the place in the
    line, 4 stands still."""

    input_size, output_size = 1, 5

    def initial_state(self, batch_size, *, device=None, dtype=None):
        return torch.zeros(batch_size, 5, device=device, dtype=dtype)

    def step(self, x, state):
        code = x[:, 0].round().long()
        _, depth, quoted, place, still = state.unbind(dim=1)
        opened = torch.isin(code, torch.tensor([ord(c) for c in "([{"])).to(x.dtype)
        closed = torch.isin(code, torch.tensor([ord(c) for c in ")]}"])).to(x.dtype)
        depth = (depth - opened + closed).clamp(max=0)
        quoted = torch.where(code == ord('"'), 1 - quoted, quoted)
        place = torch.where(code == ord("\n"), 0, place + 0.01)
        new = torch.stack([(code * 37 % 11).to(x.dtype), depth, quoted, place, still], dim=1)
        return new, new


def read(*texts: str) -> ss.Sequences:
    return ss.Sequences.pad([torch.tensor([[float(ord(c))] for c in text]) for text in texts])


@pytest.mark.parametrize(("name", "unit"), [("nesting depth", 1), ("inside quotes", 2), ("position in line", 3)])
def test_finds_the_unit_that_tracks(name, unit):
    states = hidden_states(Keeping(), read(TEXT))
    ranking = unit_correlations(states, TEXT_PROPERTIES[name](TEXT))
    assert (ranking[0].field, ranking[0].unit) == ("", unit)
    assert ranking[0].correlation == pytest.approx(-1 if unit == 1 else 1, abs=1e-6)
    assert sorted(one.unit for one in ranking) == [0, 1, 2, 3, 4]
    assert all(abs(one.correlation) < 0.9 for one in ranking[1:])
    assert {one.unit: one.correlation for one in ranking}[4] == 0  # never moves


def test_tracking_over_several_texts_of_their_own_lengths():
    texts = [TEXT, "(a)", "((b)) c"]
    found = unit_correlations(hidden_states(Keeping(), read(*texts)), [nesting_depth(text) for text in texts])
    assert (found[0].unit, found[0].correlation) == (1, pytest.approx(-1, abs=1e-6))


def test_correlation_is_pearsons_over_items_that_are_known():
    random = np.random.default_rng(0)
    states, target = random.normal(size=(2, 9, 3)), random.normal(size=(2, 9))
    states[0, 7:], target[1, 0] = np.nan, np.nan
    known = np.ones((2, 9), dtype=bool)
    known[0, 7:] = known[1, 0] = False
    expected = [np.corrcoef(states[known][:, unit], target[known])[0, 1] for unit in range(3)]
    found = unit_correlations({"h": states}, target)
    assert {one.unit: one.correlation for one in found} == pytest.approx(dict(enumerate(expected)))
    assert [one.unit for one in found] == list(np.argsort(-np.abs(expected)))
    assert unit_correlations(states, target)[0] == found[0]._replace(field="")


def test_properties_of_text():
    assert position_in_line("ab\ncde").tolist() == [1, 2, 0, 1, 2, 3]
    assert inside_quotes('a "b" “c” d').tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0]
    assert nesting_depth(")(a[b])c(").tolist() == [0, 1, 1, 2, 2, 1, 0, 0, 1]
    assert [values("").tolist() for values in TEXT_PROPERTIES.values()] == [[], [], []]
    assert text_property(["(a", "", "b[", "]", ")"], "nesting depth").tolist() == [1, 1, 2, 1, 0]
    assert text_property(["", "("], "nesting depth").tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"expected a property \(position in line, .*\), got 'nesting deep'"):
        text_property(["a"], "nesting deep")


def test_hidden_states_are_what_scans_go_through():
    torch.manual_seed(0)
    layer = ss.Stack([ss.LSTM(3, 4), ss.VariationalDropout(4, 0.5), ss.GRU(4, 2)]).train()
    inputs = ss.Sequences(torch.randn(3, 5, 3), [5, 0, 2])
    found = hidden_states(layer, inputs)
    assert list(found) == ["0.h", "0.c", "1.y", "2.h"]
    layer.eval()
    for row, length in enumerate([5, 0, 2]):
        for t in range(5):
            if t >= length:
                assert np.isnan(found["2.h"][row, t]).all()
                continue
            _, state = layer.scan(ss.Sequences(inputs.data[row : row + 1, : t + 1], [t + 1]))
            np.testing.assert_allclose(found["0.c"][row, t], state[0].c[0].detach(), rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(found["2.h"][row, t], state[2].h[0].detach(), rtol=1e-5, atol=1e-6)


def test_hidden_states_of_both_directions_stand_in_the_texts_order():
    torch.manual_seed(0)
    layer = ss.Stack([ss.Bidirectional(ss.GRU(3, 2), ss.GRU(3, 2)), ss.LSTM(4, 2)])
    inputs = ss.Sequences(torch.randn(2, 5, 3), [5, 3])
    found = hidden_states(layer, inputs)
    assert list(found) == ["0.forward.h", "0.backward.h", "1.h", "1.c"]
    outputs = layer.layers[0](inputs)[0].data.detach().numpy()
    joined = np.concatenate([found["0.forward.h"], found["0.backward.h"]], axis=2)
    for row, length in enumerate([5, 3]):
        np.testing.assert_allclose(joined[row, :length], outputs[row, :length], rtol=1e-5, atol=1e-6)
        assert np.isnan(joined[row, length:]).all()


def test_hidden_states_and_gates_start_where_they_are_told():
    torch.manual_seed(0)
    layer = ss.Stack([ss.Bidirectional(ss.GRU(3, 2), ss.GRU(3, 2)), ss.LSTM(4, 2)])
    x = ss.Sequences(torch.randn(1, 4, 3), [4])
    _, state = layer.scan(x)
    outputs = layer.layers[0](x, state[0])[0].data.detach().numpy()
    found = hidden_states(layer, x, state=state)
    joined = np.concatenate([found["0.forward.h"], found["0.backward.h"]], axis=2)
    np.testing.assert_allclose(joined, outputs, rtol=1e-5, atol=1e-6)
    cell = ss.GRU(3, 2)
    twice = ss.Sequences(torch.cat([x.data, x.data], dim=1), [8])
    halves = [gate_statistics(cell, x)["gru"], gate_statistics(cell, x, state=cell.scan(x)[1])["gru"]]
    whole = gate_statistics(cell, twice)["gru"].gates["update"].mean
    assert np.mean([half.gates["update"].mean for half in halves]) == pytest.approx(whole, rel=1e-6)
    assert halves[0].gates["update"].mean != pytest.approx(halves[1].gates["update"].mean, rel=1e-4)


def test_hidden_states_leave_caches_out():
    assert list(hidden_states(ss.Transformer(3, 4), ss.Sequences(torch.randn(1, 4, 3), [4]))) == ["h"]


@pytest.mark.parametrize(
    ("states", "target", "words"),
    [
        (np.zeros((1, 3, 2)), [1.0, 1.0, 1.0], "a property that varies, got one that is the same at all 3 items"),
        (np.zeros((2, 3, 2)), [1.0, 2.0, 3.0], r"expected a property of 2 rows of at most 3 items, got 1: \[3\]"),
        (np.zeros((1, 3, 2)), [1.0, 2.0, 3.0, 4.0], r"at most 3 items, got 1: \[4\]"),
        (np.zeros((3, 2)), [1.0, 2.0], r"expected states \[B, T, H\], got \[3, 2\]"),
    ],
)
def test_errors(states, target, words):
    with pytest.raises(ValueError, match=words):
        unit_correlations(states, target)
