"""A random order that takes no memory is an order, and random."""

from __future__ import annotations

import numpy as np
import pytest

from stepscan.data.shuffled_order import ShuffledOrder


@pytest.mark.parametrize("size", [*range(1, 40), 63, 64, 65, 255, 256, 257, 1000, 4097])
def test_every_item_once(size):
    order = ShuffledOrder(size, seed=3, epoch=1)
    assert len(order) == size
    assert np.array_equal(np.sort(order[:]), np.arange(size))
    assert order[:].dtype == np.int64


def test_parts_are_those_of_the_whole():
    order = ShuffledOrder(1000, seed=0, epoch=0)
    assert np.array_equal(np.concatenate([order[i : i + 77] for i in range(0, 1000, 77)]), order[:])


def test_epochs_and_seeds_differ():
    orders = [ShuffledOrder(200, seed=seed, epoch=epoch)[:] for seed in range(5) for epoch in range(5)]
    assert len({tuple(order) for order in orders}) == 25
    assert np.array_equal(orders[7], ShuffledOrder(200, seed=1, epoch=2)[:])


def test_items_are_anywhere():
    """Over many orders, each item is in each tenth of the places equally often, and neighbours are not together."""
    places = np.array([np.argsort(ShuffledOrder(100, seed=seed, epoch=0)[:]) for seed in range(2000)])
    for item in (0, 1, 50, 99):
        counts = np.bincount(places[:, item] // 10, minlength=10)
        assert np.abs(counts - 200).max() < 70  # five standard deviations
    together = np.abs(places[:, 0] - places[:, 1]) == 1
    assert 10 < together.sum() < 80  # 2000 · 2/100 = 40


def test_ten_million_cost_nothing_until_they_are_needed():
    order = ShuffledOrder(10_000_000, seed=0, epoch=0)
    part = order[9_999_000:]
    assert len(set(part.tolist())) == 1000
    assert 0 <= part.min() <= part.max() < 10_000_000
