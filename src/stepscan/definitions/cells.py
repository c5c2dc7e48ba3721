"""Definitions of the cells; their equations are in `stepscan.cells`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from stepscan.backends.native_arrays import address, addresses, contiguous
from stepscan.definitions.definition import Linear, Norm, Part, Weight, definition
from stepscan.definitions.initialisation import Initialisation, check_elman
from stepscan.definitions.kinds import Flag, Probability, Size
from stepscan.definitions.layer import LayerDefinition
from stepscan.fields import choose_heads
from stepscan.kernels.native import library

if TYPE_CHECKING:
    from stepscan.backends.weights import Weights

_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class CellDefinition(LayerDefinition):
    """Base of the classic cells, whose weights have the layout of `nn.RNN`, `nn.LSTM` and `nn.GRU`.

    Attributes:
        gates: blocks of H rows in its weights.
        state_leaves: leaves `[B, H]` of its state.
        weight_names: in the order of the native kernel; a name that has no part is a missing bias.
        initialisations: that the cell supports.
        scheme: how the weights are initialised.
    """

    hidden_size: int
    gates: ClassVar[int]
    state_leaves: ClassVar[int] = 1
    weight_names: ClassVar[tuple[str, ...]] = _WEIGHTS
    initialisations: ClassVar[tuple[str, ...]] = ("orthogonal", "chrono")
    scheme: Initialisation

    def derive(self) -> None:
        self.output_size = self.hidden_size
        has_bias = getattr(self, "bias", True)
        settings = (getattr(self, name, None) for name in ("initialisation", "t_max", "forget_bias"))
        self.scheme = Initialisation(*settings)  # type: ignore[arg-type]
        self.scheme.check(self.registered_name, self.initialisations, has_bias)

    def parts(self) -> dict[str, Part | None]:
        rows, has_bias = self.gates * self.hidden_size, getattr(self, "bias", True)
        shapes = [(rows, self.input_size), (rows, self.hidden_size), *[(rows,) if has_bias else None] * 2]
        return _weights(_WEIGHTS, shapes)

    @property
    def condition_size(self) -> int:
        return self.state_leaves * self.hidden_size

    @property
    def kernel(self) -> str:
        """The name of its native kernel."""
        return self.registered_name

    def native(self, weights: Weights) -> Any:
        parts: dict[str, Any] = dict(self.parts())
        bound = [parts[name] and parts[name].bind(weights, name) for name in self.weight_names]
        arrays = [None if array is None else contiguous(array) for array in bound]
        sources = [0 if array is None else address(array) for array in arrays]
        sizes = self.input_size, self.hidden_size
        return library.make_cell(library.Weights(self.kernel, *sizes, sources, False, weights.options.format))


@definition("elman")
@dataclass(eq=False, repr=False)
class Elman(CellDefinition):
    """See `stepscan.Elman`."""

    input_size: Size
    hidden_size: Size
    nonlinearity: str = "tanh"
    bias: Flag = True
    initialisation: str = "orthogonal"

    gates = 1
    initialisations = ("orthogonal", "identity")

    def derive(self) -> None:
        super().derive()
        check_elman(self.nonlinearity, self.scheme)

    @property
    def kernel(self) -> str:
        return f"elman_{self.nonlinearity}"


@definition("gru")
@dataclass(eq=False, repr=False)
class GRU(CellDefinition):
    """See `stepscan.GRU`."""

    input_size: Size
    hidden_size: Size
    bias: Flag = True
    initialisation: str = "orthogonal"
    t_max: int | None = None

    gates = 3


@definition("lstm")
@dataclass(eq=False, repr=False)
class LSTM(CellDefinition):
    """See `stepscan.LSTM`."""

    input_size: Size
    hidden_size: Size
    bias: Flag = True
    initialisation: str = "orthogonal"
    t_max: int | None = None
    forget_bias: float | None = None

    gates = 4
    state_leaves = 2


@definition("layer_norm_lstm")
@dataclass(eq=False, repr=False)
class LayerNormLSTM(CellDefinition):
    """See `stepscan.LayerNormLSTM`."""

    input_size: Size
    hidden_size: Size
    initialisation: str = "orthogonal"
    t_max: int | None = None
    forget_bias: float | None = None

    gates = 4
    state_leaves = 2
    weight_names = (*_WEIGHTS, "gain_ih", "gain_hh", "bias", "gain_c", "bias_c")

    def parts(self) -> dict[str, Part | None]:
        rows, size = 4 * self.hidden_size, self.hidden_size
        shapes = [(rows, self.input_size), (rows, size), None, None, *[(rows,)] * 3, *[(size,)] * 2]
        return _weights(self.weight_names, shapes)


def _weights(names: Sequence[str], shapes: Sequence[tuple[int, ...] | None]) -> dict[str, Part | None]:
    return {n: None if shape is None else Weight(shape) for n, shape in zip(names, shapes, strict=True)}


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
