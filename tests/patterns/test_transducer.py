"""Transducer: a decision at every step, none in the padding."""

from __future__ import annotations

import torch

import stepscan as ss
from models import IDS, loss_by_hand, with_padding
from stepscan.state import leaves


def tagger(bidirectional: bool = True) -> ss.Transducer:
    torch.manual_seed(0)
    layer = ss.Bidirectional(ss.LSTM(3, 2), ss.LSTM(3, 2)) if bidirectional else ss.GRU(3, 4)
    return ss.Transducer(ss.Embedding(7, 3), layer, 5).double()


TARGETS = ss.Sequences.pad([[0, 1, 2, 3], [4], [], [4, 4, 0]])


def test_scores_are_the_head_of_the_layers_outputs() -> None:
    model = tagger()
    scores, state = model(IDS)
    outputs, final = model.layer(model.embedding(IDS))
    torch.testing.assert_close(scores.items(), model.head(outputs.items()))
    assert (scores.data[~IDS.mask] == 0).all()
    assert scores.lengths.tolist() == [4, 1, 0, 3]
    assert all(torch.equal(a, b) for a, b in zip(leaves(state), leaves(final), strict=True))


def test_loss_is_summed_over_items_alone() -> None:
    model = tagger()
    expected = loss_by_hand(model(IDS)[0], TARGETS)
    loss = model.loss(IDS, TARGETS)
    torch.testing.assert_close(loss.total, expected)
    assert loss.items == 8


def test_padding_changes_nothing() -> None:
    model = tagger()
    scores, padded = model(IDS)[0], model(with_padding(IDS, 6))[0]
    torch.testing.assert_close(padded.items(), scores.items(), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        model.loss(with_padding(IDS, 6), with_padding(TARGETS, -1)).total, model.loss(IDS, TARGETS).total
    )


def test_nothing_to_tag() -> None:
    model = tagger()
    nothing = ss.Sequences.pad([[], []])
    assert model(nothing)[0].data.shape == (2, 0, 5)
    loss = model.loss(nothing, nothing)
    assert (loss.total.item(), loss.items) == (0.0, 0)
    loss.total.backward()


def test_a_causal_transducer_goes_on_from_its_state() -> None:
    model = tagger(bidirectional=False)
    whole, _ = model(ss.Sequences.pad([[1, 2, 3, 4]]))
    first, state = model(ss.Sequences.pad([[1, 2]]))
    second, _ = model(ss.Sequences.pad([[3, 4]]), state)
    torch.testing.assert_close(torch.cat([first.data, second.data], dim=1), whole.data, rtol=0, atol=1e-12)


def test_vectors_in_place_of_ids_and_dropout() -> None:
    model = ss.Transducer(None, ss.Linear(2, 3), 2, dropout=0.5)
    vectors = ss.Sequences(torch.ones(1, 40, 2), [40])
    assert len(model(vectors)[0].data[0].unique(dim=0)) > 1
    assert len(model.eval()(vectors)[0].data[0].unique(dim=0)) == 1
