"""The application: every request comes here first."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from stepscan.serving.access import Access
from stepscan.serving.call import Call, ClientGone
from stepscan.serving.errors import ApiError, as_api_error, ending, internal
from stepscan.serving.logs import RequestLog, log_unexpected
from stepscan.serving.metrics import Metrics
from stepscan.serving.openapi import describe_api
from stepscan.serving.page_files import page_files
from stepscan.serving.router import Router
from stepscan.serving.routes import ALL, API
from stepscan.serving.routes.route import Route
from stepscan.serving.served import Served
from stepscan.serving.sockets import Sockets

_ALWAYS = {"/healthz", "/readyz", *page_files()}  # answered without a token, and while the server ends
_SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
_NO_CONTENT = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_GONE = 499  # the status in the log of an answer that could not be sent
_BODY_LEFT = (408, 413)  # after which the connection is closed, since the rest of the body is not read


class Application:
    """Checks who asks and what for, and lets the routes answer.

    Args:
        served: the models and sessions.
        access: what a request must show.
    """

    def __init__(self, served: Served, access: Access) -> None:
        self.served, self.access = served, access
        self.metrics, self.sockets = Metrics(served), Sockets(served)
        self.others = describe_api(API)  # what is no route: FastAPI
        self.is_ending = False
        self.in_flight = 0
        self._router, self._log = Router(ALL), RequestLog()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, by ASGI."""
        if scope["type"] == "http":
            self.in_flight += 1
            try:
                await self._answer(scope, receive, send)
            finally:
                self.in_flight -= 1
        elif scope["type"] == "websocket":
            await self._answer_socket(scope, receive, send)

    async def end(self, timeout: float) -> None:
        """Take no more requests, and wait for those that are running: for so many seconds at most."""
        self.is_ending = True
        self.sockets.end()
        deadline = time.monotonic() + timeout
        while (self.in_flight or self.sockets.count) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        begun, route = time.monotonic(), "none"
        answer = _Answer(send)
        try:
            headers = dict(scope["headers"])
            client = self._client(scope, headers)
            found = self._router.find(scope["method"], scope["path"])
            if found is None:
                await self.others(scope, receive, answer.send)
            else:
                route, scope["app"] = found[0].path, self
                call = Call(scope, receive, answer.send, self.served, client)
                call.arguments = found[1]
                self._refuse_early(found[0], call)
                await found[0].handle(call)
        except ClientGone:
            answer.status = answer.status or _GONE
            if (abort := scope.get("abort")) is not None:
                abort()
        except Exception as error:
            if answer.is_begun:
                log_unexpected(error)
                raise
            await self._send_error(error, answer)
        finally:
            seconds = time.monotonic() - begun
            self.metrics.count(route, answer.status, seconds)
            self._log.add(scope["method"], route, answer.status, seconds)

    def _client(self, scope: Any, headers: dict[bytes, bytes]) -> str:
        if scope["path"] in _ALWAYS:
            return ""
        if self.is_ending:
            raise ending()
        return self.access.client(headers, (scope.get("client") or ("local", 0))[0])

    def _refuse_early(self, route: Route, call: Call) -> None:
        """Refuse a request that there is no room for before its body is read."""
        if not route.gate:
            return
        if (id := call.arguments.get("session")) is not None:
            engine = self.served.record(id).engine
        else:
            engine = self.served.engine(call.arguments["model"])
        getattr(engine, route.gate).check(call.client)

    async def _send_error(self, error: Exception, answer: _Answer) -> None:
        log_unexpected(error)
        refused = as_api_error(error) or internal()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(refused.content))]
        headers += refused.headers
        if refused.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if refused.status in _BODY_LEFT or self.is_ending:
            headers.append((b"connection", b"close"))
        await answer.send({"type": "http.response.start", "status": refused.status, "headers": headers})
        await answer.send({"type": "http.response.body", "body": refused.content})

    async def _answer_socket(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        protocols = scope.get("subprotocols") or []
        for protocol in protocols:
            if protocol.startswith("bearer."):  # browsers can send no header
                headers.setdefault(b"authorization", b"Bearer " + protocol.removeprefix("bearer.").encode())
        try:
            client = self._client(scope, headers)
        except ApiError:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await self.sockets.answer(scope, receive, send, client, "stepscan" if "stepscan" in protocols else None)


class _Answer:
    """Adds headers to an answer, and knows how far it has come."""

    def __init__(self, send: Any) -> None:
        self._send, self.status, self.is_begun = send, 0, False

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.is_begun, self.status = True, message["status"]
            headers = list(message.get("headers", ()))
            names = {name for name, _ in headers}
            headers += [line for line in (*_SECURITY, _NO_CONTENT) if line[0] not in names]
            message = {**message, "headers": headers}
        await self._send(message)
