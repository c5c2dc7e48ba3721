"""One, two and four processes make the same updates; as many processes, the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from process_trainings import SIZES, rows_of

TASKS = {
    "classify": ["--word-dropout", "0", "--batch-size", "7"],
    "tag": ["--word-dropout", "0", "--batch-size", "7", "--crf"],
    "generate": ["--batch-size", "3", "--bptt", "16", "--gradient-accumulation-steps", "2"],
    "translate": ["--batch-size", "7"],
    "forecast": ["--bptt", "20"],
}


def arguments(task, data, *more):
    few = ["--max-updates", "12", "--dropout", "0"]
    return [task, "--train", str(data[task]), *SIZES, *few, *TASKS[task], *more]


@pytest.mark.parametrize("task", TASKS)
def test_two_and_four_processes_make_the_updates_of_one(trainings, data, tmp_path, task):
    alone = trainings.weights(tmp_path / "1", *arguments(task, data))
    rows = rows_of(tmp_path / "1")
    for processes in (2, 4) if task in ("classify", "generate") else (2,):
        out = tmp_path / str(processes)
        together = trainings.weights(out, *arguments(task, data), processes=processes)
        assert {name: array.shape for name, array in together.items()} == {n: a.shape for n, a in alone.items()}
        for name, array in together.items():
            np.testing.assert_allclose(array, alone[name], rtol=0, atol=1e-6, err_msg=name)
        for mine, theirs in zip(rows, rows_of(out), strict=True):
            assert mine.keys() == theirs.keys()
            assert theirs.pop("padding") <= mine["padding"]  # each process pads its own rows only
            assert theirs == pytest.approx({name: mine[name] for name in theirs}, rel=1e-4, abs=1e-5)


def test_as_many_processes_give_the_same_bits(trainings, data, tmp_path):
    """With dropout, whose masks each process draws for its own rows."""
    noisy = ["--dropout", "0.4"]
    first, second, alone = (
        trainings.weights(tmp_path / name, *arguments("generate", data, *noisy), processes=processes)
        for name, processes in (("first", 2), ("second", 2), ("alone", 1))
    )
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert any(not np.array_equal(first[name], alone[name]) for name in first)


def test_fewer_rows_than_processes(trainings, data, tmp_path):
    """Some processes have no row of a batch, or no stream of a text, and take part all the same."""
    for task in ("classify", "generate"):
        few = arguments(task, data, "--batch-size", "2")
        alone = trainings.weights(tmp_path / f"{task}1", *few)
        together = trainings.weights(tmp_path / f"{task}3", *few, processes=3)
        for name, array in together.items():
            np.testing.assert_allclose(array, alone[name], rtol=0, atol=1e-6, err_msg=name)


def test_folds_wide_parts_and_a_refit(trainings, data, tmp_path):
    """Few data: the stages of a cross-validation, the linear model, and a training on all of it."""
    few = ["classify", "--train", str(data["classify"]), *SIZES, "--dropout", "0", "--word-dropout", "0"]
    few += ["--epochs", "2", "--wide"]
    alone = trainings.weights(tmp_path / "1", *few)
    together = trainings.weights(tmp_path / "2", *few, processes=2)
    assert max(row.get("fold", 0) for row in rows_of(tmp_path / "2")) > 1
    for name, array in together.items():
        np.testing.assert_allclose(array, alone[name], rtol=0, atol=1e-6, err_msg=name)
