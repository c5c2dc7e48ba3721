"""Dates to translate: one meaning a text, and targets that are what the sources say."""

from __future__ import annotations

import re
import sys
from datetime import date

import pytest

from stepscan.data import builtin
from stepscan.data.builtin import date_pairs
from stepscan.errors import SettingsError


@pytest.fixture(scope="module")
def dates():
    return builtin.dates()


def test_every_text_has_one_meaning_in_whatever_language():
    babel_dates = date_pairs._import_babel_dates()
    meanings = {}
    for language, own in date_pairs.LANGUAGES.items():
        for pattern in date_pairs.COMMON_PATTERNS + own:
            for day in (date(2001, month, number) for month in range(1, 13) for number in (1, 6, 11, 27)):
                text = date_pairs._write(babel_dates, day, pattern, language).lower()
                assert "2001" in text
                assert meanings.setdefault(text, day) == day, text


def read_months(text: str) -> set[int]:
    """The months that a date may mean: by its numbers, or else by the words that name a month in some language."""
    numbers = re.findall(r"\d+", text)
    words = re.findall(r"[^\W\d]+", text)
    return {int(numbers[1])} if len(numbers) == 3 else {MONTHS[word] for word in words if word in MONTHS}


def month_numbers() -> dict[str, int]:
    """What the languages call their months, in lower case: no two give one name to different months."""
    names = date_pairs._import_babel_dates().get_month_names
    return {
        name.lower().rstrip("."): number
        for language in date_pairs.LANGUAGES
        for width in ("wide", "abbreviated")
        for number, name in names(width, "format", language).items()
    }


MONTHS = month_numbers()


def test_date_targets_are_the_days_that_the_sources_name(dates):
    for pair in (pair for part in dates for pair in part):
        day = date.fromisoformat(pair.target)
        assert {str(day.year), str(day.day)} <= {n.lstrip("0") for n in re.findall(r"\d+", pair.source)}
        assert day.month in read_months(pair.source.lower()), pair


def test_dates_are_of_different_days_and_half_in_lower_case(dates):
    assert [len(part) for part in dates] == [6000, 500, 500]
    assert len({pair.target for part in dates for pair in part}) == 7000
    march = re.findall(r"[Mm]arch", " ".join(pair.source for pair in dates.train))
    assert 0.3 < march.count("march") / len(march) < 0.7


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("5.3.2020", "2020-03-05"),
        ("2020年12月25日", "2020-12-25"),
        ("January 5, 1999", "1999-01-05"),
        ("5 mars 2020", "2020-01-05"),
    ],
)
def test_digits_rule(text, meaning):
    assert date_pairs._read_digits(text) == meaning


def test_digits_rule_solves_the_dates_of_digits_alone(dates):
    assert 0.2 < builtin.digits_rule_accuracy(dates) < 0.45


def test_without_babel_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "babel", None)
    with pytest.raises(SettingsError, match=r"pip install 'stepscan\[demo\]'"):
        builtin.dates(train=1, valid=1, test=1)


def test_more_dates_than_days_are_an_error_with_both_numbers():
    with pytest.raises(SettingsError, match="dates: expected at most 36525 pairs in all, got 40000"):
        builtin.dates(train=40_000, valid=0, test=0)
