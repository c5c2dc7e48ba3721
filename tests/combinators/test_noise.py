"""Zoneout and weight drop by value."""

from __future__ import annotations

import pytest
import torch

import stepscan as ss


def inputs(rows=1, steps=1, width=3):
    return ss.Sequences(torch.randn(rows, steps, width), [steps] * rows)


def test_zoneout_of_nothing_is_the_layer():
    layer, x = ss.LSTM(3, 4), inputs(2, 5)
    for training in (True, False):
        zoned = ss.Zoneout(layer, 0.0).train(training)
        assert torch.allclose(zoned(x)[0].data, layer(x)[0].data, atol=1e-6)


def test_zoneout_keeps_or_updates_each_number_and_the_mean_is_that_of_evaluation():
    torch.manual_seed(0)
    layer, x = ss.LSTM(3, 4), torch.randn(1, 3)
    state = ss.LSTM(3, 4).initial_state(1)._replace(h=torch.randn(1, 4), c=torch.randn(1, 4))
    _, new = layer.step(x, state)
    zoned = ss.Zoneout(layer, 0.3)
    draws = [zoned.step(x, state) for _ in range(4000)]
    for leaf in range(2):
        found = torch.stack([drawn[leaf][0] for _, drawn in draws])
        kept, updated = found == state[leaf][0], found == new[leaf][0]
        assert (kept | updated).all()
        assert kept.float().mean(0) == pytest.approx(torch.full((4,), 0.3), abs=0.03)
        expected = 0.3 * state[leaf] + 0.7 * new[leaf]
        assert torch.allclose(zoned.eval().step(x, state)[1][leaf], expected)
        zoned.train()
    assert all(torch.equal(y, drawn.h) for y, drawn in draws)


def test_zoneout_needs_hidden_state():
    with pytest.raises(ValueError, match=r"only floating-point leaves \[B, H\], got Transformer"):
        ss.Zoneout(ss.Transformer(4, 4), 0.1)
    with pytest.raises(TypeError, match="Zoneout: expected a causal layer, a Recurrence, got Bidirectional"):
        ss.Zoneout(ss.Bidirectional(ss.GRU(2, 2), ss.GRU(2, 2)), 0.1)


def test_weight_drop_is_the_layer_with_weights_dropped():
    """An Elman network of one step from a known state: each weight is 0 or twice itself, for all rows alike."""
    torch.manual_seed(0)
    layer = ss.Elman(1, 2, nonlinearity="relu", bias=False)
    with torch.no_grad():
        layer.weight_hh.copy_(torch.tensor([[1.0, 10.0], [100.0, 1000.0]]))
        layer.weight_ih.zero_()
    state = layer.initial_state(2)._replace(h=torch.ones(2, 2))
    dropped, seen = ss.WeightDrop(layer, 0.5), set()
    for _ in range(400):
        y = dropped(inputs(2, 1, 1), state)[0].data[:, 0]
        assert torch.equal(y[0], y[1])
        seen.add(tuple(y[0].tolist()))
    assert seen == {(a, b) for a in (0, 2, 20, 22) for b in (0, 200, 2000, 2200)}
    assert dropped.eval()(inputs(2, 1, 1), state)[0].data[0, 0].tolist() == [11, 1100]
    assert layer.weight_hh.tolist() == [[1, 10], [100, 1000]]


def test_gradients_pass_weight_drop():
    torch.manual_seed(0)
    layer = ss.WeightDrop(ss.LSTM(3, 16), 0.5)
    layer(inputs(2, 4))[0].data.sum().backward()
    share = (layer.layer.weight_hh.grad == 0).float().mean().item()
    assert 0.4 < share < 0.6


def test_weight_drop_needs_weights():
    with pytest.raises(ValueError, match="expected a layer with parameters named 'weight_hh', got Transformer"):
        ss.WeightDrop(ss.Transformer(4, 4), 0.1)


@pytest.mark.parametrize("kind", [ss.Zoneout, ss.WeightDrop])
@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_no_probability(kind, p):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        kind(ss.GRU(2, 2), p)


def test_a_symbol_is_dropped_at_all_its_places():
    torch.manual_seed(0)
    embedding = ss.Embedding(50, 4, embedding_dropout=0.4)
    ids = torch.arange(50).repeat(2, 1)
    vectors = embedding.step(ids)
    assert torch.equal(vectors[0], vectors[1])
    dropped = (vectors[0] == 0).all(dim=1)
    assert 10 <= int(dropped.sum()) <= 30
    assert torch.allclose(vectors[0][~dropped], embedding.weight[~dropped] / 0.6)
    assert torch.equal(embedding.eval().step(ids)[0], embedding.weight)
