"""Routes about the server."""

from __future__ import annotations

from stepscan.serving.call import Call
from stepscan.serving.errors import ending
from stepscan.serving.routes.route import Route

_METRICS = "text/plain; version=0.0.4; charset=utf-8"


async def healthz(call: Call) -> None:
    """The process runs."""
    await call.answer({"status": "ok"})


async def readyz(call: Call) -> None:
    """The server takes requests."""
    if call.scope["app"].is_ending:
        raise ending()
    await call.answer({"status": "ready"})


async def metrics(call: Call) -> None:
    """Figures for Prometheus."""
    await call.send_all(call.scope["app"].metrics.text(), kind=_METRICS.encode())


ROUTES = (
    Route("GET", "/healthz", healthz, "Whether the process runs"),
    Route("GET", "/readyz", readyz, "Whether the server takes requests"),
    Route("GET", "/metrics", metrics, "Figures for Prometheus", answers=("text/plain",)),
)
