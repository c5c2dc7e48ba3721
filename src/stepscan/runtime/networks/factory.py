"""Builds a network from its description in `config.json` and its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepscan.runtime.batches import Array
from stepscan.runtime.execution import Options
from stepscan.runtime.networks.conditioned_generator import ConditionedGenerator
from stepscan.runtime.networks.crf import CRFTransducer
from stepscan.runtime.networks.encoder import Encoder
from stepscan.runtime.networks.generator import Generator
from stepscan.runtime.networks.tensors import Tensors, build_module
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
    """The network with this description.

    Args:
        description: `model` in `config.json`, as `stepscan.registry.describe` returns it for the trained pattern.
        tensors: its `state_dict` as NumPy arrays; the network keeps references to them.
        options: weight format and number of threads of the native layers.

    Raises:
        UnsupportedLayer: the pattern, or a layer in it, has no native kernel.
        ModelFormatError: the description is invalid, or a tensor is missing or of another shape.
    """
    return build_module(PATTERNS, description, Tensors(tensors, options or Options()))
