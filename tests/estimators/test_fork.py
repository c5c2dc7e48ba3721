"""A process that has trained may be forked, and its child trains too."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, torch, stepscan as ss

torch.set_num_threads(2)
texts, labels = ["a good film is here now", "a bad film was there then"] * 40, ["p", "n"] * 40


def fit():
    model = ss.Classifier(hidden_size=96, embedding_size=64, epochs=1, refit=False, wide=False, seed=1)
    return model.fit(texts, labels).predict_proba(texts[:2]).round(3).tolist()


expected = fit()
child = os.fork()
if not child:
    os._exit(0 if fit() == expected and torch.get_num_threads() == 1 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), torch.get_num_threads())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork a process")
def test_a_forked_child_trains_on_one_thread():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.stdout == "0 2\n", done.stderr
