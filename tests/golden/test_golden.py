"""Model folders that earlier versions wrote load in this one and say what they said then."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from make import answers

import stepscan as ss

FOLDERS = sorted(path.parent for path in Path(__file__).parent.glob("*/*/expected.json"))


def test_there_is_one_of_each_task():
    assert {folder.name.partition("-")[0] for folder in FOLDERS} == {"classify", "tag", "generate", "translate"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_it_says_what_it_said(folder):
    expected, found = json.loads((folder / "expected.json").read_text()), answers(ss.load(folder))
    assert found["predict"] == expected["predict"]
    np.testing.assert_allclose(found["numbers"], expected["numbers"], rtol=1e-6, atol=1e-5)
