"""`report`: what a model keeps of what it reads, in words, in numbers and in pictures, in one file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stepscan.contract import Layer
from stepscan.data.line_writer import write_lines
from stepscan.errors import SettingsError
from stepscan.inspection.examination import Examination, PartFigures, examine
from stepscan.inspection.page import MADE_BY, page, written
from stepscan.inspection.sections import sections
from stepscan.inspection.subject import Subject, of_cells, of_estimator, of_layer
from stepscan.runtime.examples import checked_texts
from stepscan.sequences import Sequences

_MUCH = 10.0  # times as large as at lag 0: a gradient that explodes


def report(
    subject: Any,
    out: str | Path | None = None,
    *,
    text: str | None = None,
    inputs: Sequences | None = None,
    seed: int = 0,
) -> Examination:
    """Look into a model, a layer, or a `Subject` that was made of several.

    Args:
        subject: a trained `Classifier`, `LanguageModel`, `Tagger` or `Translator`; a Layer, with the `inputs` that it
            reads; names of cells with commas between; or what `of_cells`, `of_layer`, `of_estimator` made.
        out: the HTML file to write; None writes none. It needs nothing else: no network, no other file.
        text: what a trained model reads; without it, random symbols, and a language model what it has written itself.
        inputs: `[B, T, I]`, what a layer reads.
        seed: of everything random.

    Returns:
        The numbers; `stepscan.inspection.as_json` makes plain data of them.

    Raises:
        SettingsError: there is nothing in it that has a state, what was given does not go together, or `out` is a file
            that is not a report.
        OSError: `out` cannot be written.
    """
    if out is not None:
        _check_free(Path(out))
    found = examine(_subject(subject, text, inputs, seed), seed=seed)
    if not found.parts:
        raise SettingsError(
            f"{found.title}: there is no recurrence in it whose state could fade (a transformer keeps all that it has "
            "read); inspect a model with an elman, gru or lstm"
        )
    if out is not None:
        write_lines(out, as_html(found).split("\n"))
    return found


def _check_free(out: Path) -> None:
    """Raise if the report would replace a file that is not a report."""
    if out.is_file() and (text := out.read_bytes()) and MADE_BY.encode() not in text:
        raise SettingsError(f"{out} is there already and is not a report of stepscan inspect; choose another name")


def as_html(found: Examination) -> str:
    """The page: one HTML file, well-formed as XML too."""
    about = " · ".join(f"{name.replace('_', ' ')} {_listed(value)}" for name, value in found.about.items())
    return page(found.title, summary(found), about, sections(found))


def summary(found: Examination) -> str:
    """What the pictures show, in words."""
    first, *others = [_fading(part) for part in found.parts]
    start = first.replace("it ", "the influence of a state on a later output ", 1)
    said = [f"{start[0].upper()}{start[1:]}{''.join(f'; {other}' for other in others)}."]
    said += [words for part in found.parts for words in (_growing(part), _bounded(part)) if words]
    return " ".join(said)


def _fading(part: PartFigures) -> str:
    """Such as `in the LSTM it falls to 1 % after 13 steps (h) and after 21 steps (c)`."""
    falls = [
        f"after {_steps(one.one_percent)} ({name})"
        for name, one in part.horizons.items()
        if math.isfinite(one.one_percent)
    ]
    lasts = [name for name, one in part.horizons.items() if not math.isfinite(one.one_percent)]
    said = [f"falls to 1 % {_and(falls)}"] if falls else []
    said += (
        [f"has not fallen to 1 % within the {_steps(part.steps - 1)} measured ({', '.join(lasts)})"] if lasts else []
    )
    return f"in {_spoken(part)} it {' and '.join(said)}"


def _growing(part: PartFigures) -> str:
    growing = [name for name, one in part.flow.fields.items() if float(np.nanmax(one.median, initial=0.0)) > _MUCH]
    return f"In {_spoken(part)}'s {_and(growing)} the gradient explodes: it grows on the way back." if growing else ""


def _bounded(part: PartFigures) -> str:
    if part.bound is None:
        return ""
    factor = written(part.bound)
    if part.bound <= 1.001:
        return f"In {_spoken(part)} no step back multiplies the gradient by more than {factor}: it cannot explode."
    return f"In {_spoken(part)} a step back multiplies the gradient by up to {factor}."


def _spoken(part: PartFigures) -> str:
    """`the LSTM`; a part that has a place in a model by its name."""
    kinds = {"elman": "Elman network", "lstm": "LSTM", "gru": "GRU"}
    *place, kind = part.name.split()
    return f"the {' '.join([*place, kinds.get(kind, kind)])}"


def _steps(number: float) -> str:
    rounded = max(1, round(number))
    return "1 step" if rounded == 1 else f"{rounded} steps"


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _subject(given: Any, text: str | None, inputs: Sequences | None, seed: int) -> Subject:
    if isinstance(given, Subject):
        return given
    if isinstance(given, str):
        return of_cells([name.strip() for name in given.split(",")], seed=seed)
    if isinstance(given, Layer):
        if inputs is None:
            raise SettingsError(f"{given.described} is inspected while it reads something: give inputs [B, T, I]")
        return of_layer(given, inputs)
    return of_estimator(given, None if text is None else checked_texts([text])[0], seed=seed)
