"""How long until a model of the default settings reaches a score, ours and the plain PyTorch script of the same model?

    python benchmarks/time_to_score.py --data DIR [--only sst2,ewt] [--threads 1] [--store FILE]

Ours is the training of `stepscan train` with its defaults. The plain script (`plain_models.py`, with PyTorch's initial
weights) has the same model, batches, optimiser, learning rates and moving average of the weights. Both are scored on
the test data as they train, at the same distances, by the same code: the plain script's weights are loaded into our
model for that. Training ends with the first score that reaches the target. Seconds are those of training alone, of the
clock and of the processor; neither reading and tokenising nor the scoring counts. The processor's are the ones to
compare on a machine that does other work. Of our classifier and tagger the network alone is scored, without the wide
part, which is fitted after the training.

Each training is a process of its own and a line of the store; stored ones are not repeated.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from comparisons import TASKS, Comparison, plain_epochs
from loop_timing import PlainLoop
from published import SETS
from runs import OURS, Run, Store
from tables import number, table

from stepscan.data.readers import read_parallel
from stepscan.hardware import cores, processor
from stepscan.training.clock import Clock
from stepscan.training.loop import GROWTH, MIN_INTERVAL, Trainer
from stepscan.training.progress import NullReporter
from stepscan.training.schedule import Schedule

PLAIN = "plain"


class Goal(NamedTuple):
    """A data set and the score to reach on its test."""

    name: str
    set: str  # in `published.py`
    task: str
    target: float  # accuracy, BLEU, or minus nats
    first_scored: int = 0  # updates before which nothing is scored, where scoring is slow


# The small sets' targets are 90 % of the defaults' final scores in docs/results.md.
GOALS = [
    Goal("sst2", "sst2_phrases", "classify", 0.84),
    Goal("ewt", "ud_english_ewt", "tag", 0.95),
    Goal("shakespeare", "tinyshakespeare", "generate", -1.50),
    Goal("multi30k", "multi30k_de_en", "translate", 36.0, first_scored=1000),
    Goal("snips", "snips_intents", "classify", 0.9 * 0.971),
    Goal("banking77", "banking77", "classify", 0.9 * 0.924),
    Goal("uyghur", "ud_uyghur_udt", "tag", 0.9 * 0.892),
]


class Reached(Exception):
    """Training has reached its target, or its limit of time."""


class Stopwatch:
    """Seconds of the clock and of the processor, without those within `with`."""

    def __init__(self, *clocks: Callable[[], float]) -> None:
        self._clocks = clocks or (time.perf_counter, time.process_time)
        self._starts = [clock() for clock in self._clocks]

    @property
    def seconds(self) -> list[float]:
        return [clock() - start for clock, start in zip(self._clocks, self._starts, strict=True)]

    def __enter__(self) -> None:
        self._stopped = self.seconds

    def __exit__(self, *error: object) -> None:
        self._starts = [clock() - seconds for clock, seconds in zip(self._clocks, self._stopped, strict=True)]


class Course:
    """The scores of one training, until the target is reached.

    Args:
        score: of the model with its present weights; greater is better.
        goal: what is to be reached.
        limit: seconds of the processor after which to give up.
    """

    def __init__(self, score: Callable[[], float], goal: Goal, limit: float) -> None:
        self.score, self.goal, self.limit = score, goal, limit
        self.best, self.updates, self.watch, self.seconds = -float("inf"), 0, Stopwatch(), [0.0, 0.0]

    def evaluate(self, updates: int) -> None:
        """Score, and stop the training if that is enough."""
        self.updates = updates
        if updates >= self.goal.first_scored:
            value = self.score()
            self.best, self.seconds = max(self.best, value), self.watch.seconds
            print(f"{updates} updates, {self.seconds[1]:.1f} s: {value:.4f}", file=sys.stderr, flush=True)
        if self.best >= self.goal.target or self.watch.seconds[1] >= self.limit:
            raise Reached


def compare(goal: Goal, data: Path, settings: dict[str, Any]) -> tuple[Comparison, Callable[[], float]]:
    """Both sides before training, and the score of our model with its present weights."""
    train, test = read(goal, data)
    comparison = TASKS[goal.task](train, test if len(test) > 1 else test[0], settings)
    if goal.task == "translate":
        return comparison, lambda: comparison.estimator.score(*test)
    task: Any = comparison.stage.task

    def score() -> float:
        first = next(iter(task.evaluate().values()))
        return first if task.greater_is_better else -first

    return comparison, score


def read(goal: Goal, data: Path) -> list[tuple[Any, ...]]:
    """Training and test data, as arguments of `fit`."""
    published = next(each for each in SETS if each.name == goal.set)
    if goal.task == "translate":
        return [_pairs(data, names) for names in (published.train, str(published.test))]
    if goal.task == "generate":
        return [("".join(part.inputs),) for part in published.examples(data)]
    return [tuple(part) for part in published.examples(data)]


def _pairs(data: Path, names: str) -> tuple[Any, ...]:
    sources, targets, *_ = zip(*read_parallel([data / name for name in names.split(" + ")]), strict=True)
    return list(sources), list(targets)


def train_ours(comparison: Comparison, course: Course) -> None:
    """Train as `fit` does."""
    stage: Any = comparison.stage

    def scored() -> dict[str, float]:
        with course.watch:
            course.evaluate(trainer.schedule.updates)
            return stage.task.evaluate()

    trainer = Trainer(dataclasses.replace(stage.task, evaluate=scored), stage.settings, NullReporter())
    trainer.run()


def train_plain(comparison: Comparison, course: Course) -> None:
    """Train the plain script for as many updates as ours may have."""
    stage, plain = comparison.stage, comparison.plain
    loop, ours = PlainLoop(plain, stage.settings), stage.task.model.eval()
    schedule, scored_at = Schedule(stage.settings, Clock(), stage.settings.max_updates or 1), 0
    for batch in plain_epochs(comparison):
        loop.update(batch, schedule.rate())
        schedule.updates += 1
        due = max(scored_at / GROWTH, stage.task.evaluation_cost, MIN_INTERVAL)
        if schedule.updates - scored_at >= due or schedule.is_over:
            scored_at = schedule.updates
            with course.watch, loop.average, torch.inference_mode():
                ours.load_state_dict(plain.our_weights(dict(plain.named_parameters())))
                course.evaluate(scored_at)
        if schedule.is_over:
            return


def run(goal: Goal, side: str, data: Path, seed: int, limit: float, settings: dict[str, Any]) -> Run:
    """One training to the target."""
    comparison, score = compare(goal, data, {"seed": seed, **settings})
    torch.manual_seed(seed)
    course = Course(score, goal, limit)
    with contextlib.suppress(Reached):
        (train_ours if side == OURS else train_plain)(comparison, course)
    (seconds, processor_seconds), reached = course.seconds, course.best >= goal.target
    return Run(
        *(goal.name, 0, True, side, seed, round(seconds, 1)),
        scores={"best": course.best, "processor_seconds": round(processor_seconds, 1), "updates": course.updates},
        failure="" if reached else "not reached",
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        machine=f"{processor()}, {cores()} cores, {torch.get_num_threads()} threads",
        versions=f"torch {torch.__version__}",
    )


def report(runs: list[Run]) -> str:
    """A table with a row per goal, in seconds of the processor."""
    by_key = {(each.set, each.runner): each for each in runs}
    head = ["", "target", "ours, seconds", "updates", "plain, seconds", "updates", "plain ÷ ours"]
    lines = []
    for goal in GOALS:
        ours, plain = (by_key.get((goal.name, side)) for side in (OURS, PLAIN))
        ratio = ""
        if ours and plain and not ours.failure:
            seconds = plain.scores["processor_seconds"] / ours.scores["processor_seconds"]
            ratio = "> " * bool(plain.failure) + number(seconds, 2)
        lines.append([goal.name, f"{abs(goal.target):.4g}", *_cells(ours), *_cells(plain), ratio])
    return table(head, lines)


def _cells(measured: Run | None) -> list[str]:
    """Seconds of the processor, and updates."""
    if measured is None:
        return ["", ""]
    seconds = number(measured.scores["processor_seconds"], 0)
    best = abs(measured.scores["best"])
    return [f"{seconds}: only {best:.4g}" if measured.failure else seconds, f"{measured.scores['updates']:,}"]


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [goal.name for goal in GOALS]
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, metavar="GOAL[,GOAL]")
    parser.add_argument("--side", choices=(OURS, PLAIN), action="append", help="only this side")
    parser.add_argument(
        "--store", type=Path, default=Path("time_to_score.jsonl"), help="file of runs, read and added to"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=90, help="minutes of the processor for a training (default 90)")
    parser.add_argument("--here", action="store_true", help="train in this process, which then does one training")
    return parser


def main() -> None:
    arguments = options().parse_args()
    goals = [goal for goal in GOALS if goal.name in arguments.only]
    sides = arguments.side or [OURS, PLAIN]
    if arguments.here:
        torch.set_num_threads(arguments.threads)
        store = Store(arguments.store)
        store.add(run(goals[0], sides[0], arguments.data, arguments.seed, 60 * arguments.limit, {}))
        return
    for goal in goals:
        for side in sides:
            if (goal.name, 0, side, arguments.seed) not in Store(arguments.store):
                only = ["--only", goal.name, "--side", side, "--here"]
                subprocess.run([sys.executable, __file__, *sys.argv[1:], *only], check=True)
    print(report(list(Store(arguments.store))))


if __name__ == "__main__":
    main()
