"""Dates to translate, from the formats of many languages to ISO 8601."""

from __future__ import annotations

import random
import re
from datetime import date, timedelta
from types import ModuleType

from stepscan.data.builtin.split import Split
from stepscan.data.example_types import Pair
from stepscan.errors import SettingsError

FIRST_DAY, LAST_DAY = date(1950, 1, 1), date(2049, 12, 31)

# The patterns of each language, in addition to its full, long and medium dates. All have a year of four digits, and in
# dates of numbers alone the order is day, month, year or its reverse, so that a text has one meaning in all languages.
LANGUAGES: dict[str, tuple[str, ...]] = {
    "en": ("d MMMM y", "EEE, MMM d, y", "MMMM d y"),
    "de": ("d. MMM y", "EEE, d. MMMM y"),
    "fr": ("EEE d MMM y", "d/MM/y"),
    "es": ("EEE d MMM y",),
    "it": ("EEE d MMMM y",),
    "pt": ("EEE, d MMM y",),
    "nl": ("EEE d MMMM y",),
    "sv": ("y-MM-dd", "EEE d MMM y"),
    "da": ("EEE d. MMM y",),
    "fi": ("d. MMMM y",),
    "pl": ("d.MM.y", "EEE, d MMM y"),
    "cs": ("EEE d. MMMM y",),
    "hu": ("y.MM.dd.",),
    "tr": ("dd.MM.y", "d MMM y EEE"),
    "ru": ("d MMMM y", "dd.MM.y"),
    "el": ("EEE d MMM y",),
    "ja": ("y/M/d", "y年M月d日(E)"),
    "zh": ("y-M-d", "y年M月d日 EEE"),
    "ko": ("y년 M월 d일 (E)",),
}
COMMON_PATTERNS = ("full", "long", "medium")


def dates(seed: int = 0, train: int = 6000, valid: int = 500, test: int = 500) -> Split[list[Pair]]:
    """Dates from 1950 to 2049 in 19 languages, each with its ISO 8601 form, such as `1984-03-05`.

    Half of the texts are in lower case. Every day occurs at most once, so that no day of the test data occurs in the
    training data, in any language.

    Args:
        seed: of the draw.
        train, valid, test: number of pairs in each part.

    Raises:
        SettingsError: Babel is not installed, or the parts need more days than there are.
    """
    days = (LAST_DAY - FIRST_DAY).days + 1
    if train + valid + test > days:
        raise SettingsError(f"dates: expected at most {days} pairs in all, got {train + valid + test}.")
    babel_dates = _import_babel_dates()
    rng = random.Random(seed)
    pairs = [
        _pair(rng, babel_dates, FIRST_DAY + timedelta(day)) for day in rng.sample(range(days), train + valid + test)
    ]
    return Split(pairs[:train], pairs[train : train + valid], pairs[train + valid :])


def digits_rule_accuracy(split: Split[list[Pair]]) -> float:
    """Accuracy on the test data of a rule that reads only numbers, without any words.

    The number of four digits is the year; of two other numbers, the one next to the year is the month; a single other
    number is the day, of January.
    """
    return sum(_read_digits(pair.source) == pair.target for pair in split.test) / len(split.test)


def _read_digits(text: str) -> str:
    numbers = re.findall(r"\d+", text)
    if len(numbers[0]) == 4:  # year first: reverse it to day, month, year
        numbers.reverse()
    day, *month, year = numbers
    return f"{year}-{''.join(month) or '1':0>2}-{day:0>2}"


def _pair(rng: random.Random, babel_dates: ModuleType, day: date) -> Pair:
    language = rng.choice(list(LANGUAGES))
    pattern = rng.choice(COMMON_PATTERNS + LANGUAGES[language])
    text = _write(babel_dates, day, pattern, language)
    return Pair(text.lower() if rng.random() < 0.5 else text, day.isoformat())


def _write(babel_dates: ModuleType, day: date, pattern: str, language: str) -> str:
    # Some languages have a no-break space before the word for year.
    return " ".join(babel_dates.format_date(day, pattern, locale=language).split())


def _import_babel_dates() -> ModuleType:
    try:
        from babel import dates as babel_dates
    except ImportError as error:
        raise SettingsError("the built-in dates need Babel: pip install 'stepscan[demo]'") from error
    return babel_dates
