from __future__ import annotations

from pathlib import Path

import pytest

from stepscan.errors import DataError


@pytest.fixture
def file(tmp_path):
    """Makes a file of a name and a text."""

    def make(name: str, content: str) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode())
        return path

    return make


@pytest.fixture
def refused():
    """Checks that a reader raises a DataError, and its whole message."""

    def check(line, reason, read, path, **settings):
        with pytest.raises(DataError) as caught:
            read(path, **settings)
        where = f"{path}: " if line is None else f"{path}, line {line}: "
        assert str(caught.value) == where + reason

    return check
