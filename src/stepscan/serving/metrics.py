"""Figures for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counts requests, and reads the figures of the models when they are asked for.

    Args:
        served: all that is served.
    """

    def __init__(self, served: Any) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "stepscan_requests", "Requests that were answered.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            *("stepscan_request_seconds", "Time from a request to the end of its answer.", ("route",)),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_ModelFigures(served))

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self._registry)


class _ModelFigures:
    """Figures of the models."""

    def __init__(self, served: Any) -> None:
        self._served = served

    def describe(self) -> list[Metric]:
        """Nothing: the figures are known when they are collected."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The figures of all models that are served."""
        for name, help, kind, read in _FIGURES:
            family = kind(f"stepscan_{name}", help, labels=["model"])
            for engine in list(self._served.engines.values()):
                family.add_metric([engine.name], read(engine))
            yield family


_FIGURES: tuple[tuple[str, str, Any, Any], ...] = (
    ("sessions", "Open sessions.", GaugeMetricFamily, lambda engine: len(engine.records)),
    ("state_bytes", "Bytes of the sessions' states.", GaugeMetricFamily, lambda e: e.stepper.sessions.state_bytes),
    ("texts", "Texts that are being written.", GaugeMetricFamily, lambda e: e.stepper.texts.count),
    ("texts_open", "Texts that wait or are written.", GaugeMetricFamily, lambda e: e.texts.count),
    ("predictions_open", "Predictions that wait or run.", GaugeMetricFamily, lambda e: e.predictions.count),
    ("prefix_bytes", "Bytes of states after prompts.", GaugeMetricFamily, lambda e: e.stepper.texts.prefixes.nbytes),
    ("prefixes", "States after prompts.", GaugeMetricFamily, lambda e: len(e.stepper.texts.prefixes)),
    ("steps", "Steps of texts.", CounterMetricFamily, lambda e: e.stepper.texts.steps),
    ("symbols", "Symbols written.", CounterMetricFamily, lambda e: e.stepper.texts.symbols),
    ("pushes", "Pushes of sessions.", CounterMetricFamily, lambda e: e.stepper.sessions.pushes),
    ("push_batches", "Batches of pushes.", CounterMetricFamily, lambda e: e.stepper.sessions.batches),
    ("inputs", "Inputs predicted.", CounterMetricFamily, lambda e: e.worker.inputs),
    ("batches", "Batches of predictions.", CounterMetricFamily, lambda e: e.worker.batches),
    (
        *("refused", "Requests that there was no room for.", CounterMetricFamily),
        lambda e: e.predictions.refused + e.texts.refused + e.pushes.refused,
    ),
)
