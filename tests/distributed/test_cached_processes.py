"""Processes share one cache, and make the updates of one process."""

from __future__ import annotations

import numpy as np
from process_trainings import SIZES, rows_of


def test_two_processes_share_a_cache(trainings, data, tmp_path):
    few = ["classify", "--train", str(data["classify"]), *SIZES, "--dropout", "0", "--word-dropout", "0"]
    few += ["--max-updates", "20", "--batch-size", "7"]
    together = trainings.weights(tmp_path / "2", *few, "--cache-dir", str(tmp_path / "cache"), processes=2)
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1
    alone = trainings.weights(tmp_path / "1", *few, "--cache-dir", str(tmp_path / "cache"))
    for name, array in together.items():
        np.testing.assert_allclose(array, alone[name], rtol=0, atol=1e-6, err_msg=name)
    assert [row["updates"] for row in rows_of(tmp_path / "1")] == [row["updates"] for row in rows_of(tmp_path / "2")]
