"""State trees: one map, for tensors and arrays alike; places have names; rows can be selected at will."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch

from stepscan.state import batch_size, detach, leaves, map_state, named_leaves, select


class Pair(NamedTuple):
    h: object
    c: object


def tree() -> tuple[Pair, np.ndarray, tuple[()]]:
    return Pair(np.array([1, 2]), np.array([[3], [4]])), np.array([5, 6]), ()


def test_map_keeps_the_kind_of_every_node() -> None:
    doubled = map_state(lambda leaf: leaf * 2, tree())
    assert isinstance(doubled[0], Pair)
    assert type(doubled) is tuple
    assert doubled[2] == ()
    assert [leaf.tolist() for leaf in leaves(doubled)] == [[2, 4], [[6], [8]], [10, 12]]


def test_map_over_several_states_takes_leaves_that_stand_in_the_same_place() -> None:
    total = map_state(lambda a, b, c: a + b + c, tree(), tree(), tree())
    assert [leaf.tolist() for leaf in leaves(total)] == [[3, 6], [[9], [12]], [15, 18]]
    with pytest.raises(ValueError):
        map_state(lambda a, b: a, (1, 2), (1, 2, 3))


def test_bare_leaf_is_a_state() -> None:
    assert map_state(lambda leaf: leaf + 1, np.array([1])).tolist() == [2]
    assert list(leaves(7)) == [7]
    assert list(named_leaves(7)) == [("", 7)]


def test_named_leaves() -> None:
    assert [name for name, _ in named_leaves(tree())] == ["0.h", "0.c", "1"]
    assert [name for name, _ in named_leaves(Pair(1, (2, Pair(3, 4))))] == ["h", "c.0", "c.1.h", "c.1.c"]


def test_batch_size() -> None:
    assert batch_size(tree()) == 2
    assert batch_size(torch.zeros(0, 3)) == 0
    with pytest.raises(ValueError, match="state: expected at least one leaf"):
        batch_size(((), ()))


@pytest.mark.parametrize("rows", [[1, 1, 0], np.array([1, 1, 0])])
def test_select_repeats_and_reorders(rows: object) -> None:
    chosen = select(tree(), rows)
    assert [leaf.tolist() for leaf in leaves(chosen)] == [[2, 2, 1], [[4], [4], [3]], [6, 6, 5]]
    assert isinstance(chosen[0], Pair)


def test_select_takes_torch_and_numpy_rows_of_tensors() -> None:
    state = Pair(torch.tensor([1.0, 2.0]), torch.tensor([[3.0], [4.0]]))
    for rows in (torch.tensor([1]), np.array([1]), slice(1, 2), torch.tensor([False, True])):
        assert [leaf.tolist() for leaf in leaves(select(state, rows))] == [[2.0], [[4.0]]]


def test_detach_cuts_the_history_and_nothing_else() -> None:
    weight = torch.tensor([2.0], requires_grad=True)
    state = Pair(weight * 3, weight * 4)
    cut = detach(state)
    assert [leaf.item() for leaf in leaves(cut)] == [6.0, 8.0]
    assert not any(leaf.requires_grad for leaf in leaves(cut))
    assert all(leaf.requires_grad for leaf in leaves(state))
