"""The models of the experiments: a pattern around one cell."""

from __future__ import annotations

from stepscan.contract import Recurrence
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.encoder import Encoder
from stepscan.patterns.transducer import Transducer


def decider(layer: Recurrence, symbols: int, classes: int) -> Encoder:
    """Ids → one class a sequence, from the last state."""
    return Encoder(Embedding(symbols, layer.input_size), layer, classes)


def regressor(layer: Recurrence) -> Encoder:
    """Numbers `[T, I]` → a number, from the last state."""
    return Encoder(None, layer, 1, decision="number")


def transducer(layer: Recurrence, symbols: int, classes: int) -> Transducer:
    """Ids → a class a step."""
    return Transducer(Embedding(symbols, layer.input_size), layer, classes)
