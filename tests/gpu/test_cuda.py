"""On a GPU: the laws, and training. Skipped where PyTorch finds none."""

from __future__ import annotations

import pytest
import torch

import stepscan as ss

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here")


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch):
    """TensorFloat-32, cuDNN's default, keeps 10 bits of the mantissa."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


LAYERS = {
    "elman": lambda: ss.Elman(3, 4),
    "lstm": lambda: ss.LSTM(3, 4),
    "gru": lambda: ss.GRU(3, 4),
    "bidirectional": lambda: ss.Bidirectional(ss.LSTM(3, 4), ss.GRU(3, 2)),
    "deep": lambda: ss.Stack([ss.LSTM(3, 4), ss.LayerNorm(4), ss.Residual(ss.GRU(4, 4)), ss.Dropout(4, 0.5)]),
    "attentive": lambda: ss.AttentiveDecoder(ss.GRU(3 + 4, 4), memory_size=2, attention_size=3, input_feeding=True),
}


@pytest.mark.parametrize("name", LAYERS)
def test_laws_hold_on_cuda(name):
    # cuDNN has no double backward and no packed rows in another order; gradcheck (law 8) needs float64 only.
    ss.laws.check(LAYERS[name]().cuda(), examples=8, tolerance=1e-4)


def test_cuda_says_what_the_cpu_says():
    layer = ss.Bidirectional(ss.LSTM(8, 16), ss.GRU(8, 16))
    inputs = ss.Sequences(torch.randn(4, 7, 8), [7, 0, 3, 5])
    here, state = layer(inputs)
    there, state_there = layer.cuda()(inputs.to("cuda"))
    torch.testing.assert_close(there.data.cpu(), here.data, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(state_there.forward.c.cpu(), state.forward.c, atol=1e-4, rtol=1e-4)


def test_training_on_cuda_gives_a_model_for_the_cpu():
    texts, labels = ["a b", "b a"] * 32, ["first", "second"] * 32
    settings = {"hidden_size": 8, "embedding_size": 8, "dropout": 0.0, "epochs": 20, "learning_rate": 0.05}
    model = ss.Classifier(**settings, device="cuda", batch_size=16).fit(texts, labels, validation=(texts, labels))
    assert model.score(texts, labels) == 1.0
    assert next(model.model_.parameters()).device.type == "cpu"


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman", "sru", "transformer"])
def test_training_in_bfloat16(cell):
    """The loss is near that of float32, and the weights stay in float32."""
    texts, classes = ["a b c", "b", "c a", "a a b c"] * 20, ["x", "y", "x", "y"] * 20
    losses = {}
    for precision in ("float32", "bf16"):
        settings = {"hidden_size": 16, "max_updates": 40, "wide": False, "refit": False, "cell": cell, "device": "cuda"}
        model = ss.Classifier(precision=precision, **settings).fit(texts, classes, (texts, classes))
        losses[precision] = model.history_[-1]["train_loss"]
        assert {weight.dtype for weight in model.model_.parameters()} == {torch.float32}
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.1)
    assert losses["bf16"] != losses["float32"]
