"""A cell of your own, in ten lines: through the laws, trained, saved and loaded again.

    python examples/your_own_cell.py

The cell is the minimal gated unit (Zhou et al. 2016): one gate, that forgets and lets in. The library's own
is `ss.MGU`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

import stepscan as ss


@ss.register("my_cell")
class MinimalGatedUnit(ss.Recurrence):
    """f_t = σ(W_f [x_t ; h_{t-1}]),  h_t = (1 − f_t) ⊙ h_{t-1} + f_t ⊙ tanh(W_h [x_t ; f_t ⊙ h_{t-1}])."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)

    def initial_state(self, batch_size: int, *, device=None, dtype=None) -> Tensor:
        return self.zeros(batch_size, self.output_size, device, dtype)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        f = torch.sigmoid(self.gate(torch.cat([x, h], dim=1)))
        h = (1 - f) * h + f * torch.tanh(self.candidate(torch.cat([x, f * h], dim=1)))
        return h, h


def main() -> None:
    ss.laws.check(MinimalGatedUnit(3, 4), examples=5)
    print("lawful")
    texts, labels = ["left right", "right left"] * 20, ["L", "R"] * 20
    model = ss.Classifier(cell="my_cell", hidden_size=16, embedding_size=8, dropout=0.0, epochs=15, learning_rate=0.03)
    model.fit(texts, labels, validation=(texts, labels))
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        again = ss.load(Path(folder) / "model")
    print("accuracy after loading:", again.score(texts, labels))


if __name__ == "__main__":
    main()
