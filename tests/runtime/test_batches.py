"""Ragged batches: what is an item, what is padding, and what nothing gives."""

from __future__ import annotations

import numpy as np

from stepscan.runtime.batches import Batch, by_length, pad, pad_numbers


def test_pad() -> None:
    data, lengths = pad([[1, 2, 3], [], np.array([4])])
    assert data.tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]
    assert lengths.tolist() == [3, 0, 1]
    assert (data.dtype, lengths.dtype) == (np.int64, np.int64)
    for rows, shape in (([], (0, 0)), ([[], []], (2, 0))):
        assert pad(rows).data.shape == shape
        assert pad(rows).lengths.tolist() == [0] * len(rows)


def test_pad_numbers() -> None:
    data, lengths = pad_numbers([np.array([[1.5, 2.0]]), np.zeros((0, 2)), np.array([[3, 4], [5, 6]])])
    assert data.tolist() == [[[1.5, 2.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[3.0, 4.0], [5.0, 6.0]]]
    assert lengths.tolist() == [1, 0, 2]
    assert data.dtype == np.float64


def test_zeroed() -> None:
    batch = Batch(np.array([[[1.0], [np.nan]], [[np.inf], [2.0]], [[3.0], [4.0]]], np.float32), np.array([1, 0, 2]))
    assert batch.is_ragged
    assert batch.mask.tolist() == [[True, False], [False, False], [True, True]]
    assert batch.zeroed().data.tolist() == [[[1], [0]], [[0], [0]], [[3], [4]]]
    assert batch.zeroed().data.dtype == np.float32
    full = Batch(batch.data[2:], batch.lengths[2:])
    assert full.zeroed() is full


def test_last() -> None:
    batch = pad_numbers([np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros((0, 2)), np.array([[5.0, 6.0]])])
    assert batch.last().tolist() == [[3, 4], [0, 0], [5, 6]]
    assert batch.last(np.full((3, 2), 9.0)).tolist() == [[3, 4], [9, 9], [5, 6]]
    nothing = Batch(np.zeros((2, 0, 2)), np.zeros(2, np.int64))
    assert nothing.last().tolist() == [[0, 0], [0, 0]]
    assert nothing.last(np.ones((2, 2))).tolist() == [[1, 1], [1, 1]]


def test_select_cuts_to_the_longest() -> None:
    data, lengths = pad([[1, 2, 3], [4], [5, 6]]).select([2, 1, 1])
    assert data.tolist() == [[5, 6], [4, 0], [4, 0]]
    assert lengths.tolist() == [2, 1, 1]


def test_by_length_is_longest_first_and_stable() -> None:
    assert [chosen.tolist() for chosen in by_length([1, 3, 2, 3, 0], 2)] == [[1, 3], [2, 0], [4]]
    assert by_length([], 2) == []
