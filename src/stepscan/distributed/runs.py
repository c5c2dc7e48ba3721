"""Prediction of the files of a folder, by one process or a cluster: what is written already is not done again."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from stepscan.data.bad_lines import BadLines
from stepscan.distributed.locations import TEMPORARY, Location, is_match, open_location, split_pattern
from stepscan.distributed.part_writer import Outcome, PartWriter
from stepscan.distributed.parts import PLAN, ROWS_PER_PART, Part, Plan, make_plan
from stepscan.distributed.rows import RowPredictor
from stepscan.errors import DataError, Interrupted, SettingsError, StepscanError, signal_number
from stepscan.storage.lock import SAVING, lock_file, locked

logger = logging.getLogger(__name__)
_PAUSE = 10.0  # seconds between two lines of progress
_READERS = 16  # files whose ends are read at a time

Outcomes = Generator[tuple[Part, Outcome], None, None]


class Summary(NamedTuple):
    """What a run has done."""

    rows: int  # written, in all files
    skipped: int  # bad rows
    parts: int  # files of the output
    found: int  # of these, files that were there before


def predict_files(
    predictor: RowPredictor,
    input: str,
    output: str,
    *,
    ray: str | None = None,
    workers: int | None = None,
    rows_per_part: int = ROWS_PER_PART,
    overwrite: bool = False,
    bad_lines: BadLines | None = None,
) -> Summary:
    """Predict the rows of Parquet files into Parquet files, in parts of `rows_per_part` rows.

    The same input, model and settings give the same files, on one process or on any number of workers. A run that was
    stopped is gone on with by the same call.

    Args:
        predictor: the model and its settings.
        input: a pattern such as `FOLDER/*.parquet`, a folder or a file, of this machine or as a URI (`s3://…`).
        output: a folder, which is made. Its files have the columns `file` and `row` (the number in the file, from 1),
            the text, and what `stepscan predict --json` prints.
        ray: the address of a cluster, see `stepscan.distributed.cluster.connected`; None: this process does it all.
        workers: on Ray, their number; None: one a processor of the cluster.
        rows_per_part: rows of a file of the output, at most; what is lost, at most, where a worker dies.
        overwrite: remove the files of another run.
        bad_lines: skips and counts bad rows; without it the first one is an error.

    Raises:
        SettingsError: an argument is out of range, the output is in the input, or there is no such file system.
        DataError: a file cannot be read or written, a column is missing, or a row is bad.
        StepscanError: the output has the files of another run, or something else.
        Interrupted: the run was stopped by a signal; says how to go on.
    """
    for name, value in (("rows_per_part", rows_per_part), ("workers", workers)):
        if value is not None and value < 1:
            raise SettingsError(f"{name}: expected a whole number of at least 1, got {value}")
    source, plan = make_plan(predictor.fingerprint, input, rows_per_part, bad_lines is not None)
    target = open_location(output)
    _check_apart(input, target, plan)
    writer = PartWriter(predictor, source, target, plan.fingerprint, plan.skips)
    with _lock(target):
        _prepare(target, plan, overwrite)
        done = _outcomes(writer, plan)
        rest = [part for part in plan.parts() if part not in done]
        found = len(done)
        if found:
            logger.info("%s: %d of %d parts are written already", output, found, found + len(rest))
        if rest:
            _run(writer, rest, done, _executor(writer, rest, ray, workers))
        return _finish(writer, plan, found, bad_lines)


def _executor(writer: PartWriter, parts: Sequence[Part], ray: str | None, workers: int | None) -> Outcomes:
    if ray is None:
        yield from ((part, writer.write(part)) for part in parts)
        return
    from stepscan.distributed.cluster import connected, outcomes_of_workers

    with connected(ray) as library:
        yield from outcomes_of_workers(library, writer, parts, workers)


def _run(writer: PartWriter, rest: Sequence[Part], done: dict[Part, Outcome], outcomes: Outcomes) -> None:
    """Add the outcome of each part to `done`."""
    total, said = len(rest) + len(done), time.monotonic()
    with contextlib.closing(outcomes):
        try:
            for part, outcome in outcomes:
                if not outcome.belongs_to(writer.plan, part):
                    row, reason, hint = outcome.errors[0]
                    path = writer.source.shown(part.file)
                    raise DataError(reason, path=path, line=row, hint=hint, unit="row")
                done[part] = outcome
                if time.monotonic() - said > _PAUSE:
                    said = time.monotonic()
                    logger.info("%d of %d parts, %d rows", len(done), total, sum(one.rows for one in done.values()))
        except (KeyboardInterrupt, SystemExit) as stop:
            raise Interrupted(
                f"interrupted: {len(done)} of {total} parts are written in {writer.target.name}; the same command goes "
                "on from there",
                signal_number(stop),
            ) from None


def _prepare(target: Location, plan: Plan, overwrite: bool) -> None:
    """Make the folder one of this plan.

    Raises:
        StepscanError: it has the files of another run, without `overwrite`, or something else.
    """
    found, names = target.read(PLAN), {name for name in target.files() if not name.startswith(f"{TEMPORARY}/")}
    earlier = plan if found is None else Plan.parse(found, target.shown(PLAN))
    if other := sorted(names - ({part.name for part in earlier.parts()} | {PLAN} if found else set())):
        raise StepscanError(
            f"{target.name}: expected a new folder, or one of an earlier run, got {other[0]}; choose another name"
        )
    if found and (difference := earlier.difference(plan)):
        if not overwrite:
            raise StepscanError(
                f"{target.name}: has the files of a run that had {difference}; name another folder, or remove them "
                "with --overwrite"
            )
        target.remove(sorted(names - {PLAN}))  # what is left of them, if this is interrupted, is still of a known run
    target.remove_temporary()
    target.write(PLAN, lambda stream: stream.write(plan.to_json()))


def _finish(writer: PartWriter, plan: Plan, found: int, bad_lines: BadLines | None) -> Summary:
    """Check that every row is in the output once, or was skipped, and report what was."""
    target, done, parts = writer.target, _outcomes(writer, plan), list(plan.parts())
    written, skipped = (sum(getattr(one, name) for one in done.values()) for name in ("written", "skipped"))
    if missing := [part.name for part in parts if part not in done]:
        raise StepscanError(
            f"{target.name}: expected {plan.rows:,} rows in {len(parts):,} files, got {written + skipped:,}, without "
            f"{missing[0]}; has another program written there? The same command goes on"
        )
    for part in parts if bad_lines is not None else ():
        _report(bad_lines, writer.source.shown(part.file), done[part])
    target.write(PLAN, lambda stream: stream.write(plan.to_json(written=written, skipped=skipped)))
    target.remove_temporary()
    return Summary(written, skipped, len(parts), found)


def _outcomes(writer: PartWriter, plan: Plan) -> dict[Part, Outcome]:
    """What the files of the output record, of the parts that are written."""
    parts = list(plan.parts())
    with ThreadPoolExecutor(_READERS) as pool:
        return {part: one for part, one in zip(parts, pool.map(writer.read_outcome, parts), strict=True) if one}


def _report(bad_lines: Any, path: str, outcome: Outcome) -> None:
    """Count the bad rows of a part."""
    for row, reason, hint in outcome.errors:
        bad_lines.skip(DataError(reason, path=path, line=row, hint=hint, unit="row"), "row")
    bad_lines.counts[path] += outcome.skipped - len(outcome.errors)


def _check_apart(input: str, target: Location, plan: Plan) -> None:
    """Raise unless input and output are apart: the output of this run would be read as the input of the next."""
    source, pattern = split_pattern(input)
    a, b = (f"{location.path.rstrip('/')}/" for location in (source, target))
    written = f"{b}{next(plan.parts()).name}".removeprefix(a)
    is_read = any(f"{a}{file.name}".startswith(b) for file in plan.files)
    if type(source.system) is type(target.system) and (is_read or (b.startswith(a) and is_match(written, pattern))):
        raise SettingsError(
            f"--output: expected a folder apart from the input, got {target.name} and {input}; choose another one"
        )


@contextlib.contextmanager
def _lock(target: Location) -> Iterator[None]:
    """One run at a time, on file systems of this machine."""
    with contextlib.ExitStack() as stack:
        if target.is_local:
            path = Path(target.path)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(lock_file(path), path, SAVING))
            except OSError as error:
                reason = f"the folder cannot be written: {error.strerror or error}."
                raise DataError(reason, path=target.name) from error
        yield
