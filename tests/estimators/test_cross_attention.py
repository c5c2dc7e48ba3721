"""Cross attention, by hand, and in decoders of transformers and of other cells."""

from __future__ import annotations

import math

import pytest
import torch
from toy_tasks import FAST, reversals

import stepscan as ss


def test_by_hand():
    """Two heads of two numbers, a memory of two items."""
    torch.manual_seed(0)
    layer = ss.CrossAttention(4, 3, heads=2).double()
    memory, x = torch.randn(1, 2, 3).double(), torch.randn(1, 4).double()
    state = layer.set_memory(layer.initial_state(1, dtype=torch.float64), ss.Sequences(memory, [2]))
    y, after = layer.step(x, state)
    q = layer.of_query(layer.norm(x[0]))
    k, v = layer.of_memory(memory[0]).chunk(2, dim=1)
    result, shares = [], []
    for head in (slice(0, 2), slice(2, 4)):
        share = torch.softmax(k[:, head] @ q[head] / math.sqrt(2), dim=0)
        result.append(share @ v[:, head])
        shares.append(share)
    torch.testing.assert_close(y[0], x[0] + layer.output(torch.cat(result)))
    torch.testing.assert_close(after.weights[0], torch.stack(shares).mean(dim=0))


def test_items_past_the_end_are_not_seen():
    layer = ss.CrossAttention(4, 3)
    memory = torch.randn(1, 4, 3)
    broken = memory.clone()
    broken[:, 2:] = math.nan
    x = ss.Sequences(torch.randn(1, 5, 4), [5])
    first, second = (
        layer(x, layer.set_memory(layer.initial_state(1), ss.Sequences(data, [2])))[0].data for data in (memory, broken)
    )
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("cell", ["transformer", "lstm"])
def test_translator_learns_through_it(cell):
    """Reversal needs a look at one place of the source for each symbol: a summary in one vector would not do."""
    sources, targets = reversals(300, 0)
    settings = {**FAST, "learning_rate": 0.01, "hidden_size": 32, "embedding_size": 16, "batch_size": 16, "epochs": 20}
    model = ss.Translator(cell=cell, attention="cross", tokenizer="character", **settings)
    model.fit(sources, targets, validation=(sources[:40], targets[:40]))
    new, right = reversals(40, 1)
    assert sum(a == b for a, b in zip(model.predict(new), right, strict=True)) >= 36
    parts = [type(part).__name__ for part in model.model_.generator.layer.layers]
    assert parts[1] == "CrossAttention"
    assert parts[-1] == "LayerNorm"


def test_settings():
    sources, targets = reversals(40, 0)
    small = {**FAST, "hidden_size": 8, "embedding_size": 8, "batch_size": 8, "epochs": 1, "tokenizer": "character"}
    two = ss.Translator(cell="lstm,transformer", attention="cross", coverage_penalty=0.2, **small).fit(sources, targets)
    assert len(two.predict(["ab"])) == 1
    weights = two.attention_weights("ab", "ba")[2]
    assert weights.sum(axis=1) == pytest.approx(1)
    with pytest.raises(
        ss.SettingsError, match="attention: expected 'additive', 'dot' or 'general' with input_feeding, got 'cross'"
    ):
        ss.Translator(attention="cross", input_feeding=True, **small).fit(sources, targets)
    with pytest.raises(ValueError, match="heads: expected a divisor of the hidden size 4, got 3"):
        ss.CrossAttention(4, 3, heads=3)
    wrong = ss.Generator(ss.Embedding(5, 4), ss.Stack([ss.GRU(4, 4), ss.CrossAttention(4, 3)]))
    with pytest.raises(ValueError, match="memory_size: expected 8"):
        ss.ConditionedGenerator(None, ss.GRU(4, 8), wrong)
