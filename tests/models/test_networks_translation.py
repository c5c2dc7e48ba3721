"""Conditioned generators without torch against their torch twins, with all kinds of attention."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from both_sides import HIDDEN, ROWS, VOCABULARY, WIDTH, made, same, without_torch

import stepscan as ss
from stepscan.backends.batches import Batch
from stepscan.backends.weights import Weights
from stepscan.data.batching import pad
from stepscan.decoding import beam_search
from stepscan.definitions.attention import attention_weights
from stepscan.definitions.definition import specify
from stepscan.kernels import native
from stepscan.registry import describe
from stepscan.state import leaves, select
from zoo import VARIANTS

pytestmark = pytest.mark.skipif(native.library is None, reason="no native library was built")

MEMORY = 8
SOURCES = [[1, 2, 6], [3], [4, 4, 4, 1, 2, 5, 5], []]


def translator(decoder: Any, cell: Any = ss.GRU, shared: bool = False, **settings: Any) -> ss.ConditionedGenerator:
    def make() -> ss.ConditionedGenerator:
        encoder = ss.Stack([ss.Bidirectional(cell(WIDTH, 4), cell(WIDTH, 4)), ss.Dropout(MEMORY, 0.5)])
        generator = ss.Generator(ss.Embedding(VOCABULARY, WIDTH), decoder(), dropout=0.5, **settings)
        return ss.ConditionedGenerator(None if shared else ss.Embedding(VOCABULARY, WIDTH), encoder, generator)

    return made(make)


def attentive(cell: Any, feeding: bool, kind: str = "additive") -> ss.AttentiveDecoder:
    hidden = MEMORY if kind == "dot" else HIDDEN
    return ss.AttentiveDecoder(cell(WIDTH + (hidden if feeding else 0), hidden), MEMORY, 3, feeding, kind)


DECODERS: dict[str, Any] = {
    "none": lambda cell: cell(WIDTH, HIDDEN),
    "additive": lambda cell: attentive(cell, False),
    "additive, input feeding": lambda cell: attentive(cell, True),
    "over a stack": lambda cell: ss.AttentiveDecoder(
        ss.Stack([cell(WIDTH, 4), ss.Dropout(4, 0.5), ss.Residual(ss.Zoneout(ss.LSTM(4, 4), 0.1))]), MEMORY, 3
    ),
    "in a stack": lambda cell: ss.Stack(
        [cell(WIDTH, 4), ss.VariationalDropout(4, 0.5), ss.AttentiveDecoder(cell(4, 6), MEMORY, 3), ss.LayerNorm(6)]
    ),
    "two in a stack": lambda cell: ss.Stack(
        [attentive(cell, True), ss.Stack([ss.AttentiveDecoder(ss.GRU(HIDDEN, 5), MEMORY, 17), ss.Linear(5, 4)])]
    ),
}


@pytest.mark.parametrize("cell", VARIANTS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_steps_and_scans(decoder: str, cell: str) -> None:
    model = translator(partial(DECODERS[decoder], VARIANTS[cell]), VARIANTS[cell])
    compare(model, same)


@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("kind", ["dot", "general"])
def test_products(kind: str, feeding: bool) -> None:
    compare(translator(lambda: attentive(ss.LSTM, feeding, kind)), same)


def compare(model: Any, check: Any) -> None:
    """Four steps on both sides; after the second some rows are doubled, reordered and left out; and a scan."""
    network, random = without_torch(model), np.random.default_rng(0)
    with torch.inference_mode():
        state, own = model.initial_state(pad(SOURCES)), network.encode_rows(SOURCES)
        for layer in (network.generator.layer, model.generator.layer):
            assert layer.condition_size == model.bridge.out_features
        scores, after = model.generator(pad(ROWS[:4]), state)
        found, _, own_after = network.generator.scan_rows(ROWS[:4], own)
        check(found, scores.data)
        compare_looks(network, own_after, after, check)
        rows = 4
        for t in range(4):
            if t == 2:
                chosen = np.array([2, 2, 0, 1, 3])
                own, state, rows = select(own, chosen), select(state, torch.from_numpy(chosen)), len(chosen)
            ids = random.integers(0, VOCABULARY, rows)
            before = [leaf.copy() for leaf in leaves(own)]
            found, new = network.generator.step(ids, own)
            assert all(np.array_equal(a, b) for a, b in zip(before, leaves(own), strict=True))
            expected, state = model.generator.step(torch.from_numpy(ids), state)
            own = new
            check(found, expected)
            compare_looks(network, own, state, check)


def compare_looks(network: Any, own: Any, state: Any, check: Any) -> None:
    expected, found = attention_weights(state), network.attention_weights(own)
    assert (found is None) == (not expected)
    if expected:
        check(found, torch.stack(expected).mean(dim=0))


@pytest.mark.parametrize("tied", [False, True])
def test_shared_embedding_and_tied_output(tied: bool) -> None:
    model = translator(lambda: attentive(ss.GRU, False), shared=True, tie_weights=tied)
    network = without_torch(model)
    assert network.source_embedding is network.generator.embedding
    compare(model, same)


@pytest.mark.parametrize("feeding", [False, True])
def test_beam_search_finds_the_same(feeding: bool) -> None:
    model = translator(lambda: attentive(ss.LSTM, feeding))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # so that what is read makes a difference
        model.generator.head.bias[0] -= 3  # so that 0, where it stops, does not come at once
    network = without_torch(model)
    settings = {"width": 4, "stop": 0, "maximum_length": 12, "length_penalty": 1.0, "n_best": 3}
    with torch.inference_mode():
        state, start = model.initial_state(pad(SOURCES)), np.full(len(SOURCES), 2)
        expected = beam_search(model.generator.array_step, state, start, **settings)
    found = beam_search(network.generator.array_step, network.encode_rows(SOURCES), start, **settings)
    assert found == expected
    assert len({tuple(best[0].tokens) for best in found}) > 2
    for source, best in zip(SOURCES, found, strict=True):
        alone = beam_search(network.generator.array_step, network.encode_rows([source]), start[:1], **settings)
        assert alone == [best]


def test_with_nothing_to_look_at() -> None:
    """A decoder by itself, without any encoder; then with a memory put into its state."""
    for kind in ("additive", "general"):
        make = partial(ss.Generator, ss.Embedding(VOCABULARY, WIDTH), attentive(ss.GRU, kind == "additive", kind))
        model = made(lambda make=make: make(initial="learned"))
        network = without_torch(model)
        memory, lengths = np.random.default_rng(0).normal(size=(5, 3, MEMORY)), np.array([3, 0, 1, 2, 3])
        with torch.inference_mode():
            same(network.scan_rows(ROWS)[0], model(pad(ROWS))[0].data)
            seen = ss.Sequences(torch.from_numpy(memory).float(), torch.from_numpy(lengths))
            state = model.layer.set_memory(model.initial_state(5), seen)
            batch = Batch(memory.astype(np.float32), lengths)
            own = network.layer.set_memory(network.initial_state(5), batch)
            same(network.scan_rows(ROWS, own)[0], model(pad(ROWS), state)[0].data)


def test_rows_end_at_their_own_lengths_over_transformers() -> None:
    """Step by step, with caches that grow while some rows have ended."""
    network = without_torch(translator(lambda: ss.AttentiveDecoder(ss.Transformer(WIDTH + 6, 6), 8, 5, True), ss.GRU))
    scores, lengths, state = network.generator.scan_rows(ROWS[:4], network.encode_rows(SOURCES))
    after = network.generator.array_step(np.full(4, 2), state)[0]
    for row, length in enumerate(lengths):
        alone, _, state = network.generator.scan_rows([ROWS[row]], network.encode_rows([SOURCES[row]]))
        assert np.array_equal(alone[0], scores[row, :length])
        assert np.array_equal(network.generator.array_step(np.full(1, 2), state)[0][0], after[row])


WRAPPED = {
    "weight drop": lambda: ss.WeightDrop(ss.AttentiveDecoder(ss.LSTM(WIDTH, 6), MEMORY, 4), 0.1),
    "residual": lambda: ss.Stack([ss.LSTM(WIDTH, 6), ss.Residual(ss.AttentiveDecoder(ss.GRU(6, 6), MEMORY, 4))]),
    "another": lambda: ss.AttentiveDecoder(ss.Stack([ss.LSTM(WIDTH, 6), ss.CrossAttention(6, MEMORY)]), MEMORY, 4),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_the_source_is_read_wherever_attention_is(name: str) -> None:
    model = translator(WRAPPED[name], ss.GRU)
    with torch.no_grad():
        model.bridge.weight.zero_()  # so that the source is seen through attention alone
    network, other = without_torch(model), [[5, 5], [1, 2], [6], [2]]
    same(network.generator.scan_rows(ROWS[:4], network.encode_rows(SOURCES))[0], model_scores(model, SOURCES))
    assert not torch.equal(model_scores(model, SOURCES)[0, 0], model_scores(model, other)[0, 0])
    assert len(attention_weights(network.encode_rows(SOURCES))) == len(model.generator.layer.memories)


def model_scores(model: Any, sources: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(pad(sources), pad(ROWS[:4]))[0].data


def test_wrong_descriptions() -> None:
    model = translator(lambda: attentive(ss.GRU, False))
    description, tensors = describe(model), {name: t.numpy() for name, t in model.state_dict().items()}
    decoder = description["conditioned_generator"]["generator"]["generator"]["layer"]["attentive_decoder"]
    decoder["kind"] = "aditive"
    with pytest.raises(
        ValueError,
        match=r"kind: expected 'additive', 'dot' or 'general', got 'aditive'\. Did you mean 'additive'\?",
    ):
        specify(description).bind(Weights(tensors))
    decoder["kind"] = "dot"
    with pytest.raises(ValueError, match="expected queries and memory of one size, got 17 and 8"):
        specify(description).bind(Weights(tensors))
