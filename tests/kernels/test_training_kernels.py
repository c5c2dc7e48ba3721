"""Training operations on the native kernels against PyTorch: values, gradients, dropout."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

import stepscan as ss
from stepscan.dropout_masks import dropout
from stepscan.kernels.training import OutputLoss


@pytest.mark.parametrize("kind", ["additive", "general", "dot"])
@pytest.mark.parametrize("width", [3, 16, 37])
def test_attention(isa: str, kind: str, width: int) -> None:
    """Memories of no, one and several items; gradients of contexts and of weights."""
    torch.manual_seed(0)
    memory_size = 12 if kind != "dot" else width
    decoder = ss.AttentiveDecoder(ss.GRU(1, width), memory_size, width + 1, kind=kind)
    length = torch.tensor([7, 0, 1, 5])
    queries = torch.randn(4, 3, width, requires_grad=True)
    memory = torch.randn(4, 7, memory_size, requires_grad=True)
    keep = [torch.randn(4, 3, memory_size), torch.randn(4, 3, 7)]
    attention = getattr(decoder, "attention", None)
    sources = [queries, memory, *(attention.parameters() if attention is not None else ())]
    runs = []
    for backend in ("native", "torch"):
        with ss.kernels.use(backend):
            results = decoder.attend(queries, decoder.memory_keys(memory), memory, length)
            for used in ([0], [1], [0, 1]):
                total = sum((results[i] * keep[i]).sum() for i in used)
                runs.append((results, torch.autograd.grad(total, sources, retain_graph=True, allow_unused=True)))
    for native, expected in zip(runs[:3], runs[3:], strict=True):
        torch.testing.assert_close(native[0], expected[0], rtol=1e-5, atol=1e-5)
        for one, two in zip(native[1], expected[1], strict=True):
            zero = torch.zeros(()) if one is None else torch.zeros_like(one)
            torch.testing.assert_close(
                zero if one is None else one, zero if two is None else two, rtol=1e-4, atol=2e-5, check_stride=False
            )


def test_second_derivative_of_attention(isa: str) -> None:
    torch.manual_seed(0)
    decoder, memory = ss.AttentiveDecoder(ss.GRU(1, 3), 4, 5), torch.randn(2, 6, 4, requires_grad=True)
    queries, length = torch.randn(2, 2, 3, requires_grad=True), torch.tensor([6, 2])
    second = []
    for backend in ("native", "torch"):
        with ss.kernels.use(backend):
            context, _ = decoder.attend(queries, decoder.memory_keys(memory), memory, length)
            (first,) = torch.autograd.grad(context.square().sum(), queries, create_graph=True)
            second.append(torch.autograd.grad(first.square().sum(), [queries, memory]))
    for one, two in zip(*second, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("rows", "symbols"), [(0, 5), (1, 1), (7, 3), (40, 17), (600, 4001)])
def test_loss_of_an_output_layer(isa: str, rows: int, symbols: int, smoothing: float) -> None:
    """600 rows of 4,001 symbols are three chunks."""
    torch.manual_seed(rows)
    x, weight, bias = (torch.randn(*shape).requires_grad_() for shape in ((rows, 9), (symbols, 9), (symbols,)))
    targets = torch.randint(symbols, (rows,))
    loss = OutputLoss.apply(x, weight, bias, targets, smoothing)
    expected = F.cross_entropy(
        F.linear(x, weight, bias).double(), targets, reduction="sum", label_smoothing=smoothing
    ).float()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    for times in (1, 3):
        got, target = (
            torch.autograd.grad(times * one, [x, weight, bias], retain_graph=True) for one in (loss, expected)
        )
        for one, two in zip(got, target, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_loss_of_extreme_scores(isa: str) -> None:
    bias = torch.tensor([1.0, float("-inf"), 2.0, -3e38])
    x, weight = torch.zeros(2, 1, requires_grad=True), torch.zeros(4, 1)
    loss = OutputLoss.apply(x, weight, bias.requires_grad_(), torch.tensor([2, 2]), 0.0)
    loss.backward()
    assert loss.item() == pytest.approx(2 * 0.3133, abs=1e-4)
    assert bias.grad is not None
    assert bias.grad[[1, 3]].tolist() == [0, 0]
    with torch.no_grad():
        bias[0] = torch.nan
    assert OutputLoss.apply(x, weight, bias, torch.tensor([2, 2]), 0.0).isnan()


@pytest.mark.parametrize("wrong", [-1, 4])
def test_a_target_out_of_range(isa: str, wrong: int) -> None:
    x, weight, bias = torch.zeros(2, 3, requires_grad=True), torch.zeros(4, 3), torch.zeros(4)
    with pytest.raises(IndexError, match="expected targets in 0 … 3, got "):
        OutputLoss.apply(x, weight, bias, torch.tensor([0, wrong]), 0.0)


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.9])
def test_dropout(isa: str, p: float) -> None:
    """The rate, overall and per column; independence of neighbours in all directions; the same mask in backward."""
    torch.manual_seed(0)
    x = torch.rand(1000, 300, requires_grad=True)
    y = dropout(x, p)
    kept = (y != 0).double()
    assert torch.equal(y, x * kept.float() * (1 / (1 - p)))
    sigma = (p * (1 - p)) ** 0.5
    assert abs(kept.mean() - (1 - p)) < 5 * sigma / x.numel() ** 0.5
    assert (kept.mean(dim=0) - (1 - p)).abs().max() < 6 * sigma / 1000**0.5
    for rows, columns in ((0, 1), (1, 0), (1, 1), (7, 0)):
        one, two = kept[rows:, columns:] - (1 - p), kept[: 1000 - rows, : 300 - columns] - (1 - p)
        assert abs((one * two).mean()) < 6 * sigma**2 / 3e5**0.5
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, kept.float() / (1 - p))


def test_dropout_depends_on_the_seed_alone(isa: str) -> None:
    """The same on any number of threads, another one per call, NaN stays NaN."""
    x, threads, runs = torch.ones(100_000), torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            torch.manual_seed(5)
            runs.append([dropout(x, 0.5) for _ in range(3)])
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, *runs))
    for one, two in itertools.combinations(runs[0], 2):
        assert abs((one == two).float().mean() - 0.5) < 0.01
    assert dropout(torch.full((99,), torch.nan), 0.5).isnan().all()
    assert dropout(torch.zeros(0, 3), 0.5).shape == (0, 3)


@pytest.mark.parametrize("wrong", ["weight", "bias", "targets", "dtype"])
def test_output_loss_takes_no_other_shapes(wrong):
    """Addresses are given to the library, which cannot see where a tensor ends."""
    x, weight, bias, targets = torch.zeros(2, 4), torch.zeros(3, 4), torch.zeros(3), torch.zeros(2, dtype=torch.long)
    given = {
        "weight": (x, weight[:, :3], bias, targets),
        "bias": (x, weight, bias[:2], targets),
        "targets": (x, weight, bias, targets[:1]),
        "dtype": (x, weight, bias.double(), targets),
    }[wrong]
    with pytest.raises(ValueError, match=r"expected a weight \[V, 4\], a bias \[V\] of float32 and 2 targets, got"):
        OutputLoss.apply(*given, 0.0)
