"""What the page shows of the inside of a model: the same bits as the model's, gates that fit the equations."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import stepscan as ss
from stepscan import kernels, runtime
from stepscan.definitions.definition import specify
from stepscan.registry import describe
from stepscan.serving.inside import trace, traces
from stepscan.serving.inside.gates import gates

GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0"
EXAMPLES = {
    "classify": "a good film",
    "classify-labels": "a good film",
    "classify-series": np.array([[1.0], [2.0], [0.5]]),
    "generate": "abcab",
    "generate-series": np.array([[1.0], [2.0], [0.5], [3.0]]),
    "tag": ["a", "b", "a"],
    "tag-crf": ["a", "b"],
    "translate": "abc",
}


def of_whole_tree(model, example):
    """The outputs `[T, H]` of the model's layer as one native tree."""
    network, rows = model.network_, model.network_inputs([example])
    if model.task == "translate":
        return network.encoder(network.source_embedding(network.batch(rows)))[0].data[0]
    return network.layer(network.embed(network.batch(rows)))[0].data[0]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_layers_answer_with_the_models_own_bits(name):
    model, example = runtime.load(GOLDEN / name), EXAMPLES[name]
    found, whole = trace(model, example), of_whole_tree(model, example)
    units = np.concatenate([layer.units for layer in found.layers], axis=1)
    if name == "generate":  # above its transformer is a layer normalisation, which remembers nothing
        tensors = {part: model.folder.tensors[f"layer.layers.1.norm.{part}"] for part in ("weight", "bias")}
        centred = units - units.mean(axis=1, keepdims=True)
        normalised = centred / np.sqrt(centred.var(axis=1, keepdims=True) + 1e-5) * tensors["weight"] + tensors["bias"]
        np.testing.assert_allclose(normalised, whole, rtol=1e-5, atol=1e-6)
        assert found.items == ["<bos>", *example]
        return
    assert units.tobytes() == np.ascontiguousarray(whole).tobytes()


@pytest.mark.parametrize("cell", ["lstm", "gru", "layer_norm_lstm"])
def test_gates_are_those_of_the_equations(cell):
    torch.manual_seed(0)
    layer = {"lstm": ss.LSTM, "gru": ss.GRU, "layer_norm_lstm": ss.LayerNormLSTM}[cell](3, 4)
    inputs, state, expected = torch.randn(6, 3), layer.initial_state(1), []
    with torch.no_grad(), kernels.use("reference"):
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        outputs = layer(ss.Sequences(inputs[None], [6]))[0].data[0]
        for x in inputs:
            step = layer.named_gates(x[None], state)
            state = layer.step(x[None], state)[1]
            expected.append({**step, **({} if cell == "gru" else {"cell": state.c})})
    weights = {name: tensor.detach().numpy() for name, tensor in layer.named_parameters()}
    start = np.zeros(4 * (1 if cell == "gru" else 2), np.float32)
    found = gates(specify(describe(layer)), weights, inputs.numpy(), outputs.numpy(), start)
    assert set(found) == set(expected[0])
    for name, values in found.items():
        np.testing.assert_allclose(values, torch.cat([step[name] for step in expected]), rtol=1e-5, atol=1e-6)


def test_a_backward_layer_is_shown_in_the_order_of_the_text():
    [forward, backward] = trace(runtime.load(GOLDEN / "classify"), "a good film").layers
    assert (forward.name, backward.name) == ("layer 1, forward", "layer 1, backward")
    one = trace(runtime.load(GOLDEN / "classify"), "film").layers[1]  # what it reads first, alone
    assert backward.units[-1].tobytes() == one.units[0].tobytes()
    for name, values in backward.gates.items():
        np.testing.assert_allclose(values[-1], one.gates[name][0], atol=1e-6)


def test_symbols_have_the_probabilities_that_the_model_gave_them():
    model = runtime.load(GOLDEN / "generate")
    found = trace(model, "abc").probabilities
    total, symbols = model.log_probabilities(["abc"])[0]
    assert found[0] is None  # of the begin symbol
    assert len(found[1:]) == symbols == 3
    assert np.log(found[1:]).sum() == pytest.approx(total, abs=1e-5)


def test_a_stack_with_residuals_is_taken_apart(tmp_path):
    model = ss.Classifier(layers=2, residual=True, hidden_size=6, epochs=1, verbose=False, wide=False)
    model.fit(["a good film", "a bad film"] * 6, ["good", "bad"] * 6).save(tmp_path / "model")
    loaded = runtime.load(tmp_path / "model")
    found, whole = trace(loaded, "a good film"), of_whole_tree(loaded, "a good film")
    names = [f"layer {number}, {direction}" for number in (1, 2) for direction in ("forward", "backward")]
    assert [layer.name for layer in found.layers] == names
    first, second = (np.concatenate([one.units for one in found.layers[i : i + 2]], axis=1) for i in (0, 2))
    vectors = loaded.network_.embed(loaded.network_.batch(loaded.network_inputs(["a good film"]))).data[0]
    weight, bias = (loaded.folder.tensors[f"layer.layers.0.projection.{part}"] for part in ("weight", "bias"))
    np.testing.assert_allclose(vectors @ weight.T + bias + first + second, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_last_steps_are_the_end_of_all_steps(name):
    model, example = runtime.load(GOLDEN / name), EXAMPLES[name]
    whole, end = trace(model, example), trace(model, example, last_steps=2)
    assert (end.items, end.total) == (whole.items[-2:], whole.total)
    assert end.probabilities == (whole.probabilities and whole.probabilities[-2:])
    for one, other in zip(end.layers, whole.layers, strict=True):
        assert one.units.tobytes() == np.ascontiguousarray(other.units[-2:]).tobytes()
        for gate, values in one.gates.items():
            np.testing.assert_allclose(values, other.gates[gate][-2:], atol=1e-6)


def test_an_lstm_is_looked_at_in_the_middle(tmp_path):
    model = ss.LanguageModel(cell="layer_norm_lstm,lstm", layers=2, hidden_size=6, epochs=1, verbose=False)
    model.fit("ab ba bb " * 20).save(tmp_path / "model")
    loaded = runtime.load(tmp_path / "model")
    whole, end = trace(loaded, "ab ba bb a"), trace(loaded, "ab ba bb a", last_steps=3)
    assert [layer.signature for layer in end.layers][-1].startswith("LSTM")
    for one, other in zip(end.layers, whole.layers, strict=True):
        assert set(one.gates) == {"input", "forget", "candidate", "output", "cell"}
        np.testing.assert_allclose(one.gates["cell"], other.gates["cell"][-3:], atol=1e-6)


def test_steps_of_a_series_have_their_numbers_in_it():
    season, series = 2, EXAMPLES["generate-series"]
    assert runtime.load(GOLDEN / "generate-series").seasonal_period == season
    assert trace(runtime.load(GOLDEN / "generate-series"), series).items == ["3", "4"]
    assert trace(runtime.load(GOLDEN / "classify-series"), EXAMPLES["classify-series"]).items == ["1", "2", "3"]


def test_a_series_may_be_a_list_of_steps(tmp_path):
    series = [np.random.default_rng(seed).normal(size=(8, 2)) for seed in range(12)]
    tags = [["up" if step[0] > 0 else "down" for step in one] for one in series]
    ss.Tagger(hidden_size=6, epochs=1, verbose=False).fit(series, tags).save(tmp_path / "model")
    model = runtime.load(tmp_path / "model")
    steps = [[1.0, 2.0], [3.0, -1.0]]
    found, same = trace(model, steps), trace(model, np.array(steps))
    assert [layer.units.tolist() for layer in found.layers] == [layer.units.tolist() for layer in same.layers]
    with pytest.raises(ss.SettingsError, match="expected 2 dimensions"):
        trace(model, [1.0, 2.0, 3.0])


def test_nothing_to_read_gives_no_layers():
    found = trace(runtime.load(GOLDEN / "classify"), "")
    assert (found.items, found.layers) == ([], [])


def test_an_ensemble_has_no_inside():
    members = [runtime.load(GOLDEN / "classify")] * 2
    from stepscan.models.ensemble import ensemble

    with pytest.raises(ss.SettingsError, match="expected one model, got an ensemble of 2"):
        trace(ensemble(members), "a good film")


def test_a_model_that_is_gone_leaves_nothing_behind():
    before = len(traces._parts)
    model = runtime.load(GOLDEN / "classify")
    trace(model, "a film")
    assert len(traces._parts) == before + 1
    del model
    gc.collect()
    assert len(traces._parts) == before


def test_pytorch_is_not_imported():
    code = "import sys; from stepscan import runtime; from stepscan.serving.inside import trace, word_effects\n"
    code += f"m = runtime.load({str(GOLDEN / 'classify')!r}); trace(m, 'a film'); word_effects(m, 'a film')\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
