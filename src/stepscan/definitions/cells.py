"""Definitions of the classic cells: their settings, weights and equations.

The equations are written over `ops`, as everything in definitions: PyTorch runs them, and run on values that record
(`stepscan.programs.recording`) they are the program that the native library runs, with and without PyTorch.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from stepscan.definitions.cell_states import HiddenState, LSTMState
from stepscan.definitions.definition import Part, Weight, built_in, definition
from stepscan.definitions.initialisation import Initialisation, check_elman
from stepscan.definitions.kinds import Flag, Size
from stepscan.definitions.layer import LayerDefinition
from stepscan.definitions.program_cell import ProgramCell
from stepscan.programs.recording import record
from stepscan.programs.stored import StoredProgram

if TYPE_CHECKING:
    from stepscan.backends.weights import Weights


class CellDefinition(LayerDefinition):
    """Base of the classic cells, whose weights have the layout of `nn.RNN`, `nn.LSTM` and `nn.GRU`.

    Attributes:
        gates: blocks of H rows in its weights.
        state_class: a NamedTuple of leaves `[B, H]`, the first of which is h.
        retaining_gate: the gate by which the state is multiplied from step to step; empty for none.
        equation_settings: the fields that the equations depend on.
        initialisations: that the cell supports.
        scheme: how the weights are initialised.
    """

    hidden_size: int
    gates: ClassVar[int]
    state_class: ClassVar[Any] = HiddenState
    retaining_gate: ClassVar[str] = ""
    equation_settings: ClassVar[tuple[str, ...]] = ("input_size", "hidden_size", "bias")
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
        bias = Weight((rows,)) if has_bias else None
        matrices = {"weight_ih": Weight((rows, self.input_size)), "weight_hh": Weight((rows, self.hidden_size))}
        return {**matrices, "bias_ih": bias, "bias_hh": bias}

    @property
    def condition_size(self) -> int:
        return len(self.state_class._fields) * self.hidden_size

    def named_gates(self, x: Any, state: Any) -> dict[str, Any]:
        """Gates (0 … 1), and what stands for the candidate or activation, by name: `x [B, I]` and a state → `[B, H]`
        each."""
        raise NotImplementedError(f"{type(self).__name__}: expected named_gates(x, state); define them")

    def equations(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One step: `x [B, I]` and a state → output `[B, H]` and the next state."""
        raise NotImplementedError(f"{type(self).__name__}: expected equations(x, state); define them")

    def stored_program(self) -> StoredProgram:
        """The cell as data, made of its equations."""
        return _recorded(self.registered_name, tuple(getattr(self, name) for name in self.equation_settings))

    def native(self, weights: Weights) -> Any:
        return ProgramCell(self.stored_program()).native(weights)


@functools.lru_cache(maxsize=256)
def _recorded(name: str, settings: tuple[Any, ...]) -> StoredProgram:
    cls: Any = built_in(name)
    return record(cls(**dict(zip(cls.equation_settings, settings, strict=True))))


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
    equation_settings = ("input_size", "hidden_size", "nonlinearity", "bias")
    initialisations = ("orthogonal", "identity")

    def derive(self) -> None:
        super().derive()
        check_elman(self.nonlinearity, self.scheme)

    def named_gates(self, x: Any, state: HiddenState) -> dict[str, Any]:
        ops = self.ops
        total = ops.linear(x, self.weight_ih, self.bias_ih) + ops.linear(state.h, self.weight_hh, self.bias_hh)
        return {"activation": ops.tanh(total) if self.nonlinearity == "tanh" else ops.relu(total)}

    def equations(self, x: Any, state: HiddenState) -> tuple[Any, HiddenState]:
        h = self.named_gates(x, state)["activation"]
        return h, HiddenState(h)


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
    retaining_gate = "update"

    def named_gates(self, x: Any, state: HiddenState) -> dict[str, Any]:
        ops = self.ops
        x_r, x_z, x_n = ops.chunk(ops.linear(x, self.weight_ih, self.bias_ih), 3)
        h_r, h_z, h_n = ops.chunk(ops.linear(state.h, self.weight_hh, self.bias_hh), 3)
        reset = ops.sigmoid(x_r + h_r)
        return {"reset": reset, "update": ops.sigmoid(x_z + h_z), "candidate": ops.tanh(x_n + reset * h_n)}

    def equations(self, x: Any, state: HiddenState) -> tuple[Any, HiddenState]:
        gates = self.named_gates(x, state)
        update = gates["update"]
        h = (1 - update) * gates["candidate"] + update * state.h
        return h, HiddenState(h)


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
    state_class = LSTMState
    retaining_gate = "forget"

    def preactivations(self, x: Any, state: LSTMState) -> Any:
        """`[B, 4 H]`, in the order i, f, g, o."""
        ops = self.ops
        return ops.linear(x, self.weight_ih, self.bias_ih) + ops.linear(state.h, self.weight_hh, self.bias_hh)

    def named_gates(self, x: Any, state: LSTMState) -> dict[str, Any]:
        ops = self.ops
        i, f, g, o = ops.chunk(self.preactivations(x, state), 4)
        return {"input": ops.sigmoid(i), "forget": ops.sigmoid(f), "candidate": ops.tanh(g), "output": ops.sigmoid(o)}

    def exposed(self, c: Any) -> Any:
        """What the output gate lets through."""
        return self.ops.tanh(c)

    def equations(self, x: Any, state: LSTMState) -> tuple[Any, LSTMState]:
        gates = self.named_gates(x, state)
        c = gates["forget"] * state.c + gates["input"] * gates["candidate"]
        h = gates["output"] * self.exposed(c)
        return h, LSTMState(h, c)


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
    state_class = LSTMState
    retaining_gate = "forget"
    equation_settings = ("input_size", "hidden_size")
    named_gates, equations = LSTM.named_gates, LSTM.equations

    def parts(self) -> dict[str, Part | None]:
        rows, size = 4 * self.hidden_size, self.hidden_size
        matrices = {"weight_ih": Weight((rows, self.input_size)), "weight_hh": Weight((rows, size))}
        gains = {"gain_ih": Weight((rows,)), "gain_hh": Weight((rows,)), "bias": Weight((rows,))}
        return {
            **matrices,
            "bias_ih": None,
            "bias_hh": None,
            **gains,
            "gain_c": Weight((size,)),
            "bias_c": Weight((size,)),
        }

    def preactivations(self, x: Any, state: LSTMState) -> Any:
        """`[B, 4 H]`, in the order i, f, g, o."""
        ops = self.ops
        of_x = ops.layer_norm(ops.linear(x, self.weight_ih), self.gain_ih)
        return of_x + ops.layer_norm(ops.linear(state.h, self.weight_hh), self.gain_hh) + self.bias

    def exposed(self, c: Any) -> Any:
        """What the output gate lets through."""
        return self.ops.tanh(self.ops.layer_norm(c, self.gain_c, self.bias_c))
