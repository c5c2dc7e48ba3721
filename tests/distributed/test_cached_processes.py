"""Processes share one cache, and make the updates of one process."""

from __future__ import annotations

import numpy as np
import pytest
from process_trainings import SIZES, rows_of

OPTIONS = {  # task → options, so that there is no noise
    "classify": ["--word-dropout", "0"],
    "tag": ["--word-dropout", "0", "--char-embedding-size", "4", "--char-hidden-size", "4"],
    "translate": ["--vocabulary-size", "300"],
    "generate": ["--bptt", "12", "--softmax-samples", "0"],
}


@pytest.mark.parametrize("task", ["classify", "tag", "translate", "generate"])
def test_two_processes_share_a_cache(trainings, data, tmp_path, task):
    few = [task, "--train", str(data[task]), *SIZES, "--dropout", "0", *OPTIONS[task]]
    few += ["--max-updates", "20", "--batch-size", "7"]
    together = trainings.weights(tmp_path / "2", *few, "--cache-dir", str(tmp_path / "cache"), processes=2)
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1
    alone = trainings.weights(tmp_path / "1", *few, "--cache-dir", str(tmp_path / "cache"))
    for name, array in together.items():
        np.testing.assert_allclose(array, alone[name], rtol=0, atol=1e-6, err_msg=name)
    assert [row["updates"] for row in rows_of(tmp_path / "1")] == [row["updates"] for row in rows_of(tmp_path / "2")]
