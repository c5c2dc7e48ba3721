"""Do the defaults learn, whatever the file?

    python benchmarks/defaults.py --data DIR [--peers-python PYTHON] [--store FILE]

Trains on published sets, small and whole, with nothing but files and columns named, scores the test, and prints what
came of it beside what a user would have done instead, and the targets that are reached or missed. DIR has a folder for
each set (see `published.py`). The peers (see `peers.py`) need other packages, perhaps in an environment of their own:

    pip install aeon==1.6.0 scikit-learn==1.9.1 sklearn-crfsuite==0.5.0

Every run is a line of the store, and a run that is there is not done again: the same command continues what was cut
off. To measure changed defaults, name a new store, and with --peers-store the old one, whose peers stay as they are.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from outcomes import report
from peers import peers_of
from published import KINDS, REGRESSION, SERIES, SETS, SPANS, TEXT, Published
from runs import OURS, STOPPED, Run, Store

from stepscan.machine import cores, processor
from stepscan.runtime.decisions import DECISIONS
from stepscan.runtime.spans import span_scores

HERE = Path(__file__).resolve().parent


class Case(NamedTuple):
    """A set at a size."""

    given: Published
    n: int
    size: int | None  # None: the whole set


def cases(data: Path, sets: Iterable[Published], sizes: list[int | None]) -> Iterator[Case]:
    """Sets at those sizes that they have, size by size; those that are not there are said and skipped."""
    counts = []
    for given in sets:
        try:
            counts.append((given, len(given.records(data)[1])))
        except FileNotFoundError as error:
            print(f"{given.name} is skipped: {error.filename} does not exist", file=sys.stderr)
    for size in sizes:
        for given, whole in counts:
            if size is None or (size < whole and given.small):
                yield Case(given, size or whole, size)


def train(case: Case, data: Path, seed: int, limit: float) -> Run:
    """Train in a process and a scratch folder of its own, which is stopped after `limit` minutes."""
    given = case.given
    with tempfile.TemporaryDirectory() as folder:
        train, test = given.write(data, case.size, Path(folder))
        asked = {
            "task": given.task,
            "train": [str(path) for path in train],
            "test": [str(path) for path in test],
            "out": str(Path(folder, "model")),
            "settings": {**given.settings, "seed": seed},
            "reading": given.format.reading,
            "test_reading": (given.test_format or given.format).reading,
            "horizon": given.horizon,
        }
        found = _run([sys.executable, str(HERE / "training.py"), json.dumps(asked)], 60 * limit, folder)
    return Run(given.name, case.n, case.size is None, OURS, seed, **found, **_circumstances("stepscan", "torch"))


def _run(command: list[str], seconds: float, folder: str) -> dict[str, Any]:
    """What a training says of itself, without the scratch folder's name, or why it did not end well."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"seconds": seconds, "failure": f"{STOPPED} {seconds / 60:g} min"}
    said = (done.stderr if done.returncode else done.stdout).replace(f"{folder}/", "").strip().split("\n")[-1]
    if done.returncode:
        return {"seconds": 0.0, "failure": f"exit code {done.returncode}: {said}"}
    return json.loads(said)


def _circumstances(*packages: str) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{processor()}, {cores()} cores",
        "versions": ", ".join(f"{name} {_version(name)}" for name in packages),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


class Peers:
    """A process that answers for the peers, one after the other, on one thread."""

    def __init__(self, python: str, data: Path) -> None:
        command = [python, str(HERE / "peers.py"), str(data)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def ask(self, case: Case, peer: str) -> dict[str, Any]:
        questions, answers = self._process.stdin, self._process.stdout
        print(json.dumps({"set": case.given.name, "size": case.size, "peer": peer}), file=questions, flush=True)
        if not (line := next(iter(answers or ()), "")):
            raise SystemExit(f"{peer} on {case.given.name}: the peers' process ended, exit code {self._process.wait()}")
        return json.loads(line)

    def run(self, case: Case, data: Path, peer: str) -> Run | None:
        """The peer's scores; None if a package is missing."""
        reply = self.ask(case, peer)
        if "missing" in reply:
            print(f"{case.given.name}: {peer} is skipped: {reply['missing']} is not installed", file=sys.stderr)
            return None
        answers = reply.pop("answers", None)
        _, test = case.given.examples(data)
        scores = {} if answers is None else scored(case.given.kind, answers, test.targets)
        return Run(
            case.given.name, case.n, case.size is None, peer, 0, **{**_circumstances(), **reply, "scores": scores}
        )


def scored(kind: str, found: list[Any], true: list[Any]) -> dict[str, float]:
    """A peer's answers by the field's own metrics, as our models have them."""
    if kind in (TEXT, SERIES, REGRESSION):
        return DECISIONS["number" if kind == REGRESSION else "class"].metrics(true, found)
    right = [f == t for tags in zip(found, true, strict=True) for f, t in zip(*tags, strict=True)]
    spans = span_scores(found, true) if kind == SPANS else {}
    return {**{name: spans[name] for name in spans if name != "types"}, "accuracy": sum(right) / len(right)}


def measure(given: argparse.Namespace, planned: list[Case], store: Store) -> None:
    """Do the runs that are not in the store: the peers', then ours."""
    peers = None
    for case in planned if given.peers else ():
        for peer in peers_of(case.given.kind):
            if (case.given.name, case.n, peer.name, 0) not in store:
                peers = peers or Peers(given.peers_python, given.data)
                _keep(peers.run(case, given.data, peer.name), store)
    for case in planned if given.ours else ():
        for seed in range(given.seeds):
            if (case.given.name, case.n, OURS, seed) not in store:
                _keep(train(case, given.data, seed, given.limit), store)


def _keep(run: Run | None, store: Store) -> None:
    if run is not None:
        store.add(run)
        figures = ", ".join(f"{name} {value:.4g}" for name, value in list(run.scores.items())[:2])
        print(f"{run.set} {run.n:,}: {run.runner}, {run.seconds:.0f} s, {run.failure or figures}", file=sys.stderr)


def sizes(text: str) -> list[int | None]:
    return [None if size == "all" else int(size) for size in text.split(",")]


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--data", type=Path, required=True, help="folder of the sets")
    option("--store", type=Path, default=Path("defaults.jsonl"), help="file of runs, read and appended to")
    option("--peers-store", type=Path, help="another file, whose runs of peers count as done")
    option("--peers-python", default=sys.executable, metavar="PYTHON", help="Python that has the peers' packages")
    option("--only", type=lambda text: text.split(","), metavar="SET[,SET]", help="these sets")
    option("--kind", choices=KINDS, action="append", help="sets of this kind; repeatable")
    option("--sizes", type=sizes, default="50,200,1000,all", help="training examples (default 50,200,1000,all)")
    option("--seeds", type=int, default=2, help="trainings of ours, with seeds from 0 (default 2)")
    option("--limit", type=float, default=60, help="minutes after which a training of ours is stopped (default 60)")
    option("--peers-only", dest="ours", action="store_false", help="train none of ours; those stored are shown")
    option("--no-peers", dest="peers", action="store_false", help="run no peer; likewise")
    return parser


def main() -> None:
    parser = options()
    given = parser.parse_args()
    logging.getLogger("stepscan").setLevel(logging.ERROR)  # of a test that is imbalanced
    if unknown := sorted(set(given.only or ()) - {each.name for each in SETS}):
        parser.error(f"unknown set {unknown[0]!r}; expected one of {', '.join(each.name for each in SETS)}")
    sets = [each for each in SETS if each.name in (given.only or [each.name]) and each.kind in (given.kind or KINDS)]
    store = Store(given.store)
    if given.peers_store:
        store.take(run for run in Store(given.peers_store) if run.runner != OURS)
    planned = list(cases(given.data, sets, given.sizes))
    try:
        measure(given, planned, store)
    finally:
        print(report([(case.given, case.n) for case in planned], list(store)))


if __name__ == "__main__":
    main()
