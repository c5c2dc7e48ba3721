"""The base class of the classic cells: their weights, and the choice of backend (see `stepscan.kernels`)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from stepscan import kernels
from stepscan.cells.initialisation import initialise_gates
from stepscan.contract import Recurrence
from stepscan.definitions.definition import built_in
from stepscan.definitions.initialisation import Initialisation
from stepscan.definitions.layer import scan_by_steps, start
from stepscan.kernels import programs, scan_operator
from stepscan.kernels.tensors import in_functorch
from stepscan.programs.stored import StoredProgram
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
        gates, state_class: see `stepscan.definitions.cells.CellDefinition`.
    """

    hidden_size: int
    scheme: Initialisation
    gates: ClassVar[int]
    state_class: ClassVar[Any]

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

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Any:
        fields = self.state_class._fields
        return self.state_class(*(self.zeros(batch_size, self.hidden_size, device, dtype) for _ in fields))

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        self.check_shape(inputs)
        state = start(self, inputs, state)
        found = programs.scan(self, inputs, state) or scan_operator.scan(self, inputs, state)
        if found is not None:
            return found
        inputs = inputs.zeroed()
        by_steps = kernels.get_backend() == "reference" or in_functorch() or self.recorded() is None
        return scan_by_steps(self, inputs, state) if by_steps or inputs.is_all_empty else self.fused_scan(inputs, state)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, State]:
        found = programs.step(self, x, state)
        return self.equations(x, state) if found is None else found

    def recorded(self) -> StoredProgram | None:
        """The cell as data; None for a class that has other equations than the cell of that name."""
        cls: Any = type(self)
        return self.stored_program() if is_as_defined(cls) else None

    def fused_scan(self, inputs: Sequences, state: Any) -> tuple[Sequences, State]:
        """`scan` with one of PyTorch's fused kernels; `inputs [B, T, I]` are zeroed and have at least one item."""
        raise NotImplementedError(f"{type(self).__name__}: expected a fused_scan(inputs, state); define it")

    @property
    def weights(self) -> list[Tensor]:
        """The weights that there are, in PyTorch's order: `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`, others."""
        weights = (getattr(self, name) for name in self.parts())
        return [weight for weight in weights if weight is not None]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias_ih is not None else ", bias=False")


@functools.cache
def is_as_defined(cls: Any) -> bool:
    """Whether a class of cells has the step and the equations of the cell that its name stands for."""
    own = built_in(cls.registered_name)
    names = ("named_gates", "equations", "preactivations", "exposed")
    return cls.step is Cell.step and all(getattr(cls, name, None) is getattr(own, name, None) for name in names)


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
        Outputs `[B, T, H]` and the leaves `[B, H]` of the final state, which keep their dtype. Under autocast the
        kernel runs in autocast's dtype; autocast itself would take float16 for cuDNN's recurrences, whatever its dtype.
    """
    order = inputs.lengths.argsort(descending=True, stable=True)
    if inputs.has_empty_rows:
        order = order[: int((inputs.lengths > 0).sum())]  # PyTorch rejects empty rows; their state is kept below
    packed = pack_padded_sequence(inputs.data[order], inputs.lengths[order].cpu(), batch_first=True)
    data, start, device = packed.data, [leaf[order][None] for leaf in state], inputs.data.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        data, start, weights = data.to(dtype), [leaf.to(dtype) for leaf in start], [w.to(dtype) for w in weights]
    with torch.autocast(device, enabled=False):
        first = tuple(start) if len(start) > 1 else start[0]
        out, *finals = kernel(data, packed.batch_sizes, first, weights, *_options(weights))
    padded, _ = pad_packed_sequence(PackedSequence(out, packed.batch_sizes), True, total_length=inputs.steps)
    outputs = out.new_zeros(len(inputs), *padded.shape[1:]).index_copy(0, order, padded)
    final = tuple(leaf.index_copy(0, order, new[0].to(leaf.dtype)) for leaf, new in zip(state, finals, strict=True))
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
