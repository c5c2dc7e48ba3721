from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stepscan.data.batching import TrainingBatch, bptt_windows, bucket_by_length, by_length, pad
from stepscan.sequences import Sequences

LENGTHS = np.random.default_rng(0).integers(0, 60, 1003)


def padding(batches) -> float:
    """Share of the places that hold no item."""
    sizes = [LENGTHS[chosen] for chosen in batches]
    return 1 - sum(s.sum() for s in sizes) / sum(s.max() * len(s) for s in sizes)


def test_an_epoch_has_every_example_once():
    batches = list(bucket_by_length(LENGTHS, 8, seed=1, epoch=0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1003))
    assert sorted(map(len, batches)) == [3] + [8] * 125


def test_seed_and_epoch_alone_decide():
    def order(seed, epoch):
        return [chosen.tolist() for chosen in bucket_by_length(LENGTHS, 8, seed=seed, epoch=epoch)]

    first = order(1, 0)
    np.random.seed(7)
    torch.manual_seed(7)
    assert order(1, 0) == first
    assert order(1, 1) != first
    assert order(2, 0) != first
    assert order(0, 1) != order(1, 0)


def test_like_lengths_go_together():
    unsorted = [np.arange(start, min(start + 8, 1003)) for start in range(0, 1003, 8)]
    assert padding(unsorted) > 0.35
    assert padding(bucket_by_length(LENGTHS, 8, seed=1, epoch=0)) < 0.05


def test_batches_do_not_come_in_order_of_length():
    longest = [max(LENGTHS[i] for i in chosen) for chosen in bucket_by_length(LENGTHS, 8, seed=1, epoch=0)]
    rises = sum(a < b for a, b in pairwise(longest))
    assert 0.3 < rises / len(longest) < 0.7


def test_equal_lengths_are_still_shuffled():
    batches = bucket_by_length(np.array([5] * 100), 10, seed=0, epoch=0)
    assert sum(np.ptp(chosen) > 9 for chosen in batches) == 10


def test_few_examples():
    assert list(bucket_by_length(np.array([], int), 4, seed=0, epoch=0)) == []
    assert [chosen.tolist() for chosen in bucket_by_length(np.array([3]), 4, seed=0, epoch=0)] == [[0]]


def test_by_length():
    batches = by_length([2, 5, 0, 5, 3], 2)
    assert [chosen.tolist() for chosen in batches] == [[1, 3], [4, 0], [2]]
    assert by_length([], 2) == []


def test_pad():
    rows = pad([[7, 8, 9], [], np.array([5])])
    assert rows.data.tolist() == [[7, 8, 9], [0, 0, 0], [5, 0, 0]]
    assert rows.lengths.tolist() == [3, 0, 1]
    assert (rows.data.dtype, rows.lengths.dtype) == (torch.int64, torch.int64)


@pytest.mark.parametrize(("rows", "shape"), [([], (0, 0)), ([[]], (1, 0)), ([[], []], (2, 0))])
def test_pad_nothing(rows, shape):
    assert tuple(pad(rows).data.shape) == shape
    assert pad(rows).lengths.tolist() == [0] * len(rows)


def test_windows_of_two_streams():
    """Ten symbols in two streams of four steps: 1 … 4 and 5 … 8; what comes after 8 is only a target."""
    windows = bptt_windows(np.arange(1, 11), batch_size=2, window=3)
    assert [(inputs.tolist(), targets.tolist()) for inputs, targets in windows] == [
        ([[1, 2, 3], [5, 6, 7]], [[2, 3, 4], [6, 7, 8]]),
        ([[4], [8]], [[5], [9]]),
    ]


@pytest.mark.parametrize(("length", "rows", "window"), [(101, 4, 5), (100, 7, 128), (64, 1, 9), (5, 4, 3)])
def test_windows_cover_the_text(length, rows, window):
    """Windows of a row join to a stretch of the text; fewer than `rows` symbols are left over."""
    ids = np.arange(length) * 3
    windows = bptt_windows(ids, rows, window)
    inputs, targets = (torch.cat(parts, dim=1) for parts in zip(*windows, strict=True))
    columns = (length - 1) // rows
    assert inputs.flatten().tolist() == ids[: rows * columns].tolist()
    assert (targets == inputs + 3).all()
    assert length - 1 - rows * columns < rows
    assert all(part.shape[1] == window for part, _ in windows[:-1])


def test_a_batch_moves_with_all_its_parts():
    ids = pad([[1, 2]])
    batch = TrainingBatch((ids, ids), torch.tensor([1]), 1, 2, 2).to("meta")
    assert [part.data.device.type for part in batch.inputs] == ["meta", "meta"]
    assert batch.targets.device.type == "meta"
    assert (batch.sequences, batch.tokens, batch.padded_tokens) == (1, 2, 2)
    assert isinstance(batch.inputs[0], Sequences)


@given(st.integers(7, 300), st.integers(1, 3), st.integers(2, 20), st.integers(0, 5))
def test_moved_windows_cover_the_text_too(length, rows, window, seed):
    ids = np.arange(length)
    plain = bptt_windows(ids, rows, window)
    moved = bptt_windows(ids, rows, window, np.random.default_rng(seed))
    assert all(inputs.shape[1] for inputs, _ in moved)
    assert len(moved) <= len(plain)
    for part in range(2):
        whole, joined = (torch.cat([one[part] for one in windows], dim=1) for windows in (plain, moved))
        assert torch.equal(whole, joined)


def test_windows_are_moved_by_what_is_drawn():
    ids = np.arange(10_001)
    first, second = (bptt_windows(ids, 1, 100, np.random.default_rng(seed)) for seed in (0, 1))
    sizes = [inputs.shape[1] for inputs, _ in first]
    assert len(first) == len(second) == 100
    assert sizes != [inputs.shape[1] for inputs, _ in second]
    assert all(50 <= size <= 150 for size in sizes[1:-1])
    assert max(sizes) > 110
    assert min(sizes) < 90
