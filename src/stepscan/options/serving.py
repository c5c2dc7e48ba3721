"""Options of `stepscan serve`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from stepscan.fields import Duration, FilePath, Integer, Real, Text
from stepscan.options.option import Option

ADDRESS, SESSIONS, LIMITS = "Address and access", "Sessions", "Limits"  # groups of the help page
_POSITIVE, _SECONDS = Integer(1), Duration(Real(0, open_least=True))


@dataclass(kw_only=True, frozen=True)
class ServeOptions:
    """Where a server listens, and what it bears."""

    host: Annotated[str, Option(Text(), "Address to listen at.", ADDRESS)] = "127.0.0.1"
    port: Annotated[int, Option(Integer(0, 65535), "Port; 0: any that is free.", ADDRESS)] = 8000
    token_file: Annotated[
        str | None,
        Option(
            FilePath(), "File of tokens, one a line: requests must carry one of them.", ADDRESS, unset="no token needed"
        ),
    ] = None
    threads: Annotated[int, Option(Integer(1, 1024), "Threads of each model.", LIMITS)] = 1
    streams: Annotated[int, Option(_POSITIVE, "Texts that a model writes at once.", LIMITS)] = 256
    queue: Annotated[
        int, Option(_POSITIVE, "Requests of a model that may wait; further ones are refused with status 429.", LIMITS)
    ] = 256
    queue_time: Annotated[
        float, Option(_SECONDS, "Time that a request may wait for its turn; then it is refused with 429.", LIMITS)
    ] = 10.0
    connections: Annotated[int, Option(_POSITIVE, "Connections at once.", LIMITS)] = 20_000
    max_body: Annotated[int, Option(Integer(1, 1024), "Size of a request's body, in MB, at most.", LIMITS)] = 4
    max_items: Annotated[
        int,
        Option(
            _POSITIVE,
            "Letters, tokens or steps that a request has, and symbols or steps that it asks for, at most.",
            LIMITS,
        ),
    ] = 100_000
    timeout: Annotated[
        float, Option(_SECONDS, "Time that a request may take, waiting included; generation may take longer.", LIMITS)
    ] = 60.0
    client_timeout: Annotated[
        float, Option(_SECONDS, "Time that a client may take to send a request, or to read an answer.", LIMITS)
    ] = 30.0
    shutdown_timeout: Annotated[
        float, Option(_SECONDS, "Time to finish what runs when the server is told to end.", LIMITS)
    ] = 30.0
    prefix_memory: Annotated[
        int, Option(Integer(0), "States after prompts that are kept for later prompts, in MB a model.", LIMITS)
    ] = 256
    sessions: Annotated[int, Option(Integer(0), "Sessions at once.", SESSIONS)] = 20_000
    session_ttl: Annotated[float, Option(_SECONDS, "Time without use after which a session is closed.", SESSIONS)] = (
        900.0
    )
    state_memory: Annotated[int, Option(_POSITIVE, "States of all sessions, in MB, at most.", SESSIONS)] = 1024
    rollback: Annotated[int, Option(Integer(0, 1000), "Earlier states that a session keeps.", SESSIONS)] = 8
    state_dir: Annotated[
        str | None,
        Option(
            FilePath(),
            "Folder in which sessions outlive the process: each answer of a session is on disk before it is sent.",
            SESSIONS,
            unset="sessions end with the process",
        ),
    ] = None
