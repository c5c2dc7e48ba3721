"""Files of a folder, predicted part by part: values, order, what goes on after a stop, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from parquet_files import contents, pa, pq, read, rows_of, write

import stepscan as ss
from stepscan.data.bad_lines import BadLines
from stepscan.data.read_options import ReadOptions
from stepscan.distributed import RowPredictor, part_writer, predict_files
from stepscan.distributed.locations import Location
from stepscan.errors import DataError, Interrupted, SettingsError, StepscanError
from stepscan.kernels import native
from stepscan.models import files as one_process

pytestmark = pytest.mark.skipif(native.library is None, reason="no native library was built")


@pytest.fixture
def classifier(models):
    return RowPredictor(ss.runtime.load(models["classify"]))


@pytest.mark.parametrize("task", ["classify", "tag", "translate"])
def test_predictions_are_those_of_one_file(models, tmp_path, task):
    """To the bit, whatever the parts and the groups of rows; with the file, the row and the text of each."""
    expected = []
    for name, count, group in (("a", 23, 5), ("b", 9, 100)):
        path = write(tmp_path / "in" / f"{name}.parquet", rows_of(task, count, len(name)), row_group_size=group)
        portions = one_process.predict(ss.runtime.load(models[task]), input_file=path)
        records = [record for portion in portions for record in portion]
        expected += [{"file": f"{name}.parquet", "row": row} | one for row, one in enumerate(records, start=1)]
    predictor = RowPredictor(ss.runtime.load(models[task]))
    done = predict_files(predictor, str(tmp_path / "in/*.parquet"), str(tmp_path / "out"), rows_per_part=10)
    assert done == (32, 0, 4, 0)
    assert read(tmp_path / "out") == expected
    assert [path.name for path in sorted((tmp_path / "out").glob("*.parquet"))] == [
        *("a-000000000001.parquet", "a-000000000011.parquet", "a-000000000021.parquet", "b-000000000001.parquet"),
    ]


def test_arguments_and_settings_of_a_translation(models, tmp_path):
    path = write(tmp_path / "in" / "a.parquet", rows_of("translate", 5))
    model = ss.runtime.load(models["translate"])
    predictor = RowPredictor(model, arguments={"n_best": 2, "prefix": "c"}, settings={"beam_width": 3})
    predict_files(predictor, str(path), str(tmp_path / "out"))
    again = ss.runtime.load(models["translate"])
    again.beam_width = 3
    best = again.translate(rows_of("translate", 5)["source"], n_best=2, prefix="c")
    rows = read(tmp_path / "out")
    assert [row["n_best"] for row in rows] == [[one._asdict() for one in both] for both in best]
    assert [row["translation"] for row in rows] == [both[0].text for both in best]


@pytest.mark.parametrize("problem_type", ["multilabel", "regression"])
def test_labels_and_numbers(tmp_path, problem_type):
    texts, targets = ["a b", "b c", "c a"] * 4, {"multilabel": [["x"], ["x", "y"], []] * 4, "regression": [1, 2, 3] * 4}
    settings = {"hidden_size": 4, "embedding_size": 4, "epochs": 1, "wide": False}
    ss.Classifier(problem_type=problem_type, **settings).fit(texts, targets[problem_type]).save(tmp_path / "m")
    write(tmp_path / "in" / "a.parquet", {"text": texts})
    predict_files(RowPredictor(ss.runtime.load(tmp_path / "m")), str(tmp_path / "in"), str(tmp_path / "out"))
    for row, record in zip(read(tmp_path / "out"), ss.runtime.load(tmp_path / "m").predict_records(texts), strict=True):
        for name, value in record.items():
            assert (dict(row[name]) if isinstance(value, dict) else row[name]) == value


def test_series_of_numbers(tmp_path):
    random = np.random.default_rng(0)
    series = [random.normal(size=(length, 2)) for length in (5, 9, 7, 12)] * 3
    ss.Classifier(hidden_size=4, epochs=1, wide=False).fit(series, ["x", "y", "x", "y"] * 3).save(tmp_path / "m")
    lists = [one.tolist() for one in series] + [[[1.0, None]], [[1.0]]]
    write(tmp_path / "in" / "a.parquet", {"values": lists})
    model, bad = ss.runtime.load(tmp_path / "m"), BadLines()
    predict_files(RowPredictor(model), str(tmp_path / "in"), str(tmp_path / "out"), bad_lines=bad)
    records = model.predict_records(series)
    assert read(tmp_path / "out") == [
        {"file": "a.parquet", "row": row} | record for row, record in enumerate(records, start=1)
    ]
    path = tmp_path / "in" / "a.parquet"
    assert [str(error) for error in bad.first[str(path)]] == [
        f"{path}, row 13: the series: expected a series of numbers, got [[1.0, None]]; texts and numbers cannot be "
        "mixed.",
        f"{path}, row 14: the series: expected 2 dimensions per step, as the model has, got 1.",
    ]


def test_forecasts(tmp_path):
    series = [np.sin(np.arange(length) / 3) for length in (30, 41, 28)]
    ss.Forecaster(hidden_size=4, epochs=1).fit(series).save(tmp_path / "m")
    write(tmp_path / "in" / "a.parquet", {"values": [one.tolist() for one in series] + [[1.0]]})
    model, bad = ss.runtime.load(tmp_path / "m"), BadLines()
    predictor = RowPredictor(model, arguments={"length": 4, "num_samples": 20})
    assert predict_files(predictor, str(tmp_path / "in"), str(tmp_path / "out"), bad_lines=bad)[:2] == (3, 1)
    for row, one in zip(read(tmp_path / "out"), series, strict=True):
        forecast = model.forecast(one, 4, num_samples=20)
        assert {name: row[name] for name in forecast._fields} == {n: v.tolist() for n, v in forecast._asdict().items()}
    with pytest.raises(SettingsError, match="length: expected the number of steps to forecast, got none"):
        RowPredictor(model)
    with pytest.raises(SettingsError, match="level: expected a number between 0 and 1, got 2"):
        RowPredictor(model, arguments={"length": 4, "level": 2})


class Stop(part_writer.PartWriter):
    """Is interrupted at its third part."""

    written = 0

    def write(self, part):
        type(self).written += 1
        if self.written == 3:
            raise KeyboardInterrupt
        return super().write(part)


def test_a_run_that_was_stopped_goes_on(classifier, files, tmp_path, monkeypatch):
    predict_files(classifier, str(files), str(tmp_path / "whole"), rows_per_part=10)
    monkeypatch.setattr("stepscan.distributed.runs.PartWriter", Stop)
    with pytest.raises(Interrupted, match=r"interrupted: 2 of 7 parts are written in .*; the same command goes on"):
        predict_files(classifier, str(files), str(tmp_path / "out"), rows_per_part=10)
    monkeypatch.undo()
    first = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    assert len(first) == 2
    assert predict_files(classifier, str(files), str(tmp_path / "out"), rows_per_part=10) == (70, 0, 7, 2)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in first} == first
    assert predict_files(classifier, str(files), str(tmp_path / "out"), rows_per_part=10) == (70, 0, 7, 7)


def test_a_process_that_is_killed_loses_nothing(models, classifier, files, tmp_path):
    predict_files(classifier, str(files), str(tmp_path / "whole"), rows_per_part=5)
    code = textwrap.dedent(f"""
        import os, signal
        from stepscan import runtime
        from stepscan.distributed import RowPredictor, predict_files
        class Killed(RowPredictor):
            count = 0
            def predict(self, *arguments):
                Killed.count += 1
                if Killed.count == 4:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().predict(*arguments)
        predict_files(Killed(runtime.load({str(models["classify"])!r})), {str(files)!r}, "out", rows_per_part=5)
    """)
    environment = {**os.environ, "PYTHONPATH": str(Path(ss.__file__).parents[1])}
    for written in (3, 6):
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment)
        assert done.returncode == -signal.SIGKILL
        assert len(contents(tmp_path / "out")) == written
        assert len(list((tmp_path / "out" / "_temporary").iterdir())) == 1
    assert predict_files(classifier, str(files), str(tmp_path / "out"), rows_per_part=5) == (70, 0, 14, 6)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not (tmp_path / "out" / "_temporary").exists()


def test_a_damaged_part_is_done_again(classifier, files, tmp_path):
    predict_files(classifier, str(files), str(tmp_path / "out"), rows_per_part=10)
    whole = contents(tmp_path / "out")
    for name, damage in zip(sorted(whole), (b"", b"PAR1", whole["b-000000000001.parquet"], None), strict=False):
        path = tmp_path / "out" / name
        path.unlink() if damage is None else path.write_bytes(damage)
    assert predict_files(classifier, str(files), str(tmp_path / "out"), rows_per_part=10) == (70, 0, 7, 3)
    assert contents(tmp_path / "out") == whole


def add_file(files, predictor):
    write(files / "c.parquet", rows_of("classify", 3))
    return predictor


def remove_file(files, predictor):
    (files / "b.parquet").unlink()
    return predictor


def change_file(files, predictor):
    write(files / "b.parquet", rows_of("classify", 20, seed=2))
    return predictor


def another_column(files, predictor):
    return RowPredictor(predictor.model, ReadOptions(text_column="Text"))


def another_model(files, predictor):
    shutil.copytree(predictor.model.path, files.parent / "other")
    labels = files.parent / "other" / "labels.json"
    config = files.parent / "other" / "config.json"
    labels.write_text(labels.read_text().replace("pos", "yes"))
    content = json.loads(config.read_text())
    content.pop("files", None)
    config.write_text(json.dumps(content))
    return RowPredictor(ss.runtime.load(files.parent / "other"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (add_file, "without c.parquet"),
        (remove_file, "also b.parquet"),
        (change_file, "other content in b.parquet"),
        (another_column, r"other settings: text_column None \(not Text\)"),
        (another_model, "another model"),
    ],
)
def test_what_has_changed_is_said_and_never_mixed(classifier, files, tmp_path, change, said):
    out = str(tmp_path / "out")
    predict_files(classifier, str(files), out, rows_per_part=10)
    before = contents(tmp_path / "out")
    changed = change(files, classifier)
    with pytest.raises(StepscanError, match=f"out: has the files of a run that had {said}; name another folder, or"):
        predict_files(changed, str(files), out, rows_per_part=10)
    assert contents(tmp_path / "out") == before
    predict_files(changed, str(files), str(tmp_path / "anew"), rows_per_part=10)
    assert predict_files(changed, str(files), out, rows_per_part=10, overwrite=True).found == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "anew")


def test_a_file_that_changes_its_text_but_not_its_statistics(classifier, tmp_path):
    """Same size, same least and greatest text: the time of the change tells it."""
    path = write(tmp_path / "in" / "a.parquet", {"text": ["a", "good", "film", "z"]}, compression="none")
    predict_files(classifier, str(path), str(tmp_path / "out"))
    time.sleep(0.01)
    write(path, {"text": ["a", "film", "good", "z"]}, compression="none")
    with pytest.raises(StepscanError, match=r"other content in a.parquet"):
        predict_files(classifier, str(path), str(tmp_path / "out"))


def test_bad_rows(classifier, tmp_path):
    texts = ["a", None, "good", None, None, "film", None, "bad"]
    path = write(tmp_path / "in" / "a.parquet", {"text": texts})
    with pytest.raises(DataError) as caught:
        predict_files(classifier, str(path), str(tmp_path / "out"), rows_per_part=3)
    assert str(caught.value) == f"{path}, row 2: expected a string as the text, got null."
    assert contents(tmp_path / "out") == {}
    bad = BadLines()
    with pytest.raises(StepscanError, match="another treatment of bad rows"):
        predict_files(classifier, str(path), str(tmp_path / "out"), rows_per_part=3, bad_lines=bad)
    for found in (0, 3):  # what was skipped is known from the files
        bad = BadLines()
        done = predict_files(
            classifier, str(path), str(tmp_path / "out"), rows_per_part=3, bad_lines=bad, overwrite=True
        )
        assert done == (4, 4, 3, found)
        assert bad.report() == (
            f"skipped 4 rows of {path}:\n  {path}, row 2: expected a string as the text, got null."
            f"\n  {path}, row 4: expected a string as the text, got null."
            f"\n  {path}, row 5: expected a string as the text, got null.\n  … and 1 more"
        )
    assert [(row["row"], row["text"]) for row in read(tmp_path / "out")] == [
        *((1, "a"), (3, "good"), (6, "film"), (8, "bad")),
    ]


def test_text_that_is_not_utf8_is_a_bad_row(classifier, tmp_path):
    binary = pa.array([b"good", b"\xff", b"bad"], pa.binary()).view(pa.string())
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"text": binary}), tmp_path / "in" / "a.parquet", use_dictionary=False)
    with pytest.raises(DataError, match=r"a.parquet, row 2: expected a string as the text, got bytes"):
        predict_files(classifier, str(tmp_path / "in"), str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("columns", "reading", "texts"),
    [
        ({"review": ["a", "b"], "n": [1, 2]}, {}, ["a", "b"]),
        ({"x": ["a", "b"], "text": ["c", "d"]}, {"text_column": "X"}, ["a", "b"]),
        ({"row": [{"en": "a", "fr": "b"}]}, {"text_column": "row.en"}, ["a"]),
        ({"text": pa.array(["a", "b", "a"]).dictionary_encode()}, {}, ["a", "b", "a"]),
        ({"text": pa.array(["a"], pa.large_string())}, {}, ["a"]),
    ],
    ids=["first text column", "by name", "nested", "dictionary", "large strings"],
)
def test_columns_are_chosen_as_predict_chooses_them(classifier, tmp_path, columns, reading, texts):
    write(tmp_path / "in" / "a.parquet", columns)
    predictor = RowPredictor(classifier.model, ReadOptions(**reading))
    predict_files(predictor, str(tmp_path / "in"), str(tmp_path / "out"))
    assert [row["text"] for row in read(tmp_path / "out")] == texts
    portions = one_process.predict(
        classifier.model, input_file=tmp_path / "in" / "a.parquet", reading=ReadOptions(**reading)
    )
    assert [row["text"] for portion in portions for row in portion] == texts


def test_files_of_any_file_system(classifier, files, tmp_path):
    """With Arrow's own reader, and with fsspec's; folders are kept."""
    import fsspec

    write(files / "deep" / "c.parquet", rows_of("classify", 4, seed=5))
    predict_files(classifier, str(files), str(tmp_path / "one"), rows_per_part=30)
    assert (tmp_path / "one" / "deep" / "c-000000000001.parquet").is_file()
    predict_files(classifier, f"file://{files}/**/*.parquet", f"file://{tmp_path}/two", rows_per_part=30)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    memory = fsspec.filesystem("memory")
    memory.put(str(files), "/in", recursive=True)
    for found in (0, 4):
        done = predict_files(classifier, "memory://in/**/*.parquet", "memory://out", rows_per_part=30)
        assert done == (74, 0, 4, found)
    memory.get("/out", str(tmp_path / "three"), recursive=True)
    assert read(tmp_path / "three") == read(tmp_path / "one")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.parquet", ["a", "b"]),
        ("?.parquet", ["a", "b"]),
        ("[b-z].parquet", ["b"]),
        ("**/*.parquet", ["a", "b", "deep/c"]),
        ("*/*.parquet", ["deep/c"]),
        ("a.parquet", ["a"]),
        ("", ["a", "b", "deep/c"]),
    ],
)
def test_patterns(files, pattern, names):
    from stepscan.distributed.locations import find_files

    write(files / "deep" / "c.parquet", rows_of("classify", 4, seed=5))
    if "**" in pattern or not pattern:
        for hidden in ("_temporary/d", ".trash/e", "deep/_f", ".g", "deep/_old/new/h"):
            write(files / f"{hidden}.parquet", rows_of("classify", 4))
    (files / "notes.txt").write_text("")
    location, found = find_files(f"{files}/{pattern}")
    assert [f"{files}/{name}.parquet" for name in names] == [location.join(name) for name in found]


def test_files_that_are_not_whole_yet_are_refused(classifier, files, tmp_path):
    """Their output would be removed at the end of the run."""
    write(files / "_temporary" / "c.parquet", rows_of("classify", 4))
    for pattern in ("*/*.parquet", "_temporary*/*.parquet"):
        with pytest.raises(DataError, match=r"expected files outside of _temporary, .*, got _temporary/c.parquet"):
            predict_files(classifier, str(files / pattern), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    done = predict_files(classifier, str(files / "_temporary" / "*.parquet"), str(tmp_path / "out"))  # named, not found
    assert (done.rows, [path.name for path in (tmp_path / "out").glob("*.parquet")]) == (4, ["c-000000000001.parquet"])


def test_an_overwrite_that_was_interrupted_goes_on(classifier, files, tmp_path, monkeypatch):
    out = str(tmp_path / "out")
    predict_files(classifier, str(files), out, rows_per_part=10)

    def killed(self, names):
        for name in names[:3]:
            self.system.delete_file(self.join(name))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Location, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            predict_files(classifier, str(files), out, rows_per_part=20, overwrite=True)
    assert len(contents(tmp_path / "out")) == 4
    with pytest.raises(StepscanError, match="a run that had --rows-per-part 10"):
        predict_files(classifier, str(files), out, rows_per_part=20)
    done = predict_files(classifier, str(files), out, rows_per_part=20, overwrite=True)
    assert (done.rows, done.found) == (70, 0)
    assert len(contents(tmp_path / "out")) == done.parts


def test_the_output_may_be_next_to_the_files(classifier, files):
    for found in (0, 2):
        assert predict_files(classifier, str(files / "*.parquet"), str(files / "out")) == (70, 0, 2, found)


def test_what_is_refused(models, classifier, files, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("")
    write(tmp_path / "empty" / "a.parquet", {"text": []})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.parquet").write_bytes(b"PAR1 and more")
    (tmp_path / "letter").write_text("")
    for pattern, output, said in (
        (files, "letter", "letter: .*(written|read): .*"),
        (files, "letter/out", "letter/out: the folder cannot be written: "),
        (files, "full", "full: expected a new folder, or one of an earlier run, got letter.txt; choose another name"),
        (files, "in", "--output: expected a folder apart from the input, got .*in and .*in; choose another one"),
        (files, "in/out", "--output: expected a folder apart from the input"),
        (files / "*.parquet", "in", "--output: expected a folder apart from the input"),
        (files / "*.parquet", ".", "--output: expected a folder apart from the input"),
        (files / "*.csv", "out", r"\*.csv: expected Parquet files, got none. Put a pattern between quotation marks."),
        (tmp_path / "full/*", "out", r"full/\*: expected Parquet files, called .parquet, got letter.txt. Choose the"),
        (tmp_path / "empty", "out", "empty: expected files with rows, got only empty ones"),
        (tmp_path / "broken", "out", "broken/a.parquet: expected a Parquet file, got an error: "),
        ("nothing://x/*.parquet", "out", "nothing://x: expected a file system that Arrow or fsspec reads"),
    ):
        with pytest.raises(StepscanError, match=said):
            predict_files(classifier, str(pattern), str(tmp_path / output))
    for arguments, said in (
        ({"rows_per_part": 0}, "rows_per_part: expected a whole number of at least 1, got 0"),
        ({"workers": 0}, "workers: expected a whole number of at least 1, got 0"),
    ):
        with pytest.raises(SettingsError, match=said):
            predict_files(classifier, str(files), str(tmp_path / "out"), **arguments)
    with pytest.raises(SettingsError, match="expected a model of any other task, got a language model; texts are gen"):
        RowPredictor(ss.runtime.load(models["generate"]))
    with pytest.raises(SettingsError, match="expected a model that runs without PyTorch, got an estimator, Classifier"):
        RowPredictor(ss.load(models["classify"]))
    with pytest.raises(SettingsError, match="n_best: not for models of the task classify"):
        RowPredictor(classifier.model, arguments={"n_best": 2})
    with pytest.raises(SettingsError, match="--delimiter: expected files of text, got a table of values; omit it"):
        RowPredictor(classifier.model, ReadOptions(delimiter=";"))
    write(tmp_path / "named" / "a.parquet", {"words": ["a"]})
    with pytest.raises(DataError, match=r"a.parquet, line 1: expected a column 'text', got the columns 'words'"):
        predict_files(classifier, str(tmp_path / "named"), str(tmp_path / "out"))


def test_one_run_at_a_time(classifier, files, tmp_path):
    out = tmp_path / "out"
    code = f"""
from pathlib import Path
from stepscan.storage.lock import SAVING, lock_file, locked
with locked(lock_file(Path({str(out)!r})), Path({str(out)!r}), SAVING):
    print("held", flush=True)
    input()
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(ss.__file__).parents[1])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StepscanError, match=f"is being written by process {other.pid} "):
            predict_files(classifier, str(files), str(out))
        other.communicate("\n")
    assert predict_files(classifier, str(files), str(out)).rows == 70
