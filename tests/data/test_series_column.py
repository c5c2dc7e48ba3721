"""Long tables: several series in one file, each row under the name of its own."""

from __future__ import annotations

import logging

import pytest

from stepscan.data.series.readers import read_labelled_series, read_tagged_series, read_timed_series
from stepscan.data.series.time_options import TimeOptions
from stepscan.errors import DataError, SettingsError

DAYS = [f"2021-01-0{day}" for day in range(1, 5)]
A, B = [10.0, 11.0, 12.0, 13.0], [20.0, 21.0, 22.0]


def long(a, b, name="unique_id", interleaved=False):
    rows = [(a, day, x) for day, x in zip(DAYS, A, strict=True)]
    rows += [(b, day, x) for day, x in zip(DAYS[1:], B, strict=True)]
    if interleaved:
        rows.sort(key=lambda row: row[1])
    return f"{name},ds,y\n" + "".join(f"{one},{day},{x}\n" for one, day, x in rows)


def read(path, **times):
    return [
        (history.name, history.values[:, 0].tolist(), str(history.step))
        for history in read_timed_series(path, format="numbers", times=TimeOptions(**times))
    ]


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("names", [("A", "B"), ("1", "2"), ("B 1", "A,1")])
def test_series_by_name(names, interleaved, file, caplog):
    """As the tables of statsforecast, GluonTS and others are; in the order in which they begin."""
    caplog.set_level(logging.INFO)
    quoted = [f'"{name}"' for name in names]
    expected = [(names[0], A, "1 day"), (names[1], B, "1 day")]
    for column in ("unique_id", "item_id", "series_id", "ID"):
        path = file("a.csv", long(*quoted, column, interleaved))
        assert read(path) == expected
        assert f"{path}: column {column!r} names the series of a row: 2 series" in caplog.messages
    other = file("b.csv", long(*quoted, "shop", interleaved))
    assert read(other, series="shop") == read(other, series="1") == expected


def test_series_without_times(file):
    rows = "7,1\n7,2\n8,5\n8,6\n"
    assert read(file("a.csv", "series_id,y\n" + rows)) == [("7", [1, 2], "None"), ("8", [5, 6], "None")]
    assert read(file("a.csv", rows), series="1") == [("7", [1, 2], "None"), ("8", [5, 6], "None")]
    assert read(file("a.csv", "x,1\nx,2\ny,5\n"), series="1") == [("x", [1, 2], "None"), ("y", [5], "None")]


def test_counts_of_each_series(file):
    """Rows may be counted in each series, or in the whole file."""
    each = file("a.csv", "item_id,time_idx,y\na,0,1\na,1,2\na,2,3\nb,0,5\nb,1,6\n")
    whole = file("b.csv", ",unique_id,y\n0,a,1\n1,b,5\n2,a,2\n3,a,3\n4,b,6\n")
    for path in (each, whole):
        assert [(name, values) for name, values, _ in read(path)] == [("a", [1, 2, 3]), ("b", [5, 6])]
    gap = file("c.csv", "item_id,t,y\na,0,1\na,1,2\na,2,3\nb,0,5\nb,2,6\n")
    with pytest.raises(DataError, match=r"c\.csv, line 6: expected 1 after 0 \(line 5\).*got 2: 1 row is missing"):
        read(gap)


def test_each_series_has_times_of_its_own(file):
    path = file("a.csv", long("A", "B").replace("A,2021-01-02,11.0\n", ""))
    with pytest.raises(DataError, match=r"line 3: expected 2021-01-02 after 2021-01-01 .*: 1 row is missing"):
        read(path)
    assert read(path, fill="linear") == [("A", A, "1 day"), ("B", B, "1 day")]
    back = file("b.csv", "unique_id,ds,y\n" + "".join(f"{n},{day},{day[-1]}\n" for n in "AB" for day in DAYS[::-1]))
    with pytest.raises(DataError, match="the newest row is first"):
        read(back)
    assert read(back, sort=True) == [(n, [1, 2, 3, 4], "1 day") for n in "AB"]
    assert read(back, ignore=True) == [(n, [4, 3, 2, 1], "None") for n in "AB"]


def test_a_single_series(file):
    assert read(file("a.csv", "unique_id,ds,y\nA,2021-01-01,1\nA,2021-01-02,2\n")) == [("A", [1, 2], "1 day")]


def test_what_only_looks_like_names(file):
    """Numbers that are values remain so."""
    for content in ("subject,y\n1.5,1\n1.5,2\n2.5,3\n", "level,y\n1,1\n1,2\n2,3\n"):
        [history] = read_timed_series(file("a.csv", content))
        assert len(history.values) == 3
    [history] = read_timed_series(file("a.csv", "item_id,y\n1,1\n1,2\n2,3\n2,4\n"), times=TimeOptions(series="none"))
    assert history.values.tolist() == [[1, 1], [1, 2], [2, 3], [2, 4]]


def test_tagged_steps_of_several_series(file):
    rows = "1,0.5,x\n1,1.5,y\n2,2.5,x\n1,3.5,x\n"
    expected = [([0.5, 1.5, 3.5], ["x", "y", "x"]), ([2.5], ["x"])]
    for name in ("subject", "id", "subject_id"):
        found = read_tagged_series(file("a.csv", f"{name},v,label\n{rows}"), format="numbers")
        assert [(one.values[:, 0].tolist(), one.tags) for one in found] == expected
    other = file("b.csv", "who,v,label\n" + rows.replace("1,", "ann,", 1).replace("\n1,", "\nann,"))
    found = read_tagged_series(other, format="numbers", times=TimeOptions(series="who"))
    assert [(one.values[:, 0].tolist(), one.tags) for one in found] == expected
    timed = file("c.csv", "id,ds,v,label\n" + "".join(f"{n},{day},1,x\n" for n in "ab" for day in DAYS))
    assert [len(one.tags) for one in read_tagged_series(timed, format="numbers")] == [4, 4]


def test_name_beside_a_row_that_is_a_series(file):
    path = file("a.csv", "patient,v1,v2,label\nann,1,2,x\nbob,3,4,y\n")
    found = read_labelled_series(path, format="numbers", times=TimeOptions(series="patient"))
    assert [(one.values[:, 0].tolist(), one.label) for one in found] == [([1, 2], "x"), ([3, 4], "y")]


def test_refused(file, tmp_path):
    path = file("a.csv", "shop,ds,y\nA,2021-01-01,1\nB,2021-01-01,2\n")
    with pytest.raises(DataError, match=r"line 2: expected a finite number as value 1, got 'A'\. .*--series-column"):
        read(path)
    with pytest.raises(
        DataError, match=r"line 1: expected a column 'shops' in the header, got none\. Did you mean 'shop'\?"
    ):
        read(path, series="shops")
    with pytest.raises(DataError, match="expected a column of numbers, got only columns of times and names"):
        read(file("b.csv", "shop,ds\nA,2021-01-01\n"), series="shop")
    with pytest.raises(DataError, match=r"line 3: expected the name of a series, got an empty cell\."):
        read(file("c.csv", "unique_id,y\nA,1\n,2\nA,3\n"))
    ints = file("d.csv", "shop,ds,y\n1,2021-01-01,1\n2,2021-01-01,2\n1,2021-01-02,1\n2,2021-01-02,2\n")
    with pytest.raises(DataError, match=r"got 2021-01-01 again.*column of several series with --series-column"):
        read(ints)
    ts = file("e.ts", "1,2:a\n")
    with pytest.raises(SettingsError, match="--series-column: expected format 'numbers', got 'ts'"):
        read_timed_series(ts, times=TimeOptions(series="x"))


def test_one_class_for_each_series_of_a_long_table(file):
    """As panels for classification are: a step a row under the name of its series, the label in every row."""
    path = file(
        "a.csv", "who,ds,v,w,label\n" + "".join(f"{n},{d},{i},1,{n}{n}\n" for n in "ab" for i, d in enumerate(DAYS))
    )
    found = read_labelled_series(path, format="numbers", times=TimeOptions(series="who"))
    assert [(one.values.tolist(), one.label) for one in found] == [
        ([[i, 1] for i in range(4)], n) for n in ("aa", "bb")
    ]
    bare = file("b.csv", "who,v\na,1\nb,2\na,3\n")
    found = read_labelled_series(bare, format="numbers", labelled=False, times=TimeOptions(series="who"))
    assert [(one.values.tolist(), one.label) for one in found] == [([[1], [3]], None), ([[2]], None)]
    mixed = file("c.csv", "who,v,label\na,1,x\nb,2,y\na,3,y\n")
    with pytest.raises(DataError, match=r"line 4: expected the label 'x' for series 'a', as in line 2, got 'y'"):
        read_labelled_series(mixed, format="numbers", times=TimeOptions(series="who"))
    back = file("d.csv", "who,ds,v,label\na,2021-01-02,2,x\na,2021-01-01,1,x\n")
    with pytest.raises(DataError, match="the newest row is first"):
        read_labelled_series(back, format="numbers", times=TimeOptions(series="who"))
    [one] = read_labelled_series(back, format="numbers", times=TimeOptions(series="who", sort=True))
    assert one.values.tolist() == [[1], [2]]


@pytest.mark.parametrize("names", ["ab", "12"])
def test_names_that_repeat_where_rows_are_series(names, file):
    """Several windows of a subject, or the steps of its series? Nothing shows it."""
    path = file("a.csv", "subject,v,w,label\n" + "".join(f"{n},{i},1,x\n" for n in names for i in range(3)))
    with pytest.raises(DataError, match=r"line 3: .*'subject'.*--series-column subject.*remove the column"):
        read_labelled_series(path, format="numbers")
    kept = file("b.csv", "subject,v,w,label\n1,2,3,x\n1,4,5,y\n")
    found = read_labelled_series(kept, format="numbers", times=TimeOptions(series="none"))
    assert [one.values[:, 0].tolist() for one in found] == [[1, 2, 3], [1, 4, 5]]


def test_a_name_of_its_own_for_each_row(file, caplog):
    caplog.set_level(logging.INFO)
    path = file("a.csv", "id,V1,V2\nY1,1,2\nY2,3,4\n")
    with pytest.raises(DataError, match=r"line 3: expected several rows per series, got a different name in each row"):
        read(path)
    with pytest.raises(DataError, match=r"expected several rows per series.*[Tt]ranspose"):
        read_tagged_series(file("c.csv", "id,V1,V2,label\nY1,1,2,a\nY2,3,4,b\n"), format="numbers")
    caplog.clear()
    read_labelled_series(file("b.csv", "id,V1,V2,label\nY1,1,2,a\nY2,3,4,b\n"), format="numbers")
    assert any("column 'id' names the rows and is left out" in message for message in caplog.messages)
