"""A model's own cells in its folder: what is stored, that it runs without the class and without PyTorch, and that wrong
data are refused in words."""

from __future__ import annotations

import copy
import json
import logging
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import program_mutations
import pytest
import torch
from program_cells import USERS_CELLS, Leaky, Plain
from torch import nn

import stepscan as ss
from stepscan import kernels, registry, runtime
from stepscan.backends.batches import Batch
from stepscan.backends.layers import NativeLayer
from stepscan.backends.native_arrays import address
from stepscan.backends.python_layers import PythonLayer, new_stream, streaming
from stepscan.backends.weights import Weights
from stepscan.cells.catalogue import cell_classes
from stepscan.combinators.causal_convolution import CausalConvolution
from stepscan.combinators.mixer_block import MixerBlock
from stepscan.definitions.program_cell import ProgramCell
from stepscan.definitions.wrappers import Zoneout as ZoneoutDefinition
from stepscan.errors import ModelFormatError, ProgramError
from stepscan.estimators.stored_programs import store_programs
from stepscan.programs.stored import StoredProgram
from stepscan.registry import registered
from stepscan.state import leaves
from stepscan.storage.compression import compress

LENGTHS = np.array([3, 5, 0, 1])
CELLS = {
    **{f"users_{cls.__name__.lower()}": lambda cls=cls: cls(5, 6) for cls in USERS_CELLS},
    **{
        name: lambda cls=cls: cls(5, 6)
        for name, cls in cell_classes().items()
        if cls.scan is ss.Recurrence.scan and cls.__module__.startswith("stepscan.")
    },
    "causal_convolution": lambda: CausalConvolution(5),
    "mixer_block": lambda: MixerBlock(4, registered("mingru")(4, 6)),
}


@pytest.fixture(scope="module", autouse=True)
def registered_cells():
    """The users' cells, registered while these tests run."""
    for cls in USERS_CELLS:
        ss.register(f"users_{cls.__name__.lower()}")(cls)
    yield
    for name in [name for name in registry._classes if name.startswith("users_")]:
        del registry._classes[name]


def joined(state):
    """The leaves of a state of PyTorch, side by side."""
    return np.concatenate([leaf.detach().reshape(len(leaf), -1).numpy() for leaf in leaves(state)], axis=1)


def without_class(cell, in_numpy=False):
    """The cell as its stored program, through JSON; and its tensors."""
    stored = store_programs(cell)
    [entry] = stored.entries
    entry = StoredProgram.from_json(json.loads(json.dumps(entry.to_json())))
    constants = [stored.constants[f"0.{index}"] for index in range(len(entry.constants))]
    tensors = {name: tensor.numpy() for name, tensor in cell.state_dict().items()}
    definition = ProgramCell(entry, constants)
    assert definition.tensor_specs.keys() == tensors.keys()
    if in_numpy:
        definition._lowered = None
    return streaming(definition.bind(Weights(tensors)))


@pytest.mark.parametrize("in_numpy", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_gives_what_the_cell_gives(name, in_numpy):
    torch.manual_seed(0)
    cell = CELLS[name]().eval()
    found = without_class(cell, in_numpy)
    assert isinstance(found, PythonLayer if in_numpy else NativeLayer)
    signature = f"{name}({cell.input_size} → {cell.output_size})"
    assert (found.signature, found.condition_size) == (signature, cell.condition_size)
    x, vector = torch.randn(4, 5, cell.input_size), torch.randn(4, cell.condition_size)
    with torch.no_grad():
        np.testing.assert_array_equal(found.initial_state(4), joined(cell.initial_state(4)))
        np.testing.assert_array_equal(found.condition(vector.numpy()), joined(cell.condition(vector)))
        with kernels.use("reference"):
            expected, final = cell.scan(ss.Sequences(x, torch.from_numpy(LENGTHS)))
        outputs, state = found.scan(Batch(x.numpy(), LENGTHS))
        np.testing.assert_allclose(outputs.data, expected.data.numpy(), rtol=0, atol=2e-5)
        np.testing.assert_allclose(state, joined(final), rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(found.readout(state), cell.readout(final), rtol=2e-5, atol=2e-5)


TEXTS, LABELS = ["a good film", "a bad film", "good", "bad"] * 6, ["p", "n"] * 12
SMALL = {"hidden_size": 8, "embedding_size": 6, "epochs": 2, "verbose": False, "wide": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A classifier of two layers of a cell with derived weights, around which there is more."""
    path = tmp_path_factory.mktemp("programs") / "model"
    torch.manual_seed(0)
    model = ss.Classifier(**SMALL, cell="users_buffered", layers=2).fit(TEXTS, LABELS)
    model.save(path)
    return path, model


def test_a_folder_runs_without_torch(folder):
    path, model = folder
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from stepscan import runtime\n"
        f"model = runtime.load({str(path)!r})\n"
        f"print(model.predict_proba({TEXTS[:4]!r}).tolist())"
    )
    environment = {"PYTHONPATH": str(Path(ss.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), model.predict_proba(TEXTS[:4]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_a_folder_is_compressed(folder, tmp_path, weights):
    path, model = folder
    compress(path, weights, tmp_path / "small")
    small = runtime.load(tmp_path / "small")
    np.testing.assert_allclose(small.predict_proba(TEXTS[:4]), model.predict_proba(TEXTS[:4]), rtol=0, atol=0.05)


def test_a_language_model_generates(tmp_path):
    settings = {"hidden_size": 8, "embedding_size": 6, "epochs": 2, "verbose": False, "bptt": 8, "batch_size": 2}
    model = ss.LanguageModel(**settings, cell="users_leaky").fit("one two three. " * 20)
    model.save(tmp_path / "m")
    again = runtime.load(tmp_path / "m")
    assert again.generate("one", length=10, temperature=0) == model.generate("one", length=10, temperature=0)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """A classifier whose layers, one with a learned scale and one native, read in one direction."""
    path = tmp_path_factory.mktemp("streams") / "model"
    torch.manual_seed(0)
    settings = SMALL | {"bidirectional": False, "layers": 2}
    ss.Classifier(**settings, cell="users_exponential,lstm").fit(TEXTS, LABELS).save(path)
    return runtime.load(path)


def test_a_session_reads_in_pieces(streamed):
    session = streamed.session()
    for piece in ("a", "good", "film"):
        record = session.push(piece)
    [expected] = streamed.predict_records(["a good film"])
    assert record["label"] == expected["label"]
    assert record["probability"] == pytest.approx(expected["probability"], abs=1e-6)
    twin = streamed.session().restore(session.state())
    fork = session.fork()
    assert twin.push("bad") == fork.push("bad") == session.push("bad")


def test_sessions_step_together(streamed):
    sessions = [streamed.session() for _ in range(3)]
    for session in sessions[:2]:
        session.push("a good")
    alone = [session.fork() for session in sessions]
    together = streamed.step_batch(sessions, ["film", "bad", "good"])
    assert together == [session.push(item) for session, item in zip(alone, ["film", "bad", "good"], strict=True)]


def test_a_session_of_a_language_model_generates(tmp_path):
    settings = {"hidden_size": 8, "embedding_size": 6, "epochs": 2, "verbose": False, "bptt": 8, "batch_size": 2}
    ss.LanguageModel(**settings, cell="users_heads").fit("one two three. " * 20).save(tmp_path / "m")
    model = runtime.load(tmp_path / "m")
    session = model.session()
    session.push("one t")
    assert "one t" + session.generate(10, seed=3) == model.generate("one t", length=10, seed=3)
    session.push("w")
    assert len(session.generate(4, seed=0)) == 4


def test_a_tagger_pushes_blocks(tmp_path):
    generator = np.random.default_rng(0)
    series = [generator.normal(size=(9, 2)) for _ in range(8)]
    tags = [["up" if row[0] > 0 else "down" for row in one] for one in series]
    settings = SMALL | {"bidirectional": False}
    settings.pop("wide"), settings.pop("embedding_size")
    ss.Tagger(**settings, cell="users_griffin").fit(series, tags).save(tmp_path / "m")
    model = runtime.load(tmp_path / "m")
    session, out = model.session(), np.zeros((9, 2), np.float32)
    first = session.push_block(series[0][:4], out).copy()
    second = session.push_block(series[0][4:], out).copy()
    expected = model.predict_proba([series[0]])[0]
    np.testing.assert_allclose(np.concatenate([first, second]), expected, rtol=0, atol=1e-5)


def test_a_state_that_overflows_leaves_the_session_as_it_was(streamed):
    session = streamed.session()
    session.push("a good")
    before = session.state()
    vectors = np.full((1, streamed.network_.layer.input_size), np.inf, np.float32)
    with pytest.raises(ss.StepscanError, match="would not be finite"):
        session._advance(session._state, vectors, session._spare_stream)
    assert session.state() == before
    layer = without_class(Leaky(3, 4), in_numpy=True)
    stream, state = new_stream(layer), np.empty((1, 4), np.float32)
    assert not stream.push(np.full((1, 3), np.inf, np.float32), np.empty((1, 4), np.float32), 1)
    stream.read(address(state), 0)
    np.testing.assert_array_equal(state, layer.initial_state(1))


def test_zoneout_mixes_states_of_programs(tmp_path):
    torch.manual_seed(0)
    layer = ss.Zoneout(Leaky(3, 4), 0.25).eval()
    x = torch.randn(2, 3)
    state = torch.randn(2, 4)
    with torch.no_grad():
        expected, _ = layer.step(x, state)
    mixed = ZoneoutDefinition(without_class(layer.layer, in_numpy=True).layer, 0.25)
    y, _ = mixed.step(x.numpy(), (state.numpy(),))
    np.testing.assert_allclose(y, expected.numpy(), rtol=0, atol=1e-6)


def test_what_cannot_be_stored(caplog):
    @ss.register("users_random_start")
    class RandomStart(Leaky):
        def initial_state(self, batch_size, *, device=None, dtype=None):
            return torch.randn(batch_size, self.h, dtype=dtype)

    @ss.register("users_other_readout")
    class OtherReadout(Leaky):
        def readout(self, state):
            return 2 * state

    @ss.register("users_condition")
    class OtherCondition(Leaky):
        def condition(self, vector):
            return torch.tanh(vector)

    with caplog.at_level(logging.WARNING, logger="stepscan"):
        assert store_programs(RandomStart(3, 4)).entries == []
        assert store_programs(OtherReadout(3, 4)).entries == []
    words = [record.getMessage() for record in caplog.records]
    assert words == [
        "users_random_start cannot run without PyTorch: its initial state differs from row to row",
        "users_other_readout cannot run without PyTorch: its readout is none of the state's leaves",
    ]
    [entry] = store_programs(OtherCondition(3, 4)).entries
    assert entry.condition is None


def test_a_learned_initial_state_is_a_constant():
    @ss.register("users_learned_start")
    class LearnedStart(Plain):
        def build(self, i, h):
            self.into, self.start = nn.Linear(i, h), nn.Parameter(torch.linspace(0, 1, h))

        def initial_state(self, batch_size, *, device=None, dtype=None):
            return self.start.expand(batch_size, -1)

        def step(self, x, h):
            h = torch.tanh(self.into(x) + 0.5 * h)
            return h, h

    found = without_class(LearnedStart(3, 4))
    np.testing.assert_allclose(found.initial_state(2), np.tile(np.linspace(0, 1, 4, dtype=np.float32), (2, 1)))


def stored_json():
    stored = store_programs(registered("rglru")(4, 4))
    return json.loads(json.dumps(stored.entries[0].to_json()))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("layer", 3, "layer: expected a name, got 3"),
        ("weights", ["gate_bias"], "weights: expected 3, as in the program, got 1"),
        ("weights", ["gate_weights", "nothing", 0], "expected a tensor of F32, got 'nothing'"),
        ("weights", ["gate_weights", "rate", 0], "expected 8 elements, got 4"),
        ("weights", ["gate_weights", "gate_bias", 1], "expected the index of one of 1 constants, got 1"),
        ("initial", [["slice", 0]], "initial, leaf 0: expected a number or a constant, got 'slice'"),
        ("initial", [["constant", 0.5]], "expected the index of one of 1 constants, got 0.5"),
        ("initial", [["number", 10**400]], "initial, item 0: got ['number', 1000"),
        ("initial", [["number", 1e39]], "initial, item 0: got ['number', 1e+39]"),
        ("initial", [], "initial: expected 1, as in the program, got 0"),
        ("condition", [["slice", 10**9]], "condition: expected a vector of at most 4 elements"),
        ("condition", [["slice", -1]], "expected the position of an element, got -1"),
        ("readout", 1, "readout: expected a leaf of 4 numbers, got 1"),
        ("constants", [[2**40]], "constants, item 0: got [1099511627776]"),
        ("tensors", [["rate", "F32", [4]]] * 2, "tensors: expected each name once"),
        ("program", {}, "program: version: expected 1"),
        ("more", 1, "expected an object of layer, program"),
    ],
)
def test_refuses(key, value, words):
    data = stored_json()
    data[key] = value
    with pytest.raises(ProgramError) as caught:
        StoredProgram.from_json(data)
    assert words in str(caught.value)


def test_hostile_folders(folder, tmp_path):
    path, _ = folder
    for name, change, words in (
        ("list", {"programs": {}}, "programs: expected a list"),
        ("entry", {"programs": [{}]}, "programs, item 0: stored program: expected an object of"),
        ("none", {"programs": [None, None]}, "users_buffered"),
        ("missing", {"programs": []}, "users_buffered"),
    ):
        target = tmp_path / name
        target.mkdir()
        for file in path.iterdir():
            (target / file.name).write_bytes(file.read_bytes())
        config = json.loads((path / "config.json").read_text())
        (target / "config.json").write_text(json.dumps(config | change))
        with pytest.raises((ModelFormatError, ss.UnsupportedLayer)) as caught:
            runtime.load(target)
        assert words in str(caught.value)
    config = json.loads((path / "config.json").read_text())
    config["programs"][0]["layer"] = "another"
    (target / "config.json").write_text(json.dumps(config))
    with pytest.raises(ss.UnsupportedLayer):
        runtime.load(target)
    (target / "config.json").write_text((path / "config.json").read_text())
    (target / "programs.safetensors").unlink()
    with pytest.raises(ModelFormatError, match=r"programs\.safetensors is missing"):
        runtime.load(target)


def test_random_mutations_are_refused_in_words():
    assert 0 < program_mutations.main(300, 0) < 300


def test_random_mutations_of_what_is_stored():
    source, data = random.Random(1), stored_json()
    results = [program_mutations.survives(program_mutations.mutated(data, source)) for _ in range(200)]
    assert 0 < sum(results) < 200


def test_sessions_of_one_model_do_not_fit_another_program(folder):
    """The fingerprint of a model covers its programs."""
    path, _ = folder
    model = runtime.load(path)
    before = model.fingerprint
    position, (stored, constants) = next(iter(model.folder.programs.items()))
    changed = copy.deepcopy(model)
    changed.folder.programs[position] = (stored, [array + 1 for array in constants])
    assert changed.fingerprint != before
