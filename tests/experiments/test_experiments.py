"""Experiments: their parts, and a run of two updates of each."""

from __future__ import annotations

import io
import json
import math
import re

import numpy as np
import pytest
import torch
from rich.console import Console

import stepscan as ss
from stepscan.cells.catalogue import cell_names
from stepscan.data.synthetic.adding import adding
from stepscan.data.synthetic.counting import counting
from stepscan.data.synthetic.parity import parity
from stepscan.data.synthetic.reverse import reverse
from stepscan.errors import SettingsError
from stepscan.experiments import chomsky, copying
from stepscan.experiments.adding import experiment as adding_experiment
from stepscan.experiments.catalogue import experiment_names, find_experiments, list_experiments
from stepscan.experiments.counting import counting_unit, counts_to
from stepscan.experiments.experiment import as_batch, batches
from stepscan.experiments.models import transducer
from stepscan.experiments.runner import run
from stepscan.experiments.table import show

CHOMSKY = ("parity", "even-pairs", "modular-arithmetic", "cycle-navigation", "bucket-sort", "reverse")
NAMES = [
    "adding-100",
    "adding-200",
    "copy-100",
    "copy-200",
    "order-2",
    "counter",
    *[f"chomsky-{one}" for one in CHOMSKY],
]


def shortened(name, **changes):
    (experiment,) = find_experiments(name)
    return experiment._replace(**{"updates": 2, "updates_per_evaluation": 1, **changes})


def test_names():
    assert experiment_names() == [*NAMES, "chomsky"]
    assert [one.name for one in list_experiments()] == NAMES
    assert [one.name for one in find_experiments("chomsky")] == NAMES[-6:]
    assert find_experiments("adding-99") == []
    assert all(one.seconds <= 15 * 60 for one in list_experiments()), "a run takes 15 minutes at most"


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_runs(name):
    experiment = shortened(name)
    result = run(experiment, seed=1)
    assert json.loads(json.dumps(result)) == result
    assert [row["cell"] for row in result["rows"]] == [setup.name for setup in experiment.models]
    for row, setup in zip(result["rows"], experiment.models, strict=True):
        assert math.isfinite(row["value"])
        assert row["updates"] == 2
        assert row["parameters"] == sum(weight.numel() for weight in setup.make().parameters())
        assert (row["as_expected"] is None) == (setup.as_expected is None)
    assert result["command"] == f"stepscan reproduce {name} --seed 1"
    output = io.StringIO()
    show(result, Console(file=output, width=200))
    for row in result["rows"]:
        assert f"{row['value']:.4g}" in output.getvalue()
        assert row["expected"] in output.getvalue()


def test_the_seed_decides():
    # the learning rate depends on the elapsed share of the time budget: a large one makes it the same on a busy machine
    budget = 10.0**6
    first, again, other = (
        run(shortened("chomsky-parity"), seed=seed, time_budget=budget)["rows"] for seed in (1, 1, 2)
    )
    assert [row["value"] for row in first] == [row["value"] for row in again]
    assert [row["value"] for row in first] != [row["value"] for row in other]


def test_the_time_budget_is_shared_and_kept():
    result = run(shortened("chomsky-parity", updates=10**6, updates_per_evaluation=100), time_budget=0.6)
    assert result["command"].endswith("--time-budget 0.6s")
    assert all(row["updates"] < 10**6 and row["seconds"] < 20 for row in result["rows"])


def test_batches_are_of_the_seed_and_the_epoch():
    experiment = shortened("chomsky-cycle-navigation", updates=4, updates_per_evaluation=2)
    drawn = [
        [batch.inputs.data.tolist() for batch in batches(experiment, experiment.models[0], 0, epoch)]
        for epoch in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert len(drawn[0]) == 2


def test_batch_of_ragged_rows():
    batch = as_batch(counting([1, 3]))
    assert batch.inputs.data.tolist() == [[0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1]]
    assert batch.targets.data.tolist() == [[0, 2, 0, 0, 0, 0], [0, 0, 0, 1, 1, 2]]
    assert (batch.sequences, batch.tokens, batch.padded_tokens) == (2, 8, 12)


def test_batch_of_numbers():
    examples = adding(0, 3, 5)
    batch = as_batch(examples)
    assert torch.equal(batch.inputs.data, torch.tensor(examples.inputs, dtype=torch.float32))
    assert torch.equal(batch.targets, torch.tensor(examples.targets, dtype=torch.float32))
    assert batch.tokens == batch.padded_tokens == 15


def test_expected_results_of_adding():
    lstm, irnn, elman, _ = adding_experiment(200).models
    assert irnn.make().layer.weight_hh.tolist() == torch.eye(64).tolist()
    assert irnn.make().layer.nonlinearity == "relu"
    assert (lstm.as_expected({"LSTM": 0.009}), lstm.as_expected({"LSTM": 0.011})) == (True, False)
    assert (elman.as_expected({"Elman, tanh": 0.16}), elman.as_expected({"Elman, tanh": 0.1})) == (True, False)
    assert adding_experiment(100).models[2].as_expected is None


def test_adding_with_growing_lengths():
    _, irnn, _, grown = adding_experiment(200).models
    for setup in (irnn, grown):
        lengths = [setup.draw([0], done).inputs.shape[1] for done in (0.0, 0.3, 0.6, 1.0)]
        assert lengths == [20, 110, 200, 200]
    (batch,) = batches(shortened("adding-100", updates=1), adding_experiment(100).models[1], 0, 0)
    assert (batch.inputs.steps, batch.tokens) == (10, 320)


def test_divergence():
    """A model that diverges is tested with its best weights until then, and the figures say when."""
    experiment = shortened("adding-100", updates=50, updates_per_evaluation=2)
    setup = experiment.models[2]
    values, draws = [], []

    def draw(seed, done):
        draws.append(done)
        examples = adding(seed, 4, 10)
        return examples._replace(targets=examples.targets * (np.nan if len(draws) == 4 else 1))

    def validate(model):
        values.append(float(model.head.weight.norm()))
        return {"error": 1.0}

    test = lambda model: {"norm": float(model.head.weight.norm())}  # noqa: E731
    models = (setup._replace(draw=draw, as_expected=None),)
    (row,) = run(experiment._replace(models=models, validate=validate, test=test))["rows"]
    assert row["figures"]["diverged_at"] == 4
    assert [row["value"]] == values, "the weights of the only evaluation"


def test_horizons_before_training():
    """The identity-initialised network does not forget; the others, with orthogonal weights, do."""
    experiment = adding_experiment(100)
    torch.manual_seed(0)
    lstm, irnn, elman = (experiment.before(setup.make())["horizon_before"] for setup in experiment.models[:3])
    assert 10 < min(lstm, elman) <= max(lstm, elman) < 90 < irnn == 100


def test_scores_of_copying():
    examples = copying.copying(0, 6, 4)
    sure = _Sure(examples.targets, 10)
    assert copying._scores(sure, examples) == {"nats": pytest.approx(0, abs=1e-6), "symbols_right": 1.0}
    chrono = copying.experiment(4).models[0].make().layer
    assert torch.equal(chrono.bias_ih[:64], -chrono.bias_ih[64:128])
    assert 0 <= chrono.bias_ih[64:128].min() <= chrono.bias_ih[64:128].max() <= math.log(23)


@pytest.mark.parametrize("right_to", [0, 7, 200])
def test_counts_to(right_to):
    model = _Sure([], 3)
    model.forward = lambda inputs: (_scores_of(_predicted(inputs, right_to), 3), None)
    assert counts_to(model) == right_to


def test_counting_unit():
    """An LSTM whose second unit adds tanh 1 at a and subtracts it at b, and whose first unit only rises."""
    layer = ss.LSTM(1, 2)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
        layer.bias_ih.copy_(torch.tensor([99.0, 99.0, 99.0, 99.0, 2.0, 0.0, 0.0, 0.0]))
        layer.weight_ih[5] = 1.0
        embedding = ss.Embedding(2, 1)
        embedding.weight.copy_(torch.tensor([[1.0], [-1.0]]))
    slope = round(math.tanh(1), 4)
    with torch.inference_mode():
        assert counting_unit(layer, embedding) == {"unit": 1, "slope_a": slope, "slope_b": -slope}
        layer.weight_ih[5] = 0.0
        assert counting_unit(layer, embedding)["slope_b"] > 0, "both halves rise: nothing counts"


def test_the_rnn_of_chomsky_is_that_of_the_paper():
    """Relu and 256 units, as in the paper's code: with tanh it does not learn cycle navigation, with 64 units not
    modular arithmetic."""
    elman, tanh, lstm = chomsky.experiment("modular-arithmetic").models
    assert (elman.name, tanh.name, lstm.name) == ("RNN (Elman, relu)", "RNN (Elman, tanh)", "LSTM")
    assert (elman.expected, tanh.expected, lstm.expected) == ("paper 100 (≥ 90)", "", "paper 100 (≥ 90)")
    assert tanh.as_expected is None
    assert (tanh.make().layer.nonlinearity, tanh.make().layer.hidden_size) == ("tanh", 64)
    layer = elman.make().layer
    assert (layer.nonlinearity, layer.hidden_size) == ("relu", 256)
    assert (elman.as_expected({elman.name: 90.0}), elman.as_expected({elman.name: 89.9})) == (True, False)


def test_chomsky_with_other_cells():
    cells = ("mingru", "bidirectional_transformer", "transformer")
    experiment = chomsky.experiment("parity", cells)
    assert [(setup.name, setup.expected) for setup in experiment.models] == [
        ("mingru", ""),
        ("bidirectional_transformer", "paper 52"),
        ("transformer", ""),
    ]
    assert experiment.options == ("--cells", "mingru,bidirectional_transformer,transformer")
    assert experiment.seconds == 3 * 75
    causal = chomsky.experiment("reverse", cells).models[2].make().layer
    assert causal.context == 1000, "it sees the longest test: 500 letters and 500 blanks"
    brief = experiment._replace(models=experiment.models[:1], updates=1, updates_per_evaluation=1)
    (row,) = run(brief)["rows"]
    assert 0 <= row["figures"]["lengths_to_40"] <= 100


def test_chomsky_with_all_cells():
    experiment = chomsky.experiment("parity", ("all",))
    assert len(experiment.models) == len(cell_names()) + 1
    assert {setup.name for setup in experiment.models} >= {"RNN (Elman, relu)", "LSTM", "rglru", "slstm"}
    assert experiment.options == ("--cells", "all")
    for setup in experiment.models:
        assert setup.make()(as_batch(parity(0, 2, 3)).inputs).shape == (2, 2), setup.name


@pytest.mark.parametrize(
    ("name", "cells", "message"),
    [
        ("chomsky", ["gruu"], "cells: unknown cell 'gruu'. Did you mean 'gru'?"),
        ("chomsky-parity", ["gru", "gru"], "cells: expected one or more, each once, got gru, gru"),
        ("chomsky-parity", [], "cells: expected one or more, each once, got none"),
        ("counter", ["gru"], "cells: only chomsky and its tasks take cells, not counter; omit --cells"),
    ],
)
def test_refused_cells(name, cells, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        find_experiments(name, cells)


def test_lengths_grow():
    longest = [max(chomsky._length([seed], done) for seed in range(400)) for done in (0.0, 0.3, 0.6, 1.0)]
    assert longest == [3, 12, 40, 40]
    assert min(chomsky._length([seed], 1.0) for seed in range(400)) == 1


def test_accuracy_over_lengths():
    language = chomsky._LANGUAGES["parity"]
    rows = []

    def perfect(inputs):
        rows.append(inputs.steps)
        return torch.nn.functional.one_hot(inputs.data.sum(dim=1) % 2, 2).float()

    assert chomsky.accuracy(perfect, language, range(3, 10, 3), 0) == 100
    assert rows == [3, 6, 9]
    wrong = [100 * float((parity([0, n], 64, n).targets == 0).mean()) for n in (3, 6, 9)]
    guess = chomsky.accuracy(lambda inputs: torch.tensor([[1.0, 0.0]]).repeat(64, 1), language, range(3, 10, 3), 0)
    assert guess == pytest.approx(np.mean(wrong))


def test_accuracy_counts_answers_alone():
    """Blanks while reading do not count."""
    language = chomsky._LANGUAGES["reverse"]

    def first_letter(inputs):
        return ss.Sequences(torch.tensor([1.0, 0.0, 2.0]).expand(64, inputs.steps, 3), inputs.lengths), None

    targets = reverse([0, 5], 64, 5).targets[:, 5:]
    expected = chomsky.accuracy(lambda inputs: first_letter(inputs), language, range(5, 6), 0)
    assert expected == 0
    zeros = lambda inputs: (ss.Sequences(torch.eye(3)[0].expand(64, inputs.steps, 3), inputs.lengths), None)  # noqa: E731
    assert chomsky.accuracy(zeros, language, range(5, 6), 0) == pytest.approx(100 * (targets == 0).mean())


def _predicted(inputs, right_to):
    """What may come next: correct up to an n, wrong beyond."""
    rows = [np.array(row) for row in counting((inputs.lengths // 2).tolist()).targets]
    for row in rows:
        if len(row) // 2 > right_to:
            row[-1] = 1
    return ss.Sequences.pad([row.tolist() for row in rows])


def _scores_of(classes, count):
    return classes.replace(30 * torch.nn.functional.one_hot(classes.data, count).float())


class _Sure(torch.nn.Module):
    """A transducer that predicts the given classes with certainty."""

    def __init__(self, classes, count):
        super().__init__()
        self.classes, self.count = classes, count
        self.real = transducer(ss.Elman(1, 1), count, count)

    def forward(self, inputs):
        return _scores_of(ss.Sequences(torch.as_tensor(self.classes), inputs.lengths), self.count), None

    def loss(self, inputs, targets):
        scores = self(inputs)[0].items()
        return torch.nn.functional.cross_entropy(scores, targets.items(), reduction="sum"), len(scores), None

    def predict(self, scores):
        return self.real.predict(scores)
