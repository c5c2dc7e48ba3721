"""Rows of numbers in flat arrays."""

from __future__ import annotations

import numpy as np
import pytest

from stepscan.data.batching import bptt_windows, bucket_by_length
from stepscan.data.ragged_rows import RaggedRows, SeriesRows, largest, occurrences, smallest_dtype, total

ROWS = [[3, 1], [], [7], [200, 2, 9]]


def test_rows_are_kept_in_order():
    rows = RaggedRows.of(ROWS, np.uint8)
    assert (len(rows), rows.values.tolist(), rows.ends.tolist()) == (4, [3, 1, 7, 200, 2, 9], [2, 2, 3, 6])
    assert [rows[i].tolist() for i in range(4)] == ROWS
    assert rows.lengths[np.array([3, 0, 1, 3])].tolist() == [3, 2, 0, 3]
    assert (total(rows.lengths), largest(rows.lengths)) == (6, 3)


def test_some_rows_are_padded():
    batch = RaggedRows.of(ROWS, np.uint8).padded(np.array([3, 1, 0]))
    assert batch.data.tolist() == [[200, 2, 9], [0, 0, 0], [3, 1, 0]]
    assert batch.lengths.tolist() == [3, 0, 2]
    assert (batch.data.dtype, batch.lengths.dtype) == (np.int64, np.int64)


def test_parts_are_joined():
    parts = [RaggedRows.of(rows, np.uint16) for rows in (ROWS[:2], [], ROWS[2:])]
    joined = RaggedRows.joined(parts)
    assert [joined[i].tolist() for i in range(4)] == ROWS
    assert joined.values.dtype == np.uint16


def test_no_rows():
    rows = RaggedRows.of([], np.uint8)
    assert (len(rows), total(rows.lengths), largest(rows.lengths)) == (0, 0, 0)
    assert rows.padded(np.array([], dtype=int)).data.shape == (0, 0)


def test_series_are_rows_too():
    series = [np.ones((2, 3)), np.zeros((4, 3))]
    rows = SeriesRows.joined([SeriesRows(series[:1]), SeriesRows(series[1:])])
    assert (len(rows), rows.lengths.tolist()) == (2, [2, 4])
    assert rows.padded(np.array([1, 0])).data.shape == (2, 4, 3)


@pytest.mark.parametrize(("size", "name"), [(0, "uint8"), (256, "uint8"), (257, "uint16"), (65537, "uint32")])
def test_the_smallest_type_holds_all_ids(size, name):
    assert smallest_dtype(size).name == name


def test_occurrences_are_counted_in_portions(monkeypatch):
    monkeypatch.setattr("stepscan.data.ragged_rows._PORTION", 3)
    assert occurrences(np.array([1, 1, 0, 4, 1], dtype=np.uint8), 6).tolist() == [1, 3, 0, 0, 1, 0]
    rows = RaggedRows.of(ROWS, np.uint8)
    assert (total(rows.lengths), largest(rows.lengths)) == (6, 3)


def test_an_order_in_a_file_is_that_in_memory(tmp_path):
    lengths = np.random.default_rng(0).integers(0, 50, 1003)
    in_memory = [batch.tolist() for batch in bucket_by_length(lengths, 8, seed=3, epoch=2)]
    batches = bucket_by_length(lengths, 8, seed=3, epoch=2, scratch=tmp_path)
    first = next(batches)
    assert isinstance(first.base.base, np.memmap)
    assert [first.tolist(), *(batch.tolist() for batch in batches)] == in_memory
    assert not list(tmp_path.iterdir())


def test_an_order_is_in_memory_where_the_disk_is_full(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    lengths = np.arange(100)
    orders = [[batch.tolist() for batch in bucket_by_length(lengths, 8, seed=3, epoch=2, scratch=tmp_path)]]
    monkeypatch.setattr("os.posix_fallocate", full)
    orders.append([batch.tolist() for batch in bucket_by_length(lengths, 8, seed=3, epoch=2, scratch=tmp_path)])
    assert orders[0] == orders[1]


def test_an_order_is_the_shuffle_of_all_numbers():
    """As `Generator.permutation` makes it, of half the size: numbers of 32 bits."""
    [batch] = bucket_by_length(np.zeros(1000, dtype=int), 1000, seed=5, epoch=1)
    assert batch.dtype == np.int32
    assert batch.tolist() == np.random.default_rng([5, 1]).permutation(1000).tolist()


def test_windows_of_few_bits_are_windows_of_many():
    ids = np.random.default_rng(0).integers(0, 200, 103)
    small, large = (bptt_windows(ids.astype(dtype), 4, 7) for dtype in (np.uint8, np.int64))
    assert len(small) == len(large) == 4
    for one, other in zip(small, large, strict=True):
        assert all(
            part.dtype.is_signed and part.tolist() == like.tolist() for part, like in zip(one, other, strict=True)
        )
    assert small[-1][0].tolist() == large[3][0].tolist()
    with pytest.raises(IndexError):
        small[4]
