"""Dynamic evaluation: a language model that goes on learning from what it has just read (Krause et al. 2018)."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from stepscan.data.batching import bptt_windows
from stepscan.decoding import is_within
from stepscan.errors import SettingsError
from stepscan.sequences import Sequences

_CLIP = 1.0  # largest norm of the gradients


def dynamic_nats(model: Any, ids: np.ndarray, *, learning_rate: float, window: int) -> float:
    """Nats a symbol of one text, read once and in order: each window is predicted first and learned from after.

    So no prediction knows anything of what it predicts. The updates are Adam's; `model` itself stays as it is.

    Args:
        model: a `Generator`.
        ids: `[N]`, of which the first is only read.
        learning_rate: Adam's; 0.001 suits most.
        window: symbols that are predicted between two updates.

    Raises:
        SettingsError: the learning rate is no finite number above 0.
    """
    if not is_within(learning_rate, 0) or learning_rate == 0:
        raise SettingsError(f"dynamic evaluation: expected a learning rate above 0, got {learning_rate!r}")
    learner = copy.deepcopy(model).eval()
    device = next(learner.parameters()).device
    optimiser = torch.optim.Adam(learner.parameters(), lr=learning_rate)
    total, state = 0.0, None
    for inputs, targets in bptt_windows(ids, 1, window):
        length = [inputs.shape[1]]
        nats, _, state = learner.loss(
            Sequences(inputs, length).to(device), Sequences(targets, length).to(device), state
        )
        total += nats.item()
        optimiser.zero_grad()
        (nats / length[0]).backward()
        nn.utils.clip_grad_norm_(learner.parameters(), _CLIP)
        optimiser.step()
        state = learner.detach_state(state)
    return total / (len(ids) - 1)
