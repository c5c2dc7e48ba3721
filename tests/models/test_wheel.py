"""What a user ships: a wheel in a fresh environment without torch, which runs all four patterns."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest

import stepscan as ss

ROOT = Path(__file__).parents[2]
SCRIPT = """
import importlib.util, json, sys
from stepscan import runtime

folder = sys.argv[1]
models = {name: runtime.load(f"{folder}/{name}") for name in ("classify", "tag", "generate", "translate")}
session = models["generate"].session()
session.push("one ")
print(json.dumps({
    "classify": models["classify"].predict_proba(["not a bad film"]).tolist(),
    "tag": models["tag"].predict([["the", "dog", "runs"]]),
    "generate": models["generate"].generate("one ", length=20, seed=1),
    "session": session.generate(20, seed=1),
    "translate": models["translate"].predict(["ab", "ba"]),
    "torch": importlib.util.find_spec("torch") is not None,
}))
"""


def test_a_wheel_without_torch(tmp_path: Path) -> None:
    made = train(tmp_path / "models")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "wheel"), str(ROOT)]
    run(build, "the wheel cannot be built")
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    before = size_of(environment)
    python = str(environment / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    install = [python, "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    run(install, "the wheel cannot be installed")
    found = json.loads(run([python, "-c", SCRIPT, str(tmp_path / "models")], "the wheel does not run"))
    assert found.pop("torch") is False
    assert found.pop("session") == found["generate"].removeprefix("one ")
    assert found == made
    assert "golden folders answer" in run(
        [python, str(ROOT / "tests" / "wheel" / "smoke.py")], "the wheel does not run"
    )
    said = run(
        [python, "-m", "stepscan", "predict", str(tmp_path / "models" / "classify"), "a good film"], "no command"
    )
    assert said.split("\t")[0] in ("good", "bad")
    assert size_of(environment) - before < 120_000_000


def train(path: Path) -> dict[str, Any]:
    """A small model of each task, and what the training side says with it."""
    path.mkdir()
    texts, classes = ["a good film", "a bad film", "not a good film", "not a bad film"], ["good", "bad", "bad", "good"]
    judge = ss.Classifier(hidden_size=8, epochs=8, learning_rate=0.02).fit(texts * 8, classes * 8)
    tagger = ss.Tagger(hidden_size=8, epochs=2).fit([["the", "dog", "runs"]] * 16, [["DET", "NOUN", "VERB"]] * 16)
    writer = ss.LanguageModel(hidden_size=16, bptt=16, batch_size=4, epochs=1).fit("one two three. " * 40)
    translator = ss.Translator(tokenizer="character", hidden_size=8, embedding_size=8, epochs=1)
    translator.fit(["ab", "ba"] * 8, ["ba", "ab"] * 8)
    for name, model in (("classify", judge), ("tag", tagger), ("generate", writer), ("translate", translator)):
        model.save(path / name)
    return {
        "classify": judge.predict_proba(["not a bad film"]).tolist(),
        "tag": tagger.predict([["the", "dog", "runs"]]),
        "generate": writer.generate("one ", length=20, seed=1),
        "translate": translator.predict(["ab", "ba"]),
    }


def run(command: list[str], what: str) -> str:
    """What a command prints; run elsewhere, so that nothing of this checkout is found by accident."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(command[0]).anchor, timeout=1200)
    if done.returncode:
        pytest.fail(f"{what}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def size_of(environment: Path) -> int:
    """Bytes of the files in an environment, without what Python compiles when it is first used."""
    packages = sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)})
    return sum(p.stat().st_size for p in Path(packages).rglob("*") if p.is_file() and p.suffix != ".pyc")
