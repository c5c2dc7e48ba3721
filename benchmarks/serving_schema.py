"""Requests that schemathesis makes out of the server's own description: right and wrong ones of every route.

pip install 'stepscan[dev]'
python benchmarks/serving_schema.py [--count 100000] [--clients 4] [--seed 0]

Each request is sent as it is, and to real models or sessions, so that it comes further than to 404. A fault is a
status of 500 or above, an answer that the description does not have, or a wrong request that is taken.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serving_processes import resident, server

_REAL = 0.8  # share of names in bodies that are replaced by real ones
_MOST_SESSIONS = 40  # that are kept open
_TIMEOUT = 60  # seconds for an answer
_CONFIG = {"checks": {"negative_data_rejection": {"expected-statuses": ["4XX"]}}}  # also those that are too large
_EXCLUDED = [positive_data_acceptance]  # a model may refuse what the description allows


class Requests:
    """Sends requests, and keeps what was found.

    Args:
        url: of the server.
        seed: of the requests.
        each: requests of a route, right ones and then wrong ones, before it is the turn of the next.
    """

    def __init__(self, url: str, seed: int, each: int = 25) -> None:
        self.statuses: Counter[int] = Counter()
        self.faults: dict[str, str] = {}  # by operation and kind: the first one
        self._url, self._seed, self._each = url, seed, each
        self._draw, self._ids = random.Random(seed), list[str]()
        self._http = requests.Session()
        listed = self._http.get(f"{url}/v1/models").json()["data"]
        self._models = [model["id"] for model in listed]
        self._translators = {model["id"] for model in listed if model["task"] == "translate"}
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=schemathesis.Config.from_dict(_CONFIG))
        self._operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]

    def send(self, count: int) -> None:
        """Send so many more requests, at least."""
        until = self.statuses.total() + count
        while self.statuses.total() < until:
            self._seed += 1
            for operation in self._operations:
                for mode in GenerationMode:
                    if mode.is_positive or "application/json" in {body.media_type for body in operation.body}:
                        self._send_some(operation, mode)

    def _send_some(self, operation: Any, mode: GenerationMode) -> None:
        @seed(self._seed)
        @settings(
            max_examples=self._each,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(mode))
        def send(case: Any) -> None:
            self._send(case)

        send()

    def _send(self, case: Any) -> None:
        """Send a request as it is, and to real models or sessions."""
        body = case.body if isinstance(case.body, dict) else {}
        if isinstance(body.get("model"), str) and self._draw.random() < _REAL:
            body["model"] = self._draw.choice(self._models)
        ids = body.get("sessions")
        if isinstance(ids, list) and all(isinstance(id, str) for id in ids) and self._draw.random() < _REAL:
            body["sessions"] = self._draw.sample(self._ids, min(len(ids), len(self._ids)))
        self._send_one(case)
        if "model" in case.path_parameters:
            for case.path_parameters["model"] in self._models:
                self._send_one(case)
        elif "session" in case.path_parameters:
            self._open_sessions()
            for case.path_parameters["session"] in self._draw.sample(self._ids, len(self._models)):
                self._send_one(case)

    def _send_one(self, case: Any) -> None:
        response = case.call(session=self._http, timeout=_TIMEOUT)
        self.statuses[response.status_code] += 1
        try:
            case.validate_response(response, excluded_checks=_EXCLUDED)
        except BaseExceptionGroup as group:
            for failure in group.exceptions:
                self.faults.setdefault(f"{case.operation.label}: {type(failure).__name__}", f"{failure}\n{case}")
        if response.status_code == 201:
            self._keep(json.loads(response.content)["id"])
        elif response.status_code == 204:
            self._ids.remove(case.path_parameters["session"])

    def _open_sessions(self) -> None:
        """Open a session of each model, unless there are as many."""
        if len(self._ids) >= len(self._models):
            return
        for model in self._models:
            fields = {"source": "ab"} if model in self._translators else {}
            answer = self._http.post(f"{self._url}/v1/models/{model}/sessions", json=fields)
            if answer.status_code == 201:
                self._keep(answer.json()["id"])

    def close(self) -> None:
        """Close the sessions that are open."""
        for id in self._ids:
            self._http.delete(f"{self._url}/v1/sessions/{id}")

    def _keep(self, id: str) -> None:
        self._ids.append(id)
        if len(self._ids) > _MOST_SESSIONS:
            self._http.delete(f"{self._url}/v1/sessions/{self._ids.pop(0)}")


def make_models(folder: Path) -> list[str]:
    """Write a small model of every task; their names."""
    import numpy as np

    import stepscan as ss

    small: dict[str, Any] = {"hidden_size": 8, "epochs": 1, "seed": 1}
    films, opinions = ["a good film", "a bad film", "not a good film", "not a bad film"] * 6, ["yes", "no"] * 12
    ss.Classifier(bidirectional=False, wide=False, **small).fit(films, opinions).save(folder / "judge")
    series: list[Any] = [np.random.default_rng(0).normal(size=(9, 2)) for _ in range(12)]
    tags = [["up" if x[0] > 0 else "down" for x in one] for one in series]
    ss.Tagger(bidirectional=False, **small).fit(series, tags).save(folder / "steps")
    ss.Forecaster(seasonal_period=3, **small).fit([np.sin(np.arange(200) / 5)]).save(folder / "waves")
    ss.LanguageModel(bptt=16, batch_size=4, **small).fit("one two three. " * 60).save(folder / "writer")
    mirror = ss.Translator(tokenizer="character", **small)
    mirror.fit(["ab", "ba", "aab", "abb"] * 6, ["ba", "ab", "baa", "bba"] * 6).save(folder / "mirror")
    return sorted(path.name for path in folder.iterdir())


def main() -> None:
    """Send requests to a server in a process of its own, and watch its memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=4, help="processes that send")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        names = make_models(Path(name))
        folders = [str(Path(name) / one) for one in names]
        command = [sys.executable, "-m", "stepscan", "serve", *folders, "--port", "8251", "--max-items", "2000"]
        statuses, faults, started = Counter[int](), dict[str, str](), time.monotonic()
        with server(command, 8251) as process, ProcessPoolExecutor(given.clients) as pool:
            for part in range(10):
                seeds = [given.seed + 1000 * (part * given.clients + number) for number in range(given.clients)]
                for more, found in pool.map(sent, seeds, [given.count // (10 * given.clients)] * given.clients):
                    statuses += more
                    faults = found | faults
                seconds = time.monotonic() - started
                print(
                    f"{statuses.total():,} requests, {seconds:.0f} s: {resident(process):.1f} MB resident", flush=True
                )
                if process.poll() is not None:
                    raise SystemExit(f"the server ended with {process.returncode} in part {part + 1}")
        report(statuses, faults.items())


def sent(seed: int, count: int) -> tuple[Counter[int], dict[str, str]]:
    """The statuses and the faults of so many requests; in a process of its own."""
    requests = Requests("http://127.0.0.1:8251", seed, each=5)
    requests.send(count)
    requests.close()
    return requests.statuses, requests.faults


def report(statuses: Counter[int], faults: Iterable[tuple[str, str]]) -> None:
    """Print what was found."""
    print(", ".join(f"{count:,} × {status}" for status, count in sorted(statuses.items())))
    for what, example in faults:
        print(f"--- {what}\n{example}\n")


if __name__ == "__main__":
    main()
