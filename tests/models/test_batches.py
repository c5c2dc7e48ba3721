"""Ragged batches: what is an item, what is padding, and what nothing gives."""

from __future__ import annotations

import numpy as np
import pytest

from stepscan.backends.batches import PLACES, Batch, by_length, enough_memory_for, make_words, pad, pad_numbers
from stepscan.errors import NotEnoughMemory


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


def test_by_length_bounds_the_places_of_a_batch() -> None:
    """One long example stands alone; the others are as many as would be without it."""
    lengths = [3, 100, 4, 4, 2]
    assert [chosen.tolist() for chosen in by_length(lengths, 10, max_items=12)] == [[1], [2, 3, 0], [4]]
    long = [30_000, *[10] * 2_000]
    batches = by_length(long, 128)
    assert sorted(np.concatenate(batches)) == list(range(2001))
    assert sum(len(chosen) * max(long[i] for i in chosen) for chosen in batches) == 30_000 + 20_000
    assert max(len(chosen) * max(long[i] for i in chosen) for chosen in batches) <= PLACES
    assert [chosen.tolist() for chosen in by_length([0, 0, 0], 2)] == [[0, 1], [2]]


def test_spelled_costs_what_the_letters_do() -> None:
    """A long word has a group of its own, and is not read for a padding that it does not stand in."""
    spelling = [[7] * 20_000, [1, 2], [3], [], [4, 5, 1]]
    kinds = np.array([[1, 2, 1], [0, 0, 0], [3, 0, 0]])
    words = pad([[5, 6, 5], [], [8]])
    read = make_words(words, kinds, spelling)
    letters = [spelling[1], spelling[2], spelling[3]]
    rows = [row[:n].tolist() for data, lengths in read.spellings for row, n in zip(data, lengths, strict=True)]
    assert sorted(rows) == sorted(letters)
    assert [rows[i] for i in read.spelling_index[words.mask]] == [[1, 2], [3], [1, 2], []]
    assert not read.spelling_index[~words.mask].any()
    with_long = make_words(pad([[5] * 1000]), np.arange(1000)[None] % 5, spelling)
    assert [group.data.shape for group in with_long.spellings] == [(1, 20_000), (4, 3)]
    many = make_words(pad([[5] * 1000]), np.arange(1000)[None], [[7] * 20_000, *[[1, 2]] * 999])
    assert sum(group.data.size for group in many.spellings) == 20_000 + 2 * 999
    nothing = make_words(pad([[], []]), np.zeros((2, 0), np.int64), spelling)
    assert ([group.data.shape for group in nothing.spellings], nothing.spelling_index.shape) == ([(0, 0)], (2, 0))


def test_no_memory_for_a_batch_is_told_in_words() -> None:
    with (
        pytest.raises(
            NotEnoughMemory, match=r"there is not enough memory for one text of 5,000 items: split long texts"
        ),
        enough_memory_for([5000], "text"),
    ):
        np.empty((2**40, 2**20))
    with pytest.raises(MemoryError, match="for 2 texts, the longest of 7 items"), enough_memory_for([7, 5], "text"):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(RuntimeError, match="another"), enough_memory_for([7, 5], "text"):
        raise RuntimeError("another")
