"""Predicts a part of the input and writes its file: what a worker of a run does, whoever starts it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import ArrowException
from pyarrow.parquet import ParquetFile, ParquetWriter, read_metadata

from stepscan.data.bad_lines import SHOWN
from stepscan.distributed.locations import Location, open_input
from stepscan.distributed.parts import Part
from stepscan.distributed.record_columns import record_columns
from stepscan.distributed.rows import PORTION, RowPredictor
from stepscan.errors import DataError
from stepscan.json_text import json_text

_KEY = b"stepscan"  # of the metadata of a written file
_READ_BYTES = 2**20


class Outcome(NamedTuple):
    """What became of a part, as its file records it.

    Attributes:
        plan: fingerprint of the plan.
        first, rows: of the part.
        written: rows in the file.
        skipped: bad rows that are not.
        errors: the first bad rows as `(row, reason, hint)`; one alone, with nothing written, is why the run must end.
    """

    plan: str
    first: int
    rows: int
    written: int
    skipped: int
    errors: list[tuple[int, str, str]]

    @classmethod
    def parse(cls, text: bytes | str) -> Outcome:
        """An outcome from JSON."""
        values = json.loads(text)
        return cls(**{**values, "errors": [tuple(error) for error in values["errors"]]})

    def to_json(self) -> str:
        """The outcome as JSON."""
        return json_text(self._asdict())

    def belongs_to(self, plan: str, part: Part) -> bool:
        """Whether it is the whole outcome of a part of a plan."""
        is_whole = self.written + self.skipped == self.rows
        return is_whole and (self.plan, self.first, self.rows) == (plan, part.first, part.rows)


class BadRow(Exception):
    """Ends a part whose bad rows are not skipped."""

    def __init__(self, error: DataError) -> None:
        super().__init__(str(error))
        self.error = error


class PartWriter:
    """Predicts parts and writes their files.

    Args:
        predictor: the model.
        source, target: folders of input and output.
        plan: fingerprint of the plan.
        skips: whether bad rows are skipped.
    """

    def __init__(self, predictor: RowPredictor, source: Location, target: Location, plan: str, skips: bool) -> None:
        self.predictor, self.source, self.target, self.plan, self.skips = predictor, source, target, plan, skips

    def read_outcome(self, part: Part) -> Outcome | None:
        """The outcome that the part's file records; None if there is no file, or not one of this plan."""
        content = self.target.join(part.name)
        try:
            with self.target.system.open_input_file(content) as stream:
                outcome = Outcome.parse(read_metadata(stream).metadata[_KEY])
        except (OSError, ArrowException, KeyError, TypeError, ValueError):
            return None
        return outcome if outcome.belongs_to(self.plan, part) else None

    def write(self, part: Part) -> Outcome:
        """Predict a part and write its file, unless it is there: an attempt that died may have got so far.

        Raises:
            DataError: a file cannot be read or written.
        """
        if outcome := self.read_outcome(part):
            return outcome
        try:
            return self._predict(part)
        except BadRow as bad:
            error = bad.error
            return Outcome(self.plan, part.first, part.rows, 0, 0, [(error.line or 0, error.reason, error.hint)])

    def _predict(self, part: Part) -> Outcome:
        skipped: list[DataError] = []
        written = 0

        def fill(stream: Any) -> None:
            nonlocal written
            with ParquetWriter(stream, self._schema()) as file:
                for first, name, values in self._portions(part):
                    table = self._table(part, first, name, values, skipped)
                    written += len(table)
                    file.write_table(table)
                file.add_key_value_metadata({_KEY: self._outcome(part, written, skipped).to_json()})

        self.target.write(part.name, fill)
        return self._outcome(part, written, skipped)

    def _outcome(self, part: Part, written: int, skipped: list[DataError]) -> Outcome:
        errors = [(error.line or 0, error.reason, error.hint) for error in skipped[:SHOWN]]
        return Outcome(self.plan, part.first, part.rows, written, len(skipped), errors)

    def _schema(self) -> pa.Schema:
        texts = [("text", pa.string())] if self.predictor.model.tokenizers_ else []
        return pa.schema([("file", pa.string()), ("row", pa.int64()), *texts, *self.predictor.types.items()])

    def _table(self, part: Part, first: int, name: str, values: pa.Array, skipped: list[DataError]) -> pa.Table:
        """The predictions of consecutive rows; bad ones are added to `skipped`."""
        inputs, results = self.predictor.predict(values, name, self.source.shown(part.file), first)
        good, records = [], []
        for index, result in enumerate(results):
            if not isinstance(result, DataError):
                good.append(index)
                records.append(result)
            elif self.skips:
                skipped.append(result)
            else:
                raise BadRow(result)
        schema = self._schema()
        identity = [pa.array([part.file] * len(good), pa.string()), pa.array([first + i for i in good], pa.int64())]
        texts = [pa.array([_text(inputs[i]) for i in good], pa.string())] if "text" in schema.names else []
        return pa.table([*identity, *texts, *record_columns(records, self.predictor.types)], schema=schema)

    def _portions(self, part: Part) -> Iterator[tuple[int, str, pa.Array]]:
        """The column of the inputs in consecutive rows: the number of the first, the column's name, its cells."""
        path = self.source.shown(part.file)
        try:
            with (
                open_input(self.source, part.file) as stream,
                ParquetFile(stream, buffer_size=_READ_BYTES, pre_buffer=False) as file,
            ):
                name = self.predictor.column.find(file.schema_arrow.names, path)
                for first, batch in _row_range(file, name, part.first - 1, part.rows):
                    yield first + 1, name, batch.column(0)
        except (OSError, ArrowException) as error:
            reason = f"expected a Parquet file, got an error: {str(error).strip().splitlines()[0].rstrip('.')}."
            raise DataError(reason, path=path) from error


def _row_range(file: ParquetFile, column: str, start: int, rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches of a range of rows, from `start`, with the number of the first row of each, from 0."""
    groups: list[int] = []
    position = offset = 0
    for index in range(file.num_row_groups):
        size = file.metadata.row_group(index).num_rows
        if position + size > start and position < start + rows:
            offset = offset if groups else position
            groups.append(index)
        position += size
    for batch in file.iter_batches(PORTION, row_groups=groups, columns=[column]):
        begin, end = max(start, offset), min(start + rows, offset + len(batch))
        if begin < end:
            yield begin, batch.slice(begin - offset, end - begin)
        offset += len(batch)
        if offset >= start + rows:
            return


def _text(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(value)
