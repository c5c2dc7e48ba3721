"""Initialisation of recurrent weights and gate biases, against vanishing gradients at the start of training.

    orthogonal   each H × H block of W_hh orthogonal (Saxe et al. 2014); the forget gate's bias 1 (Gers et al. 2000)
    identity     W_hh = I, biases 0, W_ih ~ N(0, 0.001²): an Elman network of relus, the IRNN (Le et al. 2015, §4)
    chrono       as orthogonal, but b_f = log u, b_i = −b_f, u ~ U(1, T_max − 1), one draw per unit, for initial time
                 constants of 1 to T_max steps (Tallec & Ollivier 2018, eq. 16). In a GRU, b_z is set in place of b_f,
                 and there is no b_i

Here are the settings and their checks; `stepscan.cells` draws the weights.
"""

from __future__ import annotations

from typing import NamedTuple

from stepscan.errors import shown

KINDS = {"orthogonal": "every cell", "identity": "elman", "chrono": "lstm, gru and layer_norm_lstm"}  # for which cells


class Initialisation(NamedTuple):
    """The initialisation of a cell's weights."""

    kind: str = "orthogonal"
    t_max: int | None = None  # with chrono, the longest dependency in steps
    forget_bias: float | None = None  # None for the default of `kind`

    def check(self, cell: str, kinds: tuple[str, ...], bias: bool = True) -> None:
        """Raise a ValueError unless the cell of that name, which supports `kinds`, can be initialised so."""
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise ValueError(f"initialisation: expected one of {', '.join(KINDS)}, got {shown(self.kind)}")
        if self.kind not in kinds:
            raise ValueError(
                f"initialisation: expected {' or '.join(kinds)} for the cell {cell}, got {self.kind}, which is for "
                f"{KINDS[self.kind]}"
            )
        self._check_numbers()
        if not bias and (self.kind == "chrono" or self.forget_bias is not None):
            what = "initialisation chrono" if self.kind == "chrono" else "forget_bias"
            raise ValueError(f"{what}: expected a cell with biases, got {cell} with bias=False; set bias=True")

    def _check_numbers(self) -> None:
        chrono = self.kind == "chrono"
        if chrono and self.t_max is None:
            raise ValueError(
                "t_max: expected the longest dependency in steps with chrono initialisation, got none; try 200"
            )
        if not chrono and self.t_max is not None:
            raise ValueError(
                f"t_max: expected none with {self.kind} initialisation, got {shown(self.t_max)}; "
                "omit it, or use chrono initialisation"
            )
        if chrono and (type(self.t_max) is not int or not 3 <= self.t_max < 2**31):
            raise ValueError(f"t_max: expected a whole number of at least 3 steps, below 2³¹, got {shown(self.t_max)}")
        if self.forget_bias is None:
            return
        if type(self.forget_bias) not in (int, float) or not abs(self.forget_bias) < 2.0**127:
            raise ValueError(f"forget_bias: expected a finite number, got {shown(self.forget_bias)}")
        if chrono:
            raise ValueError(
                f"forget_bias: expected none with chrono initialisation, which sets that bias, got "
                f"{shown(self.forget_bias)}; omit forget_bias"
            )


def check_elman(nonlinearity: object, initialisation: Initialisation) -> None:
    """Raise a ValueError unless an Elman network supports this nonlinearity with this initialisation."""
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity: expected 'tanh' or 'relu', got {shown(nonlinearity)}")
    initialisation.check("elman", ("orthogonal", "identity"))
    if initialisation.kind == "identity" and nonlinearity != "relu":
        raise ValueError("nonlinearity: expected 'relu' with identity initialisation (the IRNN), got 'tanh'")
