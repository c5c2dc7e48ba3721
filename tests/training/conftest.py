from __future__ import annotations

import pytest
import torch


@pytest.fixture
def rates(monkeypatch):
    """The learning rates of all steps."""
    found: list[float] = []
    step = torch.optim.AdamW.step

    def spy(self, *args, **kwargs):
        found.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    return found
