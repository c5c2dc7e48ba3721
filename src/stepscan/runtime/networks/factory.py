"""From the description in `config.json` and the tensors beside it to a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepscan.runtime.batches import Array
from stepscan.runtime.layers import Options
from stepscan.runtime.networks.conditioned_generator import ConditionedGenerator
from stepscan.runtime.networks.crf import CRFTransducer
from stepscan.runtime.networks.encoder import Encoder
from stepscan.runtime.networks.generator import Generator
from stepscan.runtime.networks.tensors import Tensors, build_part
from stepscan.runtime.networks.transducer import Transducer

Network = Encoder | Transducer | CRFTransducer | Generator | ConditionedGenerator

PATTERNS: dict[str, Any] = {
    "encoder": Encoder,
    "transducer": Transducer,
    "crf_transducer": CRFTransducer,
    "generator": Generator,
    "conditioned_generator": ConditionedGenerator,
}


def build_network(description: Any, tensors: Mapping[str, Array], options: Options | None = None) -> Network:
    """The network that is described.

    Args:
        description: what `stepscan.registry.describe` says of the trained pattern: `config.json`'s `model`.
        tensors: its `state_dict`, by name, as NumPy arrays; they are read, and kept where they are not packed.
        options: how the native layers keep weights, and on how many threads they run.

    Raises:
        UnsupportedLayer: it, or a layer in it, has no native kernel.
        ModelFormatError: the description does not fit, or a tensor is missing or of another shape.
    """
    return build_part(PATTERNS, description, Tensors(tensors, options or Options()))
