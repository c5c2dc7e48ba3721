"""Going on from a checkpoint: the same weights to the bit, broken checkpoints passed over, other trainings refused."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch
from fake_task import SETTINGS, Line, Log, batches

import stepscan as ss
from stepscan.data.read_options import ReadOptions
from stepscan.errors import SettingsError, StepscanError
from stepscan.estimators.example_cache import open_cache
from stepscan.options import TrainingOptions
from stepscan.processes.team import ALONE
from stepscan.training import checkpointing, identity
from stepscan.training.checkpoints import Checkpoint, Checkpoints
from stepscan.training.loop import Task, Trainer
from stepscan.training.optimiser import AdamW

TEXT = "".join(f"{n} and {n} is {2 * n}.\n" for n in range(60))
SMALL = {"hidden_size": 6, "embedding_size": 6, "bptt": 8, "batch_size": 4, "epochs": 2, "dropout": 0.3}


class Stopped(Exception):
    pass


def stopping_at(step, monkeypatch):
    """Training ends with an exception before the update of a step, as if the process had died."""
    update = Trainer._update

    def spy(self):
        if self.clock.step == step:
            raise Stopped
        update(self)

    monkeypatch.setattr(Trainer, "_update", spy)


@pytest.mark.parametrize("step", [1, 7, 36, 40])
def test_the_same_weights_to_the_bit(tmp_path, monkeypatch, step):
    whole = ss.LanguageModel(**SMALL).fit(TEXT)
    again = ss.LanguageModel(**SMALL, checkpoints=tmp_path, checkpoint_every=0)
    with monkeypatch.context() as patch:
        stopping_at(step, patch)
        with pytest.raises(Stopped):
            again.fit(TEXT)
    again.set_params(resume=True).fit(TEXT)
    assert all(torch.equal(a, b) for a, b in zip(whole.model_.parameters(), again.model_.parameters(), strict=True))
    assert [row["train_loss"] for row in whole.history_] == [row["train_loss"] for row in again.history_]


def trainer(folder, **changes):
    task = Task(Line(), batches, 3, lambda: {"score": 1.0}, True)
    settings = TrainingOptions(**{**SETTINGS, "checkpoints": folder, "checkpoint_every": 0, **changes})
    identity = {name: value for name, value in changes.items() if name != "resume"}
    return Trainer(task, settings, Log(), identity)


def test_a_broken_checkpoint_is_named_and_passed_over(tmp_path):
    trainer(tmp_path).run()
    older, newer = sorted(path.name for path in tmp_path.iterdir())
    tensors = tmp_path / newer / "tensors.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    again = trainer(tmp_path, resume=True)
    again.run()
    assert (
        f"{newer} is broken and skipped: tensors.safetensors: expected the SHA-256 of manifest.json"
        in again.reporter.notes[0]
    )
    assert again.reporter.notes[1] == f"resuming after step {int(older.removeprefix('step-'))}"


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "tensors.safetensors"])
def test_a_checkpoint_that_lacks_a_file(tmp_path, name):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.write(step, Checkpoint({"a": torch.tensor([float(step)])}, {"step": step}))
    (tmp_path / "step-000000002" / name).unlink()
    result, broken = checkpoints.newest()
    assert result.state == {"step": 1}
    assert result.tensors["a"].item() == 1
    assert len(broken) == 1


MANIFESTS = ["null", "[]", "3", '"a"', "{}", "{", "", "[" * 10_000, '{"state.json": 1, "tensors.safetensors": null}']


@pytest.mark.parametrize("text", MANIFESTS)
def test_a_manifest_of_another_kind_is_named_and_passed_over(tmp_path, text):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.write(step, Checkpoint({"a": torch.tensor([float(step)])}, {"step": step}))
    (tmp_path / "step-000000002" / "manifest.json").write_text(text)
    result, broken = checkpoints.newest()
    assert result.state == {"step": 1}
    assert len(broken) == 1
    assert "step-000000002 is broken and skipped: " in broken[0]


def test_what_others_put_there_stays(tmp_path):
    """`checkpoints="."` may be a folder full of somebody's work."""
    others = ["work.tmp", "step-0-notes", "step-1", "step-000000001.old", "step-000000001.old.tmp", "step-x.tmp"]
    others += ["step-000000009", "step-000000009.tmp"]  # our names, but not our files
    for name in others:
        (tmp_path / name).mkdir()
        (tmp_path / name / "note.txt").write_text("mine")
    checkpoints = Checkpoints(tmp_path)
    assert not checkpoints
    for step in range(1, 5):
        checkpoints.write(step, Checkpoint({"a": torch.zeros(1)}, {"step": step}))
    assert checkpoints.newest()[0].state == {"step": 4}
    with pytest.raises(OSError, match="step-000000009"):
        checkpoints.write(9, Checkpoint({"a": torch.zeros(1)}, {"step": 9}))
    checkpoints.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
    assert all((tmp_path / name / "note.txt").read_text() == "mine" for name in others)


def test_what_is_restored_is_no_view_of_the_file(tmp_path):
    """A file that is mapped and then written in place would change weights, or end the process."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(1, Checkpoint({"a": torch.arange(4.0)}, {}))
    result, _ = checkpoints.newest()
    file = tmp_path / "step-000000001" / "tensors.safetensors"
    file.write_bytes(bytes(file.stat().st_size))
    assert result.tensors["a"].tolist() == [0, 1, 2, 3]


def test_one_training_at_a_time(tmp_path, monkeypatch):
    """The second `fit` into the same checkpoints is refused while the first runs, and may go on from it afterwards."""
    refused = []
    first = trainer(tmp_path / "kept")
    evaluate = first.task.evaluate

    def during():
        def second():
            with pytest.raises(StepscanError, match=r"kept is being written by process \d+ \(training since"):
                trainer(tmp_path / "kept", resume=True).run()
            refused.append(1)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        return evaluate()

    first.task.evaluate = during
    first.run()
    assert len(refused) == 3
    assert not any(path.name == ".lock" for path in (tmp_path / "kept").iterdir())
    trainer(tmp_path / "kept", resume=True).run()


def test_a_training_that_fails_before_its_first_checkpoint_leaves_nothing(tmp_path):
    one = trainer(tmp_path / "a" / "kept")
    one.task.batches = lambda epoch: [][1]
    with pytest.raises(IndexError):
        one.run()
    assert not (tmp_path / "a" / "kept").exists()


def test_other_circumstances_are_said(tmp_path, monkeypatch, caplog):
    trainer(tmp_path, epochs=1).run()
    trainer(tmp_path, epochs=2, resume=True).run()
    assert not caplog.records
    then = checkpointing.environment(ALONE)
    monkeypatch.setattr(checkpointing, "environment", lambda team: {**then, "threads": 77, "instruction set": "abacus"})
    trainer(tmp_path, epochs=3, resume=True).run()
    messages = [record.getMessage() for record in caplog.records]
    changed = f"threads 77 (before: {then['threads']}), instruction set abacus (before: {then['instruction set']})"
    what = "the weights will differ from those of an uninterrupted training in their last bits"
    assert messages == [f"resuming with {changed}: {what}"]
    assert caplog.records[0].levelname == "WARNING"


def test_two_are_kept_and_nothing_else(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    (tmp_path / "step-000000001.tmp").mkdir()
    for step in range(2, 6):
        checkpoints.write(step, Checkpoint({"a": torch.zeros(1)}, {}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000004", "step-000000005"]
    manifest = json.loads((tmp_path / "step-000000005" / "manifest.json").read_text())
    assert sorted(manifest) == ["state.json", "tensors.safetensors"]


def test_another_training_is_refused(tmp_path):
    trainer(tmp_path, batch_size=1).run()
    with pytest.raises(StepscanError, match="batch_size was 1 and is now 2; give it as before, or start again"):
        trainer(tmp_path, batch_size=2, resume=True).run()
    with pytest.raises(StepscanError, match="holds an interrupted training"):
        trainer(tmp_path, batch_size=1).run()


def test_other_data_is_refused(tmp_path):
    model = ss.LanguageModel(**SMALL, checkpoints=tmp_path).fit(TEXT)
    with pytest.raises(StepscanError, match=r"but data was '.*' and is now '.*'"):
        model.set_params(resume=True).fit(TEXT.replace("59 and", "58 and").replace("7 and", "8 and"))


ROWS = ["a b", "b c", "c a", "a c"] * 5, ["x", "y", "x", "y"] * 5
VALID = (["a b", "c a", "b c"], ["x", "x", "y"])
OTHERS = [
    (VALID[0], ["x", "y", "y"]),
    (VALID[0][::-1], VALID[1][::-1]),
    (["a b", "c a", "b  c"], VALID[1]),
    (VALID[0][:2], VALID[1][:2]),
]


@pytest.mark.parametrize("cached", [False, True])
def test_other_validation_data_are_refused(tmp_path, cached):
    """Whatever differs in them: the best weights would be those of the other data."""
    settings = {"hidden_size": 4, "embedding_size": 4, "max_updates": 3, "refit": False, "wide": False}
    if cached:
        settings = settings | {"refit": None, "wide": None, "cache_dir": tmp_path / "cache"}
    model = ss.Classifier(**settings, checkpoints=tmp_path / "kept")

    def train(valid):
        return fit_cached(model, tmp_path, valid) if cached else model.fit(*ROWS, validation=valid)

    train(VALID)
    model.set_params(resume=True)
    train(VALID)
    for other in OTHERS:
        with pytest.raises(StepscanError, match=r"but validation data was '\w+' and is now '\w+'"):
            train(other)


def fit_cached(model, folder, validation):
    file = folder / "rows.csv"
    file.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in zip(*ROWS, strict=True)))
    pairs = list(zip(*validation, strict=True))
    model.fit_cached(open_cache(model, [file], ReadOptions(), holds_out=False), pairs)


def test_checkpoints_that_do_not_record_their_validation_data_are_gone_on_with(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpointing, "data_identity", lambda task: {"data": identity.data_identity(task)["data"]})
        trainer(tmp_path, epochs=1).run()
    again = trainer(tmp_path, epochs=2, resume=True)
    assert [row["epoch"] for row in again.run()] == [1, 2]
    assert again.reporter.notes[0] == "the checkpoints do not record their validation data, which must be the same"


def test_a_digest_of_held_out_data_tells_all_that_differs():
    values = [["ab", "c"], ["a", "bc"], ["abc"], [["ab", "c"]], [1], [1.0], ["1"], [True], [None], []]
    values += [[np.zeros(2)], [np.zeros((2, 1))], [np.zeros(2, np.float32)], [np.array([0, 1.0])], "ab", [("ab", 0)]]
    assert len({identity.held_out_digest(value) for value in values}) == len(values)
    assert identity.held_out_digest([("ab", np.ones(3), 2)]) == identity.held_out_digest([("ab", np.ones(3), 2)])


def test_more_epochs_may_be_asked_for(tmp_path):
    trainer(tmp_path, epochs=2).run()
    again = trainer(tmp_path, epochs=3, resume=True)
    assert [row["epoch"] for row in again.run()] == [1, 2, 3]
    assert "resuming with a different epochs, 3" in again.reporter.notes[0]


def test_a_disk_that_is_full_stops_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Checkpoints, "write", full)
    one = trainer(tmp_path / "none")
    assert len(one.run()) == 3
    assert one.reporter.notes[0] == (
        "the checkpoint of step 1 could not be written: No space left on device; training continues"
    )


def test_what_is_kept_when_a_loss_is_not_finite(tmp_path):
    class Worse(Line):
        def loss(self, inputs, targets, state=None):
            loss = super().loss(inputs, targets, state)
            return loss._replace(total=loss.total * (torch.nan if len(self.states) == 5 else 1))

    one = trainer(tmp_path)
    one.task.model = Worse()
    one = Trainer(one.task, one.settings, Log())
    with pytest.raises(StepscanError, match="the loss became nan at step 5; all up to step 4 is saved"):
        one.run()
    assert Checkpoints(tmp_path).newest()[0].state["trainer"]["clock"]["step"] == 4


def test_resume_without_checkpoints():
    with pytest.raises(SettingsError, match="resume=True needs checkpoints=FOLDER"):
        ss.LanguageModel(**SMALL, resume=True).fit(TEXT)


def test_accumulated_gradients_are_those_of_one_batch():
    """Batches of 2, 2 and 1 examples in one update: the gradient of all five together."""
    result = []

    class Watched(Line):
        pass

    model = Watched()
    step = AdamW.step
    one = Trainer(
        Task(model, lambda epoch: batches(0), 3, lambda: {"score": 1.0}, True),
        TrainingOptions(**{**SETTINGS, "gradient_accumulation_steps": 3, "epochs": 1, "max_grad_norm": 1e9}),
        Log(),
    )
    one.optimiser.step = lambda: result.append(model.weight.grad.clone()) or step(one.optimiser)
    one.run()
    reference = Line()
    inputs = torch.cat([batch.inputs for batch in batches(0)])
    (reference.loss(inputs, torch.zeros(5, 1)).total / 5).backward()
    assert len(result) == 1
    assert torch.allclose(result[0], reference.weight.grad)
