"""Model folders: what lies in them, that they are whole or not there, and that a user's own cell goes through them."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn
from toy_tasks import FAST, NETWORK, neighbours, ordered

import stepscan as ss
from stepscan.estimators import files
from stepscan.estimators.folder import check_savable
from stepscan.options import settings_of
from stepscan.registry import registered_classes

TINY = {"hidden_size": 4, "embedding_size": 4, "epochs": 2, "batch_size": 8, **FAST}
TEXTS, LABELS = ordered(40, 3)


class CountState(NamedTuple):
    h: Tensor
    count: Tensor


@ss.register("mycell")
class MyCell(ss.Recurrence):
    """A user's own cell: a leaky sum that also counts."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.linear = nn.Linear(input_size, hidden_size)

    def initial_state(self, batch_size, *, device=None, dtype=None):
        zeros = self.zeros(batch_size, self.output_size, device, dtype)
        return CountState(zeros, zeros[:, :1])

    def step(self, x, state):
        h = torch.tanh(self.linear(x) + 0.5 * state.h)
        return h, CountState(h, state.count + 1)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folders")
    classifier = ss.Classifier(**{**TINY, **NETWORK}, cell="gru", word_dropout=0.02).fit(TEXTS, LABELS)
    tagger = ss.Tagger(**TINY, char_embedding_size=4, char_hidden_size=3, wide=False).fit(*neighbours(20, 1))
    model = ss.LanguageModel(**TINY, bptt=16).fit("ab ba\n" * 40)
    for name, estimator in (("classify", classifier), ("tag", tagger), ("generate", model)):
        estimator.save(folder / name)
    return folder, classifier


COMMON = {"config.json", "model.safetensors", "tokenizer.json", "metrics.jsonl", "README.md"}


@pytest.mark.parametrize(
    ("task", "files"),
    [
        ("classify", COMMON | {"labels.json"}),
        ("tag", COMMON | {"labels.json", "characters.json"}),
        ("generate", COMMON),
    ],
)
def test_files(saved, task, files):
    paths = list((saved[0] / task).iterdir())
    assert {path.name for path in paths} == files
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in paths), "others may read them"
    assert stat.S_IMODE((saved[0] / task).stat().st_mode) == 0o755
    assert all(json.loads(path.read_text()) for path in paths if path.suffix == ".json")


def test_config(saved):
    """Read with nothing but `json`: the promise of the format."""
    folder, classifier = saved
    config = json.loads((folder / "classify" / "config.json").read_text())
    size = len(classifier.tokenizers_["tokenizer"])
    gru = {"gru": {"input_size": 4, "hidden_size": 4}}
    embedding = {"vocabulary_size": size, "size": 4, "dropout": 0.0, "word_dropout": 0.02, "unknown": 1}
    embedding["embedding_dropout"] = 0.0
    hashed = ["labels.json", "metrics.jsonl", "model.safetensors", "tokenizer.json"]
    hashes = {name: hashlib.sha256((folder / "classify" / name).read_bytes()).hexdigest() for name in hashed}
    yardstick = config.pop("yardstick")
    assert (yardstick["name"], list(yardstick["scores"])) == ("majority class", ["accuracy", "macro_f1"])
    settings = {n: v for n, v in classifier.get_params().items() if settings_of(ss.Classifier)[n].option.recorded}
    assert config == {
        "format": "stepscan",
        "format_version": 2,
        "stepscan_version": ss.__version__,
        "task": "classify",
        "settings": {**settings, "tokenizer": "word"},
        "chosen": ["tokenizer"],
        "model": {
            "encoder": {
                "embedding": {"embedding": {**embedding, "word_dropout": classifier.word_dropout}},
                "layer": {"bidirectional": {"forward": gru, "backward": gru}},
                "outputs": 2,
                "problem_type": "classification",
                "pooling": classifier.pooling,
                "dropout": 0.0,
                "label_smoothing": 0.0,
            }
        },
        "files": hashes,
    }
    built = ss.build(config["model"])
    weights = load_file(folder / "classify" / "model.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()} == {
        name: array.shape for name, array in weights.items()
    }
    for name, tensor in classifier.model_.state_dict().items():
        assert (weights[name] == tensor.numpy()).all()


def test_labels_and_metrics(saved):
    folder, classifier = saved
    assert json.loads((folder / "classify" / "labels.json").read_text()) == ["first a", "first b"]
    rows = [json.loads(line) for line in (folder / "classify" / "metrics.jsonl").read_text().splitlines()]
    assert rows == classifier.history_


def test_model_card(saved):
    folder, classifier = saved
    card = (folder / "classify" / "README.md").read_text()
    best = [row for row in classifier.history_ if row["best"]][-1]
    count = sum(parameter.numel() for parameter in classifier.model_.parameters())
    assert card.startswith(f"# A Stepscan model: classify\n\n{count:,} parameters, trained by Stepscan")
    assert f"| valid_accuracy | {best['valid_accuracy']:.4f} |" in card
    assert "| cell | gru |" in card
    assert "ss.load(" in card


def test_load_knows_the_task(saved):
    folder, _ = saved
    kinds = {"classify": ss.Classifier, "tag": ss.Tagger, "generate": ss.LanguageModel}
    assert {task: type(ss.load(folder / task)) for task in kinds} == kinds
    assert type(ss.Classifier.load(folder / "classify")) is ss.Classifier
    with pytest.raises(ss.ModelFormatError, match="expected a Classifier, got a Tagger"):
        ss.Classifier.load(folder / "tag")


def test_a_loaded_model_can_be_saved_and_trained_again(saved, tmp_path):
    folder, classifier = saved
    again = ss.load(folder / "classify")
    again.save(tmp_path / "copy")
    for path in (folder / "classify").iterdir():
        assert (tmp_path / "copy" / path.name).read_bytes() == path.read_bytes()
    again.fit(TEXTS, LABELS)
    assert (again.predict_proba(TEXTS) == classifier.predict_proba(TEXTS)).all()


def test_what_is_there_already_stays(saved, tmp_path):
    _, classifier = saved
    (tmp_path / "note.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    classifier.save(tmp_path / "empty")
    with pytest.raises(ss.StepscanError, match="is already a model folder"):
        classifier.save(tmp_path / "empty")
    with pytest.raises(ss.StepscanError, match="expected a new name or a model folder, got something else"):
        classifier.save(tmp_path / "note.txt", overwrite=True)
    with pytest.raises(ss.StepscanError, match="expected a new name or a model folder, got something else"):
        classifier.save(tmp_path, overwrite=True)
    assert (tmp_path / "note.txt").read_text() == "mine"
    ss.Classifier(**TINY, cell="elman").fit(TEXTS, LABELS).save(tmp_path / "empty", overwrite=True)
    assert ss.load(tmp_path / "empty").cell == "elman"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "note.txt"]


@pytest.mark.parametrize(
    "name",
    ["estimators.folder.save_file", "estimators.folder.model_card", "storage.atomic.sync", "storage.atomic._replace"],
)
def test_a_failure_leaves_the_old_model(saved, tmp_path, monkeypatch, name):
    """Whichever step fails, what was there is there and nothing else."""
    _, classifier = saved
    classifier.save(tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}

    def fail(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"stepscan.{name}", fail)
    with pytest.raises(KeyboardInterrupt):
        classifier.save(tmp_path / "model", overwrite=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failure_between_the_two_renames_puts_the_old_model_back(saved, tmp_path, monkeypatch):
    _, classifier = saved
    classifier.save(tmp_path / "model")
    rename, calls = type(tmp_path).rename, []

    def fail_once(self, target):
        calls.append(self)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", fail_once)
    with pytest.raises(ss.StepscanError, match="model cannot be written: Input/output error"):
        classifier.save(tmp_path / "model", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (ss.load(tmp_path / "model").predict_proba(TEXTS) == classifier.predict_proba(TEXTS)).all()


def test_a_users_own_cell(tmp_path, monkeypatch):
    """`@ss.register("mycell")` is all that `cell="mycell"` needs, in every pattern, and to load the model again."""
    model = ss.Classifier(**{**TINY, "cell": "mycell", "layers": 2}).fit(TEXTS, LABELS)
    assert sum(isinstance(part, MyCell) for part in model.model_.modules()) == (4 if model.bidirectional else 2)
    model.save(tmp_path / "model")
    again = ss.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
    text = ss.LanguageModel(**{**TINY, "cell": "mycell", "bptt": 16}).fit("ab ba\n" * 40)
    assert len(text.generate(length=5, seed=1)) == 5
    others = {name: cls for name, cls in registered_classes().items() if name != "mycell"}
    monkeypatch.setattr("stepscan.registry._classes", others)
    with pytest.raises(
        ss.ModelFormatError, match=r"expected the name of a registered layer or model, got 'mycell'.*If it is your own"
    ):
        ss.load(tmp_path / "model")
    with pytest.raises(ss.SettingsError, match="unknown cell 'mycell'"):
        ss.Classifier(**{**TINY, "cell": "mycell"}).fit(TEXTS, LABELS)


def test_a_users_own_cell_is_held_against_the_weights(tmp_path):
    """It is made without memory for its weights to see what it needs: 10⁸ × 10⁸ of them are refused at once."""
    ss.Classifier(**{**TINY, "cell": "mycell", "bidirectional": False}).fit(TEXTS, LABELS).save(tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    config = json.loads(file.read_text())
    for size in (5, 10**8):
        config["model"]["encoder"]["layer"]["mycell"]["hidden_size"] = size
        file.write_text(json.dumps(config))
        with pytest.raises(
            ss.ModelFormatError, match=rf"layer.linear.weight: expected F32 \[{size}, 4\], got F32 \[4, 4\]"
        ):
            ss.load(tmp_path / "model")


@ss.register("scaled")
class Scaled(ss.Elman):
    """A user's cell that looks at its weights while it is made, and keeps a buffer."""

    def __init__(self, input_size: int, hidden_size: int, limit: float = 0.5) -> None:
        super().__init__(input_size, hidden_size)
        self.register_buffer("steps", torch.tensor(3))
        if float(self.weight_hh.detach().abs().max()) > limit:
            with torch.no_grad():
                self.weight_hh.mul_(limit)


def test_a_users_own_cell_that_looks_at_its_weights(tmp_path):
    model = ss.Classifier(**{**TINY, "cell": "scaled"}).fit(TEXTS, LABELS)
    model.save(tmp_path / "model")
    again = ss.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))


def test_infinite_settings_and_arguments(tmp_path):
    model = ss.Classifier(**{**TINY, "max_grad_norm": float("inf")}).fit(TEXTS, LABELS)
    model.save(tmp_path / "model")
    assert ss.load(tmp_path / "model").max_grad_norm == sys.float_info.max
    with pytest.raises(ss.StepscanError, match="expected finite arguments of its layers"):
        check_savable(Scaled(2, 3, limit=float("inf")))


def test_what_could_not_be_saved_is_said_before_training():
    @ss.register("sharing")
    class Sharing(ss.Elman):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.twin = self.weight_hh

    with pytest.raises(ss.StepscanError, match="share one tensor; clone one of them"):
        ss.Classifier(cell="sharing", **TINY).fit(["a b", "b a"] * 8, ["x", "y"] * 8)


def test_a_link_is_followed_and_the_current_folder_is_refused(tmp_path, monkeypatch):
    model = ss.Classifier(**TINY).fit(["a b", "b a"] * 8, ["x", "y"] * 8)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    model.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert ss.load(tmp_path / "link").predict(["a b"]).shape == (1,)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ss.StepscanError, match="expected a folder that can be replaced, got the current folder"):
        model.save(".")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["here", "link", "real"]


def test_task_and_model_must_agree(tmp_path):
    model = ss.Classifier(**TINY).fit(["a b", "b a"] * 8, ["x", "y"] * 8)
    model.save(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "task": "tag", "settings": {}}))
    with pytest.raises(
        ss.ModelFormatError, match="model: expected transducer or crf_transducer for the task 'tag', got encoder"
    ):
        ss.load(tmp_path / "model")


def test_a_fresh_process_knows_all_kinds(tmp_path):
    """Where nothing but the language model was asked for: the others must be known all the same."""
    ss.Classifier(**TINY).fit(["a b", "b a"] * 8, ["x", "y"] * 8).save(tmp_path / "model")
    code = f"import stepscan as ss; ss.LanguageModel.load({str(tmp_path / 'model')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "expected a LanguageModel, got a Classifier; use stepscan.load" in done.stderr


def test_a_model_that_came_during_training_is_not_overwritten(saved, tmp_path, monkeypatch):
    """By tools that know of no lock. Both models are kept, and the error says where this one is."""
    (tmp_path / "train.csv").write_text("text,label\n" + "a b,x\nb a,y\n" * 8)
    fit_on = files.fit_on

    def slow(*arguments):
        fit_on(*arguments)
        shutil.copytree(saved[0] / "tag", tmp_path / "model", dirs_exist_ok=True)

    monkeypatch.setattr(files, "fit_on", slow)
    with pytest.raises(ss.StepscanError, match=r"another model was written to .*model during .* is in .*model-2"):
        files.train("classify", [tmp_path / "train.csv"], tmp_path / "model", settings=TINY)
    assert ss.load(tmp_path / "model-2").predict(["a b"]).shape == (1,)
    assert ss.load(tmp_path / "model").task == "tag"
