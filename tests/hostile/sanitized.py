"""Random architectures and mutated folders on a native library that was built with sanitizers.

`make sanitize` calls this with the library's path; what a sanitizer finds ends the process, with a report.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


def main(path: str) -> int:
    """Load the library at `path` in place of the installed one, then run the tests on it."""
    import stepscan

    spec = importlib.util.spec_from_file_location("stepscan._native", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stepscan._native"] = module
    spec.loader.exec_module(module)
    from stepscan.kernels import native

    assert native.library is module, f"{stepscan.__file__} found another native library"
    here = Path(__file__).parent
    files = [str(here / name) for name in ("test_random_architectures.py", "test_mutated_folders.py")]
    return pytest.main(["-q", "--capture=no", "-p", "no:cacheprovider", *files])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
