"""Requests that schemathesis makes out of the description of the API, by the code of `benchmarks/serving_schema.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers import Client

pytest.importorskip("schemathesis", reason="needs the extra `dev`")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_described_requests_are_answered_as_described(server: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right and wrong requests of every route: no fault, no answer that is not described, nothing wrong taken."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from serving_schema import Requests

    requests = Requests(server.url, seed=0, each=3)
    requests.send(300)
    assert requests.faults == {}
    assert {200, 201, 204, 400, 403, 404, 422} <= set(requests.statuses)
    assert requests.statuses.total() >= 300
