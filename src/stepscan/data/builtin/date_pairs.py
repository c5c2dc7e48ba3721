"""Dates to translate: from what people write in many languages to ISO 8601."""

from __future__ import annotations

import random
import re
from datetime import date, timedelta
from types import ModuleType

from stepscan.data.builtin.split import Split
from stepscan.data.example_types import Pair
from stepscan.errors import SettingsError

FIRST_DAY, LAST_DAY = date(1950, 1, 1), date(2049, 12, 31)

# Each language writes its own full, long and medium dates, and these besides. All show four digits of the year, and all
# dates of numbers alone go from day to year or from year to day, so that a text has one meaning, whatever its language.
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
EVERYWHERE = ("full", "long", "medium")


def dates(seed: int = 0, train: int = 6000, valid: int = 500, test: int = 500) -> Split[list[Pair]]:
    """Dates of 1950 to 2049 as 19 languages write them, each with its ISO 8601 form, such as `1984-03-05`.

    Half of the texts are in lower case. Every day is used once at most, so that no day of the test, in any language,
    was seen in training.

    Raises:
        SettingsError: if Babel is not installed, or if the parts need more days than there are.
    """
    days = (LAST_DAY - FIRST_DAY).days + 1
    if train + valid + test > days:
        raise SettingsError(
            f"dates has {days} different days, but {train + valid + test} were asked for; ask for fewer."
        )
    babel_dates = _import_babel_dates()
    rng = random.Random(seed)
    pairs = [
        _pair(rng, babel_dates, FIRST_DAY + timedelta(day)) for day in rng.sample(range(days), train + valid + test)
    ]
    return Split(pairs[:train], pairs[train : train + valid], pairs[train + valid :])


def digits_rule_accuracy(split: Split[list[Pair]]) -> float:
    """Share of the test's dates that a rule gets right which reads numbers and knows no word of any language.

    The number of four digits is the year; of two others, the one beside the year is the month; a single other number
    is the day, and the month is then taken to be January.
    """
    return sum(_read_digits(pair.source) == pair.target for pair in split.test) / len(split.test)


def _read_digits(text: str) -> str:
    numbers = re.findall(r"\d+", text)
    if len(numbers[0]) == 4:  # year first: read it as the other dates, from the day on
        numbers.reverse()
    day, *month, year = numbers
    return f"{year}-{''.join(month) or '1':0>2}-{day:0>2}"


def _pair(rng: random.Random, babel_dates: ModuleType, day: date) -> Pair:
    language = rng.choice(list(LANGUAGES))
    pattern = rng.choice(EVERYWHERE + LANGUAGES[language])
    text = _write(babel_dates, day, pattern, language)
    return Pair(text.lower() if rng.random() < 0.5 else text, day.isoformat())


def _write(babel_dates: ModuleType, day: date, pattern: str, language: str) -> str:
    # Some languages put a no-break space before the word for year.
    return " ".join(babel_dates.format_date(day, pattern, locale=language).split())


def _import_babel_dates() -> ModuleType:
    try:
        from babel import dates as babel_dates
    except ImportError as error:
        raise SettingsError("The built-in dates are written by Babel; run `pip install stepscan[demo]`.") from error
    return babel_dates
