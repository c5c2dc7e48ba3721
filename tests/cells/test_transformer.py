"""The transformer block against the equations written out, position by position, in plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

import stepscan as ss
from stepscan.cells.transformer import rotate


def turned(vector, position):
    """RoPE as a product with a complex number, pair by pair."""
    half = len(vector) // 2
    rates = torch.tensor([10000.0 ** (-i / half) for i in range(half)], dtype=torch.float64)
    pairs = torch.complex(vector[:half], vector[half : 2 * half]) * torch.polar(
        torch.ones_like(rates), position * rates
    )
    return torch.cat([pairs.real, pairs.imag, vector[2 * half :]])


def by_hand(block, x, sees):
    """`x [T, I]` → `[T, H]`; `sees(t, s)` says whether item t sees item s."""
    u = x if block.into is None else F.linear(x, block.into.weight, block.into.bias)
    norm = block.attention_norm
    q, k, v = block.projection(F.layer_norm(u, u.shape[1:], norm.weight, norm.bias)).chunk(3, dim=1)
    size, outputs = block.hidden_size // block.heads, []
    for t in range(len(x)):
        found = []
        for head in range(block.heads):
            cut = slice(head * size, (head + 1) * size)
            seen = [s for s in range(len(x)) if sees(t, s)]
            scores = torch.stack([turned(q[t, cut], t) @ turned(k[s, cut], s) / math.sqrt(size) for s in seen])
            found.append(sum(w * v[s, cut] for w, s in zip(scores.softmax(0), seen, strict=True)))
        z = u[t] + block.output(torch.cat(found))
        outputs.append(z + block.down(F.gelu(block.up(block.forward_norm(z)))))
    return torch.stack(outputs)


def made(kind, *sizes, **options):
    torch.manual_seed(0)
    block = kind(*sizes, **options).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return block


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("context", [1, 3, 512])
def test_the_equations(heads, context):
    block = made(ss.Transformer, 5, 6, heads=heads, context=context)
    x = torch.randn(7, 5, dtype=torch.float64)
    outputs, state = block(ss.Sequences(x[None], [7]))
    expected = by_hand(block, x, lambda t, s: t - context < s <= t)
    assert torch.allclose(outputs.data[0], expected, atol=1e-10)
    assert torch.equal(block.readout(state), outputs.data[:, -1])


def test_the_equations_without_the_order_of_time():
    block = made(ss.BidirectionalTransformer, 6, 6, heads=2)
    x = torch.randn(5, 6, dtype=torch.float64)
    outputs, _ = block(ss.Sequences(F.pad(x, (0, 0, 0, 3))[None], [5]))
    assert torch.allclose(outputs.data[0, :5], by_hand(block, x, lambda t, s: True), atol=1e-10)


def test_only_the_distance_counts():
    """The product of a turned query and a turned key is the same wherever the two stand."""
    q, k = torch.randn(2, 1, 1, 8, dtype=torch.float64)
    products = [
        (rotate(q, torch.tensor([[a + 3]]), 1) * rotate(k, torch.tensor([[a]]), 1)).sum().item()
        for a in (0, 1, 50, 999)
    ]
    assert products == pytest.approx([products[0]] * 4)
    other = (rotate(q, torch.tensor([[4]]), 1) * rotate(k, torch.tensor([[0]]), 1)).sum().item()
    assert abs(other - products[0]) > 1e-3


def test_the_cache_doubles_up_to_the_context_and_is_zero_past_the_length():
    block = made(ss.Transformer, 2, 2, context=6)
    state, capacities = block.initial_state(2), []
    for t in range(9):
        _, state = block.scan(ss.Sequences(torch.randn(2, 1, 2, dtype=torch.float64), [1, int(t < 2)]), state)
        capacities.append(state.keys.shape[1])
    assert capacities == [1, 2, 4, 4, 6, 6, 6, 6, 6]
    assert state.length.tolist() == [9, 2]
    assert not state.keys[1, 2:].any()
    assert not state.values[1, 2:].any()
    assert state.keys[1, :2].all()


def test_what_leaves_the_context_is_forgotten():
    block = made(ss.Transformer, 2, 2, context=4)
    x = torch.randn(1, 12, 2, dtype=torch.float64)
    other = x.clone()
    other[:, :8] = torch.randn(1, 8, 2, dtype=torch.float64)
    last = [block(ss.Sequences(data, [12]))[0].data[:, -1] for data in (x, other)]
    assert torch.allclose(*last)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": 4}, "heads: expected a divisor of the hidden size 6, got 4"),
        ({"heads": -1}, "heads: expected a divisor"),
        ({"dropout": 1.0}, "at least 0 and below 1, got 1.0"),
        ({"context": 0}, "context: expected a whole number of at least 1, got 0"),
    ],
)
def test_wrong_sizes(options, words):
    with pytest.raises(ValueError, match=words):
        ss.Transformer(3, 6, **options)


def test_heads_are_chosen():
    assert [ss.Transformer(4, size).heads for size in (8, 32, 64, 96, 128, 100)] == [1, 1, 2, 3, 4, 2]


@pytest.mark.parametrize("begun", [0, 3])
def test_a_long_text_takes_pairs_of_its_context_not_of_itself(begun, monkeypatch):
    """Piece by piece, to what step after step gives, gradients too."""
    block = made(ss.Transformer, 3, 4, context=4)
    x = torch.randn(2, 22, 3, dtype=torch.float64, requires_grad=True)
    inputs = ss.Sequences(x, [22, 9])
    state = block.initial_state(2, dtype=torch.float64)
    for t in range(begun):
        _, state = block.step(torch.full((2, 3), 0.1 * t, dtype=torch.float64), state)
    expected, stepwise = ss.Recurrence.scan(block, inputs, state)
    pairs = []
    attend = block.attend

    def counted(q, k, *rest):
        pairs.append((q.shape[1], k.shape[1]))
        return attend(q, k, *rest)

    monkeypatch.setattr(block, "attend", counted)
    found, final = block.scan(inputs, state)
    assert max(queries for queries, _ in pairs) == 4
    assert max(keys for _, keys in pairs) <= 8
    torch.testing.assert_close(found.data, expected.data)
    torch.testing.assert_close(final.h, stepwise.h)
    left, right = (torch.autograd.grad(outputs.data.square().sum(), x)[0] for outputs in (found, expected))
    torch.testing.assert_close(left, right)
