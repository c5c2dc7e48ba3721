"""How a cell's recurrent weights and gate biases begin: what keeps gradients alive before anything is learned.

    orthogonal   each H × H block of W_hh orthogonal (Saxe et al. 2014); the forget gate's bias 1 (Gers et al. 2000)
    identity     W_hh = I, biases 0, W_ih ~ N(0, 0.001²): an Elman network of relus, the IRNN (Le et al. 2015, §4)
    chrono       as orthogonal, but b_f = log u, b_i = −b_f, u ~ U(1, T_max − 1), one draw a unit: its gates begin with
                 memories of 1 to T_max steps (Tallec & Ollivier 2018, eq. 16). In a GRU z forgets, and there is no b_i

Importing this brings in no torch: the runtime checks the same arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

KINDS = {"orthogonal": "every cell", "identity": "elman", "chrono": "lstm, gru and layer_norm_lstm"}  # who has it


class Initialisation(NamedTuple):
    """What a cell is told about its first weights; None leaves it to the kind."""

    kind: str = "orthogonal"
    t_max: int | None = None  # of chrono: steps of the longest dependency
    forget_bias: float | None = None

    def check(self, cell: str, kinds: tuple[str, ...], bias: bool = True) -> None:
        """Raise a `ValueError` unless a cell of that name, which knows `kinds`, can begin so."""
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise ValueError(f"initialisation: expected one of {', '.join(KINDS)}, got {_shown(self.kind)}")
        if self.kind not in kinds:
            raise ValueError(
                f"{self.kind} initialisation is for {KINDS[self.kind]}, but the cell is {cell}, which takes "
                f"{' or '.join(kinds)}"
            )
        self._check_numbers()
        if not bias and (self.kind == "chrono" or self.forget_bias is not None):
            what = "chrono initialisation" if self.kind == "chrono" else "forget_bias"
            raise ValueError(f"{what} sets biases, but this {cell} has none; give it bias=True")

    def _check_numbers(self) -> None:
        chrono = self.kind == "chrono"
        if chrono and self.t_max is None:
            raise ValueError("chrono initialisation needs t_max, the steps of the longest dependency, such as 200")
        if not chrono and self.t_max is not None:
            raise ValueError(f"t_max={_shown(self.t_max)} is for chrono initialisation, but this one is {self.kind}")
        if chrono and (type(self.t_max) is not int or not 3 <= self.t_max < 2**31):
            raise ValueError(f"t_max: expected a whole number of at least 3 steps, below 2³¹, got {_shown(self.t_max)}")
        if self.forget_bias is None:
            return
        if type(self.forget_bias) not in (int, float) or not abs(self.forget_bias) < 2.0**127:
            raise ValueError(f"forget_bias: expected a finite number, got {_shown(self.forget_bias)}")
        if chrono:
            raise ValueError("chrono initialisation sets the forget gate's bias itself; leave forget_bias away")

    def forget_biases(self, hidden_size: int, default: float = 1.0) -> Tensor:
        """First biases of the forget gate: `[H]`."""
        import torch

        if self.kind != "chrono":
            return torch.full((hidden_size,), default if self.forget_bias is None else float(self.forget_bias))
        assert self.t_max is not None  # checked
        return torch.empty(hidden_size).uniform_(1, self.t_max - 1).log()


def check_elman(nonlinearity: object, initialisation: Initialisation) -> None:
    """Raise a `ValueError` unless an Elman network can have this nonlinearity and begin so."""
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity: expected 'tanh' or 'relu', got {_shown(nonlinearity)}")
    initialisation.check("elman", ("orthogonal", "identity"))
    if initialisation.kind == "identity" and nonlinearity != "relu":
        raise ValueError("identity initialisation is for nonlinearity 'relu' (the IRNN), got 'tanh'")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
