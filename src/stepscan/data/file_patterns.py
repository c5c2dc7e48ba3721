"""Names that stand for several files: folders, URIs, and patterns such as `FOLDER/*.parquet`."""

from __future__ import annotations

import os
import re


def first_wildcard(name: str) -> int | None:
    """Where the first wildcard (`*`, `?` or `[…]`) is; None if there is none. In a URI `?` begins its query instead."""
    match = re.search(r"[*]|\[.+?\]" if is_uri(name) else r"[*?]|\[.+?\]", name)
    return match and match.start()


def is_uri(name: str) -> bool:
    """Whether a name is a URI, such as `s3://bucket/folder`."""
    return "://" in name


def is_pattern(name: str) -> bool:
    """Whether a name stands for several files; one of a file that exists does not, whatever is in it."""
    return not os.path.isfile(name) and (is_uri(name) or os.path.isdir(name) or first_wildcard(name) is not None)


def escaped(name: str) -> str:
    """The pattern that stands for one name."""
    return re.sub(r"([*?[])", r"[\1]", name)
