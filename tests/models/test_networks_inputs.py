"""Networks without torch against their torch twins: numbers, spelled words, decisions about whole sequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from both_sides import ROWS, VOCABULARY, WIDTH, made, same, without_torch

import stepscan as ss
from stepscan.backends.batches import Batch, Words
from stepscan.backends.batches import pad as pad_arrays
from stepscan.data.batching import pad, pad_numbers
from stepscan.kernels import native
from stepscan.sequences import WordsWithCharacters

pytestmark = pytest.mark.skipif(native.library is None, reason="no native library was built")

SERIES = [np.random.default_rng(n).normal(50, 1e4, (length, 3)) for n, length in enumerate([4, 0, 1, 9])]
TAGS = pad_arrays([[0, 1, 1, 2, 0, 0, 1], [2], [], [1, 1, 0], [0, 2, 2, 2, 1]]).data


@pytest.mark.parametrize("size", [WIDTH, None])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_numbers(pooling: str, size: int | None) -> None:
    numbers = ss.NumericEmbedding(3, size, dropout=0.5, noise=1.0).standardise(SERIES)
    model = made(lambda: ss.Encoder(numbers, ss.LSTM(numbers.output_size, 6), 1, pooling, "regression"))
    network = without_torch(model)
    assert (network.embedding.size, network.embedding.output_size) == (3, size or 3)
    with torch.inference_mode():
        same(network.scores(SERIES), model(pad_numbers(SERIES)))


def test_numbers_too_large_are_infinite_on_both_sides() -> None:
    model = made(lambda: ss.NumericEmbedding(2))
    x = np.array([[[1e300, -1e300], [1e38, 0.1]]])
    network = without_torch(made(lambda: ss.Encoder(model, ss.GRU(2, 2), 2))).embedding
    same(network(Batch(x, np.array([2]))).data, model.step(torch.from_numpy(x)))


def test_vectors() -> None:
    model = made(lambda: ss.Transducer(None, ss.GRU(3, 4), 2))
    data, lengths = without_torch(model).scores(SERIES)
    with torch.inference_mode():
        same(data, model(pad_numbers(SERIES).to(torch.float32))[0].data)
    assert lengths.tolist() == [4, 0, 1, 9]


@pytest.mark.parametrize("cell", [ss.LSTM, ss.GRU, ss.Elman, ss.LayerNormLSTM])
def test_spelled_words(cell: type) -> None:
    """Each distinct word is spelled once, wherever it stands."""
    spelling = [[1, 2], [3], [], [4, 5, 1, 1]]
    words, spellings = pad_arrays([[1, 2, 6], [], [2]]), [pad_arrays(spelling[:1]), pad_arrays(spelling[1:])]
    spelling_index = np.array([[0, 3, 1], [0, 0, 0], [3, 0, 0]])

    def make() -> ss.Transducer:
        characters = ss.Embedding(6, 4)
        inner = ss.Bidirectional(cell(4, 3), cell(4, 3))
        own = ss.WordAndCharacterEmbedding(ss.Embedding(VOCABULARY, WIDTH), characters, inner, dropout=0.5)
        return ss.Transducer(own, ss.Bidirectional(cell(own.output_size, 8), cell(own.output_size, 8)), 3)

    model = made(make)
    network = without_torch(model)
    read = WordsWithCharacters(
        ss.Sequences(*map(torch.from_numpy, words)),
        tuple(ss.Sequences(*map(torch.from_numpy, group)) for group in spellings),
        torch.from_numpy(spelling_index),
    )
    data, lengths = network.scores(Words(words, tuple(spellings), spelling_index))
    assert network.embedding.output_size == WIDTH + 6
    with torch.inference_mode():
        same(data, model(read)[0].data)
    vectors = network.embedding(Words(words, tuple(spellings), spelling_index)).data
    assert np.array_equal(vectors[0, 1, WIDTH:], vectors[2, 0, WIDTH:])  # both spelled as row 3
    assert lengths.tolist() == [3, 0, 1]


# Decisions ------------------------------------------------------------------------------------------------------------


def tagger(**settings: object) -> ss.Transducer:
    kind = ss.CRFTransducer if "forbidden" in settings else ss.Transducer
    return made(lambda: kind(ss.Embedding(VOCABULARY, WIDTH), ss.GRU(WIDTH, 6), 3, dropout=0.5, **settings))


FREE, BOUND = {"forbidden": []}, {"forbidden": [[-1, 2], [0, 2], [1, 1], [1, -1]]}


@pytest.mark.parametrize("settings", [{}, FREE, BOUND])
def test_tags_and_their_probabilities(settings: dict) -> None:
    model = tagger(**settings)
    network = without_torch(model)
    scored = network.scores(ROWS)
    with torch.inference_mode():
        scores, _ = model(pad(ROWS))
        same(scored.data, scores.data)
        same(network.predict(scored), model.predict(scores).data)
        found, expected = network.probabilities(scored), model.probabilities(scores).data.numpy()
    assert found.dtype == np.float32
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert not found[~scored.mask].any()
    assert found[scored.mask].sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("settings", [{}, FREE, {"forbidden": [[-1, 2]]}])
def test_log_probability_is_minus_the_loss(settings: dict) -> None:
    model = tagger(**settings)
    network = without_torch(model)
    scored, lengths = network.scores(ROWS), [len(row) for row in ROWS]
    allowed = TAGS[[0, 2, 3, 4]] if settings == {"forbidden": [[-1, 2]]} else TAGS
    rows = [row for row in ROWS if row != [5]] if len(allowed) < len(TAGS) else ROWS
    found = network.log_probability(scored, TAGS)
    assert found.dtype == np.float64
    for row, tags in zip(rows, allowed, strict=True):
        loss = model.loss(pad([row]), pad([tags[: len(row)].tolist()])).total.item()
        assert found[ROWS.index(row)] == pytest.approx(-loss, rel=1e-5)
    assert found[lengths.index(0)] == 0
    assert np.array_equal(found < -1e9, np.array([False, settings == {"forbidden": [[-1, 2]]}, False, False, False]))


def test_a_forbidden_path_has_no_probability() -> None:
    network = without_torch(tagger(**BOUND))
    scored = network.scores(ROWS)
    # 1 → 1, 2 at first, none, 1 → 1, 0 → 2
    assert network.log_probability(scored, TAGS).tolist() == [-np.inf, -np.inf, 0.0, -np.inf, -np.inf]
    chosen = network.predict(scored)
    assert np.isfinite(network.log_probability(scored, chosen)).all()
    assert not network.probabilities(scored)[:, 0, 2].any()


@pytest.mark.parametrize("settings", [{}, FREE, BOUND])
def test_a_row_alone_and_in_a_batch(settings: dict) -> None:
    network = without_torch(tagger(**settings))
    scored = network.scores(ROWS)
    together = network.probabilities(scored), network.predict(scored), network.log_probability(scored, TAGS)
    for row, (data, length) in enumerate(zip(*scored, strict=True)):
        alone = Batch(data[None, :length], np.array([length]))
        assert np.array_equal(network.probabilities(alone)[0], together[0][row, :length])
        assert np.array_equal(network.predict(alone)[0], together[1][row, :length])
        assert network.log_probability(alone, TAGS[row : row + 1, :length])[0] == together[2][row]


def test_sums_over_all_paths() -> None:
    """Against every path, counted out."""
    network = without_torch(tagger(**FREE))
    scored = network.scores([[1, 2, 3]])
    crf, scores = network.crf, scored.data[0].astype(np.float64)
    paths = np.array(list(np.ndindex(3, 3, 3)))
    totals = [
        crf.start[a] + crf.end[c] + crf.transitions[a, b] + crf.transitions[b, c] + scores[[0, 1, 2], [a, b, c]].sum()
        for a, b, c in paths
    ]
    shares = np.exp(totals) / np.exp(totals).sum()
    expected = [[shares[paths[:, t] == tag].sum() for tag in range(3)] for t in range(3)]
    assert np.allclose(network.probabilities(scored)[0], expected, atol=1e-6)
    assert crf.log_normaliser(scored)[0] == pytest.approx(np.log(np.exp(totals).sum()))
    assert network.predict(scored)[0].tolist() == paths[np.argmax(totals)].tolist()
    found = network.log_probability(scored, np.array([[2, 0, 1]]))
    assert found[0] == pytest.approx(np.log(shares[paths.tolist().index([2, 0, 1])]))
