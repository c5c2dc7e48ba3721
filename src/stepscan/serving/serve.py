"""Starting and ending a server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import uvicorn

from stepscan.errors import StepscanError
from stepscan.options import ServeOptions
from stepscan.serving.access import Access, read_tokens
from stepscan.serving.app import Application
from stepscan.serving.http_protocol import make_protocol
from stepscan.serving.logs import JsonLines, log
from stepscan.serving.served import Served
from stepscan.serving.socket_protocol import make_socket_protocol

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_KEEP_ALIVE = 75  # seconds that a connection without a request is kept
_BACKLOG = 2048  # connections that wait to be accepted
_SWITCH = 0.0005  # seconds after which a thread of Python gives way to another: the event loop must not wait


def serve(models: Mapping[str, Path], options: ServeOptions) -> None:
    """Serve model folders by name until a signal ends the process.

    Raises:
        StepscanError: a model cannot be loaded, or the address cannot be used.
    """
    logger = logging.getLogger("stepscan")
    logger.handlers, logger.propagate = [JsonLines()], False
    logger.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what it would say is said in our log
    sys.setswitchinterval(_SWITCH)
    asyncio.run(_serve(models, options))


async def _serve(models: Mapping[str, Path], options: ServeOptions) -> None:
    async with running(models, options, obeys_signals=True) as server:
        await server.until_told_to_end()


class Server:
    """A server that runs.

    Args:
        app: the application.
        uvicorn: what listens.
        address: where it listens.
    """

    def __init__(self, app: Application, uvicorn: uvicorn.Server, address: tuple[str, int]) -> None:
        self.app, self.uvicorn, self.address = app, uvicorn, address
        self._told_to_end = asyncio.Event()

    def tell_to_end(self) -> None:
        """End soon."""
        self._told_to_end.set()

    async def until_told_to_end(self) -> None:
        """Run until told to end."""
        await self._told_to_end.wait()

    def obey_signals(self) -> None:
        """From now on SIGTERM and SIGINT tell it to end, and SIGHUP reads the models again."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.tell_to_end)
        loop.add_signal_handler(signal.SIGHUP, lambda: asyncio.ensure_future(self._reload_all()))

    async def _reload_all(self) -> None:
        for name in list(self.app.served.engines):
            try:
                await self.app.served.reload(name)
            except StepscanError as error:
                log("model not reloaded", level=logging.ERROR, model=name, reason=str(error))


@contextlib.asynccontextmanager
async def running(models: Mapping[str, Path], options: ServeOptions, *, obeys_signals: bool = False) -> Any:
    """A context in which a server runs; its address is known when it is entered. Signals are obeyed, if so, before the
    first request is answered: who has had an answer may end the server.

    Raises:
        StepscanError: a model cannot be loaded, or the address cannot be used.
    """
    access = Access(
        read_tokens(options.token_file) if options.token_file is not None else [], is_local=options.host in _LOOPBACK
    )
    listening = _listening(options)
    served = Served(models, options)
    try:
        await served.start()
        app = Application(served, access)
        server = Server(app, _Uvicorn(_config(app, options)), address := listening.getsockname()[:2])
        if obeys_signals:
            server.obey_signals()
        task = asyncio.ensure_future(server.uvicorn.serve(sockets=[listening]))
        while not server.uvicorn.started and not task.done():
            await asyncio.sleep(0.005)
        if options.host not in _LOOPBACK and not access.has_tokens:
            log("anybody who reaches this address can use the models; --token-file asks for a token", level=30)
        log("ready", address=f"http://{_shown(address)}", models=list(models))
        yield server
        log("ending")
        await app.end(options.shutdown_timeout)
        server.uvicorn.should_exit = True
        await task
    finally:
        await served.end()
        listening.close()
        log("ended")


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, without its handling of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: Application, options: ServeOptions) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=make_protocol(options.connections, options.client_timeout),
        ws=make_socket_protocol(app.served.bodies),
        ws_max_size=options.max_body * 2**20,
        ws_per_message_deflate=False,
        ws_max_queue=16,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=1,
        backlog=_BACKLOG,
    )


def _listening(options: ServeOptions) -> socket.socket:
    """A socket that listens at the address.

    Raises:
        StepscanError: the address cannot be used.
    """
    where = f"--host {options.host} --port {options.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        raise StepscanError(f"{where}: expected an address that is free, got: {error.strerror or error}") from None
    listening.setblocking(False)
    return listening


def _shown(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
