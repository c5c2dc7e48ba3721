"""That every script of `benchmarks/` runs, and that our side and the plain side of the training loops do the same."""

from __future__ import annotations

import random
import runpy
import sys
from pathlib import Path

import pytest
import torch

from stepscan import registry
from stepscan.cells.catalogue import cell_classes

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import time_to_score  # noqa: E402
from comparisons import TASKS  # noqa: E402
from runs import OURS, Run  # noqa: E402
from time_to_score import PLAIN, Course, Goal, Reached, Stopwatch  # noqa: E402


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Scripts register cells; the registry is then as it was."""
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))


SMALL = {"embedding_size": 16, "hidden_size": 16, "refit": False}


def run_script(monkeypatch, capsys, name, *arguments):
    """The standard output of a script, run in this process."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(BENCHMARKS / name), run_name="__main__")
    return capsys.readouterr().out


def sentences():
    draw = random.Random(0)
    words = ["the", "a", "cat", "dog", "sat", "on", "mat", "by", "red", "blue", "green", "zebra"]
    return [" ".join(draw.choices(words, k=draw.randint(1, 9))) for _ in range(80)]


def examples(task):
    texts = sentences()
    return {
        "classify": (texts, ["long" if text.count(" ") > 4 else "short" for text in texts]),
        "tag": ([text.split() for text in texts], [[word[0] for word in text.split()] for text in texts]),
        "generate": ("\n".join(texts),),
        "translate": (texts, [text.upper() for text in texts]),
    }[task]


def compare(task, **settings):
    data = examples(task)
    return TASKS[task](data, data if len(data) > 1 else data[0], {**SMALL, **settings})


@pytest.mark.parametrize("name", sorted(path.name for path in BENCHMARKS.glob("*.py")))
def test_each_script_answers_help_or_only_defines(monkeypatch, capsys, name):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    code: object = None
    try:
        runpy.run_path(str(BENCHMARKS / name), run_name="__main__")
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    except SystemExit as stop:
        code = stop.code
    is_script = "__main__" in (BENCHMARKS / name).read_text("utf-8")
    assert code == (0 if is_script else None)
    assert ("usage:" in capsys.readouterr().out) == is_script


@pytest.mark.parametrize("task", TASKS)
def test_loops_runs_a_batch(monkeypatch, capsys, tmp_path, task):
    data = examples(task)
    if task == "tag":
        blocks = (
            "".join(f"{word}\t{tag}\n" for word, tag in zip(*pair, strict=True)) for pair in zip(*data, strict=True)
        )
        columns = ["\n".join(blocks)]
    elif task == "classify":
        columns = ["".join(f"{text}\t{label}\n" for text, label in zip(*data, strict=True))]
    else:
        columns = ["\n".join(part) if isinstance(part, list) else 4 * part for part in data]
    paths = [tmp_path / f"{i}.{'conll' if task == 'tag' else 'txt'}" for i in range(len(columns))]
    for path, text in zip(paths, columns, strict=True):
        path.write_text(text, encoding="utf-8")
    threads = f"--threads={torch.get_num_threads()}"
    out = run_script(monkeypatch, capsys, "loops.py", task, *map(str, paths), "--batches=1", "--rounds=1", threads)
    assert out.startswith("1 batches")
    rows = [line.split("  ")[0].strip() for line in out.splitlines()[1:]]
    assert rows == ["stepscan", *(["plain, every word", "plain, distinct words"] if task == "tag" else ["plain"])]


def test_programs_beside_their_rivals(monkeypatch, capsys):
    threads = torch.get_num_threads()
    cells = [name for name in cell_classes() if "transformer" not in name]
    try:
        loops = run_script(monkeypatch, capsys, "programs.py", "loop", "--sizes=8", "--rounds=1").splitlines()
        assert [line.split()[0] for line in loops] == cells
        sizes = ["--steps=16", "--rows=2", "--size=8", "--rounds=1"]
        assert len(run_script(monkeypatch, capsys, "long_programs.py", *sizes).splitlines()) == 3
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("task", "settings"), [*((task, {}) for task in TASKS), ("generate", {"layers": 2})])
def test_the_plain_model_is_ours(task, settings):
    comparison = compare(task, **settings)
    ours, plain = comparison.stage.task.model.eval(), comparison.plain.eval()
    weights = plain.our_weights(dict(plain.named_parameters()))
    assert weights.keys() == ours.state_dict().keys()
    ours.load_state_dict(weights)
    for chosen in list(comparison.batches(0))[:2]:
        batch = comparison.our_batch(chosen)
        total, items, _ = ours.loss(batch.inputs, batch.targets)
        if task != "generate" or chosen == 0:  # both begin without a state
            assert comparison.plain.loss(comparison.plain_batch(chosen)).item() == pytest.approx(
                total.item() / items, rel=1e-5
            )


@pytest.mark.parametrize("train", [time_to_score.train_ours, time_to_score.train_plain])
def test_time_to_score_stops_at_the_target(train):
    comparison = compare("classify", learning_rate=0.02, embedding_size=32)
    torch.manual_seed(0)
    task = comparison.stage.task
    course = Course(lambda: task.evaluate()["accuracy"], Goal("x", "x", "classify", 0.9), 1000.0)
    with pytest.raises(Reached):
        train(comparison, course)
    assert course.best >= 0.9
    assert course.updates % 5 == 0
    assert course.updates < comparison.stage.settings.max_updates
    assert course.seconds[1] > 0


def test_a_course_gives_up_at_its_limit():
    course = Course(lambda: 0.5, Goal("x", "x", "classify", 0.9, first_scored=10), 0.0)
    with pytest.raises(Reached):
        course.evaluate(5)
    assert course.best == -float("inf")


def test_the_stopwatch_stands_still_within_with():
    times = [0.0]
    watch = Stopwatch(lambda: times[0])
    times[0] = 2.0
    with watch:
        times[0] = 50.0
    assert watch.seconds == [2.0]
    times[0] = 53.0
    assert watch.seconds == [5.0]


def test_report():
    def measured(runner, seconds, failure=""):
        scores = {"best": 0.84, "processor_seconds": seconds, "updates": 1000}
        return Run("sst2", 0, True, runner, 0, 2 * seconds, scores, failure=failure)

    table = time_to_score.report([measured(OURS, 60.0), measured(PLAIN, 150.0)])
    assert "| sst2 | 0.84 | 60 | 1,000 | 150 | 1,000 | 2.50 |" in table
    table = time_to_score.report([measured(OURS, 60.0), measured(PLAIN, 150.0, "not reached")])
    assert "| 60 | 1,000 | 150: only 0.84 | 1,000 | > 2.50 |" in table
