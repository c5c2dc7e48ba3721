"""The two backends have the same operations, with the same results."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from stepscan.backends import arrays, tensors
from stepscan.backends.batches import Batch

random = np.random.default_rng(0)
X = random.standard_normal((4, 6, 8)).astype(np.float32)
LENGTHS = np.array([6, 0, 1, 4])
MASK = np.arange(6) < LENGTHS[:, None]
CASES = {
    "tanh": (X,),
    "softmax": (X,),
    "attend": (X, X[:, :5], random.standard_normal((4, 5, 3)).astype(np.float32), np.array([5, 0, 2, 4]), None),
    "masked_softmax": (X[..., 0], MASK),
    "sum_over_time": (X,),
    "max_over_time": (X, MASK),
    "softplus": (30 * X,),
    "linear": (X[:, 0], X[0, :4], X[0, 0, :4]),
    "sigmoid": (30 * X,),
    "relu": (X,),
    "chunk": (X[:, 0], 2),
    "layer_norm": (X[:, 0], X[0, 1], X[0, 2]),
    "maximum": (X, -X),
    "embed": (X[0], np.array([[0, 5], [2, 2]])),
    "concat": ([X, X], 1),
    "where": (MASK, MASK * 2, 0),
    "zeros": (X, 2, 0, 3),
    "zero_lengths": (X, 3),
    "constant": ((0.5, 2.0), X),
    "counts": (LENGTHS,),
    "copy": (X[:, :, 2:],),
    "stack": ([X, X], 1),
    "split_heads": (X, 4),
    "join_heads": (X, 2),
    "repeat": (X, 3),
    "to_array": (X,),
}
CLOSE = {"linear", "sigmoid", "chunk", "layer_norm"}  # of equations of cells, which the native library runs as programs
UNCOMPARED = {"attach", "from_array", "log", "time_steps", "to_backend", "type_of", "without_gradients"}


def operations(module) -> set[str]:
    """The functions that a backend defines, or takes from another module of the same name."""
    return {
        name
        for name, value in vars(module).items()
        if callable(value) and not inspect.isclass(value) and name[0] != "_"
    }


def test_both_have_the_same():
    ours = {name for name in operations(arrays) if getattr(arrays, name).__module__ == arrays.__name__}
    assert ours == set(CASES) | UNCOMPARED
    assert all(callable(getattr(tensors, name, None)) for name in ours)


def as_tensor(value):
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    return [as_tensor(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", CASES)
def test_both_compute_the_same(name):
    expected = getattr(arrays, name)(*CASES[name])
    with tensors.without_gradients():
        found = getattr(tensors, name)(*map(as_tensor, CASES[name]))
    pairs = zip(found, expected, strict=True) if isinstance(expected, tuple | list) else [(found, expected)]
    for left, right in pairs:
        assert left.shape == right.shape
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-6 if name in CLOSE else 0)


def test_with_gradients_they_are_close():
    for name in ("attend", "masked_softmax", "sum_over_time", "max_over_time", "softplus"):
        expected, found = getattr(arrays, name)(*CASES[name]), getattr(tensors, name)(*map(as_tensor, CASES[name]))
        pairs = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
        for left, right in pairs:
            np.testing.assert_allclose(left.numpy(), right, rtol=1e-5, atol=1e-6)


def test_steps_and_batches():
    steps = list(arrays.time_steps(X))
    assert all(np.array_equal(a, b) for a, b in zip(steps, tensors.time_steps(torch.from_numpy(X)), strict=True))
    batch, same = Batch(X, LENGTHS), tensors.to_sequences(Batch(X, LENGTHS))
    assert np.array_equal(batch.reversed().zeroed().data, same.reversed().data)
    assert np.array_equal(batch.last(X[:, 0]), same.last(torch.from_numpy(X[:, 0])))
    assert np.array_equal(batch.zeroed().data, same.zeroed().data)
    assert len(batch) == len(same) == 4
    assert batch.steps == same.steps == 6
