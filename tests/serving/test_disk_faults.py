"""What is answered, and written later, when the disk takes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from servers import started


@contextmanager
def full_disk() -> Iterator[None]:
    """A context in which nothing can be flushed."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        yield


def test_a_text_of_a_session_that_is_not_written_is_an_error(folders: dict[str, Path], tmp_path: Path) -> None:
    with started({"writer": folders["writer"]}, state_dir=str(tmp_path)) as client:
        path, fields = client.open("writer"), {"length": 20, "seed": 1}
        with full_disk():
            status, kind, message = client.refused(f"{path}/generate", {**fields, "stream": False})
            assert (status, kind) == (503, "not_durable")
            assert message == "it is done, but cannot be written to disk yet: No space left on device"
            with client.http.stream("POST", f"{path}/generate", json=fields) as answer:
                assert (
                    '"not_durable"' in [line for line in answer.iter_lines() if line][-1] or answer.status_code == 503
                )
        assert client.get(path).json()["position"] == 2


def test_what_was_not_written_is_written_with_what_follows(folders: dict[str, Path], tmp_path: Path) -> None:
    with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
        pushed, closed, other = (client.open("judge") for _ in range(3))
        with full_disk():
            assert client.refused(f"{pushed}/push", {"items": "not a"})[:2] == (503, "not_durable")
            answer = client.http.delete(closed)
            assert (answer.status_code, answer.json()["error"]["type"]) == (503, "not_durable")
            assert client.get(closed).status_code == 404
        client.json(f"{other}/push", {"items": "film"})
        state = client.get(f"{pushed}/state").content
        [file] = tmp_path.glob("*.sessions")
        copy = file.read_bytes()  # as after a kill
    file.write_bytes(copy)
    with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
        assert client.get(f"{pushed}/state").content == state
        assert client.get(closed).status_code == 404


def test_what_was_not_written_is_written_after_a_while(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepscan.serving.journal._AGAIN", 0.1)
    with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
        path = client.open("judge")
        journal: Any = client.served.engines["judge"].journal
        with full_disk():
            assert client.refused(f"{path}/push", {"items": "not a"})[0] == 503
            assert journal._unwritten
        for _ in range(100):
            if not journal._unwritten:
                break
            journal.join(0.05)
        assert not journal._unwritten


def test_an_old_file_that_cannot_be_made_small_goes_on(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepscan.serving.journal._COMPACT", 1_000)
    with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
        path = client.open("judge")
        [file] = tmp_path.glob("*.sessions")
        file.with_suffix(".new").mkdir()
        for _ in range(20):
            client.json(f"{path}/push", {"items": "a"})
        state = client.get(f"{path}/state").content
    with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
        assert client.get(f"{path}/state").content == state
