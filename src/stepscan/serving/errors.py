"""What a request can be refused for, and how that is written."""

from __future__ import annotations

from typing import Any

from stepscan.errors import NotEnoughMemory, StepscanError
from stepscan.json_text import json_text


class ApiError(StepscanError):
    """A request that is refused.

    Args:
        status: of HTTP.
        kind: the `type` of the answer; see docs/serve.md.
        message: `expected …, got …`.
        param: the field of the request that is wrong.
        retry_after: seconds after which the request may succeed; None: it will not.
    """

    def __init__(
        self, status: int, kind: str, message: str, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.param, self.retry_after = status, kind, message, param, retry_after

    @property
    def body(self) -> dict[str, Any]:
        """The answer."""
        return {"error": {"type": self.kind, "message": self.message, "param": self.param, "code": None}}

    @property
    def content(self) -> bytes:
        """The answer as JSON."""
        return json_text(self.body).encode()

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of the answer, in addition to those of all answers."""
        return [] if self.retry_after is None else [(b"retry-after", str(self.retry_after).encode())]


def invalid(message: str, param: str | None = None) -> ApiError:
    """An error for a field that is missing, unknown or out of range, or for an input that the model cannot take."""
    return ApiError(422, "invalid", message, param)


def not_found(message: str) -> ApiError:
    """An error for a route, model or session that does not exist."""
    return ApiError(404, "not_found", message)


def busy(message: str, retry_after: int = 1) -> ApiError:
    """An error for a request that there is no room for now."""
    return ApiError(429, "busy", message, retry_after=retry_after)


def too_large(message: str, param: str | None = None) -> ApiError:
    """An error for a body, or a number of items, above the limit."""
    return ApiError(413, "too_large", message, param)


def conflict(message: str) -> ApiError:
    """An error for a session that is not in the state that the request supposes."""
    return ApiError(409, "conflict", message)


def timed_out(message: str) -> ApiError:
    """An error for a request that did not arrive, or was not answered, in time."""
    return ApiError(408, "timeout", message)


def ending() -> ApiError:
    """An error for a request to a server that is ending."""
    return ApiError(503, "ending", "the server is ending; send the request to another one, or later", retry_after=5)


def as_api_error(error: BaseException) -> ApiError | None:
    """The error to answer for an exception of the library; None for one that is a fault of the server."""
    match error:
        case ApiError():
            return error
        case NotEnoughMemory():
            return too_large(str(error))
        case StepscanError():
            return invalid(str(error))
    return None


def internal() -> ApiError:
    """The answer for a fault of the server, which its log describes."""
    return ApiError(500, "internal", "the server failed; its log says where")
