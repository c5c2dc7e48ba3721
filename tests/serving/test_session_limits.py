"""How many sessions there are, how large, and for how long."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from servers import started


def test_the_number_of_sessions_and_their_bytes_are_limits(folders: dict[str, Path]) -> None:
    with started({"judge": folders["judge"], "bytes": folders["bytes"]}, sessions=3, state_memory=1) as client:
        paths = [client.open("judge") for _ in range(3)]
        assert client.refused("/v1/models/judge/sessions", {})[:2] == (429, "busy")
        assert client.post(f"{paths[0]}/fork").status_code == 429
        client.http.delete(paths[0])
        path = client.open("bytes")
        for _ in range(40):
            client.json(f"{path}/push", {"items": "a" * 500})
        assert client.served.state_bytes < 2 * 2**20
        client.http.delete(paths[1])
        if client.served.state_bytes >= 2**20:
            assert client.refused("/v1/models/judge/sessions", {})[2] == "expected states of at most 1 MB, got more"
        client.http.delete(path), client.http.delete(paths[2])
        assert client.served.state_bytes == 0
        assert client.open("judge")


def test_idle_sessions_end_and_none_that_is_used_does(folders: dict[str, Path]) -> None:
    with started({"judge": folders["judge"]}) as client:
        idle, used = client.open("judge", ttl=0.3), client.open("judge", ttl=1.5)
        count, stop = [0], threading.Event()

        def push() -> None:
            while not stop.is_set():
                answer = client.post(f"{used}/push", {"items": "a"})
                assert answer.status_code == 200
                count[0] += 1
                assert answer.json()["position"] == count[0]
                time.sleep(0.05)

        pushing = threading.Thread(target=push)
        pushing.start()
        time.sleep(3.2)
        stop.set()
        pushing.join()
        assert client.get(idle).status_code == 404
        assert client.get(used).json()["position"] == count[0]
