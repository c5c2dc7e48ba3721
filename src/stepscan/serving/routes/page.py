"""Routes of the page: one for each of its files."""

from __future__ import annotations

from stepscan.serving.call import Call
from stepscan.serving.page_files import page_files
from stepscan.serving.routes.route import Route


async def page(call: Call) -> None:
    """A file of the page."""
    file = page_files()[call.scope["path"]]
    headers = [(name.lower().encode(), value.encode()) for name, value in file.headers.items()]
    await call.send_all(file.body, kind=file.content_type.encode(), headers=headers)


ROUTES = tuple(
    Route("GET", path, page, "The page" if path == "/" else "A file of the page", answers=(file.content_type,))
    for path, file in sorted(page_files().items())
)
