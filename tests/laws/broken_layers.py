"""Layers that people write by mistake. Each breaks a law; `test_broken_layers.py` says which."""

from __future__ import annotations

from typing import Any

import torch
from layers import RunningMean
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import stepscan as ss
from stepscan.definitions.bidirectional import BidirectionalState
from stepscan.state import State, map_state


class NeverReverses(ss.Bidirectional):
    """Thinc's: two layers side by side, both from left to right."""

    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        one, other = (None, None) if state is None else state
        (a, s), (b, r) = self.forward_layer(inputs, one), self.backward_layer(inputs, other)
        return inputs.replace(torch.cat([a.data, b.data], dim=2)).zeroed(), BidirectionalState(s, r)


class ReversesPadding(ss.Bidirectional):
    """Flips the padded sequence, so that the backward layer reads the padding first."""

    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        inputs = self.check_input(inputs)
        one, other = (None, None) if state is None else state
        ahead, s = self.forward_layer(inputs, one)
        full = ss.Sequences(inputs.data.flip(1), torch.full_like(inputs.lengths, inputs.steps))
        back, r = self.backward_layer(full, other)
        r = map_state(
            lambda new, old: torch.where(inputs.lengths[:, None] > 0, new, old), r, r if other is None else other
        )
        return inputs.replace(torch.cat([ahead.data, back.data.flip(1)], dim=2)).zeroed(), BidirectionalState(s, r)


class ClaimsZeroPadding(ss.Bidirectional):
    """Says that the padding of its outputs is zero, which after a shift it is not."""

    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        outputs, final = super().scan(inputs, state)
        return outputs.replace(outputs.data + 1, zeroed=True), final


class ForgetsStateOfEmptyRows(ss.Bidirectional):
    """A row of length 0 comes out with zeros instead of the state it was given."""

    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        outputs, final = super().scan(inputs, state)
        return outputs, map_state(lambda leaf: torch.where(inputs.lengths[:, None] > 0, leaf, 0), final)


class LastStepIsFinal(RunningMean):
    """Takes the final state at the padded end instead of each row's own."""

    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        full = ss.Sequences(self.check_input(inputs).data, torch.full_like(inputs.lengths, inputs.steps))
        outputs, final = super().scan(full, state)
        return inputs.replace(outputs.data).zeroed(), final


class ChangesStateInPlace(RunningMean):
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state.mul_(self.decay_ratio).add_((1 - self.decay_ratio) * x)
        return state.clone(), state


class ZeroesPaddingInPlace(RunningMean):
    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        inputs.data[~inputs.mask] = 0
        return super().scan(inputs, state)


class ScalesInputInPlace(RunningMean):
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return super().step(x.mul_(0.5), state)


class PeeksAhead(RunningMean):
    """Its scan lets the next item into each output, as a convolution that is centred does."""

    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        inputs = self.check_input(inputs)
        outputs, final = super().scan(inputs, state)
        return outputs.replace(
            outputs.data + F.pad(inputs.data[:, 1:], (0, 0, 0, min(1, inputs.steps)))
        ).zeroed(), final


class MasksByMultiplying(RunningMean):
    """NaN · 0 is NaN."""

    def check_input(self, inputs: ss.Sequences) -> ss.Sequences:
        return inputs.replace(inputs.data * inputs.mask[:, :, None], zeroed=True)


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class WrongBackward(RunningMean):
    """2x, whose hand-written backward forgets the 2."""

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return super().step(_Double.apply(x), state)


class DetachesWithinScan(RunningMean):
    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        return super().scan(inputs, None if state is None else state.detach())


class ScanForgetsBias(ss.Elman):
    @property
    def weights(self) -> list[Tensor]:
        return [self.weight_ih, self.weight_hh]


class StartsWhereItEnded(RunningMean):
    """Keeps its state between calls (Keras' `stateful=True`)."""

    kept: Tensor | None = None

    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        if state is None and self.kept is not None and len(self.kept) == len(inputs):
            state = self.kept
        outputs, self.kept = super().scan(inputs, state)
        return outputs, self.kept


class CentresOverTheBatch(RunningMean):
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return super().step(x - x.mean(dim=0), state)


class LayersFirstState(ss.GRU):
    """A state `[1, B, H]`, as PyTorch's own recurrences have it."""

    def initial_state(self, batch_size: int, **where: Any) -> Tensor:  # type: ignore[override]
        return super().initial_state(batch_size, **where).h[None]

    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        state = self.initial_state(len(inputs)) if state is None else state
        outputs, final = super().scan(inputs, type(super().initial_state(1))(state[0]))
        return outputs, final.h[None]


class ReadsOutTheCell(ss.LSTM):
    """c instead of h."""

    def readout(self, state: Any) -> Tensor:
        return state.c


class IgnoresTheStateGiven(ss.GRU):
    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        return super().scan(inputs, None)


class NoiseAlways(RunningMean):
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return super().step(F.dropout(x, 0.5), state)


class CannotBeEmpty(RunningMean):
    """The loop that everybody writes first."""

    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        if inputs.steps == 0:
            return inputs.replace(torch.stack([])), state
        return super().scan(inputs, state)


class PacksEmptyRows(ss.GRU):
    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        state = self.initial_state(len(inputs)) if state is None else state
        packed = pack_padded_sequence(inputs.data, inputs.lengths, batch_first=True, enforce_sorted=False)
        module = ss.to_torch(ss.GRU(self.input_size, self.hidden_size)).to(inputs.data)
        out, h = module(packed, state.h[None])
        return inputs.replace(pad_packed_sequence(out, batch_first=True)[0]), state._replace(h=h[0])


class SinglePrecisionState(RunningMean):
    def initial_state(self, batch_size: int, **where: Any) -> Tensor:  # type: ignore[override]
        return torch.zeros(batch_size, self.output_size)


class SaysAnotherWidth(RunningMean):
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.output_size = size + 1

    def initial_state(self, batch_size: int, **where: Any) -> Tensor:  # type: ignore[override]
        return self.zeros(batch_size, self.input_size, None, None)


class LooksOnlyBack(ss.Layer):
    """A causal layer that is no Recurrence: nobody can generate with it, for no reason."""

    def __init__(self, layer: ss.Layer) -> None:
        super().__init__()
        self.layer, self.input_size, self.output_size = layer, layer.input_size, layer.output_size

    def scan(self, inputs: ss.Sequences, state: State | None = None) -> tuple[ss.Sequences, State]:
        return self.layer(inputs, state)
