"""How well do the default settings learn on any file?

    python benchmarks/defaults.py --data DIR [--peers-python PYTHON] [--store FILE]

Trains on published data sets and on small subsets of them, specifying only files and columns, evaluates on the test,
and prints the results, those of peers (what a user would do instead), and which targets are reached or missed. DIR has
a folder for each set (see `published.py`). The peers (see `peers.py`) need further packages, in any environment:

    pip install aeon==1.6.0 scikit-learn==1.9.1 sklearn-crfsuite==0.5.0

Every run is a line of the store, and stored runs are not repeated, so that the same command resumes after an
interruption. To measure changed defaults, use a new store, and --peers-store for the old one, to reuse its peers.
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

from peers import peers_of
from published import KINDS, REGRESSION, SERIES, SETS, SPANS, TEXT, Published
from runs import OURS, STOPPED, Run, Store
from tables import report

from stepscan.evaluation.problem_types import PROBLEM_TYPES
from stepscan.evaluation.spans import span_scores
from stepscan.hardware import cores, processor

HERE = Path(__file__).resolve().parent


class Case(NamedTuple):
    """A data set at a size."""

    published: Published
    n: int
    size: int | None  # None: the whole set


def cases(data: Path, sets: Iterable[Published], sizes: list[int | None]) -> Iterator[Case]:
    """Sets at the sizes that they have, ordered by size; missing sets are reported and skipped."""
    counts = []
    for published in sets:
        try:
            counts.append((published, len(published.records(data)[1])))
        except FileNotFoundError as error:
            print(f"{published.name} is skipped: {error.filename} does not exist", file=sys.stderr)
    for size in sizes:
        for published, whole in counts:
            if size is None or (size < whole and published.small):
                yield Case(published, size or whole, size)


def train(case: Case, data: Path, seed: int, limit: float) -> Run:
    """Train in a subprocess, in a temporary folder; it is stopped after `limit` minutes."""
    published = case.published
    with tempfile.TemporaryDirectory() as folder:
        train, test = published.write(data, case.size, Path(folder))
        request = {
            "task": published.task,
            "train": [str(path) for path in train],
            "test": [str(path) for path in test],
            "out": str(Path(folder, "model")),
            "settings": {**published.settings, "seed": seed},
            "reading": published.format.reading,
            "test_reading": (published.test_format or published.format).reading,
            "horizon": published.horizon,
        }
        result = _run([sys.executable, str(HERE / "training.py"), json.dumps(request)], 60 * limit, folder)
    return Run(published.name, case.n, case.size is None, OURS, seed, **result, **_circumstances("stepscan", "torch"))


def _run(command: list[str], seconds: float, folder: str) -> dict[str, Any]:
    """The result that a training prints, without the temporary folder's name, or its failure."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"seconds": seconds, "failure": f"{STOPPED} {seconds / 60:g} min"}
    last_line = (done.stderr if done.returncode else done.stdout).replace(f"{folder}/", "").strip().split("\n")[-1]
    if done.returncode:
        return {"seconds": 0.0, "failure": f"exit code {done.returncode}: {last_line}"}
    return json.loads(last_line)


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
    """A subprocess that runs the peers, one after the other, on one thread."""

    def __init__(self, python: str, data: Path) -> None:
        command = [python, str(HERE / "peers.py"), str(data)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def request(self, case: Case, peer: str) -> dict[str, Any]:
        """The subprocess's reply."""
        requests, replies = self._process.stdin, self._process.stdout
        name = case.published.name
        print(json.dumps({"set": name, "size": case.size, "peer": peer}), file=requests, flush=True)
        if not (line := next(iter(replies or ()), "")):
            raise SystemExit(f"{peer} on {name}: the peers' process ended with exit code {self._process.wait()}")
        return json.loads(line)

    def run(self, case: Case, data: Path, peer: str) -> Run | None:
        """The peer's scores; None if a package is missing."""
        reply, published = self.request(case, peer), case.published
        if "missing" in reply:
            print(f"{published.name}: {peer} is skipped: {reply['missing']} is not installed", file=sys.stderr)
            return None
        predictions = reply.pop("predictions", None)
        _, test = published.examples(data)
        scores = {} if predictions is None else evaluate(published.kind, predictions, test.targets)
        fields = {**_circumstances(), **reply, "scores": scores}
        return Run(published.name, case.n, case.size is None, peer, 0, **fields)


def evaluate(kind: str, predictions: list[Any], targets: list[Any]) -> dict[str, float]:
    """A peer's scores, by the same metrics as our models."""
    if kind in (TEXT, SERIES, REGRESSION):
        return PROBLEM_TYPES["regression" if kind == REGRESSION else "classification"].metrics(targets, predictions)
    correct = [p == t for tags in zip(predictions, targets, strict=True) for p, t in zip(*tags, strict=True)]
    spans = span_scores(predictions, targets) if kind == SPANS else {}
    return {**{name: spans[name] for name in spans if name != "types"}, "accuracy": sum(correct) / len(correct)}


def measure(arguments: argparse.Namespace, planned: list[Case], store: Store) -> None:
    """Do the runs that are not in the store: the peers', then ours."""
    peers = None
    for case in planned if arguments.peers else ():
        for peer in peers_of(case.published.kind):
            if (case.published.name, case.n, peer.name, 0) not in store:
                peers = peers or Peers(arguments.peers_python, arguments.data)
                _store(peers.run(case, arguments.data, peer.name), store)
    for case in planned if arguments.ours else ():
        for seed in range(arguments.seeds):
            if (case.published.name, case.n, OURS, seed) not in store:
                _store(train(case, arguments.data, seed, arguments.limit), store)


def _store(run: Run | None, store: Store) -> None:
    if run is not None:
        store.add(run)
        scores = ", ".join(f"{name} {value:.4g}" for name, value in list(run.scores.items())[:2])
        print(f"{run.set} {run.n:,}: {run.runner}, {run.seconds:.0f} s, {run.failure or scores}", file=sys.stderr)


def sizes(text: str) -> list[int | None]:
    return [None if size == "all" else int(size) for size in text.split(",")]


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--data", type=Path, required=True, help="folder of the data sets")
    option("--store", type=Path, default=Path("defaults.jsonl"), help="file of runs, read and appended to")
    option("--peers-store", type=Path, help="another store, whose runs of peers are reused")
    option("--peers-python", default=sys.executable, metavar="PYTHON", help="Python with the peers' packages")
    option("--only", type=lambda text: text.split(","), metavar="SET[,SET]", help="only these sets")
    option("--kind", choices=KINDS, action="append", help="only sets of this kind; repeatable")
    option("--sizes", type=sizes, default="50,200,1000,all", help="training examples (default 50,200,1000,all)")
    option("--seeds", type=int, default=2, help="number of our trainings, with seeds from 0 (default 2)")
    option("--limit", type=float, default=60, help="minutes after which one of our trainings is stopped (default 60)")
    option("--peers-only", dest="ours", action="store_false", help="train none of our models; stored runs are shown")
    option("--no-peers", dest="peers", action="store_false", help="run no peers; stored runs are shown")
    return parser


def main() -> None:
    parser = options()
    arguments = parser.parse_args()
    logging.getLogger("stepscan").setLevel(logging.ERROR)  # no warnings of imbalanced tests
    if unknown := sorted(set(arguments.only or ()) - {each.name for each in SETS}):
        parser.error(f"expected --only {', '.join(each.name for each in SETS)}, got {unknown[0]!r}")
    only, kinds = arguments.only, arguments.kind or KINDS
    sets = [each for each in SETS if each.name in (only or [each.name]) and each.kind in kinds]
    store = Store(arguments.store)
    if arguments.peers_store:
        store.take(run for run in Store(arguments.peers_store) if run.runner != OURS)
    planned = list(cases(arguments.data, sets, arguments.sizes))
    try:
        measure(arguments, planned, store)
    finally:
        print(report([(case.published, case.n) for case in planned], list(store)))


if __name__ == "__main__":
    main()
