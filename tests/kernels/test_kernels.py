"""The native kernels: values, gradients, the same bits for any cut and batch, and the choice of a backend."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import stepscan as ss
from stepscan.cells.cell import Cell
from stepscan.kernels import native, pointwise
from stepscan.state import leaves, map_state, select

pytestmark = pytest.mark.skipif(native.library is None, reason="the native library was not built")

SHAPES = [  # I, H, lengths, T
    (3, 2, [4, 0, 2], 5),
    (1, 1, [1], 1),
    (15, 17, [2, 5, 1, 3, 3, 4, 5], 6),
    (16, 16, [7] * 9, 7),
    (63, 65, [3, 9, 9], 9),
    (65, 63, [1, 2, 3, 4], 4),
    (64, 64, list(range(13)), 12),
    (100, 80, [6, 5], 6),
    (20, 230, [5, 2, 4], 5),
    (5, 7, [], 4),
    (5, 7, [0, 0], 3),
    (5, 7, [0], 0),
]
Make = Callable[[int, int], Cell]


def random_state(cell: Cell, batch: int) -> object:
    return map_state(torch.randn_like, cell.initial_state(batch))


def run(cell: Cell, x: Tensor, lengths: list[int] | Tensor, state: object) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and final state, and the gradients of a fixed random weighting of them."""
    x = x.clone().requires_grad_()
    state = map_state(lambda leaf: leaf.clone().requires_grad_(), state)
    y, final = cell.scan(ss.Sequences(x, lengths), state)
    results = [y.data, *leaves(final)]
    random = torch.Generator().manual_seed(7)
    total = sum((r * torch.randn(r.shape, generator=random, dtype=torch.float64).to(r.dtype)).sum() for r in results)
    sources = [x, *leaves(state), *cell.weights]
    gradients = torch.autograd.grad(total, sources, allow_unused=True)
    return results, [torch.zeros_like(s) if g is None else g for s, g in zip(sources, gradients, strict=True)]


def reference(cell: Cell, x: Tensor, lengths: list[int], state: object) -> tuple[list[Tensor], list[Tensor]]:
    with ss.kernels.use("reference"):
        return run(copy.deepcopy(cell).double(), x.double(), lengths, map_state(Tensor.double, state))


@pytest.mark.parametrize(("input_size", "hidden_size", "lengths", "steps"), SHAPES)
def test_against_the_equations_in_float64(
    isa: str, make: Make, input_size: int, hidden_size: int, lengths: list[int], steps: int
) -> None:
    cell = make(input_size, hidden_size)
    x = torch.randn(len(lengths), steps, input_size)
    state = random_state(cell, len(lengths))
    with ss.kernels.use("native"):
        results, gradients = run(cell, x, lengths, state)
    expected, expected_gradients = reference(cell, x, lengths, state)
    for got, target, limit in (
        *zip(results, expected, [1e-5] * len(expected), strict=True),
        *zip(gradients, expected_gradients, [1e-4] * len(expected_gradients), strict=True),
    ):
        assert got.shape == target.shape
        if target.numel():
            assert ((got - target).abs().max() / max(1.0, target.abs().max())).item() < limit


@pytest.mark.parametrize("hidden_size", [1, 15, 33, 64, 230])
def test_same_bits_in_any_batch_and_cut(isa: str, make: Make, hidden_size: int) -> None:
    cell, lengths = make(9, hidden_size), [6, 1, 0, 4, 6, 3, 5, 2, 6, 6]
    batch = ss.Sequences(torch.randn(10, 6, 9), lengths)
    state = random_state(cell, 10)
    with torch.no_grad():
        whole, final = cell.scan(batch, state)
        head, middle = cell.scan(ss.Sequences(batch.data[:, :2], batch.lengths.clamp(max=2)), state)
        tail, end = cell.scan(ss.Sequences(batch.data[:, 2:], (batch.lengths - 2).clamp(min=0)), middle)
        assert torch.equal(torch.cat([head.data, tail.data], dim=1), whole.data)
        assert all(map(torch.equal, leaves(end), leaves(final)))
        for row, length in enumerate(lengths):
            row_state = select(state, slice(row, row + 1))
            alone, after = cell.scan(ss.Sequences(batch.data[row : row + 1, :length], [length]), row_state)
            assert torch.equal(alone.data[0], whole.data[row, :length])
            for t in range(length):
                y, row_state = cell.step(batch.data[row : row + 1, t], row_state)
                assert torch.equal(y[0], whole.data[row, t])
            assert all(map(torch.equal, leaves(row_state), leaves(after)))
    results, _ = run(cell, batch.data, lengths, state)  # and when forward saves for backward
    assert torch.equal(results[0], whole.data)


@pytest.mark.parametrize("hidden_size", [33, 230])
def test_same_bits_on_any_number_of_threads(isa: str, make: Make, hidden_size: int) -> None:
    cell, lengths = make(20, hidden_size), [30, 7, 22, 30, 1, 0, 13, 30, 30, 30, 30, 30]
    x, state, threads = torch.randn(12, 30, 20), random_state(cell, 12), torch.get_num_threads()
    runs = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            runs.append(run(cell, x, lengths, state))
            again = run(cell, x, lengths, state)
            assert all(map(torch.equal, runs[-1][1], again[1]))  # gradients are the same from run to run
    finally:
        torch.set_num_threads(threads)
    for results, gradients in runs[1:]:
        assert all(map(torch.equal, results, runs[0][0]))
        for got, expected in zip(gradients, runs[0][1], strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("hidden_size", [5, 40, 200])
def test_bidirectional_is_two_cells(isa: str, make: Make, hidden_size: int) -> None:
    ahead, back = make(6, hidden_size), make(6, hidden_size)
    inputs = ss.Sequences(torch.randn(7, 9, 6), [9, 4, 0, 1, 9, 2, 7])
    gradients = []
    both = ss.Bidirectional(ahead, back)
    for native_pair in (True, False):
        x = inputs.data.clone().requires_grad_()
        batch = ss.Sequences(x, inputs.lengths)
        if native_pair:
            y, (_, final) = both.scan(batch)
        else:
            first, (second, final) = ahead.scan(batch)[0], back.scan(batch.reversed())
            y = batch.replace(torch.cat([first.data, second.reversed().data], dim=2))
        random = torch.Generator().manual_seed(3)
        (y.data * torch.randn(y.data.shape, generator=random)).sum().backward()
        gradients.append([y.data.detach(), x.grad, *[p.grad for p in both.parameters()], *map(Tensor.detach, final)])
        both.zero_grad()
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
    assert torch.equal(gradients[0][0], gradients[1][0])


def test_linear_and_attention_have_the_same_bits_alone(isa: str) -> None:
    torch.manual_seed(0)
    linear, x = pointwise.Linear(37, 70), torch.randn(23, 5, 37)
    decoder = ss.AttentiveDecoder(ss.GRU(1, 20), 12, 8)
    memory, length, queries = torch.randn(6, 9, 12), torch.tensor([9, 1, 0, 4, 9, 3]), torch.randn(6, 4, 20)
    with torch.no_grad():
        y = linear(x)
        torch.testing.assert_close(y, torch.nn.functional.linear(x, linear.weight, linear.bias), rtol=1e-5, atol=1e-5)
        assert all(torch.equal(linear(x[i, j]), y[i, j]) for i in range(23) for j in range(5))
        keys = decoder.memory_keys(memory)
        context, weights = decoder.attend(queries, keys, memory, length)
        for b in range(6):
            for t in range(4):
                end = int(length[b])
                alone = decoder.attend(
                    *(queries[b : b + 1, t : t + 1], keys[b : b + 1, :end], memory[b : b + 1, :end]), length[b : b + 1]
                )
                assert torch.equal(alone[0][0, 0], context[b, t])
    assert torch.equal(weights.sum(2) > 0.99, (length > 0)[:, None].expand(6, 4))
    with ss.kernels.use("torch"), torch.no_grad():
        expected = decoder.attend(queries, keys, memory, length)
    torch.testing.assert_close((context, weights), expected, rtol=1e-5, atol=1e-6)


def test_softmax(isa: str) -> None:
    x = torch.randn(5, 37) * 30
    x[1, 3:7], x[2, 0], x[3, 5] = -torch.inf, torch.inf, torch.nan
    y = torch.empty_like(x)
    native.library.softmax(x.data_ptr(), 5, 37, y.data_ptr(), 1)
    expected = x.softmax(dim=1)
    torch.testing.assert_close(y[[0, 1, 4]], expected[[0, 1, 4]], rtol=1e-5, atol=1e-30)
    assert y[1, 3:7].eq(0).all()
    assert y[3].isnan().all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf, 1e-40, 1e15, -1e15])
def test_extreme_values_match_the_equations(isa: str, make: Make, bad: float) -> None:
    cell, lengths = make(5, 18), [4, 3, 4]
    x = torch.randn(3, 4, 5)
    x[1, 1, 2] = bad
    with torch.no_grad():
        got, final = cell.scan(ss.Sequences(x, lengths))
        with ss.kernels.use("reference"):
            expected, expected_final = cell.scan(ss.Sequences(x, lengths))
    torch.testing.assert_close(got.data, expected.data, rtol=1e-4, atol=1e-5, equal_nan=True)
    for leaf, expected_leaf in zip(leaves(final), leaves(expected_final), strict=True):
        torch.testing.assert_close(leaf, expected_leaf, rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("big", [0.0, 1e-30, 20.0, 89.0, 1e4, 3e38])
def test_saturated_gates(isa: str, big: float) -> None:
    cell = ss.LSTM(2, 3)
    x = torch.tensor([[[big, -big], [-big, big]]])
    with torch.no_grad():
        got, _ = cell.scan(ss.Sequences(x, [2]))
        with ss.kernels.use("reference"):
            expected, _ = cell.scan(ss.Sequences(x, [2]))
    torch.testing.assert_close(got.data, expected.data, rtol=1e-5, atol=1e-6)


# In PyTorch -----------------------------------------------------------------------------------------------------------


def test_second_derivatives_use_the_equations(make: Make) -> None:
    cell, x = make(3, 4), torch.randn(2, 3, 3, requires_grad=True)
    seconds = []
    for backend in ("native", "reference"):
        with ss.kernels.use(backend):
            y, _ = cell.scan(ss.Sequences(x, [3, 2]))
            (first,) = torch.autograd.grad(y.data.square().sum(), x, create_graph=True)
            seconds.append(torch.autograd.grad(first.square().sum(), [x, cell.weight_hh]))
    for got, target in zip(*seconds, strict=True):
        torch.testing.assert_close(got, target, rtol=1e-3, atol=1e-5)


def test_backward_twice_through_one_graph(make: Make) -> None:
    cell, x = make(3, 4), torch.randn(2, 3, 3, requires_grad=True)
    y, _ = cell.scan(ss.Sequences(x, [3, 2]))
    first, second = (torch.autograd.grad(y.data.sum(), x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_only_tensors_that_require_a_gradient_get_one(make: Make) -> None:
    cell, x = make(3, 4), torch.randn(2, 3, 3)
    cell.weight_ih.requires_grad_(False)
    y, _ = cell.scan(ss.Sequences(x, [3, 2]))
    y.data.sum().backward()
    assert cell.weight_ih.grad is None
    assert cell.weight_hh.grad is not None
    assert x.grad is None


@pytest.mark.parametrize("change", ["in place", "data", "assigned", "optimiser", "loaded"])
def test_changed_weights_are_packed_again(change: str) -> None:
    cell, x = ss.GRU(3, 4), ss.Sequences(torch.randn(2, 3, 3), [3, 2])
    with torch.no_grad():
        cell.scan(x)
    if change == "in place":
        with torch.no_grad():
            cell.weight_hh.mul_(2)
    elif change == "data":
        cell.weight_hh.data.mul_(2)
    elif change == "assigned":
        cell.weight_hh.data = cell.weight_hh.data * 2
    elif change == "loaded":
        cell.load_state_dict({name: 2 * value for name, value in cell.state_dict().items()})
    else:
        cell.scan(x)[0].data.sum().backward()
        torch.optim.AdamW(cell.parameters(), lr=0.1, fused=True).step()
    with torch.no_grad():
        got, _ = cell.scan(x)
        with ss.kernels.use("reference"):
            expected, _ = cell.scan(x)
    torch.testing.assert_close(got.data, expected.data)


def test_weights_given_for_one_call() -> None:
    cell, x = ss.LSTM(3, 4), ss.Sequences(torch.randn(2, 3, 3), [3, 2])
    other = {name: 2 * value for name, value in cell.state_dict().items()}
    with torch.no_grad():
        before, _ = cell.scan(x)
        changed, _ = torch.func.functional_call(cell, other, (x,))
        after, _ = cell.scan(x)
    assert torch.equal(before.data, after.data)
    assert not torch.equal(before.data, changed.data)


def test_copies_and_pickles_carry_no_packed_weights() -> None:
    cell, x = ss.LSTM(3, 4), ss.Sequences(torch.randn(2, 3, 3), [3, 2])
    with torch.no_grad():
        expected, _ = cell.scan(x)
        for again in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
            assert torch.equal(again.scan(x)[0].data, expected.data)
    assert set(cell.state_dict()) == {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}


def test_torch_func_and_other_dtypes_use_torch() -> None:
    cell, x = ss.GRU(3, 4), torch.randn(2, 3, 3)

    def total(data: Tensor) -> Tensor:
        return cell.scan(ss.Sequences(data, [3, 3]))[0].data.square().sum()

    expected = torch.autograd.grad(total(x.requires_grad_()), x)[0]
    torch.testing.assert_close(torch.func.grad(total)(x.detach()), expected)
    halved = copy.deepcopy(cell).bfloat16()
    with ss.kernels.use("reference"):
        assert halved.scan(ss.Sequences(x.detach().bfloat16(), [3, 3]))[0].data.dtype is torch.bfloat16


def test_inference_mode() -> None:
    cell, x = ss.LSTM(3, 4), torch.randn(2, 3, 3)
    with torch.no_grad():
        expected, _ = cell.scan(ss.Sequences(x, [3, 2]))
    with torch.inference_mode():
        assert torch.equal(cell.scan(ss.Sequences(x, [3, 2]))[0].data, expected.data)
        assert torch.equal(ss.LSTM(3, 4).scan(ss.Sequences(x, [0, 0]))[0].data, torch.zeros(2, 3, 4))


def test_any_strides(make: Make) -> None:
    cell, x = make(3, 4), torch.randn(4, 5, 3)
    state = random_state(cell, 4)
    lengths = torch.tensor([5, 9, 3, 9, 0, 9, 4, 9])[::2]
    expected, gradients = run(cell, x, lengths.tolist(), state)
    spread = x.transpose(0, 2).contiguous().transpose(0, 2)
    apart = map_state(lambda leaf: leaf.t().contiguous().t(), state)
    assert not spread.is_contiguous()
    assert not lengths.is_contiguous()
    for got, target in zip(run(cell, spread, lengths, apart), (expected, gradients), strict=True):
        assert all(map(torch.equal, got, target))
    one = ss.Sequences(x, torch.tensor(2).expand(4))
    assert torch.equal(cell.scan(one, state)[0].data, cell.scan(ss.Sequences(x, [2] * 4), state)[0].data)


def test_weights_that_do_not_fit_are_an_error() -> None:
    cell, x = ss.GRU(3, 4), ss.Sequences(torch.randn(2, 3, 3), [3, 2])
    with pytest.raises(ValueError, match=r"GRU\(3 → 4\) expected weight_hh \[12, 4\], float32, .* got \[12, 5\]"):
        torch.func.functional_call(cell, {"weight_hh": torch.randn(12, 5)}, (x,))
    with pytest.raises(ValueError, match=r"expected bias_hh \[12\], float32, .* got \[12\], torch\.float64"):
        torch.func.functional_call(cell, {"bias_hh": torch.randn(12, dtype=torch.float64)}, (x,))


def test_a_state_that_does_not_fit_is_an_error() -> None:
    cell, x = ss.GRU(3, 4), torch.randn(2, 3, 3)
    with pytest.raises(ValueError, match=r"GRU\(3 → 4\) expected a state of \[2, 4\], got \[1, 4\]"):
        cell.scan(ss.Sequences(x, [3, 2]), cell.initial_state(1))
    with pytest.raises(TypeError, match=r"expected a float32 state, got torch\.float64"):
        cell.scan(ss.Sequences(x, [3, 2]), cell.initial_state(2, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"GRU\(3 → 4\) expected x \[B, 3\], got \[2, 5\]"):
        cell.step(torch.randn(2, 5), cell.initial_state(2))
    with pytest.raises(ValueError, match=r"GRU\(3 → 4\): expected inputs \[B, T, 3\]"):
        cell.scan(ss.Sequences(torch.randn(2, 3, 5), [3, 2]))


# The choice of a backend ----------------------------------------------------------------------------------------------


def test_use() -> None:
    assert ss.kernels.get_backend() is None
    with ss.kernels.use("reference"):
        assert ss.kernels.get_backend() == "reference"
        with ss.kernels.use("torch"):
            assert ss.kernels.get_backend() == "torch"
        assert ss.kernels.get_backend() == "reference"
    ss.kernels.use("torch")
    assert ss.kernels.get_backend() == "torch"
    ss.kernels.use(None)
    assert ss.kernels.get_backend() is None
    with pytest.raises(ValueError, match=r"expected a backend or None, got 'natve'\. Did you mean 'native'"):
        ss.kernels.use("natve")


def test_without_the_library_torch_computes_after_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, x = ss.LSTM(3, 4), ss.Sequences(torch.randn(2, 3, 3), [3, 2])
    expected, _ = cell.scan(x)
    monkeypatch.setattr(native, "library", None)
    monkeypatch.setattr(native, "missing", "No module named 'stepscan._native'")
    monkeypatch.setattr(ss.kernels, "_warned", False)
    with pytest.warns(RuntimeWarning, match=r"native kernels are unavailable .*two to six times slower"):
        got, _ = cell.scan(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cell.step(x.data[:, 0], cell.initial_state(2))
    torch.testing.assert_close(got.data, expected.data)
    with pytest.raises(RuntimeError, match="native kernels are unavailable"):
        ss.kernels.use("native")
