"""Dynamic evaluation: a language model that is trained on each window after predicting it (Krause et al. 2018)."""

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

_MAX_GRAD_NORM = 1.0


def dynamic_nats(model: Any, ids: np.ndarray, *, learning_rate: float, window: int) -> float:
    """Nats per symbol of one text, with an update of Adam after each window.

    The text is read once and in order, and each window is predicted before the model is trained on it, so predictions
    depend on earlier symbols only. `model` is not changed.

    Args:
        model: a `Generator`.
        ids: `[N]`; the first is not predicted.
        learning_rate: of Adam; 0.001 suits most models.
        window: symbols between two updates.

    Raises:
        SettingsError: the learning rate is not a finite number above 0.
    """
    if not is_within(learning_rate, 0) or learning_rate == 0:
        raise SettingsError(f"dynamic evaluation: expected a learning rate above 0, got {learning_rate!r}")
    model = copy.deepcopy(model).eval()
    device = next(model.parameters()).device
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    total, state = 0.0, None
    for inputs, targets in bptt_windows(ids, 1, window):
        length = [inputs.shape[1]]
        nats, _, state = model.loss(Sequences(inputs, length).to(device), Sequences(targets, length).to(device), state)
        total += nats.item()
        optimiser.zero_grad()
        (nats / length[0]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRAD_NORM)
        optimiser.step()
        state = model.detach_state(state)
    return total / (len(ids) - 1)
