"""One request pushes into sessions of several models."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from servers import started


def id_of(path: str) -> str:
    return path.rpartition("/")[2]


def test_a_full_model_lets_no_other_read(folders: dict[str, Path]) -> None:
    with started({"judge": folders["judge"], "steps": folders["steps"]}, queue=1) as client:
        paths = client.open("judge"), client.open("steps")
        fields = {"sessions": [id_of(path) for path in paths], "items": ["not", [1.0, 2.0]]}
        full = client.served.engines["steps"].pushes
        full.enter("somebody else")
        assert client.refused("/v1/push", fields)[:2] == (429, "busy")
        assert [client.get(path).json()["position"] for path in paths] == [0, 0]
        full.leave("somebody else")
        results = client.json("/v1/push", fields)["results"]
        assert [one["position"] for one in results] == [1, 1]
        assert [engine.pushes.count for engine in client.served.engines.values()] == [0, 0]


def test_an_error_of_one_model_leaves_the_answers_of_the_other(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with started({"judge": folders["judge"], "steps": folders["steps"]}, state_dir=str(tmp_path)) as client:
        durable, brief = client.open("judge"), client.open("steps", durable=False)
        fields = {"sessions": [id_of(durable), id_of(brief)], "items": ["not", [1.0, 2.0]]}
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", full)
            failed, read = client.json("/v1/push", fields)["results"]
            one = {"sessions": fields["sessions"][:1], "items": ["a"]}
            assert client.refused("/v1/push", one)[:2] == (503, "not_durable")
        assert failed["error"]["type"] == "not_durable"
        assert read["position"] == 1
