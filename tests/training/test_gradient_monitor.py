"""Gradient monitoring: its metrics, its warnings (once each), its cost, and that it changes nothing."""

from __future__ import annotations

import json
import sys
import types

import numpy as np
import pytest
import torch
from fake_task import Line, Log, batches, trained

import stepscan as ss
from stepscan.inspection import gradient_flow
from stepscan.options import TrainingOptions
from stepscan.training.clipping import Clipping
from stepscan.training.gradient_monitor import FIRST_PROBE, MAX_SHARE, GradientMonitor, Monitor
from stepscan.training.gradient_probe import ROWS, STEPS, capture_inputs, last_output_gradients, probe
from stepscan.training.loop import Task, Trainer

REACH = ["gradient_horizon", "gradient_horizon_e", "gradient_steps", "gradient_growth", "sequence_steps"]
SMALL = {
    "problem_type": "regression",
    "pooling": "last",
    "bidirectional": False,
    "layers": 1,
    "hidden_size": 16,
    "embedding_size": 8,
    "dropout": 0.1,
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 1e-4,
    "input_noise": 0.0,
    "decay_ratio": 1.0,
    "ema_decay": 0.0,
    "wide": False,
    "refit": False,
    "monitor_gradients": True,
}


def fitted(monkeypatch, steps=150, **options):
    """A classifier trained on 48 series, and the warnings about its gradients."""
    log = Log()
    monkeypatch.setattr("stepscan.estimators.fit_run.NullReporter", lambda: log)
    random = np.random.default_rng(0)
    X = random.normal(size=(48, steps, 2))
    model = ss.Classifier(**{**SMALL, **options}).fit(X, X[:, 0, 0])
    return model, [note for note in log.notes if note.startswith("gradients")]


def test_a_tanh_elman_gets_a_warning_that_gradients_vanish(monkeypatch):
    model, notes = fitted(monkeypatch, cell="elman", max_grad_norm=1e6)
    assert len(notes) == 1  # though gradients vanish at both evaluations
    assert "gradients vanish" in notes[0]
    assert "sequences have up to 150 steps" in notes[0]
    assert "--cell lstm --initialisation chrono" in notes[0]
    assert all(row["gradient_horizon"] < 30 for row in model.history_)


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "lstm", "initialisation": "chrono"},
        {"cell": "gru", "initialisation": "chrono", "bidirectional": True},
        {"cell": "elman", "initialisation": "identity"},
    ],
)
def test_one_with_a_cure_gets_none(monkeypatch, options):
    model, notes = fitted(monkeypatch, max_grad_norm=1e6, **options)
    assert notes == []
    assert all(row["gradient_horizon"] > 75 for row in model.history_)


def test_short_sequences_get_none(monkeypatch):
    assert fitted(monkeypatch, steps=12, cell="elman", max_grad_norm=1e6)[1] == []


def test_the_curve_has_the_figures(monkeypatch, tmp_path):
    model, _ = fitted(monkeypatch, cell="lstm")
    model.save(tmp_path / "model")
    rows = [json.loads(line) for line in (tmp_path / "model" / "metrics.jsonl").read_text().splitlines()]
    gates = [f"gate_{name}{rest}" for name in ("input", "forget", "output") for rest in ("", "_saturated")]
    for row in rows:
        names = list(row)
        assert names[names.index("learning_rate") + 1 : -1] == [
            "gradient_norm",
            "clipped",
            *REACH,
            *gates,
            "gate_memory",
        ]
        assert 0 < row["gradient_horizon_e"] <= row["gradient_horizon"] <= row["gradient_steps"] == 150
        assert 0.6 < row["gate_forget"] < 0.8  # σ(1) is 0.73
        assert 0.4 < row["gate_input"] < 0.6
    plain, notes = fitted(monkeypatch, cell="lstm", monitor_gradients=False)
    assert notes == []
    assert not {*REACH, "clipped"} & set(plain.history_[0])


def test_it_changes_no_bit(monkeypatch):
    """Dropout included: a probe draws no random number that training would have drawn."""
    options = {"cell": "lstm", "dropout": 0.3, "weight_drop": 0.2, "steps": 20}
    watched, _ = fitted(monkeypatch, **options)
    plain, _ = fitted(monkeypatch, **options, monitor_gradients=False)
    weights = [model.model_.state_dict() for model in (watched, plain)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_every_task_can_be_watched(monkeypatch):
    options = {"hidden_size": 8, "embedding_size": 8, "epochs": 1, "layers": 2, "refit": False}
    options["monitor_gradients"] = True
    texts = ["a b c", "b a", "c c a b"] * 8
    tagger = ss.Tagger(**options).fit([text.split() for text in texts], [list(text.upper().split()) for text in texts])
    writer = ss.LanguageModel(**options, bptt=16).fit(" ".join(texts) * 8)
    translators = [
        ss.Translator(**options, attention=kind, cell=cell).fit(texts, [text[::-1] for text in texts])
        for kind, cell in (("additive", "gru"), ("dot", "lstm"), ("none", "elman"))
    ]
    for model in (tagger, writer, *translators):
        assert {*REACH, "gradient_norm", "clipped"} <= set(model.history_[0])
        assert 0 < model.history_[0]["gradient_horizon"] <= model.history_[0]["gradient_steps"]
    transformer = ss.LanguageModel(**options, bptt=16, cell="transformer").fit(" ".join(texts) * 8)
    assert not set(REACH) & set(transformer.history_[0])  # its past is in a cache, not in a hidden state
    assert transformer.history_[0]["gradient_norm"] > 0


# The measure ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [ss.Elman, ss.GRU, ss.LSTM, lambda i, h: ss.Stack([ss.LSTM(i, h), ss.Residual(ss.GRU(h, h))])]
)
def test_last_output_gradients_are_the_last_row_of_the_flow(make):
    torch.manual_seed(0)
    layer, inputs = make(3, 5), ss.Sequences(torch.randn(1, 12, 3), [12])
    whole = gradient_flow(layer, inputs).fields
    result = last_output_gradients(layer, inputs)
    assert result.keys() == whole.keys()
    for name, curve in result.items():
        np.testing.assert_allclose(curve, whole[name].map[-1, ::-1], rtol=1e-9)


def test_last_output_gradients_of_a_linear_network():
    """h_t = w h_{t−1} + x with w = 1/2, all of it positive: the gradient halves at each step."""
    layer = ss.Elman(1, 1, "relu")
    with torch.no_grad():
        layer.weight_ih.fill_(1.0)
        layer.weight_hh.fill_(0.5)
    curve = last_output_gradients(layer, ss.Sequences(torch.ones(2, 10, 1), [10, 10]))["h"]
    np.testing.assert_allclose(curve, 0.5 ** np.arange(10), rtol=1e-12)


def test_a_probe_is_bounded():
    """Of a large batch of long sequences it uses 4 rows and 256 steps."""
    encoder = ss.Encoder(None, ss.GRU(2, 3), 2)
    inputs = ss.Sequences(torch.randn(100, 600, 2), [600] * 90 + [300] * 10)
    batch = batches(0)[0]._replace(inputs=inputs, targets=torch.zeros(100, dtype=torch.long))
    (captured,) = capture_inputs(encoder.train(), batch, None)
    assert captured.inputs.data.shape == (ROWS, STEPS, 2)
    assert captured.longest == 600
    assert encoder.training
    assert not encoder.layer._forward_pre_hooks


def test_a_dead_network_has_no_horizon():
    layer = ss.Elman(2, 3, "relu")
    with torch.no_grad():
        layer.bias_ih.fill_(-100.0)
    encoder = ss.Encoder(None, layer, 2)
    batch = batches(0)[0]._replace(
        inputs=ss.Sequences(torch.randn(2, 30, 2), [30, 30]), targets=torch.zeros(2, dtype=torch.long)
    )
    result = probe(encoder, batch, None)
    assert result["gradient_horizon"] < 1
    assert result["gradient_growth"] == 1.0


# The cost ------------------------------------------------------------------------------------------------------------


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("cost", [0.1, 3.0])
def test_probes_take_two_per_cent_of_the_time(cost):
    """Except the first; whatever a probe costs and however many updates there are."""
    clock, times = Time(), []

    def fake_probe(model, batch, state):
        clock.now += cost
        times.append(clock.now)
        return {"gradient_steps": 5.0}

    monitor = GradientMonitor(Line(), 1.0, clock, fake_probe)
    for _ in range(100_000):
        clock.now += 0.01
        monitor.on_update(batches(0)[0], None)
        assert monitor.probe_seconds <= max(MAX_SHARE * clock.now, cost) + 1e-9
    assert monitor.probe_seconds == pytest.approx(len(times) * cost)
    assert monitor.probe_seconds > 0.8 * MAX_SHARE * clock.now  # and it uses that share
    assert times[0] == pytest.approx(100 * 0.01 + cost)


# Warnings ------------------------------------------------------------------------------------------------------------


def warnings(norms, clipped=(False,) * 4, model=None, probed=None):
    """The warnings at one evaluation after the other."""
    monitor = GradientMonitor(model or Line(), 1.0, probe=lambda *_: probed or {})
    result = []
    for norm in norms:
        for one in clipped:
            monitor.on_clip(Clipping(norm, one))
            monitor.on_update(batches(0)[0], None)
        monitor.metrics()
        result.append(monitor.warnings())
    return result


def test_more_than_half_clipped():
    assert warnings([2.0], (True, True, False, False)) == [[]]
    first, second = warnings([2.0, 2.0], (True, True, True, False))
    assert first[0].startswith("gradients are large: 75% of updates were clipped (norm 2, --max-grad-norm 1). Try")
    assert second == []


def test_a_norm_that_grows():
    first, second, third = warnings([0.1, 1.2, 13.0])
    assert first == third == []
    assert second[0].startswith("gradients explode: their norm grew from 0.1 to 1.2 since the last evaluation")


def test_gradients_that_grow_with_the_lag():
    probed = {"gradient_horizon": 50.0, "gradient_steps": 50.0, "sequence_steps": 50.0, "gradient_growth": 1234.0}
    model = ss.Encoder(None, ss.Elman(2, 3), 2)
    ((words,),) = warnings([0.1], model=model, probed=probed)
    assert words == (
        "gradients explode: going back in time they grow by a factor of up to 1234. "
        "Try a lower --learning-rate, --max-grad-value 0.1, or --cell lstm"
    )


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        (lambda: ss.Elman(2, 3), "Try --cell lstm --initialisation chrono, or --initialisation identity"),
        (lambda: ss.LSTM(2, 3), "Try --initialisation chrono"),
        (lambda: ss.GRU(2, 3), "Try --initialisation chrono"),
        (lambda: ss.LSTM(2, 3, initialisation="chrono", t_max=9), "Try a larger --t-max, "),
        (lambda: ss.Elman(2, 3, "relu", initialisation="identity"), "Try --cell lstm --initialisation chrono"),
    ],
)
def test_advice_fits_the_cell(cell, advice):
    probed = {"gradient_horizon": 9.0, "gradient_steps": 256.0, "sequence_steps": 900.0}
    ((words,),) = warnings([0.1], model=ss.Encoder(None, cell(), 2), probed=probed)
    assert "they fall to 1 % within 9 steps, but sequences have up to 900 steps" in words
    assert advice in words


def test_metrics_are_means_since_the_last_evaluation():
    probes = iter([{"a": 1.0}, {"a": 3.0, "b": 5.0}])
    monitor = GradientMonitor(Line(), 1.0, Time(), lambda *_: next(probes))
    monitor.updates = FIRST_PROBE
    for norm, clipped in ((1.0, True), (4.0, False)):
        monitor.on_clip(Clipping(norm, clipped))
        monitor.on_update(batches(0)[0], None)
        monitor.last_probe_seconds, monitor.updates = 0.0, FIRST_PROBE  # so that the next probe is due
    monitor.last_probe_seconds = 1.0
    assert monitor.metrics() == {"gradient_norm": pytest.approx(2.0), "clipped": 0.5, "a": 2.0, "b": 5.0}
    monitor.on_clip(Clipping(1.0, False))
    assert monitor.metrics() == {"gradient_norm": pytest.approx(1.0), "clipped": 0.0, "a": 3.0, "b": 5.0}


def test_the_loop_calls_the_monitor():
    trainer = trained(Line(factor=1000.0), monitor_gradients=True, learning_rate=1e-6, gradient_accumulation_steps=2)
    assert [row["clipped"] for row in trainer.history] == [1.0] * 3
    assert trainer.reporter.notes[0].startswith("gradients are large: 100% of updates were clipped")
    assert len(trainer.reporter.notes) == 1


def test_a_resumed_training_does_not_repeat_a_warning(tmp_path):
    kept = {"monitor_gradients": True, "learning_rate": 1e-6, "checkpoints": tmp_path}
    trained(Line(factor=1000.0), **kept, epochs=1)
    again = trained(Line(factor=1000.0), **kept, epochs=3, resume=True)
    assert not [note for note in again.reporter.notes if note.startswith("gradients")]
    assert [row["clipped"] for row in again.history] == [1.0] * 3


def test_a_monitor_continues_from_its_state():
    """At an evaluation a monitor that was saved and loaded in between gives what one without interruption gives."""
    probes = [{"a": 1.0}, {"a": 3.0}]
    whole, before, after = (GradientMonitor(Line(), 1.0, Time(), lambda *_: {}) for _ in range(3))
    for monitor, norms in ((whole, (1.0, 4.0)), (before, (1.0,)), (after, (4.0,))):
        if monitor is after:
            after.load_state_dict(json.loads(json.dumps(before.state_dict())))
        for norm in norms:
            monitor.on_clip(Clipping(norm, norm > 1))
            monitor.probes.append(probes[int(norm > 1)])
    assert after.metrics() == whole.metrics() == {"gradient_norm": pytest.approx(2.0), "clipped": 0.5, "a": 2.0}
    assert after.warnings() == whole.warnings() == []
    for monitor in (whole, after):
        monitor.on_clip(Clipping(100.0, False))
        assert monitor.metrics()["a"] == 3.0  # the last probe, where there is no newer one
    assert after.warnings() == whole.warnings() != []
    assert after.state_dict() == whole.state_dict()


def test_no_monitor_has_no_state():
    monitor = Monitor()
    monitor.load_state_dict(GradientMonitor(Line(), 1.0).state_dict())
    assert monitor.state_dict() == monitor.metrics() == {}
    assert monitor.warnings() == []


# TensorBoard ---------------------------------------------------------------------------------------------------------


def test_tensorboard(monkeypatch):
    """The row's numbers at its step; without the package an error in words, before training."""
    written, closed = [], []

    class SummaryWriter:
        def __init__(self, folder):
            self.folder = folder

        def add_scalar(self, name, value, step):
            written.append((self.folder, name, value, step))

        def flush(self):
            pass

        def close(self):
            closed.append(self.folder)

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=SummaryWriter))
    trainer = trained(tensorboard="curves", monitor_gradients=True)
    for row in trainer.history:
        expected = {name: value for name, value in row.items() if name not in ("step", "best")}
        assert {name: value for _, name, value, step in written if step == row["step"]} == expected
    assert closed == ["curves"]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ss.SettingsError, match="tensorboard='curves' needs that package: pip install tensorboard"):
        Trainer(Task(Line(), batches, 3, dict, True), TrainingOptions(**vars(trainer.settings)), Log())
