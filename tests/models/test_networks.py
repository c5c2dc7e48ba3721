"""Networks without torch against their torch twins on the native back end: the same bits, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from both_sides import (
    BOTH_WAYS,
    CAUSAL,
    ROWS,
    VOCABULARY,
    WIDTH,
    all_layers,
    arrays,
    causal_layers,
    made,
    same,
    without_torch,
)

import stepscan as ss
from stepscan.backends.batches import Batch
from stepscan.backends.batches import pad as pad_arrays
from stepscan.backends.execution import Options
from stepscan.backends.weights import Weights
from stepscan.data.batching import pad
from stepscan.definitions.definition import specify
from stepscan.errors import ModelFormatError, UnsupportedLayer
from stepscan.kernels import native
from stepscan.registry import describe, register, registered_classes
from stepscan.state import select
from zoo import STEPS, VARIANTS

pytestmark = pytest.mark.skipif(native.library is None, reason="no native library was built")


def embedding() -> ss.Embedding:
    return ss.Embedding(VOCABULARY, WIDTH, dropout=0.5, word_dropout=0.5)


@pytest.mark.parametrize("layer", all_layers())
def test_encoder(layer: Any) -> None:
    """Every layer, with its readout and pooled."""
    own = layer()
    for pooling in ("last", "mean", "max", "attention"):
        model = made(lambda pooling=pooling: ss.Encoder(embedding(), own, 3, pooling=pooling, dropout=0.5))
        network = without_torch(model)
        with torch.inference_mode():
            same(network.features(ROWS), model.encode(pad(ROWS)))
            same(network.scores(ROWS), model(pad(ROWS)))
            same(network.scores([[]]), model(pad([[]])))
        assert (network.outputs, network.feature_size) == (3, model.feature_size)
        assert np.array_equal(network.scores(ROWS[3:4])[0], network.scores(ROWS)[3])


@pytest.mark.parametrize("layer", all_layers())
def test_transducer(layer: Any) -> None:
    model = made(lambda: ss.Transducer(embedding(), layer(), 4, dropout=0.5))
    data, lengths = without_torch(model).scores(ROWS)
    with torch.inference_mode():
        scores, _ = model(pad(ROWS))
    same(data, scores.data)
    assert lengths.tolist() == [7, 1, 0, 3, 5]


@pytest.mark.parametrize("layer", causal_layers())
def test_generator(layer: Any) -> None:
    """Scans and steps, from both kinds of initial state, with rows reordered and left out on the way."""
    own = layer()
    for settings in ({}, {"initial": "learned", "tie_weights": True}):
        model = made(lambda settings=settings: ss.Generator(embedding(), own, dropout=0.5, **settings))
        network = without_torch(model)
        with torch.inference_mode():
            scores, state = model(pad(ROWS))
            found, lengths, own_state = network.scan_rows(ROWS)
            same(found, scores.data)
            assert lengths.tolist() == [7, 1, 0, 3, 5]
            same(network.scan_rows(ROWS, own_state)[0], model(pad(ROWS), state)[0].data)
            check_steps(network, model, network.initial_state(4), model.initial_state(4))


def check_steps(network: Any, model: Any, own_state: Any, state: Any) -> None:
    """Six steps of four rows on both sides; after the third some rows are dropped, doubled, reordered."""
    random = np.random.default_rng(0)
    rows = 4
    for t in range(6):
        if t == 3:
            chosen = np.array([2, 0, 0, 3, 2])
            own_state, state, rows = select(own_state, chosen), select(state, torch.from_numpy(chosen)), len(chosen)
        ids = random.integers(0, VOCABULARY, rows)
        before = own_state
        found, own_state = network.step(ids, own_state)
        expected, state = model.step(torch.from_numpy(ids), state)
        same(found, expected)
        again, _ = network.step(ids, before)
        assert np.array_equal(again, found)  # the state that was given is unchanged


def test_every_name_is_covered() -> None:
    """A new cell, combinator or pattern is built on both sides, or falls back to torch and stands here."""
    layers = [combine(ss.GRU) for combine in (CAUSAL | BOTH_WAYS).values()] + [cell(2, 2) for cell in VARIANTS.values()]
    tested = {name for layer in layers for name in names_in(describe(layer))}
    tested |= {"embedding", "word_and_character_embedding", "numbers", "attentive_decoder"}
    tested |= {"encoder", "transducer", "crf_transducer", "generator", "conditioned_generator"}
    tested |= {"transformer", "bidirectional_transformer"}  # test_transformers.py
    by_torch = {"cross_attention", "forecaster", "causal_convolution", "mixer_block", *STEPS}
    own = {name for name, cls in registered_classes().items() if cls.__module__.startswith("stepscan.")}
    assert own == tested | by_torch


def names_in(description: Any) -> set[str]:
    if isinstance(description, list):
        return {name for part in description for name in names_in(part)}
    if not isinstance(description, dict):
        return set()
    known = registered_classes()
    return {name for name in description if name in known} | {n for d in description.values() for n in names_in(d)}


@pytest.mark.parametrize("problem_type", ["classification", "multilabel", "regression"])
def test_decisions(problem_type: str) -> None:
    def make() -> ss.Encoder:
        return ss.Encoder(
            embedding(), ss.GRU(WIDTH, 6), 1 if problem_type == "regression" else 3, problem_type=problem_type
        )

    model = made(make)
    if problem_type == "regression":
        model.standardise(torch.tensor([3.0, 4.5, 11.0]))
    network = without_torch(model)
    assert network.problem_type == problem_type
    with torch.inference_mode():
        same(network.scores(ROWS), model(pad(ROWS)))
        same(network.output(network.head(network.features(ROWS))), model(pad(ROWS)))


def test_relevance_scores_of_single_items() -> None:
    model = made(lambda: ss.Encoder(embedding(), ss.GRU(WIDTH, 6), 3, "attention"))
    outputs = torch.randn(4, 6)
    with torch.inference_mode():
        same(without_torch(model).relevance_scores(outputs.numpy()), model.relevance_scores(outputs))


def test_tied_output_with_and_without_projection() -> None:
    for size in (WIDTH, 6):
        model = made(lambda size=size: ss.Generator(embedding(), ss.LSTM(WIDTH, size), tie_weights=True))
        with torch.inference_mode():
            same(without_torch(model).scan_rows(ROWS)[0], model(pad(ROWS))[0].data)


def test_padding_is_never_read() -> None:
    batch = pad_arrays(ROWS)
    junk = Batch(np.where(batch.mask, batch.data, VOCABULARY + 100), batch.lengths)
    for pooling in ("last", "mean", "max", "attention"):
        model = made(lambda pooling=pooling: ss.Encoder(embedding(), ss.Residual(ss.GRU(WIDTH, WIDTH)), 2, pooling))
        network = without_torch(model)
        assert np.array_equal(network.scores(junk), network.scores(ROWS))
    model = made(lambda: ss.Transducer(None, ss.Bidirectional(ss.LSTM(3, 4), ss.GRU(3, 2)), 2))
    vectors = np.random.default_rng(0).normal(size=(3, 4, 3))
    lengths, mask = np.array([2, 0, 4]), np.arange(4) < np.array([2, 0, 4])[:, None]
    found = without_torch(model).scores(Batch(np.where(mask[:, :, None], vectors, np.nan), lengths))
    with torch.inference_mode():
        expected, _ = model(ss.Sequences(torch.from_numpy(vectors).float(), torch.from_numpy(lengths)))
    same(found.data, expected.data)


def test_threads_change_no_bit() -> None:
    model = made(lambda: ss.Encoder(embedding(), ss.Bidirectional(ss.LSTM(WIDTH, 40), ss.LSTM(WIDTH, 40)), 3))
    rows = ROWS * 20
    one, two = (without_torch(model, Options(threads=threads)).scores(rows) for threads in (1, 2))
    assert np.array_equal(one, two)


# What cannot be built -------------------------------------------------------------------------------------------------


@register("test_networks_own_cell")
class OwnCell(ss.Recurrence):
    """A user's cell."""

    def __init__(self) -> None:
        super().__init__()
        self.input_size = self.output_size = WIDTH

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> torch.Tensor:
        return self.zeros(batch_size, WIDTH, device, dtype)

    def step(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + state, x + state


@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (lambda: ss.Generator(embedding(), ss.Residual(OwnCell())), "test_networks_own_cell"),
    ],
)
def test_without_a_kernel(make: Any, layer: str) -> None:
    with pytest.raises(UnsupportedLayer, match=layer) as error:
        without_torch(made(make))
    assert error.value.layer == layer


def test_wrong_descriptions() -> None:
    model = made(lambda: ss.Encoder(embedding(), ss.GRU(WIDTH, 4), 2))
    tensors = arrays(model)

    def broken(**changes: Any) -> dict[str, Any]:
        return {"encoder": {**describe(model)["encoder"], **changes}}

    for description, message in [
        (
            broken(pooling="meen"),
            "pooling: expected 'last', 'mean', 'max' or 'attention', got 'meen'. Did you mean 'mean'?",
        ),
        (
            broken(problem_type="klass"),
            "problem_type: expected 'classification', 'multilabel' or 'regression', got 'klass'",
        ),
        (
            broken(size=3),
            "the description of 'encoder' does not fit its constructor: got an unexpected keyword argument 'size'",
        ),
        (broken(outputs=3), "head.weight: expected [3, 4], float32, got [2, 4], float32"),
        (broken(problem_type="regression"), "outputs: expected 1 for regression, got 2"),
        (broken(problem_type="regression", outputs=1), "head.weight: expected [1, 4], float32, got [2, 4], float32"),
    ]:
        with pytest.raises((ModelFormatError, ValueError)) as error:
            specify(description).bind(Weights(tensors))
        assert str(error.value) == message
    tensors["embedding.weight"] = tensors["embedding.weight"].astype(np.float64)
    with pytest.raises(ModelFormatError, match=r"embedding.weight: expected \[7, 5\], float32, got \[7, 5\], float64"):
        specify(describe(model)).bind(Weights(tensors))


def test_ids_of_another_tokenizer() -> None:
    network = without_torch(made(lambda: ss.Encoder(embedding(), ss.GRU(WIDTH, 4), 2)))
    for rows, found in (([[1, 7]], "1 … 7"), ([[-1, 2]], "-1 … 2")):
        with pytest.raises(ValueError, match=f"ids: expected 0 … 6, got {found}"):
            network.scores(rows)
