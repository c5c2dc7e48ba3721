"""Parquet files and data sets of `datasets`; a set on disk stands for one of the Hub, which tests cannot reach."""

from __future__ import annotations

import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

import stepscan as ss
from stepscan.data.readers import read_labelled, read_parallel, read_sentences, read_tagged, read_texts, stream_labelled
from stepscan.data.task_data import ReadOptions, read_examples

REVIEWS = {"text": ["a good film", "a bad film"], "label": ["pos", "neg"]}


@pytest.fixture
def parquet(tmp_path):
    def write(columns: dict[str, list], name: str = "a.parquet"):
        pq.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def sets(tmp_path):
    """A set with splits, whose labels are numbers with names, and one without."""
    kinds = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    train = Dataset.from_dict({"text": ["a good film", "a bad film"], "label": [1, 0]}, features=kinds)
    test = Dataset.from_dict({"text": ["good"], "label": [1]}, features=kinds)
    DatasetDict({"train": train, "test": test}).save_to_disk(tmp_path / "reviews")
    kinds = Features({"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=["O", "B-person"]))})
    Dataset.from_dict({"tokens": [["Ann", "runs"]], "ner_tags": [[1, 0]]}, features=kinds).save_to_disk(
        tmp_path / "ner"
    )
    return tmp_path


def test_parquet(parquet):
    path = parquet({"sentence": ["a good film", "a bad film"], "stars": [5, 1], "target": ["x", "y"]})
    assert read_labelled(path, label_column="stars") == [("a good film", "5"), ("a bad film", "1")]
    assert read_labelled(path, label_column="stars", problem_type="regression")[0] == ("a good film", 5.0)
    assert read_texts(path) == ["a good film", "a bad film"]
    assert read_parallel(parquet({"source": ["a", "b"], "target": ["A", "B"]})) == [("a", "A"), ("b", "B")]
    path = parquet({"tokens": [["a", "b"], ["c"]], "tags": [["X", "Y"], ["X"]]})
    assert read_tagged(path) == [(["a", "b"], ["X", "Y"]), (["c"], ["X"])]
    assert read_sentences(path) == [["a", "b"], ["c"]]
    path = parquet({"text": ["a", "b"], "labels": [["x", "y"], []]})
    assert read_labelled(path, problem_type="multilabel") == [("a", ["x", "y"]), ("b", [])]
    assert read_examples("generate", [path], ReadOptions()) == ("a\nb",)


def test_row_groups_are_read_one_after_the_other(tmp_path):
    """Memory does not grow with their number."""
    peaks = []
    for groups in (3, 30):
        texts = [f"{number} " + "x" * 2000 for number in range(100 * groups)]
        path = tmp_path / f"{groups}.parquet"
        pq.write_table(pa.table({"text": texts, "label": texts}), path, row_group_size=100, compression="none")
        rows, before = stream_labelled(path), pa.total_allocated_bytes()
        read = [(row.text, pa.total_allocated_bytes() - before) for row in rows]
        assert [text for text, _ in read] == texts
        peaks.append(max(size for _, size in read))
    assert 0 < peaks[1] <= 1.2 * peaks[0]


def test_data_set(sets):
    assert read_labelled(f"hf:{sets}/reviews") == [("a good film", "pos"), ("a bad film", "neg")]
    assert read_labelled(f"hf:{sets}/reviews:test") == [("good", "pos")]
    assert read_tagged(f"hf:{sets}/ner") == [(["Ann", "runs"], ["B-person", "O"])]


def test_names_of_classes_in_parquet(tmp_path):
    path = tmp_path / "ner.parquet"
    kinds = Features({"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=["O", "B-person"]))})
    Dataset.from_dict({"tokens": [["Ann", "runs"]], "ner_tags": [[1, 0]]}, features=kinds).to_parquet(path)
    assert read_tagged(path) == [(["Ann", "runs"], ["B-person", "O"])]
    kinds = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    Dataset.from_dict({"text": ["good", "bad"], "label": [1, 0]}, features=kinds).to_parquet(path)
    assert read_labelled(path) == [("good", "pos"), ("bad", "neg")]


def test_skipped_rows(parquet):
    path, bad = parquet({"text": ["a", "", None, "b"], "label": ["x", "y", "x", None]}), ss.data.bad_lines.BadLines()
    assert read_labelled(path, bad_lines=bad) == [("a", "x")]
    assert bad.counts == {str(path): 3}


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (
            {"words": ["a"], "label": ["x"]},
            r"a.parquet, line 1: expected a column 'text', got the columns 'words', 'label'",
        ),
        ({"text": [""], "label": ["x"]}, r"a.parquet, line 1: expected a text, got an empty string"),
        ({"text": ["a"], "label": [None]}, r"expected a string, number, true or false as the label, got null"),
        ({"text": [], "label": []}, r"a.parquet: expected a data set with rows, got none"),
    ],
)
def test_refused(parquet, columns, reason):
    with pytest.raises(ss.DataError, match=reason):
        read_labelled(parquet(columns))


def test_refused_sentences(parquet):
    with pytest.raises(ss.DataError, match="line 1: expected one tag per token, got 2 tokens and 1 tags"):
        read_tagged(parquet({"tokens": [["a", "b"]], "tags": [["X"]]}))
    with pytest.raises(ss.DataError, match="line 1: expected a list of strings as the tokens"):
        read_tagged(parquet({"tokens": ["a b"], "tags": [["X"]]}))


def test_refused_sets(sets, tmp_path, monkeypatch):
    with pytest.raises(ss.DataError, match=r"expected a data set with a split 'tset', got none. Did you mean 'test'\?"):
        read_labelled(f"hf:{sets}/reviews:tset")
    with pytest.raises(ss.DataError, match="expected a data set with a split 'test', got one without splits"):
        read_tagged(f"hf:{sets}/ner:test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ss.DataError, match="the data set cannot be loaded"):
        read_labelled(f"hf:{tmp_path}/empty")
    (tmp_path / "broken.parquet").write_text("no parquet")
    with pytest.raises(ss.DataError, match=r"broken.parquet: expected a Parquet file, got an error: "):
        read_labelled(tmp_path / "broken.parquet")
    for library, path in (("datasets", f"hf:{sets}/reviews"), ("pyarrow", tmp_path / "broken.parquet")):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(ss.StepscanError, match=rf"this needs {library}: pip install 'stepscan\[hub\]'"):
            read_labelled(path)


def test_command_line(parquet, run, tmp_path):
    path = parquet({"text": REVIEWS["text"] * 10, "label": REVIEWS["label"] * 10})
    small = ["--hidden-size", "4", "--embedding-size", "4", "--epochs", "1", "--quiet"]
    assert run("train", "classify", "--train", path, "--out", tmp_path / "m", *small).code == 0
    assert len(run("predict", tmp_path / "m", "--input", path).out.splitlines()) == 20
