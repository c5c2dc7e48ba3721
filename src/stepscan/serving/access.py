"""Who may ask: tokens, and pages of other origins."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

from stepscan.errors import StepscanError
from stepscan.serving.errors import ApiError

_SHORTEST = 16  # letters of a token
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Access:
    """What a request must show.

    Args:
        tokens: those that are accepted; none: no token is needed.
        is_local: whether the server listens on loopback alone, so that requests must name it by a loopback address.
    """

    def __init__(self, tokens: list[str], *, is_local: bool) -> None:
        self._digests = [hashlib.sha256(token.encode()).digest() for token in tokens]
        self._is_local = is_local

    @property
    def has_tokens(self) -> bool:
        """Whether a token is needed."""
        return bool(self._digests)

    def client(self, headers: Mapping[bytes, bytes], address: str) -> str:
        """Who sends a request: the number of its token, or else its address.

        Raises:
            ApiError: the request does not show what it must.
        """
        host = headers.get(b"host", b"").decode("latin-1")
        if self._is_local and not self._digests and not _is_loopback(host):
            raise ApiError(403, "unauthorised", "expected the host localhost or 127.0.0.1, got another name")
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").partition("://")[2] != host:
            raise ApiError(
                403, "unauthorised", "expected a request of this server's own page, got one of another origin"
            )
        if not self._digests:
            return address
        return f"token {self._number(headers.get(b'authorization', b''))}"

    def _number(self, authorization: bytes) -> int:
        scheme, _, token = authorization.partition(b" ")
        given, found = hashlib.sha256(token.strip()).digest(), 0
        for number, digest in enumerate(self._digests, start=1):
            if hmac.compare_digest(digest, given):
                found = number
        if scheme.lower() != b"bearer" or not found:
            raise ApiError(
                401, "unauthorised", "expected the header 'Authorization: Bearer TOKEN', got none or another"
            )
        return found


def read_tokens(path: str | Path) -> list[str]:
    """The tokens in a file, one a line; blank lines and those that begin with `#` are left out.

    Raises:
        StepscanError: it cannot be read, has no token, or one that is short or not ASCII.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StepscanError(f"--token-file {path} cannot be read: {getattr(error, 'strerror', error)}") from None
    tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not tokens:
        raise StepscanError(f"--token-file {path}: expected at least one token, one a line, got none")
    for number, token in enumerate(tokens, start=1):
        if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
            raise StepscanError(
                f"--token-file {path}: token {number}: expected {_SHORTEST} or more printable ASCII letters, got others"
            )
    return tokens


def _is_loopback(host: str) -> bool:
    name, separator, port = host.rpartition(":")
    return host in _LOOPBACK or (name in _LOOPBACK and bool(separator) and port.isdigit())
