"""Definitions of the transformer blocks; their equations are in `stepscan.cells.transformer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepscan.backends.native_arrays import addresses
from stepscan.definitions.definition import Linear, Norm, Part, definition
from stepscan.definitions.kinds import Probability, Size
from stepscan.definitions.layer import LayerDefinition
from stepscan.fields import choose_heads
from stepscan.kernels.native import library

if TYPE_CHECKING:
    from stepscan.backends.weights import Weights


class TransformerDefinition(LayerDefinition):
    """Base of the causal and the bidirectional transformer block."""

    hidden_size: int
    heads: int

    def derive(self) -> None:
        self.output_size, self.heads = self.hidden_size, choose_heads(self.hidden_size, self.heads)

    def parts(self) -> dict[str, Part | None]:
        size = self.hidden_size
        return {
            "into": Linear(self.input_size, size) if self.input_size != size else None,
            "attention_norm": Norm(size),
            "forward_norm": Norm(size),
            "projection": Linear(size, 3 * size),
            "output": Linear(size, size),
            "up": Linear(size, 4 * size),
            "down": Linear(4 * size, size),
        }

    def native(self, weights: Weights) -> Any:
        bound: dict[str, Any] = {name: part and part.bind(weights, name) for name, part in self.parts().items()}
        maps = [bound[name] for name in ("into", "projection", "output", "up", "down")]
        norms = [bound[name] for name in ("attention_norm", "forward_norm")]
        arrays = [array for norm in norms for array in (norm.gain, norm.bias)]
        natives = [linear and linear.native for linear in maps]
        return library.make_transformer(natives, addresses(*arrays), self.heads, getattr(self, "context", 0))


@definition("bidirectional_transformer")
@dataclass(eq=False, repr=False)
class BidirectionalTransformer(TransformerDefinition):
    """See `stepscan.BidirectionalTransformer`."""

    input_size: Size
    hidden_size: Size
    heads: int = 0
    dropout: Probability = 0.0

    causal = False


@definition("transformer")
@dataclass(eq=False, repr=False)
class Transformer(TransformerDefinition):
    """See `stepscan.Transformer`."""

    input_size: Size
    hidden_size: Size
    heads: int = 0
    context: Size = 512
    dropout: Probability = 0.0

    caches = True

    @property
    def condition_size(self) -> int:
        return self.input_size
