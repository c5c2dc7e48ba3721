"""CausalConvolution and MixerBlock: their values, against PyTorch's convolution and the equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import stepscan as ss
from stepscan.registry import build, describe


def random_weights(layer):
    torch.manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer.double()


def test_a_causal_convolution_is_pytorchs():
    layer = random_weights(ss.CausalConvolution(3, width=5))
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    expected = F.conv1d(F.pad(x.mT, (4, 0)), layer.weight.mT[:, None], layer.bias, groups=3).mT
    outputs, state = layer(ss.Sequences(x, [7, 7]))
    torch.testing.assert_close(outputs.data, expected)
    assert torch.equal(state.past, x[:, -4:])
    assert torch.equal(state.y, outputs.data[:, -1])


def test_a_causal_convolution_by_hand():
    layer = ss.CausalConvolution(1, width=3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[100.0], [10], [1]]))
        layer.bias.fill_(0.5)
    outputs, _ = layer(ss.Sequences(torch.tensor([[[1.0], [2], [3], [4]]]), [4]))
    assert outputs.data.flatten().tolist() == [1.5, 12.5, 123.5, 234.5]
    with pytest.raises(ValueError, match="width: expected a whole number from 2 to 1,024, got 1"):
        ss.CausalConvolution(3, width=1)


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def normed(x, weight):
    return weight * x / torch.sqrt((x**2).mean(dim=-1, keepdim=True) + 1e-6)


def test_a_mixer_block_is_its_equations():
    mixer = ss.ResetBeforeGRU(5, 3)
    block = random_weights(ss.MixerBlock(4, mixer))
    x = torch.randn(2, 6, 4, dtype=torch.float64)
    z = normed(x, block.mixer_norm)
    convolved, _ = block.convolution(ss.Sequences(z @ block.into.weight.T + block.into.bias, [6, 6]))
    m = mixer(convolved)[0].data
    gate = gelu(z @ block.gate.weight.T + block.gate.bias)
    u = x + (m * gate) @ block.out.weight.T + block.out.bias
    g, v = (normed(u, block.forward_norm) @ block.up.weight.T + block.up.bias).chunk(2, dim=-1)
    expected = u + (gelu(g) * v) @ block.down.weight.T + block.down.bias
    outputs, state = block(ss.Sequences(x, [6, 6]))
    torch.testing.assert_close(outputs.data, expected)
    assert torch.equal(block.readout(state), outputs.data[:, -1])


def test_a_mixer_block_is_data():
    block = ss.MixerBlock(8, ss.RGLRU(6, 6, heads=3))
    again = build(describe(block))
    assert describe(again) == describe(block)
    assert {n: p.shape for n, p in again.named_parameters()} == {n: p.shape for n, p in block.named_parameters()}
    assert block.up.weight.shape == (48, 8)
    assert block.mixer_norm.tolist() == [1] * 8


def test_the_condition_of_a_mixer_block_is_its_mixers():
    block = ss.MixerBlock(4, ss.LSTM(3, 2))
    vector = torch.tensor([[1.0, 2, 3, 4]])
    state = block.condition(vector)
    assert [leaf.tolist() for leaf in state.mixer] == [[[1, 2]], [[3, 4]]]
    assert not state.convolution.past.any()
    assert ss.CausalConvolution(3).condition_size == 0


def test_a_mixer_must_be_causal():
    with pytest.raises(TypeError, match="MixerBlock: expected a causal layer, a Recurrence, got Bidirectional"):
        ss.MixerBlock(4, ss.Bidirectional(ss.GRU(4, 2), ss.GRU(4, 2)))


def test_masks_of_a_mixer_are_renewed():
    block = ss.MixerBlock(4, ss.Stack([ss.VariationalDropout(4, 0.5), ss.GRU(4, 3)]))
    torch.manual_seed(0)
    state = block.initial_state(50)
    again = block.renew(state)
    assert not torch.equal(state.mixer[0].mask, again.mixer[0].mask)
    assert torch.equal(state.mixer[1].h, again.mixer[1].h)
