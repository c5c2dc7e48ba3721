"""Which route a request takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stepscan.serving.errors import ApiError
from stepscan.serving.routes.route import Route


class Router:
    """Finds routes by method and path.

    Args:
        routes: all routes.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._tree: dict[str, Any] = {}
        for route in routes:
            node = self._tree
            for part in _parts(route.path):
                node = node.setdefault("{}" if part.startswith("{") else part, {})
            node.setdefault("", {})[route.method] = route

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and the arguments of its path; None if there is none of that path.

        Raises:
            ApiError: the path has routes, but not of this method.
        """
        node, values = self._tree, []
        for part in _parts(path):
            if part and part in node and part != "{}":
                node = node[part]
            elif part and "{}" in node:
                node = node["{}"]
                values.append(part)
            else:
                return None
        methods = node.get("")
        if methods is None:
            return None
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            raise ApiError(405, "not_allowed", f"expected the method {' or '.join(sorted(methods))}, got {method[:10]}")
        names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
        return route, dict(zip(names, values, strict=True))


def _parts(path: str) -> list[str]:
    """What stands between the slashes; nothing for `/` itself."""
    return [] if path == "/" else path.split("/")[1:]
