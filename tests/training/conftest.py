from __future__ import annotations

import pytest

from stepscan.training.optimiser import AdamW


@pytest.fixture
def rates(monkeypatch):
    """The learning rates of all steps."""
    found: list[float] = []
    step = AdamW.step

    def spy(self, *args, **kwargs):
        found.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(AdamW, "step", spy)
    return found
