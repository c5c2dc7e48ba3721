"""The page at `/`: its files, read once, and the headers that they are sent with.

The names of the files are fixed here: no path of a request is ever a path on the disk.
"""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import NamedTuple

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_POLICY = "; ".join(
    [
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    ]
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PageFile(NamedTuple):
    """A file of the page."""

    body: bytes
    content_type: str

    @property
    def headers(self) -> dict[str, str]:
        """All headers of the answer but its length."""
        return {"Content-Type": self.content_type, **HEADERS}


@functools.cache
def page_files() -> dict[str, PageFile]:
    """The files of the page by their paths in a URL: `/` is the page, `/page/NAME` what it consists of."""
    found = {}
    for file in files("stepscan.serving").joinpath("page").iterdir():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            path = "/" if file.name == "index.html" else f"/page/{file.name}"
            found[path] = PageFile(file.read_bytes(), kind)
    return found
