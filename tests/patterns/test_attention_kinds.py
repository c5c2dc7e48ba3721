"""Scores by product, against their formulas."""

from __future__ import annotations

import pytest
import torch

import stepscan as ss


@pytest.mark.parametrize("weighted", [True, False])
def test_the_formula(weighted):
    torch.manual_seed(0)
    size = 3 if weighted else 4
    decoder = ss.AttentiveDecoder(ss.GRU(1, 4), size, 1, kind="general" if weighted else "dot")
    memory, queries = torch.randn(2, 5, 3 if weighted else 4), torch.randn(2, 2, 4)
    context, weights = decoder.attend(queries, decoder.memory_keys(memory), memory, torch.tensor([5, 3]))
    matrix = decoder.attention.of_memory.weight if weighted else torch.eye(4)
    for row, length in enumerate([5, 3]):
        for t in range(2):
            scores = torch.stack([queries[row, t] @ (matrix @ memory[row, s]) for s in range(length)])
            expected = scores.softmax(0)
            assert torch.allclose(weights[row, t, :length], expected, atol=1e-6)
            assert not weights[row, t, length:].any()
            assert torch.allclose(context[row, t], expected @ memory[row, :length], atol=1e-6)


def test_wrong_kinds():
    with pytest.raises(
        ValueError, match=r"kind: expected 'additive', 'dot' or 'general', got 'dott'\. Did you mean 'dot'\?"
    ):
        ss.AttentiveDecoder(ss.GRU(2, 2), 2, 2, kind="dott")
    with pytest.raises(ValueError, match="expected queries and memory of one size, got 2 and 3; use 'general'"):
        ss.AttentiveDecoder(ss.GRU(2, 2), 3, 2, kind="dot")


@pytest.mark.parametrize("kind", ["dot", "general"])
def test_a_translator_learns_with_it(kind, tmp_path):
    words = ["abc", "bca", "cab", "acb"] * 8
    model = ss.Translator(
        attention=kind,
        tokenizer="character",
        hidden_size=32,
        embedding_size=16,
        dropout=0.0,
        epochs=60,
        learning_rate=0.02,
        decay_ratio=1.0,
        ema_decay=0.0,
    )
    mirrored = [word[::-1] for word in words]
    model.fit(words, mirrored, validation=(words[:4], mirrored[:4]))
    assert [found[0].text for found in model.translate(["abc", "bca"])] == ["cba", "acb"]
    model.save(tmp_path / "m")
    assert ss.load(tmp_path / "m").translate(["abc"])[0][0].text == "cba"
