"""`predict`, `generate` and `evaluate` import no torch, unless a layer has no kernel: then one line says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import stepscan as ss
from stepscan.kernels import native

pytestmark = pytest.mark.skipif(native.library is None, reason="no native library was built")

WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
sys.argv = ["stepscan", *{arguments!r}]
from stepscan.cli import main

main()
"""
TORCH = ("torch",)
TRAINING = ("torch", "sklearn", "scipy", "sacrebleu", "hypothesis", "matplotlib")


class Done(NamedTuple):
    code: int
    out: str
    err: str


def without(absent: tuple[str, ...], *arguments: object) -> Done:
    """The command line in a process of its own, where these packages are not installed."""
    code = WITHOUT.format(absent=absent, arguments=[str(argument) for argument in arguments])
    environment = {**os.environ, "PYTHONPATH": str(Path(ss.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(("task", "text"), [("classify", "a good film"), ("tag", "ab cd"), ("translate", "abc")])
def test_predict(models, run, tmp_path, task, text):
    (tmp_path / "in.txt").write_text(f"{text}\n{text}\n")
    for options in ([text], [text, "--json"], ["--input", tmp_path / "in.txt"]):
        done = without(TRAINING, "predict", models[task], *options)
        assert (done.code, done.err) == (0, "")
        assert done.out == run("predict", models[task], *options).out != ""
    model = ss.load(models[task])
    row = json.loads(without(TRAINING, "predict", models[task], text, "--json").out)
    assert row == {"text": text, **model.predict_records([text.split() if task == "tag" else text])[0]}


def test_translations(models):
    options = ["--n-best", 3, "--beam-width", 4, "--minimum-length", 2, "--coverage-penalty", "0.2", "--prefix", "c"]
    done = without(TRAINING, "predict", models["translate"], "abc", "--json", *options)
    model = ss.load(models["translate"]).set_params(beam_width=4, coverage_penalty=0.2)
    best = model.translate(["abc"], n_best=3, minimum_length=2, prefix="c")[0]
    assert json.loads(done.out)["n_best"] == [one._asdict() for one in best]


def test_generate(models):
    model = ss.load(models["generate"])
    for options, expected in (
        (["--seed", 5], {"seed": 5}),
        (["--temperature", 0, "--stop", "\n"], {"temperature": 0, "stop": ["\n"]}),
        (["--seed", 6, "--top-k", 3, "--repetition-penalty", 1.2], {"seed": 6, "top_k": 3, "repetition_penalty": 1.2}),
        (["--seed", 7, "--allow", "a", "--allow", "b"], {"seed": 7, "allowed": ["a", "b"]}),
    ):
        done = without(TRAINING, "generate", models["generate"], "--prompt", "ab", "--length", 30, *options)
        assert (done.code, done.err) == (0, "")
        assert done.out == model.generate("ab", length=30, **expected) + "\n"


@pytest.mark.parametrize("task", ["classify", "tag", "generate", "translate"])
def test_evaluate(models, corpora, run, task):
    done = without(TORCH, "evaluate", models[task], corpora[task], "--json")
    assert done.code == 0
    assert done.err.startswith("note: " if task == "tag" else "")  # which columns were read
    assert "PyTorch" not in done.err
    figures, model = json.loads(done.out), ss.load(models[task])
    data = {
        "classify": lambda: _columns(corpora[task], ","),
        "tag": lambda: _sentences(corpora[task]),
        "generate": lambda: (corpora[task].read_text(),),
        "translate": lambda: _columns(corpora[task], "\t"),
    }[task]()
    expected = {"task": task, "file": str(corpora[task]), **model.metrics(*data)}
    trivial = model.yardstick(*data)
    assert figures.pop("yardstick")["scores"] == (trivial.scores if trivial else model.yardstick_["scores"])
    assert figures == {n: pytest.approx(v, rel=1e-6) if isinstance(v, float) else v for n, v in expected.items()}
    lines = without(TORCH, "evaluate", models[task], corpora[task], "--per-line", "--json")
    rows = [json.loads(line) for line in lines.out.splitlines()]
    expected = model.log_probabilities(*((data[0].splitlines(),) if task == "generate" else data))
    assert [(row["log_probability"], row["symbols"]) for row in rows] == [
        (pytest.approx(value, rel=1e-5), count) for value, count in expected
    ]


def _columns(path: Path, separator: str) -> tuple[list[str], list[str]]:
    rows = [line.rsplit(separator, 1) for line in path.read_text().splitlines()]
    rows = rows[1:] if separator == "," else rows
    return [first.strip('"') for first, _ in rows], [second for _, second in rows]


def _sentences(path: Path) -> tuple[list[list[str]], list[list[str]]]:
    pairs = [[line.split() for line in block.splitlines()] for block in path.read_text().strip().split("\n\n")]
    return [[word for word, _ in one] for one in pairs], [[tag for _, tag in one] for one in pairs]


def test_what_a_metric_needs_is_said(models, corpora):
    done = without(TRAINING, "evaluate", models["classify"], corpora["classify"])
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: this needs sklearn: pip install 'stepscan[train]'\n"
    assert without(TRAINING, "evaluate", models["tag"], corpora["tag"]).code == 0
    assert without(TRAINING, "evaluate", models["generate"], corpora["generate"]).code == 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory, corpora) -> Callable[..., Path]:
    from stepscan.estimators.files import train

    def make(task: str, **settings: Any) -> Path:
        folder = tmp_path_factory.mktemp("trained") / "m"
        train(task, [corpora[task]], folder, settings={"hidden_size": 8, "embedding_size": 8, "epochs": 1, **settings})
        return folder

    return make


def test_a_transformer_runs_without_torch(trained, corpora, run):
    folder = trained("generate", cell="transformer", bptt=16)
    for command in (
        ["generate", folder, "--length", 5, "--seed", 1],
        ["evaluate", folder, corpora["generate"], "--json"],
    ):
        done = without(TRAINING, *command)
        assert (done.code, done.err) == (0, "")
        assert done.out == run(*command).out != ""


def test_cross_attention_runs_without_torch(trained, corpora, run):
    folder = trained("translate", attention="cross")
    for command in (["predict", folder, "abc"], ["evaluate", folder, corpora["translate"], "--json"]):
        done, expected = without(TORCH, *command), run(*command)
        assert (done.code, done.out, done.err) == (0, expected.out, expected.err)
        assert done.out


class LeakySum(ss.Recurrence):  # a user's own
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.weight = torch.nn.Parameter(torch.randn(hidden_size, input_size) * 0.1)

    def initial_state(self, batch_size, *, device=None, dtype=None):
        return self.zeros(batch_size, self.output_size, device, dtype)

    def step(self, x, state):
        state = 0.9 * state + x @ self.weight.T
        return state, state


def test_a_users_cell_runs_without_torch(trained, run):
    ss.register("leaky_sum")(LeakySum)
    folder = trained("classify", cell="leaky_sum")
    said = run("predict", folder, "a good film")
    assert (said.code, said.err) == (0, "")
    done = without(TORCH, "predict", folder, "a good film")
    assert (done.code, done.err) == (0, "")
    assert done.out == said.out != ""


def test_a_cell_that_is_no_program_runs_with_torch(trained, run):
    @ss.register("leaky_sort")
    class LeakySort(LeakySum):
        def step(self, x, state):
            state = (0.9 * state + x @ self.weight.T).sort(dim=1).values
            return state, state

    folder = trained("classify", cell="leaky_sort")
    note = "note: leaky_sort has no native kernel: run with PyTorch\n"
    said = run("predict", folder, "a good film")
    assert (said.code, said.err) == (0, note)
    assert said.out
    done = without(TORCH, "predict", folder, "a good film")  # it says what is missing then
    assert (done.code, done.out) == (1, "")
    expected = "error: leaky_sort has no native kernel: requires torch; pip install 'stepscan[train]'\n"
    assert done.err == expected


def test_an_ensemble_runs_without_torch(models, run):
    done = without(TORCH, "predict", models["classify"], "a good film", "--ensemble", models["classify"])
    assert (done.code, done.err) == (0, "")
    assert done.out == run("predict", models["classify"], "a good film").out


def test_what_only_torch_can_do(models, corpora, run):
    said = run("evaluate", models["generate"], corpora["generate"], "--dynamic", "0.001")
    assert said.err == "note: dynamic evaluation trains the model: run with PyTorch\n"


def test_without_the_native_library(models, run, monkeypatch):
    expected = run("predict", models["classify"], "a good film").out
    monkeypatch.setattr(native, "library", None)
    monkeypatch.setattr(native, "missing", "no compiler")
    said = run("predict", models["classify"], "a good film")
    assert (said.code, said.out) == (0, expected)
    assert "note: the native kernels are unavailable (no compiler): run with PyTorch" in said.words


def test_nothing_heavy_is_imported(models):
    check = (
        "import sys\n"
        f"sys.argv = ['stepscan', 'predict', {str(models['classify'])!r}, 'a good film']\n"
        "from stepscan.cli import main\n"
        "main()\n"
        "found = {'torch', 'sklearn', 'scipy', 'sacrebleu', 'hypothesis'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(ss.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
