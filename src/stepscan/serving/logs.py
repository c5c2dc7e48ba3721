"""The server's log: JSON lines without contents of requests."""

from __future__ import annotations

import logging
import sys
import time
import traceback

from stepscan.json_text import json_text
from stepscan.serving.errors import as_api_error

logger = logging.getLogger("stepscan.serving")


class JsonLines(logging.Handler):
    """Writes each record as one JSON object on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        try:
            sys.stderr.write(json_text(line, default=str) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # nobody reads the log


def log(message: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Log an event with its fields, which must not be contents of requests."""
    logger.log(level, message, extra={"fields": fields})


def log_unexpected(error: BaseException) -> None:
    """Log an exception that is a fault of the server, with where it was raised, but without values."""
    if as_api_error(error) is not None:
        return
    where = [
        f"{frame.filename.rpartition('stepscan/')[2]}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    log("internal error", level=logging.ERROR, kind=type(error).__name__, where=where[-8:])


class RequestLog:
    """Logs requests, but no more than so many a second: of the others it says how many there were."""

    def __init__(self, most: int = 50) -> None:
        self._most, self._second, self._count = most, 0, 0

    def add(self, method: str, route: str, status: int, seconds: float) -> None:
        """Log a request."""
        now = int(time.monotonic())
        if now != self._second:
            left_out = self._count - self._most
            self._second, self._count = now, 0
            if left_out > 0:
                log("requests that are not listed", count=left_out)
        self._count += 1
        if self._count <= self._most:
            log("request", method=method, route=route, status=status, seconds=round(seconds, 6))
