"""The cures and the watching, from the command line to the model folder."""

from __future__ import annotations

import json

TINY = ["--hidden-size", "8", "--embedding-size", "8", "--epochs", "1", "--batch-size", "8", "--no-refit", "--no-wide"]


def test_cures_reach_the_model(corpora, run, tmp_path):
    out = tmp_path / "model"
    options = (
        "--cell lstm --layers 2 --residual --initialisation chrono --t-max 30 --max-grad-value 0.5 --monitor-gradients"
    )
    result = run("train", "classify", "--train", corpora["classify"], "--out", out, *TINY, *options.split())
    assert result.code == 0, result.err
    config = json.loads((out / "config.json").read_text())
    wanted = {"residual": True, "initialisation": "chrono", "t_max": 30, "max_grad_value": 0.5, "forget_bias": None}
    assert {name: config["settings"][name] for name in wanted} == wanted
    assert "monitor_gradients" not in config["settings"]  # of a run, not of the model
    assert '"t_max": 30' in json.dumps(config["model"])
    row = json.loads((out / "metrics.jsonl").read_text())
    assert {"gradient_horizon", "clipped", "gate_forget"} <= set(row)
    assert run("predict", out, "a text").code == 0
