"""Times of series: how they are written, their step, and what is said where a row is missing, twice or out of order."""

from __future__ import annotations

import logging
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepscan.data.series.readers import read_labelled_series, read_series, read_tagged_series, read_timed_series
from stepscan.data.series.regular_series import fill_gaps
from stepscan.data.series.time_options import TimeOptions
from stepscan.data.series.time_step import TimeStep, next_times, parse_step
from stepscan.errors import DataError, SettingsError

IGNORE = "keep the rows as they are with --ignore-time."
TWICE = "Remove one of the two rows, name the column of several series with --series-column, or "
FILL = f"Fill gaps with --fill linear, previous or zero, or {IGNORE}"


def table(times, name="when"):
    rows = "".join(f'"{time}",{place}\n' for place, time in enumerate(times))
    return (f"{name},x\n" if name is not None else "") + rows


# how times are written (under which name; None: no header), the step, and the time that comes next
WRITTEN = [
    ("when", ["2021-01-30", "2021-01-31", "2021-02-01"], "1 day", "2021-02-02"),
    ("when", ["2021/01/30", "2021/01/31", "2021/02/01"], "1 day", "2021-02-02"),
    ("when", ["31.12.2020", "01.01.2021", "02.01.2021"], "1 day", "2021-01-03"),
    ("when", ["31.12.20", "01.01.21"], "1 day", "2021-01-02"),
    ("when", ["12/31/2020", "01/01/2021"], "1 day", "2021-01-02"),
    ("when", ["31-12-2020", "01-01-2021"], "1 day", "2021-01-02"),
    ("date", ["20201231", "20210101"], "1 day", "2021-01-02"),
    (None, ["20201231", "20210101"], "1 day", "2021-01-02"),
    ("when", ["5 Jan 2021", "6 Jan 2021"], "1 day", "2021-01-07"),
    ("when", ["05-JAN-21", "06-JAN-21"], "1 day", "2021-01-07"),
    ("when", ["Jan 5, 2021", "Jan 6, 2021"], "1 day", "2021-01-07"),
    ("when", ["2021-01-01T00:00:00Z", "2021-01-01T00:15:00Z"], "15 minutes", "2021-01-01 00:30:00+00:00"),
    ("when", ["2021-01-01 00:00+01:00", "2021-01-01 06:00+01:00"], "6 hours", "2021-01-01 12:00:00+01:00"),
    ("when", ["1/13/2021 11:00 AM", "1/13/2021 12:00 PM", "1/13/2021 1:00 PM"], "1 hour", "2021-01-13 14:00:00"),
    ("when", ["2021-01-01 00:00:00.000", "2021-01-01 00:00:00.020"], "20 milliseconds", "2021-01-01 00:00:00.04"),
    ("when", ["2021-01", "2021-02", "2021-03"], "1 month", "2021-04"),
    ("when", ["2021M11", "2021M12"], "1 month", "2022-01"),
    ("when", ["11/2021", "12/2021"], "1 month", "2022-01"),
    ("when", ["Nov 2021", "Dec 2021"], "1 month", "2022-01"),
    ("when", ["Nov-21", "Dec-21"], "1 month", "2022-01"),
    ("month", ["202111", "202112"], "1 month", "2022-01"),
    ("when", ["2020-12-31", "2021-01-31", "2021-02-28"], "1 month", "2021-03-31"),
    ("when", ["2021-01-15", "2021-02-15", "2021-03-15"], "1 month", "2021-04-15"),
    ("when", ["1990Q3", "1990Q4", "1991Q1"], "1 quarter", "1991-Q2"),
    ("when", ["1990-Q1", "1990-Q3"], "2 quarters", "1991-Q1"),
    ("when", ["Q3 1990", "Q4 1990"], "1 quarter", "1991-Q1"),
    ("when", ["1990-03-31", "1990-06-30", "1990-09-30"], "1 quarter", "1990-12-31"),
    ("year", ["1990", "1991", "1992"], "1 year", "1993"),
    (None, ["1990", "1991", "1992"], "1 year", "1993"),
    ("", ["1990", "1991", "1992"], None, None),  # pandas' index: it may be anything
    ("when", ["2021-W51", "2021-W52", "2022-W01"], "1 week", "2022-01-10"),
    ("when", ["2019-12-31", "2020-12-31", "2021-12-31"], "1 year", "2022-12-31"),
    ("when", ["2021-01-03", "2021-01-10", "2021-01-17"], "1 week", "2021-01-24"),
    ("when", ["2021-01-07", "2021-01-08", "2021-01-11", "2021-01-12"], "1 business day", "2021-01-13"),
    ("timestamp", ["1614592800", "1614592860"], "1 minute", "1614592920"),
    ("ms", ["1614592800000", "1614592800020"], "20 milliseconds", "1614592800040"),
    (None, ["1614592800000", "1614592800020"], "20 milliseconds", "1614592800040"),
    ("", ["1614592800", "1614592860"], "1 minute", "1614592920"),
    ("timestamp", ["1614592800.00", "1614592800.02"], "20 milliseconds", "1614592800.04"),
    ("timestamp", ["1614592800000000000", "1614592800000000020"], "20 nanoseconds", "1614592800000000040"),
    ("time (s)", ["0.00", "0.02", "0.04"], "0.02", "0.06"),
    ("time", ["0.0167", "0.0333", "0.05", "0.0667"], "0.0167", "0.0834"),  # sixtieths, rounded
    ("when", ["23:50", "23:55", "00:00"], "5 minutes", "00:05:00"),
]


@pytest.mark.parametrize(("name", "times", "step", "then"), WRITTEN)
def test_written(name, times, step, then, file):
    [history] = read_timed_series(file("a.csv", table(times, name)))
    assert history.values.tolist() == [[place] for place in range(len(times))]
    if step is not None:
        assert str(history.step) == step
        assert parse_step(step) == history.step
        assert next_times(history.times, history.step, 1) == [then]


def test_day_or_month_first(file):
    """Decided from the whole column: by a number above 12, or because one reading alone is regular."""
    days = [f"{day:02}/03/2021" for day in (11, 12, 13)]
    firsts = [f"01/{month:02}/2021" for month in range(1, 13)] + ["01/01/2022"]
    for times, step in ((days, "1 day"), (firsts, "1 month"), ([f"{t[3:5]}/{t[:2]}{t[5:]}" for t in days], "1 day")):
        [history] = read_timed_series(file("a.csv", table(times)))
        assert str(history.step) == step
    either = file("a.csv", table(firsts[:3]))
    with pytest.raises(
        DataError,
        match=r"line 2: expected times that show whether the day or the month is first, got '01/01/2021'.*--day-first",
    ):
        read_series(either)
    for day_first, step in ((True, "1 month"), (False, "1 day")):
        [history] = read_timed_series(either, times=TimeOptions(day_first=day_first))
        assert str(history.step) == step
    with pytest.raises(DataError, match=r"line 3: expected one order of day and month, got '13/01/2021' \(line 2\)"):
        read_series(file("a.csv", table(["13/01/2021", "01/13/2021"])))


REFUSED = [
    (
        ["2021-01", "2021-02", "2021-05", "2021-06"],
        4,
        f"expected 2021-03 after 2021-02 (line 3), with a step of 1 month, got 2021-05: 2 rows are missing. {FILL}",
    ),
    (
        ["2021-01", "2021-02", "2021-02", "2021-03"],
        4,
        f"expected 2021-03 after 2021-02 (line 3), with a step of 1 month, got 2021-02 again. {TWICE}{IGNORE}",
    ),
    (
        ["2021-03", "2021-02", "2021-01"],
        3,
        "expected ascending times, got 2021-02 after 2021-03 (line 2): the newest row is first. Sort the rows "
        f"with --sort, or {IGNORE}",
    ),
    (
        ["2021-02", "2021-03", "2021-01"],
        4,
        f"expected ascending times, got 2021-01 after 2021-03 (line 3). Sort the rows with --sort, or {IGNORE}",
    ),
    (
        ["2021-01-01", "2021-02-01", "2021-03-17", "2021-04-17"],
        4,
        "expected 2021-03-01 after 2021-02-01 (line 3), with a step of 1 month, got 2021-03-17. Bring the rows to this "
        f"step, or {IGNORE}",
    ),
    (
        ["1990Q1", "1990Q2", "1990Q4", "1991Q1"],
        4,
        f"expected 1990-Q3 after 1990-Q2 (line 3), with a step of 1 quarter, got 1990-Q4: 1 row is missing. {FILL}",
    ),
    (
        ["2021-01-07", "2021-01-08", "2021-01-11", "2021-01-13", "2021-01-14"],
        5,
        "expected 2021-01-12 after 2021-01-11 (line 4), with a step of 1 business day, got 2021-01-13: 1 row is "
        f"missing. {FILL}",
    ),
    (
        ["2021-01", "2021-02", "soon"],
        4,
        "expected a time written as in line 2 ('2021-01'), got 'soon'. Name the column of times with --time-column, or "
        "omit it with --ignore-time.",
    ),
    (
        ["2021-01", "", "2021-03"],
        3,
        "expected a time, got an empty cell. Name the column of times with --time-column, or omit it with "
        "--ignore-time.",
    ),
    (["2021-02-28", "2021-02-29"], 3, "expected a time that exists, got '2021-02-29'."),
    (
        ["2021-01-01T00:00", "2021-01-01T01:00Z"],
        3,
        "expected a time without a time zone, as in line 2, got '2021-01-01T01:00Z'.",
    ),
    (
        ["2021-01", "2021-01"],
        3,
        f"expected a time after 2021-01 (line 2), got 2021-01 again. {TWICE}{IGNORE}",
    ),
]


@pytest.mark.parametrize(("times", "line", "reason"), REFUSED)
def test_refused(times, line, reason, file, refused):
    refused(line, reason, read_series, file("a.csv", table(times)))


@pytest.mark.parametrize(
    ("name", "times", "line", "got"),
    [
        ("", [0, 1, 2, 5, 6], 5, "got 5: 2 rows are missing"),  # pandas' index after dropna
        ("", [3, 2, 1, 0], 3, "got 2 after 3 (line 2): the newest row is first"),
        ("id", [2, 1, 3], 3, "got 1 after 2"),
        ("timestamp", [1614592800, 1614592860, 1614593040], 4, "got 1614593040: 2 rows are missing"),
        (None, [1614592800000, 1614592800020, 1614592800060], 3, "got 1614592800060: 1 row is missing"),
        ("time", ["0.00", "0.02", "0.04", "0.08"], 5, "got 0.08: 1 row is missing"),
        ("year", [1990, 1991, 1993], 4, "got 1993: 1 row is missing"),
    ],
)
def test_numbers_as_times_refused(name, times, line, got, file):
    with pytest.raises(DataError) as caught:
        read_series(file("a.csv", table(times, name)))
    assert (caught.value.line, got in caught.value.reason) == (line, True)


def test_remedies(file):
    """Sorted, filled, or as the rows stand."""
    path = file("a.csv", "when,x,y\n2021-05,5,50\n2021-02,2,20\n2021-01,1,10\n")
    by = {fill: read_series(path, times=TimeOptions(sort=True, fill=fill)) for fill in ("linear", "previous", "zero")}
    assert by["linear"][0].tolist() == [[1, 10], [2, 20], [3, 30], [4, 40], [5, 50]]
    assert by["previous"][0].tolist() == [[1, 10], [2, 20], [2, 20], [2, 20], [5, 50]]
    assert by["zero"][0].tolist() == [[1, 10], [2, 20], [0, 0], [0, 0], [5, 50]]
    assert read_series(path, times=TimeOptions(ignore=True))[0].tolist() == [[5, 50], [2, 20], [1, 10]]
    with pytest.raises(DataError, match="got 2021-05: 2 rows are missing"):
        read_series(path, times=TimeOptions(sort=True))
    with pytest.raises(DataError, match="got 2021-02 after 2021-05"):
        read_series(path, times=TimeOptions(fill="linear"))
    missing = file("b.csv", "when,x\n2021-01,1\n2021-02,?\n2021-03,3\n")
    assert read_series(missing, times=TimeOptions(fill="linear"))[0].tolist() == [[1], [2], [3]]
    early = file("c.csv", "when,x\n2021-01,\n2021-02,2\n")
    with pytest.raises(DataError, match="expected a value to fill from, got a dimension whose first value is missing"):
        read_series(early, times=TimeOptions(fill="previous"))
    far = file("d.csv", table(["1614592800", "1614592801", "1914592801"], "timestamp"))
    with pytest.raises(DataError, match="expected few gaps to fill, got 299,999,999 missing rows for 3 rows"):
        read_series(far, times=TimeOptions(fill="zero"))


def test_settings_refused(file):
    path = file("a.csv", "1\n2\n")
    for reading, said in (
        (TimeOptions(fill="mean"), "--fill: expected one of linear, previous, zero, got 'mean'"),
        (TimeOptions(ignore=True, sort=True), "--ignore-time excludes --sort and --time-column"),
        (TimeOptions(sort=True), "--sort: expected a column of times in .*, got none; name it with --time-column"),
        (TimeOptions(step="fortnight"), "step: expected a number and a unit .year, .* got 'fortnight'"),
    ):
        with pytest.raises(SettingsError, match=said):
            read_series(path, times=reading)
    np.save(path.with_suffix(".npy"), np.zeros(3))
    with pytest.raises(SettingsError, match=r"--sort: expected a format with times \('numbers' or 'ts'\), got 'npy'"):
        read_series(path.with_suffix(".npy"), times=TimeOptions(sort=True))
    with pytest.raises(SettingsError, match="--fill is not available for tagged series"):
        read_tagged_series(path, format="numbers", times=TimeOptions(fill="zero"))
    with pytest.raises(SettingsError, match="--sort and --fill: expected one step per row"):
        read_labelled_series(path, format="numbers", times=TimeOptions(sort=True))


def test_clocks_change(file):
    """An hour that is missing, or is there twice, on a Sunday when clocks change is no gap; with zones neither is."""
    spring = [f"2021-03-28 0{hour}:00" for hour in (0, 1, 3, 4)]
    autumn = [f"2021-10-31 0{hour}:00" for hour in (0, 1, 2, 2, 3)]
    halves = [f"2021-10-31 0{time}" for time in ("1:30", "2:00", "2:30", "2:00", "2:30", "3:00")]
    zoned = [f"2021-03-28T0{hour}:00+0{zone}:00" for hour, zone in ((0, 1), (1, 1), (3, 2), (4, 2))]
    for times in (spring, autumn, halves, zoned):
        assert read_series(file("a.csv", table(times)))[0][:, 0].tolist() == [*range(len(times))]
    days = [f"2021-03-{day}T00:00+0{zone}:00" for day, zone in ((27, 1), (28, 1), (29, 2), (30, 2))]
    [history] = read_timed_series(file("a.csv", table(days)))
    assert (str(history.step), next_times(history.times, history.step, 1)) == ("1 day", ["2021-03-31"])
    with pytest.raises(DataError, match="1 row is missing"):
        read_series(file("a.csv", table([time.replace("28", "27") for time in spring])))


def test_steps_of_a_sensor_may_jitter(file):
    times = [0, 20, 41, 60, 79, 100]
    assert len(read_series(file("a.csv", table(times, "time (ms)")))[0]) == 6
    with pytest.raises(DataError, match="got 120: 1 row is missing"):
        read_series(file("a.csv", table([0, 20, 41, 60, 79, 120], "time (ms)")))


def test_which_column(file, caplog):
    """The time may be anywhere, in several columns, or beside an index; what is no dimension is logged."""
    caplog.set_level(logging.INFO)
    for content, said in (
        ("x,y,time\n1,2,2021-01-01\n3,4,2021-01-02\n", "column 'time' is the time of the rows, not a value"),
        ("1,2021-01-01,2\n3,2021-01-02,4\n", "column 2 (unnamed) is the time of the rows, not a value"),
        (",x,y\n0,1,2\n1,3,4\n", "column 1 (unnamed) counts the rows and is left out"),
        ("Unnamed: 0,x,y\n96,1,2\n97,3,4\n", "column 'Unnamed: 0' counts the rows and is left out"),
        ("x,index,y\n1,1,2\n3,2,4\n", "column 'index' counts the rows and is left out"),
        (",date,x,y\n0,2021-01-01,1,2\n1,2021-01-02,3,4\n", "column 'date' is the time"),
        ("Date,Time,x,y\n16/12/2006,17:24:00,1,2\n16/12/2006,17:25:00,3,4\n", "column 'Date' with column 'Time' is"),
        ("No,year,month,day,hour,x,y\n1,2010,1,1,23,1,2\n2,2010,1,2,0,3,4\n", "column 'No' counts the rows"),
        ("year,month,x,y\n2010,12,1,2\n2011,1,3,4\n", "column 'year' with column 'month' is the time"),
    ):
        caplog.clear()
        assert read_series(file("a.csv", content))[0].tolist() == [[1, 2], [3, 4]], content
        assert any(said in message for message in caplog.messages), caplog.messages
    for content, values in (
        ("x\n0\n1\n2\n", [[0], [1], [2]]),  # a lone column is values
        ("0,5\n1,6\n2,7\n", [[5], [6], [7]]),
        ("1,5\n2,6\n", [[1, 5], [2, 6]]),  # two rows do not count
        ("month,hour,x\n2021-01,9,1\n2021-02,8,2\n", [[9, 1], [8, 2]]),
        ("bytes,x\n1500000000,1\n1500000017,2\n1500000050,3\n1500000055,4\n", None),
        ("ds,target\n2021-01,3\n2021-02,4\n", [[3], [4]]),
    ):
        expected = values or np.loadtxt(content.splitlines()[1:], delimiter=",").tolist()
        assert read_series(file("a.csv", content))[0].tolist() == expected, content
    path = file("a.csv", "start,end,x\n2021-01-01,2021-01-02,3\n2021-01-02,2021-01-03,4\n")
    with pytest.raises(DataError, match="expected one column of times, got 2: column 'start', column 'end'"):
        read_series(path)
    path = file("a.csv", "month,x\n1,5\n2,6\n1,7\n")
    with pytest.raises(DataError, match="expected rising or falling times in column 'month', got neither"):
        read_series(path)
    assert read_series(path, times=TimeOptions(column="none"))[0].tolist() == [[1, 5], [2, 6], [1, 7]]


def test_column_named(file):
    path = file("a.csv", "a,b,x\n1,10,5\n2,20,6\n3,40,7\n")
    assert read_series(path)[0].shape == (3, 3)
    assert read_series(path, times=TimeOptions(column="A"))[0].tolist() == [[10, 5], [20, 6], [40, 7]]
    with pytest.raises(
        DataError, match=r"expected 30 after 20 \(line 3\), with a step of 10, got 40: 1 row is missing"
    ):
        read_series(path, times=TimeOptions(column="b"))
    with pytest.raises(DataError, match=r"line 1: expected a column 'bb' in the header, got none. Did you mean 'b'\?"):
        read_series(path, times=TimeOptions(column="bb"))
    bare = file("b.csv", "5,1\n6,2\n7,3\n")
    assert read_series(bare, times=TimeOptions(column="2"))[0].tolist() == [[5], [6], [7]]
    with pytest.raises(DataError, match="expected the column of times as a position from 1 to 2, got '3'"):
        read_series(bare, times=TimeOptions(column="3"))


def test_step_of_the_model(file):
    """A model of months reads no days; a short history is held against the model's step."""
    months, days = (file(f"{n}.csv", table([f"2021-{time}" for time in n.split()])) for n in ("01 02", "01-01 01-02"))
    monthly = TimeOptions(step="1 month")
    assert len(read_series(months, times=monthly)[0]) == 2
    with pytest.raises(
        DataError, match=r"expected 2021-02-01 after .*, with the model's step of 1 month, got 2021-01-02"
    ):
        read_series(days, times=monthly)
    business = TimeOptions(step="1 business day")
    friday = file("c.csv", table(["2021-01-08", "2021-01-11"]))
    assert len(read_series(friday, times=business)[0]) == 2


def test_times_of_tagged_steps(file):
    """Each series has times of its own, with one step; the last column that is not a time is the tag."""
    content = "timestamp,x,activity\n0,1,a\n20,2,b\n40,3,a\n\n0,4,b\n20,5,b\n"
    for text in (content, content.replace("timestamp", "time (ms)"), content.replace("timestamp,", ",")):
        first, second = read_tagged_series(file("a.csv", text), format="numbers")
        assert (first.values.tolist(), first.tags) == ([[1], [2], [3]], ["a", "b", "a"])
        assert (second.values.tolist(), second.tags) == ([[4], [5]], ["b", "b"])
    long = "ms,x,tag\n" + "".join(f"{t},1,a\n" for t in range(0, 1500, 20)) + "\n1500,1,a\n1520,2,a\n1540,3,a\n"
    assert len(read_tagged_series(file("e.csv", long.replace("ms", "time")), format="numbers")[1].tags) == 3
    last = file("b.csv", "x,activity,when\n1,a,2021-01-01\n2,b,2021-01-02\n")
    [series] = read_tagged_series(last, format="numbers")
    assert (series.values.tolist(), series.tags) == ([[1], [2]], ["a", "b"])
    [series] = read_tagged_series(last, format="numbers", labelled=False)
    assert (series.values.tolist(), series.tags) == ([[1], [2]], ["a", "b"])
    falling = file("c.csv", "time,x,tag\n40,3,a\n20,2,b\n0,1,c\n")
    with pytest.raises(
        DataError, match="line 3: expected ascending times, got 20 after 40 \\(line 2\\): the newest row is first"
    ):
        read_tagged_series(falling, format="numbers")
    [series] = read_tagged_series(falling, format="numbers", times=TimeOptions(sort=True))
    assert (series.values.tolist(), series.tags) == ([[1], [2], [3]], ["c", "b", "a"])
    with pytest.raises(DataError, match=r"line 6: expected 20 after 0 \(line 5\), with a step of 20, got 60"):
        read_tagged_series(file("d.csv", "time,x,tag\n0,1,a\n20,2,b\n\n0,4,b\n60,5,b\n"), format="numbers")


def test_times_of_labelled_rows(file):
    """A row's own date or number is no part of its series."""
    for content in ("id,a,b,label\n7,1,2,up\n3,3,4,down\n", "date,a,b,kind\n2021-02-01,1,2,up\n2021-01-01,3,4,down\n"):
        examples = read_labelled_series(file("a.csv", content), format="numbers")
        assert [(one.values[:, 0].tolist(), one.label) for one in examples] == [([1, 2], "up"), ([3, 4], "down")]


TS = "@timeStamps true\n@classLabel true a b\n@data\n"


def test_ts_with_times(file, refused):
    hours = [f"2007-05-14 0{hour}:00:00" for hour in range(4)]
    row = ",".join(f"({time},{value})" for time, value in zip(hours, (1, 2.5, 3, 4), strict=True))
    other = ",".join(f"({time},{value})" for time, value in zip(hours, (5, 6, 7, 8), strict=True))
    [example] = read_labelled_series(file("a.ts", f"{TS}{row}:{other}:a\n"))
    assert (example.values.tolist(), example.label) == ([[1, 5], [2.5, 6], [3, 7], [4, 8]], "a")
    assert str(read_timed_series(file("a.ts", f"{TS}{row}:a\n"))[0].step) == "1 hour"
    gap = file("a.ts", f"{TS}(0,1),(1,2),(2,3):a\n(0,1),(2,3):b\n")
    reason = f"expected 1 after 0 (line 5), with a step of 1, got 2: 1 row is missing. {FILL}"
    refused(5, reason, read_labelled_series, gap)
    examples = read_labelled_series(gap, times=TimeOptions(fill="linear"))
    assert [one.values[:, 0].tolist() for one in examples] == [[1, 2, 3], [1, 2, 3]]
    examples = read_labelled_series(gap, times=TimeOptions(ignore=True))
    assert [one.values[:, 0].tolist() for one in examples] == [[1, 2, 3], [1, 3]]
    for rest, reason in (
        (
            "(0,1),(1,2):(0,1),(2,2):a\n",
            "expected the time 1 for value 2 of dimension 2, as in dimension 1, got 2.",
        ),
        ("1,2:a\n", "expected (time,value) pairs in dimension 1 (@timeStamps true), got '1,2'."),
        ("(0,1),(1,x):a\n", "expected a finite number as value 2, got 'x'."),
    ):
        refused(4, reason, read_labelled_series, file("a.ts", TS + rest))


@given(
    st.dates(date(1950, 1, 1), date(2090, 1, 1)),
    st.sampled_from([("day", 1), ("week", 7), ("10 days", 10)]),
    st.lists(st.integers(1, 40), unique=True, min_size=3, max_size=20),
)
def test_any_rows_missing(tmp_path_factory, start, step, missing):
    """Whatever rows are taken away, filling brings back a straight line; without it the first gap is named."""
    name, days = step
    kept = [place for place in range(60) if place not in missing]
    path = tmp_path_factory.mktemp("times") / "a.csv"
    path.write_text("when,x\n" + "".join(f"{start + timedelta(days * place)},{place}\n" for place in kept))
    reading = TimeOptions(step=name)
    assert read_series(path, times=reading._replace(fill="linear"))[0][:, 0].tolist() == pytest.approx(range(60))
    with pytest.raises(DataError) as caught:
        read_series(path, times=reading)
    assert caught.value.line == next(i for i, place in enumerate(kept) if place != i) + 2


def test_steps_by_name():
    assert parse_step("") is None
    assert parse_step("month") == TimeStep("month", 1)
    assert parse_step("3 months") == parse_step("quarter") == TimeStep("month", 3)
    assert parse_step("15 minutes") == TimeStep("time", 900 * 10**9)
    assert parse_step("0.02") == TimeStep("number", 2 * 10**7)
    assert str(parse_step("7 days")) == "1 week"
    for step in (
        TimeStep("number", 50_000),
        TimeStep("number", 1234567 * 10**9 + 5),
        TimeStep("time", 7),
        TimeStep("month", 5),
    ):
        assert parse_step(str(step)) == step


def test_times_beyond_the_calendar(file):
    [history] = read_timed_series(file("a.csv", table(["9997", "9998"], "date")))
    assert history.values.tolist() == [[0], [1]]
    [history] = read_timed_series(file("b.csv", table(["9998-01-01", "9999-01-01"])))
    assert next_times(history.times, history.step, 2) == []


def test_filled_is_a_copy():
    values = np.array([[1.0], [np.nan], [3.0]])
    assert fill_gaps(values, "linear", "a").tolist() == [[1], [2], [3]]
    assert np.isnan(values[1, 0])
