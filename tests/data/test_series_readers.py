"""Readers of numeric sequences, against NumPy's own reading where it has one."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from stepscan.data.series.readers import read_labelled_series, read_series, read_tagged_series, series_format
from stepscan.errors import DataError, SettingsError

HEADER = "#made up\n@problemName Toy\n\n@timeStamps false\n@classLabel true up down\n@data\n"
GAP = "Fill the gaps or remove the series: missing values are not imputed."


def test_ts_with_a_header(file):
    examples = read_labelled_series(file("a.ts", HEADER + "1,2.5,-3e-1:4,5,6:up\n7:8:down\n"))
    assert [example.label for example in examples] == ["up", "down"]
    assert examples[0].values.tolist() == [[1, 4], [2.5, 5], [-0.3, 6]]
    assert examples[1].values.tolist() == [[7, 8]]
    assert examples[0].values.dtype == np.float64


def test_ts_without_a_header(file):
    examples = read_labelled_series(file("a.ts", "1,2:a b\n3,4,5:c\n"))
    assert [(example.values[:, 0].tolist(), example.label) for example in examples] == [
        ([1, 2], "a b"),
        ([3, 4, 5], "c"),
    ]


def test_ts_without_labels(file):
    path = file("a.ts", "@classLabel false\n@data\n1,2:3,4\n")
    examples = read_labelled_series(path, labelled=False)
    assert (examples[0].values.tolist(), examples[0].label) == ([[1, 3], [2, 4]], None)
    with pytest.raises(
        DataError, match=r"expected a class for every series, got @classLabel false.*add the line @targetLabel"
    ):
        read_labelled_series(path)


TARGET = "@classLabel false\n@targetlabel true\n@data\n"


@pytest.mark.parametrize(
    "header",
    [
        TARGET,
        "@targetLabel TRUE\n@data\n",
        "@TARGETLABEL true\n@CLASSLABEL false\n@DATA\n",
        "#x\n@targetlabel true\n\n@data\n",
    ],
)
@pytest.mark.parametrize("labelled", [True, False])
def test_ts_with_numbers_to_be_predicted(header, labelled, file):
    """As aeon writes them: a target is no dimension."""
    path = file("a.ts", header + "1,2:3,4:2.358\n5,6:7,8:-0.5\n")
    examples = read_labelled_series(path, labelled=labelled)
    assert [example.label for example in examples] == ["2.358", "-0.5"]
    assert examples[0].values.tolist() == [[1, 3], [2, 4]]


def test_ts_numbers_are_not_classes(file, refused):
    path = file("a.ts", TARGET + "1,2:0.5\n")
    reason = (
        "expected classes, got @targetLabel true: each series has a number to predict. Add --problem-type regression."
    )
    for problem_type in ("classification", "multilabel"):
        refused(2, reason, read_labelled_series, path, problem_type=problem_type)
    assert read_labelled_series(path, problem_type="regression")[0].label == "0.5"


def test_ts_of_aeon_without_labels(file, refused):
    """Each dimension ends in a colon; of no classes its writer makes the class `None`."""
    for header in ("@classLabel false\n@data\n", "@targetlabel false\n@data\n", "@classLabel true None\n@data\n"):
        examples = read_labelled_series(file("a.ts", header + "1,2:3,4:\n"), labelled=False)
        assert [(one.values.tolist(), one.label) for one in examples] == [([[1, 3], [2, 4]], None)]
    refused(
        3,
        "expected a label, got an empty string.",
        read_labelled_series,
        file("a.ts", "@classLabel true None\n@data\n1,2:\n"),
    )


def test_ts_classes_by_their_names(file):
    """`1.0` is the class `1`, and a name may have blanks."""
    path = file("a.ts", "@classLabel true 1 2 not good\n@data\n# a comment\n1:1.0\n2:2\n3:not good\n")
    assert [one.label for one in read_labelled_series(path)] == ["1.0", "2", "not good"]


def test_ts_of_another_length_is_said(file, caplog):
    lengths = "@equalLength true\n@seriesLength 2\n"
    for header, said in ((lengths, "@seriesLength 2"), ("@equalLength true\n@seriesLength -1\n", "@equalLength true")):
        path = file("a.ts", header + "@data\n1,2:a\n1,2,3:b\n1:a\n")
        assert [len(one.values) for one in read_labelled_series(path)] == [2, 3, 1]
        assert caplog.messages == [
            f"{path}, line 5: expected a series of the length in the header ({said}), got 3 steps"
        ]
        caplog.clear()
    read_labelled_series(file("a.ts", "@equalLength false\n@seriesLength 2\n@data\n1:a\n1,2,3:b\n"))
    assert caplog.messages == []


def test_gzip(tmp_path):
    path = tmp_path / "a.ts.gz"
    path.write_bytes(gzip.compress(b"1,2:a\n"))
    assert read_labelled_series(path)[0].values.tolist() == [[1], [2]]


def test_ucr_against_numpy(tmp_path):
    table = np.random.default_rng(0).normal(size=(5, 8))
    table[:, 0] = [1, -1, 1, 2, 1]
    path = tmp_path / "a.txt"
    for separator in (" ", "\t", ","):
        np.savetxt(path, table, delimiter=separator, fmt="%.15e")
        examples = read_labelled_series(path, format="ucr")
        again = np.loadtxt(path, delimiter=separator)
        assert np.array_equal(np.stack([example.values[:, 0] for example in examples]), again[:, 1:])
        assert [example.label for example in examples] == ["1", "-1", "1", "2", "1"]


@pytest.mark.parametrize("separator", ["\t", ",", ", ", " ", ";", "   "])
def test_ucr_padded_with_nan(separator, file, caplog):
    """The archive's text: NaN at the end of a series is its end."""
    caplog.set_level("INFO", "stepscan")
    rows = ["1 0.5 1 2", "2 3 NaN NaN", "1 4 5 nan"]
    path = file("a.tsv", "\n".join(row.replace(" ", separator) for row in rows) + "\n")
    examples = read_labelled_series(path, format="ucr")
    assert [(one.values[:, 0].tolist(), one.label) for one in examples] == [
        ([0.5, 1, 2], "1"),
        ([3], "2"),
        ([4, 5], "1"),
    ]
    assert caplog.messages == [f"{path}, line 2: NaN at the end of a series is read as padding"]


def test_ucr_cut_short(file):
    """As pandas writes rows of different lengths."""
    examples = read_labelled_series(file("a.csv", "1,2,3\n2,4,\n"), format="ucr")
    assert [one.values[:, 0].tolist() for one in examples] == [[2, 3], [4]]


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        ("0.5,1,up\n2,3,4,down\n", {}),
        ("up,0.5,1\ndown,2,3,4\n", {"label_column": 1}),
        ("a,b,Class\n0.5,1,up\n", {}),
        ("0,1,label\n0.5,1,up\n", {}),
        ("kind,a,b\nup,0.5,1\n", {"label_column": "Kind"}),
    ],
)
def test_labelled_rows(content, settings, file):
    examples = read_labelled_series(file("a.csv", content), format="numbers", **settings)
    assert (examples[0].values.tolist(), examples[0].label) == ([[0.5], [1]], "up")
    if "down" in content:
        assert (examples[1].values[:, 0].tolist(), examples[1].label) == ([2, 3, 4], "down")


def test_rows_without_labels(file):
    for content, labels in (("0.5,1\n2,3\n", [None, None]), ("0.5,1,up\n2,3,down\n", ["up", "down"])):
        examples = read_labelled_series(file("a.csv", content), format="numbers", labelled=False)
        assert [example.values[:, 0].tolist() for example in examples] == [[0.5, 1], [2, 3]]
        assert [example.label for example in examples] == labels


def test_tagged_steps(file):
    content = "x,y,tag\n1,2,a\n3,4,b\n\n5,6,a\n"
    for text in (content, content.removeprefix("x,y,tag\n"), "\n" + content + "\n\n"):
        first, second = read_tagged_series(file("a.csv", text), format="numbers")
        assert (first.values.tolist(), first.tags) == ([[1, 2], [3, 4]], ["a", "b"])
        assert (second.values.tolist(), second.tags) == ([[5, 6]], ["a"])


def test_steps_without_tags(file, tmp_path):
    series = read_tagged_series(file("a.csv", "1,2\n3,4\n\n5,6\n"), format="numbers", labelled=False)
    assert [(one.values.tolist(), one.tags) for one in series] == [([[1, 2], [3, 4]], []), ([[5, 6]], [])]
    np.save(tmp_path / "a.npy", np.ones((1, 2)))
    assert read_tagged_series(tmp_path / "a.npy", labelled=False)[0].tags == []


@pytest.mark.parametrize(
    "content",
    [
        "Date,A,B\n1949-01,1,2\n1949-02,3,4\n",
        "1949-01,1,2\n1949-02,3,4\n",
        "1,2\n3,4\n",
        "a,b\n1,2\n3,4\n\n",
        "ds,A,B\n1,1,2\n2,3,4",
    ],
)
def test_histories_of_a_table(content, file):
    (series,) = read_series(file("a.csv", content))
    assert series.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("mark", [";", "\t", "|", "; "])
def test_other_delimiters_of_numbers(mark, file):
    def written(content):
        return file("a.csv", content.replace(",", mark))

    for header in ("month,A,B\n", ""):
        (series,) = read_series(written(header + "2020-01,1,2.5\n2020-02,3,-4\n"))
        assert series.tolist() == [[1, 2.5], [3, -4]]
    examples = read_labelled_series(written("0.5,1,up\n2,3,4,down\n"), format="numbers")
    assert [(one.values[:, 0].tolist(), one.label) for one in examples] == [([0.5, 1], "up"), ([2, 3, 4], "down")]
    tagged = read_tagged_series(written("x,tag\n1,a\n\n2,b\n"), format="numbers")
    assert [(one.values.tolist(), one.tags) for one in tagged] == [([[1]], ["a"]), ([[2]], ["b"])]


def test_numbers_as_numpy_writes_them(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 3))
    np.savetxt(tmp_path / "a.txt", values)
    assert np.array_equal(read_series(tmp_path / "a.txt")[0], np.loadtxt(tmp_path / "a.txt"))


def test_decimal_commas(file, refused):
    (series,) = read_series(file("a.csv", "month;sales\n2020-01;10,5\n2020-02;1,234\n2020-03;7\n"))
    assert series.tolist() == [[10.5], [1.234], [7]]
    (series,) = read_series(file("a.csv", "date;sales\n2020-01;0,125\n2020-02;1,234\n"))
    assert series.tolist() == [[0.125], [1.234]]
    examples = read_labelled_series(file("a.csv", "1,5;2;v.1\n2;3;v.2\n"), format="numbers")
    assert [(one.values[:, 0].tolist(), one.label) for one in examples] == [([1.5, 2], "v.1"), ([2, 3], "v.2")]
    reason = "expected a number, got '1,234', which may be 1.234 or 1234. Write numbers with a decimal point."
    refused(2, reason, read_series, file("a.csv", "month;sales\n2020-01;1,234\n2020-02;7\n"))
    refused(3, "expected a finite number as value 1, got '1,5'.", read_series, file("a.csv", "a;b\n1.5;2\n1,5;2\n"))


def test_arrays(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 4, 2))
    path = tmp_path / "a.npy"
    np.save(path, values)
    assert [series.tolist() for series in read_series(path)] == values.tolist()
    unlabelled = read_labelled_series(path, labelled=False)
    assert [example.values.tolist() for example in unlabelled] == values.tolist()
    with pytest.raises(
        DataError, match=r"a.labels.npy: no such file. The labels of NAME.npy belong into NAME.labels.npy"
    ):
        read_labelled_series(path)
    np.save(tmp_path / "a.labels.npy", np.array([1, 0, 1]))
    assert [example.label for example in read_labelled_series(path)] == ["1", "0", "1"]
    np.save(tmp_path / "a.labels.npy", np.array([list("abab"), list("bbbb"), list("aabb")]))
    assert [example.tags for example in read_tagged_series(path)] == [list("abab"), list("bbbb"), list("aabb")]
    packed = tmp_path / "a.npy.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_tagged_series(packed)[1].values.tolist() == values[1].tolist()


def test_arrays_as_histories(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(4, dtype=np.int16))
    assert [series.tolist() for series in read_series(path)] == [[[0], [1], [2], [3]]]
    np.save(path, np.arange(4.0).reshape(2, 2))
    assert [series.tolist() for series in read_series(path)] == [[[0, 1], [2, 3]]]


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (HEADER + "1,x:up\n", 7, "expected a finite number as value 2 of dimension 1, got 'x'."),
        (HEADER + "1,2:1,?:up\n", 7, f"expected a number as value 2 of dimension 2, got a missing value (?). {GAP}"),
        (HEADER + "1,NaN:up\n", 7, f"expected a number as value 2 of dimension 1, got a missing value (NaN). {GAP}"),
        (HEADER + "1,inf:up\n", 7, "expected a finite number as value 2 of dimension 1, got 'inf'."),
        (HEADER + "1,1_0:up\n", 7, "expected a finite number as value 2 of dimension 1, got '1_0'."),
        (HEADER + "1,:up\n", 7, f"expected a number as value 2 of dimension 1, got a missing value (empty). {GAP}"),
        (HEADER + "1,2:3:up\n", 7, "expected 2 values in dimension 2, as in dimension 1, got 1."),
        (HEADER + "1:2:up\n3:up\n", 8, "expected 2 dimensions, as in line 7, got 1."),
        (HEADER + "1:upp\n", 7, "expected a class of the header's @classLabel, got 'upp'. Did you mean 'up'?"),
        (HEADER + "1:\n", 7, "expected a label, got an empty string."),
        (HEADER + "1\n", 7, "expected values, a colon and a label, got '1'."),
        (HEADER + "1:up\n\n2:up\n", 8, "expected a series, got a blank line. Remove it."),
        (HEADER, None, "expected series below the header, got none."),
        ("@data\n1:a\n@data\n", 3, "expected values, a colon and a label, got '@data'."),
        ("@problemName x\n1:a\n", 2, "expected @data before the first series, got a series."),
        ("@problemName x\n", None, "expected series after @data, got a file that ends in its header."),
        (
            "@classLabel false\n@data\n1,2:0.5\n",
            3,
            "expected no label (@classLabel false), got a single value after the last colon. If it is a number to "
            "predict, add the line @targetLabel true; if it is a class, @classLabel true.",
        ),
        (
            "@univariate true\n@classLabel true a\n@data\n1:2:a\n",
            4,
            "expected @univariate true, as in the header, got 2 dimensions and a label. Correct the header or the "
            "line.",
        ),
        (
            "@dimensions 2\n@classLabel true a\n@data\n1,2:3,4\n",
            4,
            "expected @dimensions 2, as in the header, got 1 dimension and a label. Correct the header or the line.",
        ),
        (
            "@classLabel true a\n@targetLabel true\n@data\n1:1\n",
            2,
            "expected one kind of label, got @classLabel true and @targetLabel true. Write false in "
            "one of these lines.",
        ),
        ("@targetLabel\n@data\n1:a", 1, "expected true or false after @targetLabel, got ''."),
        ("@classLabel maybe\n@data\n1:a", 1, "expected true or false after @classLabel, got 'maybe'."),
    ],
)
def test_ts_refused(content, line, reason, file, refused):
    labelled = "@classLabel false" not in content
    refused(line, reason, read_labelled_series, file("a.ts", content), labelled=labelled)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("1,2,a\n1,b,c\n", 2, "expected a finite number as value 2, got 'b'."),
        ("x,y,label\n1,2\n", 2, "expected 3 fields, as in the header, got 2."),
        ("x,y,label\n1,,a\n", 2, f"expected a number as value 2, got a missing value (empty). {GAP}"),
        ("x,y,label\n1,2,\n", 2, "expected a label, got an empty string."),
        ("x,y,label\n", 1, "expected rows below the header, got none."),
        ("a\n", 1, "expected numbers and a label, got a single cell."),
    ],
)
def test_labelled_rows_refused(content, line, reason, file, refused):
    refused(line, reason, read_labelled_series, file("a.csv", content), format="numbers")


def test_label_column_refused(file, refused):
    path = file("a.csv", "x,y,kind\n1,2,a\n")
    reason = "expected a column 'kimd' in the header, got none. Did you mean 'kind'?"
    refused(1, reason, read_labelled_series, path, format="numbers", label_column="kimd")
    reason = "expected the label in a column from 1 to 3, got column 4."
    refused(2, reason, read_labelled_series, path, format="numbers", label_column=4)
    with pytest.raises(SettingsError, match="expected format 'numbers', got 'ts', which has no columns"):
        read_labelled_series(file("a.ts", "1:a\n"), label_column="x")


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("1,2\n3\n", 2, "expected 2 fields, as in line 1, got 1."),
        ("date,x\n1949-01,1\n1949-02,?\n", 3, f"expected a number as value 1, got a missing value (?). {GAP}"),
        ("x\n1\n\n2\n", 3, "expected an example, got a blank line. Remove it."),
        ("x\n", 1, "expected rows below the header, got none."),
        ("date\n1949-01\n", 1, "expected a column of numbers, got only columns of times and names."),
        ("\n", None, "expected at least one line of text, got an empty file."),
    ],
)
def test_histories_refused(content, line, reason, file, refused):
    refused(line, reason, read_series, file("a.csv", content))


def test_ucr_refused(file, refused):
    refused(1, "expected a label and numbers, got '1'.", read_labelled_series, file("a.txt", "1\n"), format="ucr")
    reason = "expected numbers after the label, got only missing values."
    refused(1, reason, read_labelled_series, file("a.txt", "1 NaN NaN\n"), format="ucr")
    for row in ("1\t2\tNaN\t3", "1 2 nan 3", "1,2,NaN,3,NaN"):
        refused(
            1,
            f"expected a number as value 2, got a missing value ({row[4:7]}). {GAP}",
            read_labelled_series,
            file("a.txt", row),
            format="ucr",
        )
    for row in ("1,2,,3", "1\t2\t\t3", "1;2;;3"):
        refused(
            1,
            f"expected a number as value 2, got a missing value (empty). {GAP}",
            read_labelled_series,
            file("a.txt", row),
            format="ucr",
        )
    refused(
        1,
        "expected a finite number as value 1, got '0,5'.",
        read_labelled_series,
        file("a.txt", "1\t0,5\t2"),
        format="ucr",
    )


def test_arrays_refused(tmp_path, refused):
    path = tmp_path / "a.npy"
    np.save(path, np.array([[1.0, np.inf]]))
    refused(None, f"expected a finite number at [0, 1], got inf. {GAP}", read_series, path)
    np.save(path, np.array(["a"]))
    refused(None, "expected an array of real numbers, got <U1.", read_series, path)
    np.save(path, np.zeros((2, 3)))
    np.save(tmp_path / "a.labels.npy", np.array([1, 2, 3]))
    with pytest.raises(DataError, match=r"expected labels of shape \(2,\), got \(3,\)"):
        read_labelled_series(path)
    np.save(tmp_path / "a.labels.npy", np.array([1.5, 2]))
    with pytest.raises(DataError, match="expected labels that are whole numbers or strings, got float64"):
        read_labelled_series(path)
    np.save(path, np.zeros(()))
    with pytest.raises(DataError, match=r"expected an array \[T\], \[T, D\] or \[N, T, D\], got the shape \(\)"):
        read_series(path)


def test_no_pickle_is_opened(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(
        DataError, match=r"expected a \.npy file of numbers, got an invalid one: Object arrays cannot be loaded"
    ):
        read_series(path)


def test_broken_arrays(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((100, 2)))
    whole = path.read_bytes()
    huge = whole.replace(b"(100, 2), }      ", b"(100000000000,), }")[: len(whole)]
    assert huge != whole
    for content in (b"", b"hello", whole[:50], whole[:-1], huge, gzip.compress(whole)[:-5]):
        path.write_bytes(content)
        with pytest.raises(DataError):
            read_series(path)
    with pytest.raises(DataError, match="no such file"):
        read_series(tmp_path / "b.npy")


def test_formats():
    assert series_format("a.TS.gz") == "ts"
    assert series_format("a.npy") == "npy"
    assert series_format("a.csv") is None
    assert series_format("a.csv", "ucr") == "ucr"
    assert series_format("a.ts", "lines") is None
    with pytest.raises(
        SettingsError, match=r"expected a format for the numbers in b.txt, one of ts, npy, ucr, numbers; got none"
    ):
        read_labelled_series("b.txt")
    with pytest.raises(SettingsError, match="Did you mean 'ucr'"):
        read_labelled_series("b.txt", format="ucl")
    with pytest.raises(SettingsError, match=r"expected a format with one label per step .*, got 'ts'"):
        read_tagged_series("b.ts")
