"""MixerBlock: the residual block of modern recurrent networks, around any recurrence (De et al. 2024, Griffin, §2).

z_t = norm(x_t)
m_t = mixer(convolution(W_in z_t + b_in))
u_t = x_t + W_out (m_t ⊙ gelu(W_gate z_t + b_gate)) + b_out
v_t = norm(u_t)
y_t = u_t + W_down (gelu(W_g v_t + b_g) ⊙ (W_v v_t + b_v)) + b_down        of inner size 3D

norm is root-mean-square normalisation (Zhang & Sennrich 2019), the convolution a `CausalConvolution` of width 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.combinators.causal_convolution import CausalConvolution
from stepscan.contract import Recurrence
from stepscan.definitions.definition import Linear, Part, Weight
from stepscan.definitions.kinds import Causal, Size
from stepscan.definitions.layer import start
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State

_EXPANSION = 3
_EPSILON = 1e-6


class MixerBlockState(NamedTuple):
    y: Tensor  # [B, D], the last output
    convolution: State
    mixer: State


@register("mixer_block")
@dataclass(eq=False)
class MixerBlock(Recurrence):
    """Norm, convolution, mixer, gate; norm, gated feed-forward network; each half with a residual connection.

    A stack of them ends in a `LayerNorm`, as one of transformers does.

    Args:
        size: D, of the input and the output.
        mixer: a Recurrence of any sizes, such as `RGLRU(R, R)`.

    Raises:
        TypeError: `mixer` is not a Recurrence.
    """

    size: Size
    mixer: Causal

    def derive(self) -> None:
        self.input_size = self.output_size = self.size
        self.convolution = CausalConvolution(self.mixer.input_size)

    def nested(self) -> dict[str, Any]:
        return {"mixer": self.mixer, "convolution": self.convolution}

    def parts(self) -> dict[str, Part | None]:
        size, mixed = self.size, self.mixer.output_size
        return {
            "mixer_norm": Weight((size,)),
            "forward_norm": Weight((size,)),
            "into": Linear(size, self.mixer.input_size),
            "gate": Linear(size, mixed),
            "out": Linear(mixed, size),
            "up": Linear(size, 2 * _EXPANSION * size),
            "down": Linear(_EXPANSION * size, size),
        }

    def __post_init__(self) -> None:
        super().__post_init__()
        for norm in (self.mixer_norm, self.forward_norm):
            nn.init.ones_(norm)

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> MixerBlockState:
        y = self.zeros(batch_size, self.size, device, dtype)
        layers = (self.convolution, self.mixer)
        return MixerBlockState(y, *(one.initial_state(batch_size, device=y.device, dtype=y.dtype) for one in layers))

    def step(self, x: Tensor, state: MixerBlockState) -> tuple[Tensor, MixerBlockState]:
        z = self._normed(x, self.mixer_norm)
        convolved, convolution = self.convolution.step(self.into(z), state.convolution)
        mixed, mixer = self.mixer.step(convolved, state.mixer)
        y = self._merged(x, z, mixed)
        return y, MixerBlockState(y, convolution, mixer)

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """As `step`, with whole scans of convolution and mixer."""
        inputs = self.check_input(inputs)
        state = start(self, inputs, state)
        z = inputs.map(lambda x: self._normed(x, self.mixer_norm))
        convolved, convolution = self.convolution(z.map(self.into), state.convolution)
        mixed, mixer = self.mixer(convolved, state.mixer)
        outputs = inputs.replace(self._merged(inputs.data, z.data, mixed.zeroed().data)).zeroed()
        return outputs, MixerBlockState(outputs.last(default=state.y), convolution, mixer)

    def _merged(self, x: Tensor, z: Tensor, mixed: Tensor) -> Tensor:
        """Gate, residual connections and feed-forward network: `[…, D]`, `[…, D]` and `[…, R]` → `[…, D]`."""
        u = x + self.out(mixed * F.gelu(self.gate(z), approximate="tanh"))
        gate, value = self.up(self._normed(u, self.forward_norm)).chunk(2, dim=-1)
        return u + self.down(F.gelu(gate, approximate="tanh") * value)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, [self.size], weight, _EPSILON)

    @property
    def condition_size(self) -> int:
        return int(self.mixer.condition_size)

    def condition(self, vector: Tensor) -> MixerBlockState:
        """The initial state, with that of the mixer conditioned on `vector [B, condition_size]`."""
        state = self.initial_state(len(vector), device=vector.device, dtype=vector.dtype)
        return state._replace(mixer=self.mixer.condition(vector))

    def renew(self, state: MixerBlockState) -> MixerBlockState:
        return state._replace(mixer=self.mixer.renew(state.mixer))

    def set_memory(self, state: MixerBlockState, memory: Any) -> MixerBlockState:
        return state._replace(mixer=self.mixer.set_memory(state.mixer, memory))
