"""Sessions of a model that is replaced and comes back."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from servers import Client, started


def reload(client: Client, live: Path, folder: Path) -> Any:
    """Serve another folder's model under the same name; its engine."""
    shutil.rmtree(live, ignore_errors=True)
    shutil.copytree(folder, live)
    assert asyncio.run_coroutine_threadsafe(client.served.reload("live"), client.served.loop).result(20)
    return client.served.engines["live"]


def journals() -> int:
    """The threads that write files of sessions."""
    return sum(thread.name.startswith("journal") for thread in threading.enumerate())


def test_a_model_that_comes_back_brings_its_sessions(folders: dict[str, Path], tmp_path: Path) -> None:
    live, options = tmp_path / "live", {"state_dir": str(tmp_path / "states")}
    shutil.copytree(folders["judge"], live)
    with started({"live": live}, **options) as client:
        path, brief = client.open("live"), client.open("live", ttl=2.5)
        client.json(f"{path}/push", {"items": "not"})
        record, first = client.served.record(path.rpartition("/")[2]), client.served.engines["live"]
        second = reload(client, live, folders["both-ways"])
        assert second is not first
        client.json(f"{path}/push", {"items": "a"})
        assert reload(client, live, folders["judge"]) is first
        assert client.served.record(record.id) is record
        assert len(client.served.records) == 2
        assert client.json(f"{path}/push", {"items": "good"})["position"] == 3
        other = client.open("live")
        assert client.json(f"{other}/push", {"items": "film"})["position"] == 1
        deadline = time.monotonic() + 10
        while client.get(brief).status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.json(f"{path}/push", {"items": "film"})["position"] == 4
        states = [client.get(f"{one}/state").content for one in (path, other)]
        assert journals() == 1
    with started({"live": live}, **options) as client:
        assert [client.get(f"{one}/state").content for one in (path, other)] == states
        assert client.get(brief).status_code == 404


def test_a_retired_model_ends_with_its_last_session_and_begins_anew(folders: dict[str, Path], tmp_path: Path) -> None:
    live = tmp_path / "live"
    shutil.copytree(folders["judge"], live)
    with started({"live": live}, state_dir=str(tmp_path / "states")) as client:
        path, first = client.open("live"), client.served.engines["live"]
        reload(client, live, folders["both-ways"])
        assert client.http.delete(path).status_code == 204
        first.join(10.0)
        assert first.is_ended
        assert journals() == 1
        assert reload(client, live, folders["judge"]) is not first
        assert first not in client.served.all_engines
        assert client.get(path).status_code == 404
        assert client.json(client.open("live") + "/push", {"items": "a"})["position"] == 1


def test_a_record_that_is_forgotten_takes_no_other_of_its_id(folders: dict[str, Path]) -> None:
    with started({"judge": folders["judge"]}) as client:
        record = client.served.record(client.open("judge").rpartition("/")[2])
        newer = object()
        client.served.records[record.id] = newer
        record.engine.forget(record)
        assert client.served.records.pop(record.id) is newer
