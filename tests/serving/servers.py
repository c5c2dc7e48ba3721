"""A server in a thread of the test's process, and clients of it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from websockets.sync.client import connect

from stepscan.options import ServeOptions
from stepscan.serving.serve import Server, running


class Client:
    """Sends requests to a server."""

    def __init__(self, server: Server, **headers: str) -> None:
        self.app, self.served = server.app, server.app.served
        self.port = server.address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx2.Client(base_url=self.url, headers=headers, timeout=20)

    def get(self, path: str, **arguments: Any) -> httpx2.Response:
        return self.http.get(path, **arguments)

    def post(self, path: str, fields: Any = None, **arguments: Any) -> httpx2.Response:
        return (
            self.http.post(path, json=fields, **arguments) if fields is not None else self.http.post(path, **arguments)
        )

    def json(self, path: str, fields: Any = None, status: int = 200) -> Any:
        """The answer to a POST."""
        answer = self.post(path, fields)
        assert answer.status_code == status, answer.text
        return answer.json()

    def refused(self, path: str, fields: Any = None, **arguments: Any) -> tuple[int, str, str]:
        """Status, type and message of a refusal."""
        answer = self.post(path, fields, **arguments)
        error = answer.json()["error"]
        return answer.status_code, error["type"], error["message"]

    def events(self, path: str, fields: Any) -> list[dict[str, Any]]:
        """The events of a text."""
        with self.http.stream("POST", path, json=fields) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = [line for line in answer.iter_lines() if line]
        assert all(line.startswith("data: ") for line in lines)
        return [json.loads(line.removeprefix("data: ")) for line in lines]

    def text(self, path: str, fields: Any) -> str:
        """The text of the events."""
        *pieces, last = self.events(path, fields)
        assert last["done"], last
        return "".join(piece["text"] for piece in pieces)

    def open(self, model: str, **fields: Any) -> str:
        """The path of a new session."""
        return "/v1/sessions/" + self.json(f"/v1/models/{model}/sessions", fields, 201)["id"]

    def socket(self, path: str, **arguments: Any) -> Any:
        return connect(f"ws://127.0.0.1:{self.port}{path}", compression=None, **arguments)


@contextmanager
def started(models: dict[str, Path], **options: Any) -> Iterator[Client]:
    """A server of models by name, in a thread."""
    ready, ending, failures = threading.Event(), [], []

    async def serve() -> None:
        try:
            async with running(models, ServeOptions(**{"port": 0, "shutdown_timeout": 5.0, **options})) as server:
                stop = asyncio.Event()
                ending.extend([asyncio.get_running_loop(), stop, server])
                ready.set()
                await stop.wait()
        except BaseException as error:
            failures.append(error)
            ready.set()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    ready.wait()
    if failures:
        thread.join()
        raise failures[0]
    client = Client(ending[2])
    try:
        yield client
    finally:
        client.http.close()
        ending[0].call_soon_threadsafe(ending[1].set)
        thread.join()
    if failures:
        raise failures[0]
