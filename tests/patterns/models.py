"""Small models and inputs that the tests of the patterns share."""

from __future__ import annotations

import torch

import stepscan as ss

IDS = ss.Sequences.pad([[1, 2, 3, 4], [5], [], [6, 1, 2]])


def with_padding(ids: ss.Sequences, filler: int, extra: int = 2) -> ss.Sequences:
    """The same sequences with `extra` more places of padding and `filler` in all of it."""
    data = torch.nn.functional.pad(ids.data, (0, extra))
    longer = ss.Sequences(data, ids.lengths)
    return ss.Sequences(torch.where(longer.mask, data, filler), ids.lengths)


def loss_by_hand(scores: ss.Sequences, targets: ss.Sequences) -> torch.Tensor:
    """Cross-entropy summed over the items, one by one."""
    log_probabilities = scores.data.log_softmax(-1)
    lengths = enumerate(targets.lengths.tolist())
    return -sum(log_probabilities[row, t, targets.data[row, t]] for row, length in lengths for t in range(length))


def language_model(layer: ss.Recurrence | None = None, **settings: object) -> ss.Generator:
    torch.manual_seed(0)
    return ss.Generator(ss.Embedding(7, 3), ss.LSTM(3, 4) if layer is None else layer, **settings).double()  # type: ignore[arg-type]


def translator(attention: bool = True, input_feeding: bool = False, shared: bool = False) -> ss.ConditionedGenerator:
    """Bidirectional encoder, one-directional decoder; large weights, so that what is read makes a difference."""
    torch.manual_seed(0)
    encoder = ss.Bidirectional(ss.GRU(3, 2), ss.GRU(3, 2))
    layer: ss.Recurrence = ss.LSTM(3 + (5 if input_feeding else 0), 5)
    if attention:
        layer = ss.AttentiveDecoder(layer, memory_size=4, attention_size=3, input_feeding=input_feeding)
    source = None if shared else ss.Embedding(7, 3)
    model = ss.ConditionedGenerator(source, encoder, ss.Generator(ss.Embedding(7, 3), layer)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
        model.generator.head.bias[0] -= 3  # so that 0, where it stops, does not come at once
    return model
