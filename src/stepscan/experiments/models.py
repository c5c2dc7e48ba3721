"""The models of the experiments: a pattern around one layer."""

from __future__ import annotations

from stepscan.contract import Layer
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.encoder import Encoder
from stepscan.patterns.transducer import Transducer


def classifier(layer: Layer, symbols: int, classes: int) -> Encoder:
    """Ids `[T]` → one class per sequence, from the final state."""
    return Encoder(Embedding(symbols, layer.input_size), layer, classes)


def regressor(layer: Layer) -> Encoder:
    """Values `[T, I]` → one value per sequence, from the final state."""
    return Encoder(None, layer, 1, problem_type="regression")


def transducer(layer: Layer, symbols: int, classes: int) -> Transducer:
    """Ids `[T]` → one class per step."""
    return Transducer(Embedding(symbols, layer.input_size), layer, classes)
