"""Dropout: off outside training; the variational mask stays the same over time and windows until it is renewed."""

from __future__ import annotations

import pytest
import torch

import stepscan as ss

ONES = ss.Sequences(torch.ones(2, 6, 50), [6, 3])


def test_dropout_in_training_drops_the_given_share_and_scales_the_rest() -> None:
    torch.manual_seed(0)
    layer = ss.Dropout(50, 0.2)
    outputs, state = layer(ss.Sequences(torch.ones(100, 10, 50), [10] * 100))
    assert set(outputs.data.unique().tolist()) == {0.0, 1.25}
    assert (outputs.data == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert not torch.equal(outputs.data[:, 0], outputs.data[:, 1])  # drawn anew at every step
    assert torch.equal(state, outputs.data[:, -1])


@pytest.mark.parametrize("make", [ss.Dropout, ss.VariationalDropout])
def test_nothing_is_dropped_in_inference(make: type[ss.Pointwise]) -> None:
    layer = make(50, 0.5).eval()
    assert torch.equal(layer(ONES)[0].data, ONES.zeroed().data)
    x = torch.randn(2, 50)
    assert torch.equal(layer.step(x, layer.initial_state(2))[0], x)


def test_variational_mask_is_one_for_the_whole_sequence_of_a_row() -> None:
    torch.manual_seed(0)
    layer = ss.VariationalDropout(50, 0.5)
    outputs, state = layer(ONES)
    assert set(state.mask.unique().tolist()) == {0.0, 2.0}
    for row, length in enumerate([6, 3]):
        assert all(torch.equal(outputs.data[row, t], state.mask[row]) for t in range(length))
        assert (outputs.data[row, length:] == 0).all()
    assert not torch.equal(state.mask[0], state.mask[1])  # each row its own


def test_variational_mask_goes_on_through_windows_and_steps_until_renewed() -> None:
    torch.manual_seed(0)
    layer = ss.VariationalDropout(50, 0.5)
    _, first = layer(ONES)
    outputs, second = layer(ONES, first)
    assert torch.equal(second.mask, first.mask)
    assert torch.equal(outputs.data[:, 0], first.mask)
    y, third = layer.step(3 * torch.ones(2, 50), second)
    assert torch.equal(y, 3 * first.mask)
    assert torch.equal(third.mask, first.mask)
    renewed = layer.renew(third)
    assert not torch.equal(renewed.mask, first.mask)
    assert set(renewed.mask.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(renewed.y, third.y)


def test_ones_in_inference_and_after_renewal() -> None:
    layer = ss.VariationalDropout(50, 0.5).eval()
    assert (layer.initial_state(2).mask == 1).all()
    assert (layer.renew(layer.initial_state(2)).mask == 1).all()


def test_renew_reaches_every_mask_in_a_tree_and_nothing_else() -> None:
    torch.manual_seed(0)
    noisy = ss.Stack([ss.VariationalDropout(50, 0.5), ss.GRU(50, 50)])
    tree = ss.Stack([ss.Residual(noisy), ss.AttentiveDecoder(noisy, 3, 2)])
    _, state = tree(ONES)
    renewed = tree.renew(state)
    for old, new in ((state[0].inner, renewed[0].inner), (state[1].inner, renewed[1].inner)):
        assert not torch.equal(old[0].mask, new[0].mask)
        assert torch.equal(old[0].y, new[0].y)
        assert torch.equal(old[1].h, new[1].h)
    assert torch.equal(state[0].x, renewed[0].x)
    assert torch.equal(state[1].last_output, renewed[1].last_output)
    directions = ss.Bidirectional(noisy, noisy)
    _, both = directions(ONES)
    anew = directions.renew(both)
    assert not torch.equal(both.forward[0].mask, anew.forward[0].mask)
    assert not torch.equal(both.backward[0].mask, anew.backward[0].mask)
    assert torch.equal(both.backward[1].h, anew.backward[1].h)
