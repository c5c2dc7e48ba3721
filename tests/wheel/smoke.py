"""Run with an installed wheel, outside the checkout: the golden model folders answer as when they were written.

Needs the runtime's requirements alone: no PyTorch, no pytest.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from stepscan import runtime
from stepscan.kernels.native import library
from stepscan.serving.page_files import page_files

GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0"


def main() -> None:
    """Exit with an error unless the native library and the page are there, and two models answer as expected."""
    if library is None:
        sys.exit("the wheel has no native library")
    texts = ["a good film", "bad , bad film", "never seen", ""]
    sentences = [["ab", "cd"], ["new", "ab", "ba"], []]
    for name, inputs in (("classify", texts), ("tag", sentences)):
        expected = json.loads((GOLDEN / name / "expected.json").read_text("utf-8"))["predict"]
        answers = [one if isinstance(one, list) else str(one) for one in runtime.load(GOLDEN / name).predict(inputs)]
        if answers != expected:
            sys.exit(f"{name}: expected {expected}, got {answers}")
    if not {"/", "/page/main.js", "/page/style.css"} <= set(page_files()):
        sys.exit("the wheel has no page")
    print(f"golden folders answer as expected ({library.instruction_set()})")


if __name__ == "__main__":
    main()
