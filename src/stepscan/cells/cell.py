"""The base class of the classic cells: their weights, and the choice of backend (see `stepscan.kernels`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from stepscan import kernels
from stepscan.cells import scan_operator
from stepscan.cells.initialisation import initialise_gates
from stepscan.contract import Recurrence
from stepscan.definitions.initialisation import Initialisation
from stepscan.definitions.layer import start
from stepscan.kernels import scans
from stepscan.kernels.tensors import in_functorch
from stepscan.sequences import Sequences
from stepscan.state import State


class Cell(Recurrence):
    """A recurrence with `gates` blocks of weights, in the layout of `nn.RNN`, `nn.LSTM` and `nn.GRU`.

    Weights: `weight_ih [gates·H, I]`, `weight_hh [gates·H, H]`, `bias_ih` and `bias_hh [gates·H]`. By default
    `weight_ih` is initialised Glorot-uniform, each H × H block of `weight_hh` orthogonal (Saxe et al. 2014), and biases
    with zeros; see `stepscan.definitions.initialisation`.

    Attributes:
        hidden_size: H.
        scheme: how weights are initialised.
        gates: see `stepscan.definitions.cells.CellDefinition`.
    """

    hidden_size: int
    scheme: Initialisation
    gates: ClassVar[int]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        initialise_gates(self.gates, self.weight_ih, self.weight_hh)
        for bias in (self.bias_ih, self.bias_hh):
            if bias is not None:
                nn.init.zeros_(bias)

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        self.check_shape(inputs)
        state = start(self, inputs, state)
        if scans.is_supported(self, inputs.data):
            outputs, (final,) = scans.scan(inputs, [scans.Direction(self, False, state)])
            return inputs.replace(outputs, zeroed=True), final
        if scan_operator.is_supported(self.weight_ih, inputs.data):
            outputs, final = scan_operator.scan(self, inputs, state)
            return inputs.replace(outputs, zeroed=True), final
        inputs = inputs.zeroed()
        if inputs.is_all_empty or kernels.get_backend() == "reference" or in_functorch():
            return super().scan(inputs, state)
        return self.fused_scan(inputs, state)

    def runs_natively(self, inputs: Sequences) -> bool:
        """Whether the native kernels run this cell on these inputs, and no hook expects a call of the module."""
        hooks = (self._forward_hooks, self._forward_pre_hooks, self._backward_hooks, self._backward_pre_hooks)
        return scans.is_supported(self, inputs.data) and not any(hooks)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, State]:
        if scans.is_supported(self, x):
            return scans.step(self, x, state)
        return self.equations(x, state)

    def equations(self, x: Tensor, state: Any) -> tuple[Tensor, State]:
        """One step in PyTorch, the reference for all kernels: `x [B, I]` and a state → `[B, H]` and the next state."""
        raise NotImplementedError(f"{type(self).__name__}: expected equations(x, state); define them")

    def fused_scan(self, inputs: Sequences, state: Any) -> tuple[Sequences, State]:
        """`scan` with one of PyTorch's fused kernels; `inputs [B, T, I]` are zeroed and have at least one item."""
        raise NotImplementedError(f"{type(self).__name__}: expected a fused_scan(inputs, state); define it")

    @property
    def weights(self) -> list[Tensor]:
        """The weights in PyTorch's order: `weight_ih`, `weight_hh` and, if there are biases, `bias_ih`, `bias_hh`."""
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return [weight for weight in weights if weight is not None]

    @property
    def kernel_weights(self) -> list[Tensor | None]:
        """The weights in the native kernel's order; None for a missing bias."""
        # the dictionary is faster than attributes; inside functional_call, weights may be attributes only
        parameters = self._parameters
        return [parameters[n] if n in parameters else getattr(self, n) for n in self.weight_names]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias_ih is not None else ", bias=False")


def scan_packed(
    kernel: Callable[..., Any], inputs: Sequences, state: tuple[Tensor, ...], weights: list[Tensor]
) -> tuple[Sequences, tuple[Tensor, ...]]:
    """Run one of PyTorch's fused recurrences over packed sequences, so that each row ends at its own length.

    Args:
        kernel: `torch.lstm`, `torch.gru`, `torch.rnn_tanh` or `torch.rnn_relu`.
        inputs: `[B, T, I]` with `T > 0` and at least one row that is not empty.
        state: the leaves `[B, H]`.
        weights: as `Cell.weights`.

    Returns:
        Outputs `[B, T, H]` and the leaves `[B, H]` of the final state.
    """
    order = inputs.lengths.argsort(descending=True, stable=True)
    if inputs.has_empty_rows:
        order = order[: int((inputs.lengths > 0).sum())]  # PyTorch rejects empty rows; their state is kept below
    packed = pack_padded_sequence(inputs.data[order], inputs.lengths[order].cpu(), batch_first=True)
    start = tuple(leaf[order][None] for leaf in state)
    out, *finals = kernel(
        packed.data, packed.batch_sizes, start if len(start) > 1 else start[0], weights, *_options(weights)
    )
    padded, _ = pad_packed_sequence(PackedSequence(out, packed.batch_sizes), True, total_length=inputs.steps)
    outputs = out.new_zeros(len(inputs), *padded.shape[1:]).index_copy(0, order, padded)
    final = tuple(leaf.index_copy(0, order, new[0]) for leaf, new in zip(state, finals, strict=True))
    return inputs.replace(outputs, zeroed=True), final


def scan_padded_lstm(
    inputs: Sequences, h: Tensor, c: Tensor, weights: list[Tensor]
) -> tuple[Sequences, tuple[Tensor, Tensor]]:
    """PyTorch's padded LSTM, twice as fast on a CPU as the packed one, with the final c of each row at its own length.

    An additional input that is 1 in the padding makes the input gate exactly 0 and the forget gate exactly 1 there
    (a sigmoid at ∓10⁴), so that c_T of the padded scan is c at the row's own length, gradients included.

    Args:
        inputs: `[B, T, I]`, zeroed.
        h, c: `[B, H]`, the initial state.
        weights: as `Cell.weights`.

    Returns:
        Outputs `[B, T, H]`, and the final h and c `[B, H]`.
    """
    data = inputs.data
    if inputs.is_ragged:
        ended = (~inputs.mask).to(data.dtype)[:, :, None]
        data = torch.cat([data, ended], dim=2)
        gates = data.new_tensor([-1e4, 1e4, 0.0, 0.0]).repeat_interleave(h.shape[1])[:, None]
        weights = [torch.cat([weights[0], gates], dim=1), *weights[1:]]
    out, final_h, final_c = torch.lstm(data, (h[None], c[None]), weights, *_options(weights), True)
    if not inputs.is_ragged:
        return inputs.replace(out), (final_h[0], final_c[0])
    outputs = inputs.replace(out).zeroed()
    return outputs, (outputs.last(default=h), final_c[0])


def _options(weights: list[Tensor]) -> tuple[bool, int, float, bool, bool]:
    """has_biases, num_layers, dropout, train, bidirectional. `train` saves what a backward pass needs."""
    return len(weights) == 4, 1, 0.0, torch.is_grad_enabled(), False
