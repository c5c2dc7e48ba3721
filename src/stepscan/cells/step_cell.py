"""Bases of the cells that are a step and nothing else: what such cells have in common besides their equations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from stepscan.cells.initialisation import initialise_gates, initialise_linear
from stepscan.contract import Recurrence
from stepscan.definitions.cell_states import HiddenState
from stepscan.definitions.definition import Part, Weight
from stepscan.definitions.kinds import Size


@dataclass(eq=False)
class StepCell(Recurrence):
    """A cell from `input_size` to `hidden_size` that initialises its weights when it is made.

    Attributes:
        state_class: a NamedTuple of leaves `[B, H]`, all zeros at first.
    """

    input_size: Size
    hidden_size: Size

    state_class: ClassVar[type] = HiddenState

    def derive(self) -> None:
        self.output_size = self.hidden_size

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        raise NotImplementedError(f"{type(self).__name__}: expected reset_parameters(); define it")

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Any:
        fields: tuple[str, ...] = self.state_class._fields  # type: ignore[attr-defined]
        return self.state_class(*(self.zeros(batch_size, self.hidden_size, device, dtype) for _ in fields))


class GatedCell(StepCell):
    """A cell with `gates` blocks of weights of x and of h: `weight_ih [gates · H, I]` (Glorot-uniform),
    `weight_hh [gates · H, H]` (orthogonal blocks), `bias [gates · H]` (zeros)."""

    gates: ClassVar[int]

    def parts(self) -> dict[str, Part | None]:
        rows = self.gates * self.hidden_size
        return {
            "weight_ih": Weight((rows, self.input_size)),
            "weight_hh": Weight((rows, self.hidden_size)),
            "bias": Weight((rows,)),
        }

    def reset_parameters(self) -> None:
        initialise_gates(self.gates, self.weight_ih, self.weight_hh)
        nn.init.zeros_(self.bias)


class DiagonalCell(StepCell):
    """A cell with `gates` blocks of weights of x, and no matrix between its units: `weight_ih [gates · H, I]` and
    `bias [gates · H]`, both U(−1/√I, 1/√I), as in `nn.Linear`."""

    gates: ClassVar[int]

    def parts(self) -> dict[str, Part | None]:
        rows = self.gates * self.hidden_size
        return {"weight_ih": Weight((rows, self.input_size)), "bias": Weight((rows,))}

    def reset_parameters(self) -> None:
        initialise_linear(self.weight_ih, self.bias)
