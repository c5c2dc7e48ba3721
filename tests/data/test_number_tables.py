"""Tables of numbers as spreadsheets, NumPy, pandas and loggers write them."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from stepscan.data.series.readers import read_labelled_series, read_series, read_tagged_series, read_timed_series
from stepscan.data.series.time_options import TimeOptions
from stepscan.data.series.time_step import next_times
from stepscan.errors import DataError

DAYS = [f"2021-01-0{day}" for day in range(1, 6)]
VALUES = [[1.5, 2], [3.25, 4], [5, 6.5], [7, 8], [9, 10]]


def values(path, **times):
    return read_series(path, format="numbers", times=TimeOptions(**times))[0].tolist()


def rows(separator=",", point="."):
    return "".join(separator.join(f"{x}".replace(".", point) for x in row) + "\n" for row in VALUES)


@pytest.mark.parametrize(
    "content",
    [
        "# made by a logger\n" + rows(),
        "# made by a logger\n# on, some, day\na,b\n" + rows(),
        "# a,b\n" + rows(),
        "#a,b\n" + rows(),
        "# a b\n" + rows(" "),
        "# made by a logger\n# a b\n" + rows(" "),
        "# made by a logger\na;b\n" + rows(";", ","),
        rows().replace("\n", "\n# restarted\n", 1),
        rows() + "# end\n",
        "a,b,\n" + rows().replace("\n", ",\n"),
        "a,b\n" + "".join(f'"{x}","{y}"\n'.replace(".", ",") for x, y in VALUES),
        "\n".join(f"{day} {x} {y}" for day, (x, y) in zip(DAYS, VALUES, strict=True)),
        "ds x y\n" + "\n".join(f"{day} {x} {y}" for day, (x, y) in zip(DAYS, VALUES, strict=True)),
        "\n".join(f"{day} 00:00:00 {x} {y}" for day, (x, y) in zip(DAYS, VALUES, strict=True)),
        "sep=;\na;b\n" + rows(";", ","),
    ],
)
def test_comments_commas_and_blanks(content, file):
    assert values(file("a.csv", content)) == VALUES


def test_comments_are_said(file, caplog):
    caplog.set_level(logging.INFO)
    path = file("a.csv", "# made by a logger\n1\n2\n#3\n4\n")
    assert values(path) == [[1], [2], [4]]
    assert f"{path}: 2 lines that begin with # are left out, the first: '# made by a logger'" in caplog.messages
    found = read_labelled_series(file("b.csv", "# x\n1,2,a\n3,4,b\n"), format="numbers")
    assert [one.label for one in found] == ["a", "b"]
    found = read_tagged_series(file("c.csv", "# x\n1,a\n\n# y\n2,b\n"), format="numbers")
    assert [one.tags for one in found] == [["a"], ["b"]]


def test_as_numpy_writes_a_header(tmp_path):
    np.savetxt(tmp_path / "a.txt", VALUES, header="time of day\nvolts")
    assert values(tmp_path / "a.txt") == VALUES
    np.savetxt(tmp_path / "b.csv", VALUES, header="volts,amperes", delimiter=",")
    assert values(tmp_path / "b.csv") == VALUES


def test_thousands(file, caplog):
    """`1.000,5` and `1,000.5` are the same number; what might be either is said."""
    dates = ["01.01.2021", "02.01.2021", "03.01.2021"]
    german = "Datum;Wert\n" + "".join(
        f"{day};{x}\n" for day, x in zip(dates, ("1.000,5", "900", "-1.234.567,25"), strict=True)
    )
    english = german.replace(";", ",").replace("1.000,5", '"1,000.5"').replace("-1.234.567,25", '"-1,234,567.25"')
    for content in (german, english):
        assert values(file("a.csv", content)) == [[1000.5], [900], [-1234567.25]]
    caplog.clear()
    path = file("b.csv", "Datum;Wert\n01.01.2021;900\n02.01.2021;1.050\n03.01.2021;1.100\n")
    assert values(path) == [[900], [1.05], [1.1]]
    said = f"{path}, line 3: '1.050' is read as 1.05; if it is 1050, remove the thousands separators"
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [said]
    caplog.clear()
    assert values(file("c.csv", "a\n0.125\n1.250\n")) == [[0.125], [1.25]]
    assert not caplog.records


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ('"1,000"', "which may be 1.000 or 1000. Write numbers with a decimal point."),
        ("1_000", "Remove the thousands separators."),
        ("5 kWh", "Remove the unit."),
        ("5%", "Remove the unit."),
        ("$5.20", "Remove the unit."),
        ("True", "Write 1 and 0."),
    ],
)
def test_what_is_not_plainly_a_number(cell, hint, file):
    with pytest.raises(DataError, match=rf"line 3: .* {hint}"):
        values(file("a.csv", f"ds,y\n2021-01-01,1\n2021-01-02,{cell}\n"))


def test_missing(file):
    for cell in ("-", "--", ".", ":", "#N/A", "<NA>", "NA", ""):
        path = file("a.csv", f"ds,y\n2021-01-01,1\n2021-01-02,{cell}\n2021-01-03,3\n")
        with pytest.raises(DataError, match="line 3: expected a number as value 1, got a missing value"):
            values(path)
        assert values(path, fill="linear") == [[1], [2], [3]]
    with pytest.raises(DataError, match="line 1: expected a number as value 1, got a missing value"):
        values(file("b.csv", "NA,1\n2,2\n3,3\n"))


def test_numbers_that_may_say_that_one_is_missing(file, caplog):
    for cell in ("-999", "-9999.0", "-99"):
        caplog.clear()
        path = file("a.csv", f"y\n1\n2\n{cell}\n4\n{cell}\n")
        values(path)
        assert caplog.messages == [
            f"{path}: {float(cell):g} occurs 2 times, far below all other values: if it marks missing values, write NA "
            "in their place"
        ]
    caplog.clear()
    values(file("a.csv", "y\n-999\n-1000\n-998\n"))
    values(file("a.csv", f"y\n{2**53}\n1\n"))
    assert not caplog.messages
    path = file("a.csv", f"y\n1\n{2**53 + 2}\n")
    values(path)
    assert caplog.messages == [f"{path}: whole numbers above 2^53, such as {2**53 + 2}, lose their last digits"]


WRITTEN = [
    ("year,week,y", ["2020,52,1", "2020,53,2", "2021,1,3"], "1 week", "2021-01-11"),
    ("Year,Quarter,y", ["2020,3,1", "2020,4,2", "2021,1,3"], "1 quarter", "2021-Q2"),
    ("year,month,y", ["2020,Nov,1", "2020,December,2", "2021,Jan,3"], "1 month", "2021-02-01"),
    ("date,hour,y", ["2021-01-01,22,1", "2021-01-01,23,2", "2021-01-02,0,3"], "1 hour", "2021-01-02 01:00:00"),
    ("Date,Hour,y", ["01.01.2021,23,1", "01.01.2021,24,2", "02.01.2021,1,3"], "1 hour", "2021-01-02 02:00:00"),
    ("date,hour,minute,y", ["2021-01-01,0,0,1", "2021-01-01,0,30,2", "2021-01-01,1,0,3"], "30 minutes", None),
    ("period,y", ["FY2020Q3,1", "FY2020Q4,2", "FY2021Q1,3"], "1 quarter", "2021-Q2"),
    ("period,y", ["FY20 Q3,1", "FY20 Q4,2", "FY21 Q1,3"], "1 quarter", "2021-Q2"),
    ("period,y", ["Q3'20,1", "Q4'20,2", "Q1'21,3"], "1 quarter", "2021-Q2"),
    ("period,y", ["3Q2020,1", "4Q2020,2", "1Q2021,3"], "1 quarter", "2021-Q2"),
    ("period,y", ["2020H1,1", "2020H2,2", "2021H1,3"], "2 quarters", "2021-07-01"),
    (",y", ["0 days,1", "1 days,2", "2 days,3"], "1 day", None),
    (",y", ["2021-02-26,1", "2021-03-31,2", "2021-04-30,3"], "1 month", None),  # the last business days
    ("ds,y", ["2021-01-15,1", "2021-02-19,2", "2021-03-19,3", "2021-04-16,4"], "1 month", None),  # third Fridays
    ("ds,y", ["2021-01-31,1", "2021-02-28,2", "2021-03-28,3", "2021-04-25,4"], "4 weeks", "2021-05-23"),
    ("season,y", ["2010/11,1", "2011/12,2", "2012/13,3", "2013/14,4"], "1 year", "2014"),
]


@pytest.mark.parametrize(("names", "lines", "step", "then"), WRITTEN)
def test_times_in_parts_and_other_words(names, lines, step, then, file):
    [history] = read_timed_series(file("a.csv", "\n".join([names, *lines])))
    assert history.values[:, 0].tolist() == [1, 2, 3, 4][: len(lines)]
    assert str(history.step) == step
    if then:
        assert next_times(history.times, history.step, 1) == [then]


def test_several_columns_of_times(file):
    """One is named; the others are no values either. Or none is read."""
    path = file("a.csv", "start,end,y\n2021-01-01,2021-01-02,1\n2021-01-02,2021-01-03,2\n")
    with pytest.raises(DataError, match=r"got 2: .*Choose one with --time-column\."):
        values(path)
    assert values(path, column="end") == values(path, ignore=True) == [[1], [2]]
    cyclic = file("b.csv", "week,y\n51,1\n52,2\n1,3\n")
    with pytest.raises(DataError, match=r"expected rising or falling times in .*--time-column none.*--ignore-time"):
        values(cyclic)
    assert values(cyclic, ignore=True) == [[1], [2], [3]]


def test_what_is_taken_for_a_time_says_how_to_keep_it(file, caplog):
    caplog.set_level(logging.INFO)
    for content in ("views,y\n1600000000,1\n1600001000,2\n", "1,5\n2,6\n3,9\n", "year,y\n2001,1\n2002,2\n"):
        caplog.clear()
        values(file("a.csv", content))
        assert caplog.messages[0].endswith("; if it holds values: --time-column none")
    with pytest.raises(DataError, match="If it holds values, add --time-column none"):
        values(file("a.csv", "year\n2001\n2002\n"))


def test_times_across_the_columns(file):
    """A series a row under a header of times is not read as a step a row."""
    for content in ("2021-01,2021-02,2021-03\n1,2,3\n4,5,6\n", "shop,2021-01,2021-02\nA,1,2\nB,3,4\n"):
        path = file("a.csv", content)
        with pytest.raises(
            DataError, match=r"line 1: expected one time step per row, got times in the header: .*[Tt]rans"
        ):
            values(path)
    found = read_labelled_series(file("b.csv", "2021-01,2021-02,label\n1,2,a\n3,4,b\n"), format="numbers")
    assert [one.values[:, 0].tolist() for one in found] == [[1, 2], [3, 4]]
