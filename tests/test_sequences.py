"""Sequences: what they refuse, and each operation's values, with rows of length 0, T = 0, B = 0, NaN in the padding."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stepscan.sequences import Sequences

NAN = math.nan


def ragged() -> Sequences:
    """Rows 1 2 3, 4, nothing, 5 6; NaN in the padding."""
    data = torch.tensor([[1.0, 2.0, 3.0], [4.0, NAN, NAN], [NAN, NAN, NAN], [5.0, 6.0, NAN]])
    return Sequences(data, [3, 1, 0, 2])


@pytest.mark.parametrize(
    ("data", "lengths", "error", "words"),
    [
        (torch.zeros(2), [1, 1], ValueError, r"data: expected \[B, T, …\], got \[2\]"),
        (torch.zeros(2, 3), [1], ValueError, r"lengths: expected \[2\], one per row, got \[1\]"),
        (torch.zeros(2, 3), [[1, 1]], ValueError, r"lengths: expected \[2\], one per row, got \[1, 2\]"),
        (torch.zeros(2, 3), [1, 4], ValueError, r"lengths: expected 0 … 3, got 1 … 4"),
        (torch.zeros(2, 3), [-1, 3], ValueError, r"lengths: expected 0 … 3, got -1 … 3"),
        (torch.zeros(2, 0), [0, 1], ValueError, r"lengths: expected 0 … 0, got 0 … 1"),
        (torch.zeros(2, 3), [1.0, 2.0], TypeError, r"lengths: expected integers, got torch.float32"),
        (torch.zeros(2, 3), torch.tensor([True, False]), TypeError, r"integers, got torch.bool"),
    ],
)
def test_wrong_arguments_are_refused_in_words(
    data: Tensor, lengths: Tensor | list[int], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Sequences(data, lengths)


def test_properties() -> None:
    rows = ragged()
    assert (len(rows), rows.steps) == (4, 3)
    assert rows.is_ragged
    assert rows.has_empty_rows
    assert not rows.is_all_empty
    assert rows.mask.tolist() == [[True] * 3, [True, False, False], [False] * 3, [True, True, False]]
    assert repr(rows) == "Sequences(data=(4, 3) torch.float32, lengths=[3, 1, 0, 2])"
    full = Sequences(torch.zeros(2, 3), torch.tensor([3, 3], dtype=torch.int32))
    assert not full.is_ragged
    assert not full.has_empty_rows
    assert full.lengths.dtype == torch.int64


def test_pad() -> None:
    rows = Sequences.pad([[1, 2, 3], [], [4]])
    assert rows.data.tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]
    assert rows.data.dtype == torch.int64
    assert rows.lengths.tolist() == [3, 0, 1]
    vectors = Sequences.pad([torch.empty(0, 2), torch.tensor([[1.0, 2.0]])])
    assert vectors.data.tolist() == [[[0.0, 0.0]], [[1.0, 2.0]]]
    assert vectors.lengths.tolist() == [0, 1]
    assert Sequences.pad([[1, 2]], dtype=torch.float64).data.dtype == torch.float64


def test_pad_of_nothing() -> None:
    none = Sequences.pad([])
    assert (none.data.shape, none.data.dtype, none.lengths.tolist()) == ((0, 0), torch.int64, [])
    empty = Sequences.pad([[], []], dtype=torch.float32)
    assert (empty.data.shape, empty.data.dtype, empty.lengths.tolist()) == ((2, 0), torch.float32, [0, 0])
    assert empty.is_all_empty


def test_zeroed_replaces_nan_and_remembers() -> None:
    rows = ragged()
    clean = rows.zeroed()
    assert clean.data.tolist() == [[1, 2, 3], [4, 0, 0], [0, 0, 0], [5, 6, 0]]
    assert clean.zeroed() is clean
    assert math.isnan(rows.data[1, 1])  # the original stays as it was
    full = Sequences(torch.ones(2, 2), [2, 2])
    assert full.zeroed() is full


def test_zeroed_keeps_nan_out_of_gradients() -> None:
    data = ragged().data.requires_grad_()
    (Sequences(data, [3, 1, 0, 2]).zeroed().data ** 2).sum().backward()
    assert data.grad is not None
    assert data.grad.tolist() == [[2, 4, 6], [8, 0, 0], [0, 0, 0], [10, 12, 0]]


def test_zeroed_of_trailing_dimensions_and_integers() -> None:
    vectors = Sequences(torch.ones(2, 2, 2, dtype=torch.long), [1, 2]).zeroed().data
    assert vectors.tolist() == [[[1, 1], [0, 0]], [[1, 1], [1, 1]]]


def test_replace_and_map() -> None:
    rows = ragged()
    doubled = rows.map(lambda data: data * 2 + 1)
    assert doubled.data.tolist() == [[3, 5, 7], [9, 0, 0], [0, 0, 0], [11, 13, 0]]
    assert doubled.lengths is rows.lengths
    assert rows.replace(torch.ones(4, 3, 2)).zeroed().data.sum(dim=(1, 2)).tolist() == [6, 2, 0, 4]
    with pytest.raises(ValueError, match=r"data: expected \[B, T\] = \[4, 3\], got \[4, 2\]"):
        rows.replace(torch.ones(4, 2))


def test_items() -> None:
    assert ragged().items().tolist() == [1, 2, 3, 4, 5, 6]
    assert Sequences(torch.tensor([[1, 2], [3, 4]]), [2, 2]).items().tolist() == [1, 2, 3, 4]
    assert Sequences(torch.ones(2, 0, 5), [0, 0]).items().shape == (0, 5)


def test_last() -> None:
    assert ragged().last().tolist() == [3, 4, 0, 6]
    assert ragged().last(default=torch.tensor([7.0, 7.0, 8.0, 7.0])).tolist() == [3, 4, 8, 6]
    vectors = Sequences(torch.arange(8.0).view(2, 2, 2), [1, 2])
    assert vectors.last().tolist() == [[0, 1], [6, 7]]
    assert Sequences(torch.ones(2, 0, 2), [0, 0]).last().tolist() == [[0, 0], [0, 0]]
    default = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert torch.equal(Sequences(torch.ones(2, 0, 2), [0, 0]).last(default), default)
    assert Sequences(torch.ones(0, 3, 2), []).last().shape == (0, 2)


def test_reversed() -> None:
    assert ragged().reversed().data.tolist() == [[3, 2, 1], [4, 0, 0], [0, 0, 0], [6, 5, 0]]
    assert ragged().reversed().reversed().data.tolist() == ragged().zeroed().data.tolist()
    full = Sequences(torch.tensor([[[1, 2], [3, 4]]]), [2]).reversed()
    assert full.data.tolist() == [[[3, 4], [1, 2]]]


def test_select_cuts_to_the_longest_chosen() -> None:
    chosen = ragged().select([3, 1, 3])
    assert chosen.lengths.tolist() == [2, 1, 2]
    assert chosen.zeroed().data.tolist() == [[5, 6], [4, 0], [5, 6]]
    assert ragged().select(torch.tensor([2])).data.shape == (1, 0)
    nobody = ragged().select([])
    assert (len(nobody), nobody.steps) == (0, 0)


def test_select_of_zeroed_is_known_to_be_zeroed() -> None:
    chosen = ragged().zeroed().select([0, 1])
    assert chosen.zeroed() is chosen
    assert not ragged().select([0, 1]).zeroed().data.isnan().any()


@pytest.mark.parametrize("size", [(0, 3), (2, 0), (0, 0)])
@pytest.mark.parametrize(
    "operation",
    [Sequences.zeroed, Sequences.reversed, lambda rows: rows.map(torch.neg), lambda rows: rows.to("cpu")],
)
def test_nothing_stays_nothing(size: tuple[int, int], operation: Callable[[Sequences], Sequences]) -> None:
    rows = operation(Sequences(torch.empty(*size, 2), [0] * size[0]))
    assert rows.data.shape == (*size, 2)
    assert rows.lengths.tolist() == [0] * size[0]
    assert rows.is_all_empty
    assert rows.items().shape == (0, 2)


def test_to_keeps_what_is_known() -> None:
    moved = ragged().zeroed().to("cpu")
    assert moved.zeroed() is moved
    assert moved.is_ragged


def test_pad_takes_a_dtype_that_holds_all_rows():
    padded = Sequences.pad([[1, 2], [0.5]])
    assert padded.data.tolist() == [[1.0, 2.0], [0.5, 0.0]]


def test_pad_lets_gradients_through():
    row = torch.tensor([1.0, 2.0], requires_grad=True)
    (Sequences.pad([row, torch.tensor([3.0])]).data * 2).sum().backward()
    assert row.grad.tolist() == [2.0, 2.0]


def test_to_another_dtype_leaves_lengths_whole():
    moved = Sequences(torch.ones(1, 2), [2]).to(torch.float64)
    assert (moved.data.dtype, moved.lengths.dtype) == (torch.float64, torch.int64)
