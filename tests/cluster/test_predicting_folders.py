"""`predict` and `forecast` of many files on the command line: options, messages, exit codes."""

from __future__ import annotations

import numpy as np
import pytest
from parquet_files import contents, read, rows_of, write

import stepscan as ss
from stepscan.cli.arguments import with_address
from stepscan.distributed import RowPredictor, predict_files
from stepscan.kernels import native

pytestmark = pytest.mark.skipif(native.library is None, reason="no native library was built")


def test_predict(models, run, files, tmp_path):
    """Stops and goes on say what they did; the files are those of `predict_files`."""
    out = tmp_path / "out"
    command = ["predict", models["classify"], "--input", files / "*.parquet", "--output", out, "--rows-per-part", 40]
    assert run(*command) == (0, "", f"note: {out}: 70 rows in 3 files\n")
    predict_files(RowPredictor(ss.runtime.load(models["classify"])), str(files), str(tmp_path / "o"), rows_per_part=40)
    assert contents(out) == contents(tmp_path / "o")
    (out / "a-000000000041.parquet").unlink()
    again = run(*command)
    assert again == (0, "", f"note: {out}: 2 of 3 parts are written already\nnote: {out}: 70 rows in 3 files\n")
    other = run(*command[:-1], 50)
    assert other.code == 1
    assert other.err.startswith(
        f"error: {out}: has the files of a run that had --rows-per-part 40; name another folder"
    )
    assert run(*command[:-1], 50, "--overwrite").err == f"note: {out}: 70 rows in 2 files\n"
    assert sorted(contents(out)) == ["a-000000000001.parquet", "b-000000000001.parquet"]


def test_translations_with_options(models, run, tmp_path):
    write(tmp_path / "in" / "a.parquet", rows_of("translate", 5))
    options = ["--n-best", 2, "--beam-width", 3, "--maximum-length", 4]
    done = run("predict", models["translate"], "--input", tmp_path / "in", "--output", tmp_path / "out", *options)
    assert done.code == 0
    model = ss.runtime.load(models["translate"])
    model.beam_width = 3
    best = model.translate(rows_of("translate", 5)["source"], n_best=2, maximum_length=4)
    assert [row["n_best"] for row in read(tmp_path / "out")] == [[one._asdict() for one in both] for both in best]


def test_an_ensemble(models, run, files, tmp_path):
    model = models["classify"]
    assert run("predict", model, "--ensemble", model, "--input", files, "--output", tmp_path / "out").code == 0
    texts = rows_of("classify", 50)["text"] + rows_of("classify", 20, seed=1)["text"]
    records = ss.ensemble([ss.runtime.load(model)] * 2).predict_records(texts)
    assert [row["probability"] for row in read(tmp_path / "out")] == [record["probability"] for record in records]


def test_bad_rows(models, run, tmp_path):
    path = write(tmp_path / "in" / "a.parquet", {"text": ["a", None, "b"]})
    command = ["predict", models["classify"], "--input", tmp_path / "in", "--output", tmp_path / "out"]
    assert run(*command) == (1, "", f"error: {path}, row 2: expected a string as the text, got null.\n")
    done = run(*command, "--skip-bad-lines", "--overwrite")
    reason = f"{path}, row 2: expected a string as the text, got null."
    assert done.code == 0
    assert done.err.startswith(f"warning: skipped 1 row of {path}:\n  {reason}\n")
    assert done.err.endswith("out: 2 rows in 1 files\n")


def test_forecast(run, tmp_path):
    series = [np.sin(np.arange(length) / 3) for length in (30, 41, 28)]
    ss.Forecaster(hidden_size=4, epochs=1).fit(series).save(tmp_path / "m")
    write(tmp_path / "in" / "a.parquet", {"values": [one.tolist() for one in series]})
    options = ["--context", tmp_path / "in", "--length", 3, "--num-samples", 20]
    assert run("forecast", tmp_path / "m", *options, "--output", tmp_path / "out").code == 0
    model = ss.runtime.load(tmp_path / "m")
    expected = [model.forecast(one, 3, num_samples=20).median.tolist() for one in series]
    assert [row["median"] for row in read(tmp_path / "out")] == expected
    assert run("forecast", tmp_path / "m", *options).err.startswith("error: expected files and a folder to write")
    np.savetxt(tmp_path / "past.csv", series[0])
    one_file = ["--context", tmp_path / "past.csv", "--length", 3, "--output", tmp_path / "o"]
    assert "--output: expected many files to forecast" in run("forecast", tmp_path / "m", *one_file).err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--input", "in"], "expected files and a folder to write, such as --input 'FOLDER/*.parquet' --output FOLDER"),
        (["--ray"], "expected files and a folder to write"),
        (["--input", "in", "--output", "-"], "expected files and a folder to write"),
        (
            ["--input", "in", "--output", "out", "--json"],
            "--json: many files are predicted into Parquet files; omit",
        ),
        (["--input", "in", "--output", "out", "--workers", 2], "--workers: expected --ray; one process uses all pro"),
        (["a text", "--skip-bad-lines"], "--skip-bad-lines: predictions of one file stay aligned with it; expected ma"),
        (["--input", "in/a.parquet", "in/b.parquet"], "expected either texts or a file, got both"),
        (["--input", "in", "--output", "out", "--n-best", 2], "n_best: not for models of the task classify"),
    ],
)
def test_what_is_refused(models, run, files, monkeypatch, options, said):
    monkeypatch.chdir(files.parent)
    done = run("predict", models["classify"], *options)
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert not (files.parent / "out").exists()


def test_a_language_model_is_refused(models, run, files, tmp_path):
    done = run("predict", models["generate"], "--input", files, "--output", tmp_path / "out")
    assert "expected a model of any other task, got a language model; texts are generated by `stepscan gen" in done.err


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        (["m", "--ray"], ["m", "--ray", "local"]),
        (["--ray", "m"], ["--ray", "local", "m"]),
        (["--ray", "--workers", "2"], ["--ray", "local", "--workers", "2"]),
        (["--ray", "auto", "m"], None),
        (["--ray", "head:6379"], None),
        (["--ray", "ray://127.0.0.1:10001"], None),
        (["m", "--", "--ray"], None),
    ],
)
def test_an_address_may_be_left_out(given, filled):
    assert with_address(given) == (filled or given)
