"""On Ray: the same files and rows as by one process, also where workers are killed; no worker imports torch."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from parquet_files import contents, pa, pq, rows_of, write

import stepscan as ss
from stepscan.distributed import RowPredictor, predict, predict_files
from stepscan.distributed.cluster import check_reachable, keep_little
from stepscan.distributed.datasets import TableWorker
from stepscan.errors import DataError, SettingsError, StepscanError
from stepscan.kernels import native

ray = pytest.importorskip("ray", reason="needs ray: pip install 'stepscan[ray]'")
pytest.importorskip("ray.data", reason="needs ray.data: pip install 'stepscan[ray]'")
pytestmark = pytest.mark.skipif(native.library is None, reason="no native library was built")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Two processors of this machine, which report nothing to anybody."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # Ray would write one into the user's folder
        patch.delenv("RAY_AUTH_MODE", raising=False)  # which Ray sets
        yield from _started()


def _started():
    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=2**27,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
        logging_level="ERROR",
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


def test_workers_that_are_killed_cost_nothing_but_time(models, files, tmp_path):
    """Three die in the middle of a part; Ray starts others, and every part is written once."""

    class Mortal(RowPredictor):  # its workers get the class itself, as it is not one of a module
        def predict(self, values, name, path, first):
            for number in (6, 16, 41):
                mark = f"{self.folder}/dead {number}"
                if first == number and not os.path.exists(mark):
                    open(mark, "x").close()
                    os.kill(os.getpid(), signal.SIGKILL)
            with open(f"{self.folder}/living", "a") as log:
                log.write(f"{first} {os.getpid()} {'torch' in sys.modules}\n")
            return super().predict(values, name, path, first)

    model = ss.runtime.load(models["classify"])
    predict_files(RowPredictor(model), str(files), str(tmp_path / "one"), rows_per_part=5)
    predictor = Mortal(model)
    predictor.folder = str(tmp_path)
    done = predict_files(predictor, str(files), str(tmp_path / "two"), rows_per_part=5, ray="auto", workers=2)
    assert done == (70, 0, 14, 0)
    assert len(list(tmp_path.glob("dead *"))) == 3
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    lines = [line.split() for line in (tmp_path / "living").read_text().splitlines()]
    assert {torch for *_, torch in lines} == {"False"}
    assert str(os.getpid()) not in {pid for _, pid, _ in lines}
    assert not (tmp_path / "two" / "_temporary").exists()


def test_a_run_that_was_stopped_goes_on_elsewhere(models, files, tmp_path):
    """Begun by one process, ended by the cluster."""
    predictor = RowPredictor(ss.runtime.load(models["classify"]))
    predict_files(predictor, str(files), str(tmp_path / "out"), rows_per_part=10)
    whole = contents(tmp_path / "out")
    for name in list(whole)[::2]:
        (tmp_path / "out" / name).unlink()
    assert predict_files(predictor, str(files), str(tmp_path / "out"), rows_per_part=10, ray="local") == (70, 0, 7, 3)
    assert contents(tmp_path / "out") == whole


def test_bad_rows_of_files(models, tmp_path):
    path = write(tmp_path / "in" / "a.parquet", {"text": ["a", "b", None, "c", None, "d"]})
    predictor, out = RowPredictor(ss.runtime.load(models["classify"])), str(tmp_path / "out")
    with pytest.raises(DataError) as caught:
        predict_files(predictor, str(path), out, rows_per_part=3, ray="local")
    assert str(caught.value) in [f"{path}, row {row}: expected a string as the text, got null." for row in (3, 5)]


def test_what_a_worker_cannot_do_is_said(models, files, tmp_path):
    predictor = RowPredictor(ss.runtime.load(models["classify"]))
    predictor.version = "0.0.1"
    with pytest.raises(StepscanError, match=rf"a worker has Stepscan {ss.__version__}, expected 0.0.1"):
        predict_files(predictor, str(files), str(tmp_path / "out"), ray="local")


def test_data_sets(models, tmp_path):
    """In order, with their own columns, to the bit."""
    path = write(tmp_path / "in" / "a.parquet", rows_of("classify", 60), row_group_size=7)
    data = predict(ray.data.read_parquet(str(path)), models["classify"], prefix="its_")
    assert data.take_all() == expected_rows(pq.ParquetFile(path).read().to_pylist(), models["classify"], "text", "its_")


@pytest.mark.parametrize("task", ["tag", "translate"])
def test_tables_of_other_tasks(models, task):
    """What an actor makes of a table."""
    table = pa.table(rows_of(task, 60))
    [column] = table.column_names
    worker = TableWorker(RowPredictor(ss.runtime.load(models[task])), column, "its_", "error")
    assert worker(table).to_pylist() == expected_rows(table.to_pylist(), models[task], column, "its_")


def expected_rows(rows, folder, column, prefix):
    """Rows with the predictions of one process."""
    records = ss.runtime.load(folder).predict_records([row[column] for row in rows])
    both = zip(rows, records, strict=True)
    return [row | {f"{prefix}{name}": value for name, value in one.items()} for row, one in both]


def test_bad_rows_of_data_sets(models):
    data = ray.data.from_items([{"review": "a", "n": 1}, {"review": None, "n": 2}, {"review": "good", "n": 3}])
    rows = predict(data, models["classify"], bad_rows="column").take_all()
    assert [row["error"] for row in rows] == [None, "expected a string as the text, got null.", None]
    first, third = ss.runtime.load(models["classify"]).predict_records(["a", "good"])
    empty = {"label": None, "probability": None}
    assert [{name: row[name] for name in empty} for row in rows] == [first, empty, third]
    with pytest.raises(
        ray.exceptions.RayTaskError, match=r"expected a string as the text, got null. The row: {'review'"
    ):
        predict(data, models["classify"]).take_all()


def test_what_data_sets_refuse(models):
    data = ray.data.from_items([{"text": "a", "label": "pos"}])
    with pytest.raises(
        SettingsError, match="expected new names for the predictions, but the data set has 'label'; set"
    ):
        predict(data, models["classify"])
    with pytest.raises(SettingsError, match="bad_rows: expected 'error' or 'column', got 'skip'"):
        predict(data, models["classify"], bad_rows="skip")
    with pytest.raises(DataError, match="expected a column 'words', got the columns 'text', 'label'"):
        predict(data, models["classify"], column="words")
    with pytest.raises(SettingsError, match="got a language model"):
        predict(data, models["generate"])


def test_the_command(models, files, tmp_path):
    """A cluster of its own, which ends with it, and in which nobody else has a part."""
    predictor = RowPredictor(ss.runtime.load(models["classify"]))
    predict_files(predictor, str(files), str(tmp_path / "one"), rows_per_part=30)
    command = ["predict", models["classify"], "--input", files, "--output", tmp_path / "two", "--rows-per-part", 30]
    words = ["stepscan", *map(str, command), "--ray"]
    code = f"import sys; sys.argv = {words!r}; from stepscan.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(Path(ss.__file__).parents[1])}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith(f"note: {tmp_path / 'two'}: 70 rows in 3 files\n")
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999999"])
def test_no_cluster(address):
    """Said at once: Ray itself would try for minutes."""
    with pytest.raises(
        StepscanError, match=rf"--ray {address}: expected the address of a Ray cluster, such as auto or"
    ):
        check_reachable(address)


def test_a_worker_lets_arrow_give_memory_back():
    before = pa.default_memory_pool()
    try:
        keep_little()
        assert pa.default_memory_pool().backend_name == "system"
    finally:
        pa.set_memory_pool(before)


def test_the_largest_parts_come_first(models, files, tmp_path):
    """Whatever their order in the input, so that workers end at about the same time."""

    class Telling(RowPredictor):
        def predict(self, values, name, path, first):
            with open(f"{self.folder}/order", "a") as order:
                order.write(f"{len(values)} ")
            return super().predict(values, name, path, first)

    source = tmp_path / "in"
    for name, rows in (("a", 3), ("b", 40), ("c", 20)):
        write(source / f"{name}.parquet", {"text": ["a good film"] * rows})
    predictor = Telling(ss.runtime.load(models["classify"]))
    predictor.folder = str(tmp_path)
    predict_files(predictor, str(source), str(tmp_path / "out"), ray="local", workers=1)
    assert (tmp_path / "order").read_text() == "40 20 3 "
