"""ConditionedGenerator: the decoder's initial state is what the encoder makes; attention looks at the source alone."""

from __future__ import annotations

import pytest
import torch

import stepscan as ss
from models import IDS, translator, with_padding
from stepscan.decoding import beam_search, generate
from stepscan.decoding.sampling import Sampler
from stepscan.patterns.attention import AttentiveDecoder
from stepscan.state import leaves

PREVIOUS = ss.Sequences.pad([[1, 2, 3], [1, 4, 5, 6], [1], [1, 2]])
TARGETS = ss.Sequences.pad([[2, 3, 0], [4, 5, 6, 0], [0], [2, 0]])
KINDS = [
    {"attention": False},
    {"attention": True},
    {"attention": True, "input_feeding": True},
    {"attention": True, "shared": True},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_loss_is_the_cross_entropy_of_the_scores(kind: dict[str, bool]) -> None:
    model = translator(**kind)
    log_probabilities = model(IDS, PREVIOUS)[0].data.log_softmax(-1)
    expected = -sum(
        log_probabilities[row, t, TARGETS.data[row, t]]
        for row, length in enumerate(TARGETS.lengths.tolist())
        for t in range(length)
    )
    loss = model.loss((IDS, PREVIOUS), TARGETS)
    torch.testing.assert_close(loss.total, expected)
    assert loss.items == 10
    loss.total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_neither_padding_nor_other_rows_change_anything(kind: dict[str, bool]) -> None:
    model = translator(**kind)
    scores, final = model(IDS, PREVIOUS)
    padded, _ = model(with_padding(IDS, 6), with_padding(PREVIOUS, 6))
    torch.testing.assert_close(padded.items(), scores.items(), rtol=0, atol=1e-12)
    for row in range(4):
        alone, end = model(IDS.select([row]), PREVIOUS.select([row]))
        torch.testing.assert_close(alone.data, scores.select([row]).data, rtol=0, atol=1e-12)
        readout = model.generator.layer.readout
        torch.testing.assert_close(readout(end), readout(final)[row : row + 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_source_matters(kind: dict[str, bool]) -> None:
    model = translator(**kind)
    other = ss.Sequences(torch.where(IDS.data == 1, 3, IDS.data), IDS.lengths)
    before, after = (model(source, PREVIOUS)[0].data for source in (IDS, other))
    assert not torch.allclose(before[0], after[0])
    assert torch.equal(before[2], after[2])  # an empty source says nothing


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_steps_are_the_forward_pass(kind: dict[str, bool]) -> None:
    model = translator(**kind)
    scores, _ = model(IDS, PREVIOUS)
    state = model.initial_state(IDS)
    for t in range(PREVIOUS.steps):
        step, state = model.generator.step(PREVIOUS.data[:, t], state)
        going = t < PREVIOUS.lengths
        torch.testing.assert_close(step[going], scores.data[going, t], rtol=0, atol=1e-12)


def test_bridge_makes_the_decoders_state_from_the_encoders_readout() -> None:
    model = translator(attention=False)
    _, final = model.encoder(model.embedding(IDS))
    vector = model.bridge(torch.cat([final.forward.h, final.backward.h], dim=1))
    state = model.initial_state(IDS)
    torch.testing.assert_close(torch.cat([state.h, state.c], dim=1), vector)
    assert model.bridge.out_features == 10


def test_shared_embedding_is_one_parameter() -> None:
    model = translator(shared=True)
    assert [name for name, _ in model.named_parameters() if "embedding" in name] == ["generator.embedding.weight"]


def test_memory_in_the_state_is_what_the_encoder_wrote_and_no_step_changes_it() -> None:
    model = translator()
    outputs, _ = model.encoder(model.embedding(IDS))
    state = model.initial_state(IDS)
    assert torch.equal(state.memory, outputs.data)
    assert state.length.tolist() == [4, 1, 0, 3]
    assert (state.weights == 0).all()
    _, after = model.generator.step(torch.tensor([1, 1, 1, 1]), state)
    assert after.memory is state.memory
    assert after.keys is state.keys
    assert not torch.equal(after.weights, state.weights)


@pytest.mark.parametrize("input_feeding", [False, True])
def test_attention_weights_sum_to_one_over_the_sources_own_length(input_feeding: bool) -> None:
    model = translator(input_feeding=input_feeding)
    state, rows = model.initial_state(with_padding(IDS, 6)), []
    for ids in PREVIOUS.data.unbind(1):
        _, state = model.generator.step(ids, state)
        rows.append(torch.from_numpy(model.attention_weights(state)))
    weights = torch.stack(rows, dim=1)
    assert weights.shape == (4, 4, 6)
    torch.testing.assert_close(weights.sum(dim=2), torch.tensor([[1.0], [1], [0], [1]]).double().expand(4, 4))
    outside = ~with_padding(IDS, 6).mask[:, None].expand(4, 4, 6)
    assert (weights[outside] == 0).all()
    assert (weights[1, :, 0] == 1).all()
    assert weights[0, 0].max() < 1


def test_attention_by_hand() -> None:
    torch.manual_seed(0)
    decoder = AttentiveDecoder(ss.GRU(3, 2), memory_size=4, attention_size=5).double()
    memory = torch.randn(1, 3, 4, dtype=torch.float64)
    state = decoder.set_memory(decoder.initial_state(1), ss.Sequences(memory, [2]))
    x = torch.randn(1, 3, dtype=torch.float64)
    y, after = decoder.step(x, state)
    h, _ = decoder.layer.step(x, decoder.layer.initial_state(1))
    attention = decoder.attention
    w_q, b_q, w_m, v = (
        attention.of_query.weight,
        attention.of_query.bias,
        attention.of_memory.weight,
        attention.score.weight[0],
    )
    scores = torch.stack([v @ torch.tanh(w_q @ h[0] + b_q + w_m @ memory[0, s]) for s in range(2)])
    shares = scores.softmax(dim=0)
    context = shares[0] * memory[0, 0] + shares[1] * memory[0, 1]
    expected = torch.tanh(decoder.combine.weight @ torch.cat([h[0], context]) + decoder.combine.bias)
    torch.testing.assert_close(after.weights[0], torch.cat([shares, torch.zeros(1).double()]))
    torch.testing.assert_close(y[0], expected)
    assert torch.equal(decoder.readout(after), y)


def test_input_feeding_joins_the_last_output_to_the_next_input() -> None:
    model = translator(input_feeding=True)
    layer = model.generator.layer
    state = model.initial_state(IDS)
    x = torch.randn(4, 3, dtype=torch.float64)
    _, first = layer.step(x, state)
    y, _ = layer.step(x, first)
    fed, _ = layer.layer.step(torch.cat([x, first.last_output], dim=1), first.inner)
    torch.testing.assert_close(y, layer._attend(fed[:, None], first)[0][:, 0])
    assert not torch.allclose(y, layer.step(x, first._replace(last_output=torch.zeros_like(first.last_output)))[0])


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_beam_search_in_a_batch_is_that_of_each_row_alone(kind: dict[str, bool]) -> None:
    model = translator(**kind)

    def translate(source: ss.Sequences) -> list:
        state = model.initial_state(source)
        start = [1] * len(source)
        return beam_search(
            model.generator.array_step, state, start, width=3, stop=0, maximum_length=6, n_best=3, length_penalty=0.6
        )

    with torch.no_grad():
        together = translate(IDS)
        alone = [translate(IDS.select([row]))[0] for row in range(4)]
    assert [[h.tokens for h in row] for row in together] == [[h.tokens for h in row] for row in alone]
    for row, own in zip(together, alone, strict=True):
        assert [h.score for h in row] == pytest.approx([h.score for h in own], abs=1e-9)
    assert len({tuple(row[0].tokens) for row in together}) > 1
    for row, hypotheses in enumerate(together):  # and the memory went along with every beam that was reordered
        for hypothesis in hypotheses:
            written = [*hypothesis.tokens, 0] if hypothesis.finished else hypothesis.tokens
            previous, targets = ss.Sequences.pad([[1, *written[:-1]]]), ss.Sequences.pad([written])
            total = model.loss((IDS.select([row]), previous), targets).total.item()
            assert hypothesis.log_probability == pytest.approx(-total, abs=1e-9)


def test_generates_for_an_empty_batch_of_sources() -> None:
    model = translator()
    with torch.no_grad():
        state = model.initial_state(ss.Sequences.pad([]))
        assert generate(model.generator.array_step, state, [], length=3, sampler=Sampler()) == []
    assert all(len(leaf) == 0 for leaf in leaves(state))


def test_what_does_not_fit_is_refused_in_words() -> None:
    decoder = ss.AttentiveDecoder(ss.LSTM(3, 5), memory_size=6, attention_size=3)
    words = r"memory_size: expected 4, the output size of the encoder GRU\(3 → 4\), got 6"
    with pytest.raises(ValueError, match=words):
        ss.ConditionedGenerator(None, ss.GRU(3, 4), ss.Generator(ss.Embedding(7, 3), decoder))
    with pytest.raises(TypeError, match=r"AttentiveDecoder: expected a causal layer, .*got Bidirectional\(3 → 4\)"):
        ss.AttentiveDecoder(ss.Bidirectional(ss.GRU(3, 2), ss.GRU(3, 2)), 4, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"input size above H with input feeding, got LSTM\(5 → 5\)"):
        ss.AttentiveDecoder(ss.LSTM(5, 5), 4, 3, input_feeding=True)
    assert translator(attention=False).attention_weights(translator(attention=False).initial_state(IDS)) is None
