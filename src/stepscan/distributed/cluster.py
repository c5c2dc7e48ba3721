"""Ray: the connection to a cluster, and workers that hold a model. Imported only where Ray is used."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from stepscan.distributed.part_writer import Outcome, PartWriter
from stepscan.distributed.parts import Part
from stepscan.errors import StepscanError

LOCAL = "local"  # in place of an address: a cluster of this machine, which ends with the run
_PATIENCE = 10.0  # seconds to wait for an address to answer
_STORE_BYTES = 2**28  # of a cluster that is started here: rows never pass through it, models do


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster as long as the context lasts; one that the process is connected to is used as it is.

    Args:
        address: `LOCAL`, `auto` (the cluster that this machine belongs to) or `HOST:PORT`.

    Raises:
        StepscanError: there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # no warning about GPUs
    import ray

    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    start: dict[str, Any] = {"address": address}
    if address == LOCAL:
        store = {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
        start = {"address": LOCAL, "_node_ip_address": "127.0.0.1", **store}  # nothing outside this machine reaches it
    check_reachable(address)
    try:
        ray.init(**start, **quiet)
    except (ConnectionError, ValueError) as error:
        raise _not_a_cluster(address, error) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def check_reachable(address: str) -> None:
    """Check that something listens at an address with a port; Ray would try for minutes.

    Raises:
        StepscanError: nothing does.
    """
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _not_a_cluster(address, error) from None


def _not_a_cluster(address: str, error: Exception) -> StepscanError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return StepscanError(f"--ray {address}: expected the address of a Ray cluster, such as auto or HOST:6379: {first}")


def keep_little() -> None:
    """Let Arrow give memory back, in a process of a worker: its own allocators keep some 30 MB, and are no faster
    here."""
    pa.set_memory_pool(pa.system_memory_pool())


def processors(ray: Any) -> int:
    """The number of processors of the cluster."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


class Worker:
    """An actor that writes parts.

    Args:
        writer: knows the model, and the folders of input and output.
    """

    def __init__(self, writer: PartWriter) -> None:
        keep_little()
        self.writer = writer

    def __call__(self, parts: pa.Table) -> pa.Table:
        """The outcomes of parts, as JSON, and errors that end the run, with the parts' numbers."""
        outcomes, errors = [], []
        for row in parts.to_pylist():
            outcome, error = "", ""
            try:
                self.writer.predictor.check_version()
                outcome = self.writer.write(Part(row["file"], row["first"], row["rows"])).to_json()
            except StepscanError as failure:
                error = str(failure)
            outcomes.append(outcome)
            errors.append(error)
        return pa.table({"number": parts["number"], "outcome": outcomes, "error": errors})


def outcomes_of_workers(
    ray: Any, writer: PartWriter, parts: Sequence[Part], workers: int | None
) -> Iterator[tuple[Part, Outcome]]:
    """The outcomes of parts, in any order, by workers that Ray starts anew when one dies. The largest parts come first,
    and none is assigned before a worker is free: so workers end at about the same time.

    Raises:
        StepscanError: a part cannot be read or written; the message of the worker.
    """
    import ray.data

    rows = [{"number": number, **part._asdict()} for number, part in enumerate(parts)]
    rows.sort(key=lambda row: -row["rows"])
    size = min(workers or processors(ray), len(parts))
    outcomes = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        Worker,
        fn_constructor_args=[writer],
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=1),
        num_cpus=1,
    )
    with _quiet(ray.data.DataContext.get_current()):
        for row in outcomes.iter_rows():
            if row["error"]:
                raise StepscanError(row["error"])
            yield parts[row["number"]], Outcome.parse(row["outcome"])


@contextlib.contextmanager
def _quiet(context: Any) -> Iterator[None]:
    """No progress bars, and only errors in the log of Ray Data: runs report their own progress."""
    log, bars = logging.getLogger("ray.data"), context.enable_progress_bars
    level, context.enable_progress_bars = log.level, False
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
        context.enable_progress_bars = bars
