from __future__ import annotations

from pathlib import Path

import pytest
from parquet_files import rows_of, write


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with two files of texts: 50 rows in groups of 7, and 20."""
    write(tmp_path / "in" / "a.parquet", rows_of("classify", 50), row_group_size=7)
    write(tmp_path / "in" / "b.parquet", rows_of("classify", 20, seed=1))
    return tmp_path / "in"
