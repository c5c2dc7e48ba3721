"""Generator: teacher forcing by hand, step is scan, initial states, windows, tied weights, label smoothing."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import stepscan as ss
from models import IDS, language_model, loss_by_hand
from stepscan.decoding import Sampler, generate
from stepscan.state import leaves

TARGETS = ss.Sequences.pad([[2, 3, 4, 6], [0], [], [1, 2, 5]])


def test_teacher_forcing_loss_by_hand() -> None:
    model = language_model()
    expected = loss_by_hand(model(IDS)[0], TARGETS)
    loss = model.loss(IDS, TARGETS)
    torch.testing.assert_close(loss.total, expected)
    assert loss.items == 8


def test_loss_gives_the_state_from_which_the_next_window_goes_on() -> None:
    model = language_model()
    ids, targets = torch.tensor([[1, 2, 3, 4, 5, 6]]), torch.tensor([[2, 3, 4, 5, 6, 0]])
    whole = model.loss(ss.Sequences(ids, [6]), ss.Sequences(targets, [6]))
    first = model.loss(ss.Sequences(ids[:, :4], [4]), ss.Sequences(targets[:, :4], [4]))
    second = model.loss(
        ss.Sequences(ids[:, 4:], [2]), ss.Sequences(targets[:, 4:], [2]), model.detach_state(first.state)
    )
    torch.testing.assert_close(first.total + second.total, whole.total)
    for got, expected in zip(leaves(second.state), leaves(whole.state), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("initial", ["zero", "learned"])
def test_steps_are_the_forward_pass(initial: str) -> None:
    model = language_model(ss.Stack([ss.GRU(3, 3), ss.Residual(ss.LSTM(3, 3))]), initial=initial)
    if model.start is not None:
        torch.nn.init.normal_(model.start)
    ids = torch.tensor([[1, 2, 3], [6, 5, 4]])
    scores, final = model(ss.Sequences(ids, [3, 3]))
    state = model.initial_state(2)
    for t in range(3):
        step, state = model.step(ids[:, t], state)
        torch.testing.assert_close(step, scores.data[:, t], rtol=0, atol=1e-12)
    for got, expected in zip(leaves(state), leaves(final), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_array_step_is_step_on_arrays() -> None:
    model = language_model()
    state = model.initial_state(2)
    scores, after = model.array_step(torch.tensor([1, 2]).numpy(), state)
    expected, _ = model.step(torch.tensor([1, 2]), state)
    torch.testing.assert_close(torch.from_numpy(scores), expected.detach())
    assert not any(leaf.requires_grad for leaf in leaves(after))


def test_learned_initial_state_is_cut_and_trained() -> None:
    model = language_model(initial="learned")
    assert model.start is not None
    assert model.start.tolist() == [0] * 8
    with torch.no_grad():
        model.start.copy_(torch.arange(8.0))
    state = model.initial_state(2)
    assert state.h.tolist() == [[0, 1, 2, 3]] * 2
    assert state.c.tolist() == [[4, 5, 6, 7]] * 2
    model.loss(IDS, TARGETS).total.backward()
    assert (model.start.grad != 0).all()


def test_zero_initial_state_follows_the_models_dtype_though_no_layer_has_weights() -> None:
    model = language_model(ss.VariationalDropout(3, 0.5))
    assert all(leaf.dtype == torch.float64 for leaf in leaves(model.initial_state(2)))


def test_carry_keeps_values_cuts_history_and_renews_noise() -> None:
    model = language_model(ss.Stack([ss.VariationalDropout(3, 0.5), ss.GRU(3, 50), ss.VariationalDropout(50, 0.5)]))
    state = model.loss(IDS, TARGETS).state
    carried = model.detach_state(state)
    assert state[1].h.requires_grad
    assert not any(leaf.requires_grad for leaf in leaves(carried))
    assert torch.equal(carried[1].h, state[1].h)
    assert not torch.equal(carried[2].mask, state[2].mask)
    assert torch.equal(model.eval().detach_state(state)[2].mask, torch.ones(4, 50, dtype=torch.float64))


def test_tied_weights_are_one_parameter() -> None:
    model = language_model(ss.GRU(3, 3), tie_weights=True)
    assert {name for name, _ in model.named_parameters()} == {
        "embedding.weight",
        "bias",
        *(f"layer.{name}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")),
    }
    outputs, _ = model.layer(model.embedding(IDS))
    torch.testing.assert_close(model(IDS)[0].items(), outputs.items() @ model.embedding.weight.T + model.bias)
    model.loss(IDS, TARGETS).total.backward()
    assert model.embedding.weight.grad is not None
    assert (model.embedding.weight.grad[0] != 0).any()  # symbol 0 is never read: only the output side knows it


def test_tied_weights_of_another_width_have_a_projection_between() -> None:
    model = language_model(ss.GRU(3, 5), tie_weights=True)
    assert model.projection is not None
    outputs, _ = model.layer(model.embedding(IDS))
    expected = model.projection(outputs.items()) @ model.embedding.weight.T + model.bias
    torch.testing.assert_close(model(IDS)[0].items(), expected)


def test_label_smoothing_only_in_training() -> None:
    smooth, plain = language_model(label_smoothing=0.2), language_model()
    scores = plain(IDS)[0].items()
    by_hand = -0.8 * scores.log_softmax(-1).gather(1, TARGETS.items()[:, None]).sum()
    by_hand = by_hand - 0.2 * scores.log_softmax(-1).mean(dim=-1).sum()
    torch.testing.assert_close(smooth.loss(IDS, TARGETS).total, by_hand)
    assert torch.equal(smooth.eval().loss(IDS, TARGETS).total, plain.loss(IDS, TARGETS).total)


def test_dropout_only_in_training() -> None:
    model = language_model(dropout=0.5)
    assert not torch.equal(model(IDS)[0].data, model(IDS)[0].data)
    model.eval()
    assert torch.equal(model(IDS)[0].data, language_model()(IDS)[0].data)


def test_nothing_to_read() -> None:
    model = language_model()
    nothing = ss.Sequences.pad([[], []])
    loss = model.loss(nothing, nothing)
    assert (loss.total.item(), loss.items) == (0.0, 0)
    assert loss.state.h.tolist() == [[0] * 4] * 2


def test_generates_with_decoding_what_the_scores_say() -> None:
    model = language_model().eval()
    torch.nn.init.normal_(model.embedding.weight, std=4)
    torch.nn.init.normal_(model.head.weight, std=4)
    [text] = generate(model.array_step, model.initial_state(1), [1], length=5, sampler=Sampler(temperature=0))
    scores, _ = model(ss.Sequences.pad([[1, *text[:-1]]]))
    assert text == scores.data[0].argmax(dim=-1).tolist()
    assert len(set(text)) > 1


def test_what_cannot_generate_is_refused_in_words() -> None:
    words = r"Generator: expected a causal layer, a Recurrence, got Bidirectional\(3 → 4\)"
    with pytest.raises(TypeError, match=words):
        ss.Generator(ss.Embedding(7, 3), ss.Bidirectional(ss.GRU(3, 2), ss.GRU(3, 2)))
    with pytest.raises(
        TypeError, match=r"got Stack\(3 → 2\), which looks ahead in Bidirectional\(3 → 4\); use a layer"
    ):
        ss.Generator(ss.Embedding(7, 3), ss.Stack([ss.Bidirectional(ss.GRU(3, 2), ss.GRU(3, 2)), ss.Linear(4, 2)]))
    with pytest.raises(
        ValueError, match=r"initial: expected 'zero' or 'learned', got 'lerned'\. Did you mean 'learned'\?"
    ):
        ss.Generator(ss.Embedding(7, 3), ss.GRU(3, 2), initial="lerned")


def test_embedding_replaces_and_drops_only_in_training() -> None:
    torch.manual_seed(0)
    embedding = ss.Embedding(7, 3, dropout=0.5, word_dropout=0.5, unknown=2)
    ids = ss.Sequences(torch.full((1, 400), 5), [400])
    vectors = embedding(ids).data
    assert (vectors == 0).float().mean().item() == pytest.approx(0.5, abs=0.06)
    doubled = 2 * embedding.weight
    kept = torch.where(vectors == 0, doubled[2], vectors)
    unknown = torch.isclose(kept, doubled[2]).all(dim=2)
    known = torch.isclose(torch.where(vectors == 0, doubled[5], vectors), doubled[5]).all(dim=2)
    assert (unknown | known).all()
    assert known.float().mean().item() == pytest.approx(0.5, abs=0.15)
    assert torch.equal(embedding.eval()(ids).data, F.embedding(ids.data, embedding.weight))
    assert (embedding(ss.Sequences(torch.tensor([[5, -1]]), [1])).data[0, 1] == 0).all()  # the padding is no symbol


def test_an_embedding_with_given_numbers():
    embedding = ss.Embedding(6, 2, given=3, others=2, unknown=1).eval()
    embedding.weight_given += torch.arange(6.0)[:, None]
    ids = torch.tensor([0, 3, 4, 5])
    trained = embedding.weight[[0, 3, 1, 1]]
    expected = torch.cat([trained, torch.tensor([[0.0], [3], [4], [5]]).expand(4, 3)], 1)
    assert torch.equal(embedding.step(ids), expected)
    assert embedding.output_size == 5
    assert "weight_given" not in dict(embedding.named_parameters())
    embedding = ss.Embedding(6, 2, word_dropout=1 - 1e-9, given=3).train()
    embedding.weight_given += 7
    assert torch.equal(embedding.step(ids)[:, :2], embedding.weight[[1, 1, 1, 1]])  # hidden, but for what is given
    assert (embedding.step(ids)[:, 2:] == 7).all()
    with pytest.raises(ValueError, match="expected no pretrained vectors, got 3"):
        ss.Generator(embedding, ss.LSTM(5, 4))


def test_how_wide_an_embedding_begins():
    torch.manual_seed(0)
    embedding = ss.Embedding(2000, 16)
    assert embedding.weight.std().item() == pytest.approx(0.25, rel=0.02)
    assert embedding.rescale(1.0).weight.std().item() == pytest.approx(1.0, rel=0.02)


def test_large_and_fast_outputs_cost_something_in_training() -> None:
    costs = {"activation_regularisation": 2.0, "temporal_activation_regularisation": 3.0}
    model, plain = language_model(**costs), language_model()
    outputs = model.layer(model.embedding(IDS))[0]
    rows = [outputs.data[row, :length] for row, length in enumerate(outputs.lengths.tolist())]
    squares = sum(row.square().mean(dim=1).sum() for row in rows)
    changes = sum((row[1:] - row[:-1]).square().mean(dim=1).sum() for row in rows)
    expected = plain.loss(IDS, TARGETS).total + 2 * squares + 3 * changes
    torch.testing.assert_close(model.loss(IDS, TARGETS).total, expected)
    torch.testing.assert_close(model.eval().loss(IDS, TARGETS).total, plain.eval().loss(IDS, TARGETS).total)


def test_a_cost_is_no_gain() -> None:
    with pytest.raises(ValueError, match="activation_regularisation: expected a finite number of at least 0, got -1"):
        language_model(activation_regularisation=-1)
