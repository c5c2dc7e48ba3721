"""The machine's processor and memory."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def processor() -> str:
    """The processor's name, such as `AMD EPYC 7763 64-Core Processor`."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def cores() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes of memory that are available to this process; None if unknown."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text("ascii").splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return None
    return min(free, *_limits())


def _limits() -> Iterator[int]:
    """Bytes that the limits of the container and the process (`ulimit -v`) leave, if there are any."""
    with suppress(OSError, ValueError):
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text("ascii") for name in ("max", "current"))
        yield int(limit) - int(used)
    with suppress(OSError, ValueError, IndexError):
        limits = Path("/proc/self/limits").read_text("ascii").partition("Max address space")[2].split()
        pages = Path("/proc/self/statm").read_text("ascii").split()
        yield int(limits[0]) - int(pages[0]) * os.sysconf("SC_PAGE_SIZE")
    yield sys.maxsize
