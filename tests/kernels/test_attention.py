"""Transformer blocks on the native kernels, under torch: the laws to the bit, and when PyTorch computes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import stepscan as ss
from stepscan.kernels import attention, native

pytestmark = pytest.mark.skipif(native.library is None, reason="the native library was not built")
LAYERS: dict[str, Callable[[], ss.Layer]] = {
    "block": lambda: ss.Transformer(3, 8),
    "two heads": lambda: ss.Transformer(8, 8, heads=2),
    "odd heads, short context": lambda: ss.Transformer(3, 9, heads=3, context=3),
    "context of one": lambda: ss.Transformer(8, 8, context=1),
    "sees all": lambda: ss.BidirectionalTransformer(3, 8, heads=2),
    "stack": lambda: ss.Stack(
        [ss.Transformer(3, 8), ss.LSTM(8, 8), ss.Residual(ss.Transformer(8, 8, context=2)), ss.LayerNorm(8)]
    ),
    "both ways": lambda: ss.Bidirectional(ss.Transformer(3, 8), ss.GRU(3, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_lawful_to_the_bit(name: str) -> None:
    torch.manual_seed(0)
    best = native.library.instruction_set()
    try:
        for isa in native.library.instruction_sets():
            native.library.use_instruction_set(isa)
            ss.laws.check(LAYERS[name](), examples=10, to_the_bit=True)
    finally:
        native.library.use_instruction_set(best)


@pytest.mark.parametrize("name", LAYERS)
def test_lawful_in_inference(name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]()
    with torch.no_grad():
        ss.laws.check(layer, examples=5, laws=(5, 6, 7, 9) if isinstance(layer, ss.Recurrence) else (5, 6, 9))


@pytest.mark.parametrize("name", LAYERS)
def test_both_backends_agree(name: str) -> None:
    torch.manual_seed(0)
    layer, x = (
        LAYERS[name]().eval(),
        ss.Sequences(torch.randn(4, 90, 3 if name not in ("two heads", "context of one") else 8), [90, 0, 50, 1]),
    )
    with torch.no_grad():
        found, state = layer.scan(x)
        with ss.kernels.use("torch"):
            expected, other = layer.scan(x)
            after, _ = layer.scan(x, state)  # states go from one to the other
        torch.testing.assert_close(found.data, expected.data, rtol=2e-5, atol=2e-5)
        torch.testing.assert_close(layer.scan(x, other)[0].data, after.data, rtol=2e-5, atol=2e-5)
    trained, _ = layer.scan(x)
    assert trained.data.requires_grad


def test_when_pytorch_computes_them() -> None:
    block = ss.Transformer(4, 8, dropout=0.5)
    x = torch.randn(2, 3, 4)
    assert not attention.is_supported(block, x)
    with torch.no_grad():
        assert not attention.is_supported(block, x)  # its dropout is on
        block.eval()
        assert attention.is_supported(block, x)
        assert not attention.is_supported(block, x.double())
        with ss.kernels.use("torch"):
            assert not attention.is_supported(block, x)
        seen = []
        hook = block.up.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
        block.scan(ss.Sequences(x, [3, 1]))
        hook.remove()
    assert seen == [(2, 3, 32)]


def test_changed_weights_are_seen() -> None:
    torch.manual_seed(0)
    block, x = ss.Transformer(4, 8).eval(), ss.Sequences(torch.randn(1, 3, 4), [3])
    with torch.no_grad():
        before, _ = block.scan(x)
        block.down.bias += 1
        after, _ = block.scan(x)
    torch.testing.assert_close(after.data, before.data + 1)


def test_wrong_states_and_inputs() -> None:
    block = ss.Transformer(4, 8).eval()
    with torch.no_grad():
        _, state = block.scan(ss.Sequences(torch.randn(2, 3, 4), [3, 1]))
        with pytest.raises(ValueError, match=r"Transformer\(4 → 8\): expected x \[B, 4\], got \[2, 5\]"):
            block.step(torch.randn(2, 5), state)
        with pytest.raises(ValueError, match=r"expected a state with keys \[2, 4, 8\], got \[1, 4, 8\]"):
            block.step(torch.randn(2, 4), state._replace(keys=state.keys[:1]))
        with pytest.raises(ValueError, match="expected a state with room for 9 items"):
            block.step(torch.randn(2, 4), state._replace(length=torch.tensor([9, 1])))
