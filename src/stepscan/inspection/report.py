"""`report`: gradient flow, gates, units and attention of a model, in numbers and as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stepscan.contract import Layer
from stepscan.data.example_checks import checked_texts
from stepscan.data.line_writer import write_lines
from stepscan.errors import SettingsError
from stepscan.inspection.html import GENERATOR, page
from stepscan.inspection.measurement import Report, measure
from stepscan.inspection.sections import sections
from stepscan.inspection.summary import summary
from stepscan.inspection.target import InspectionTarget
from stepscan.sequences import Sequences


def report(
    target: Any,
    out: str | Path | None = None,
    *,
    text: str | None = None,
    inputs: Sequences | None = None,
    seed: int = 0,
) -> Report:
    """Inspect a trained model, a layer or untrained cells.

    Args:
        target: a trained `Classifier`, `LanguageModel`, `Tagger` or `Translator`; a Layer, with `inputs`; names of
            cells, separated by commas; or an `InspectionTarget`.
        out: the HTML file to write; None for none. It is self-contained: no network, no other files.
        text: what a trained model reads; without it random tokens, or for a language model a text that it generates.
        inputs: `[B, T, I]`, what a layer reads.
        seed: seed of everything random.

    Returns:
        The numbers; `stepscan.inspection.as_json` turns them into plain data.

    Raises:
        SettingsError: there is no recurrence to inspect, the arguments do not go together, or `out` is a file that is
            not a report.
        NotFittedError: the model is not trained.
        OSError: `out` cannot be written.
    """
    if out is not None:
        _check_replaceable(Path(out))
    measured = measure(_target(target, text, inputs, seed), seed=seed)
    if not measured.recurrences:
        raise SettingsError(
            f"{measured.title}: expected a layer with a hidden state, got none (a transformer attends to all that it "
            "has read); inspect a model with an elman, gru or lstm"
        )
    if out is not None:
        write_lines(out, as_html(measured).split("\n"))
    return measured


def as_html(measured: Report) -> str:
    """The report as one HTML page, which is well-formed XML too."""
    about = " · ".join(f"{name.replace('_', ' ')} {_listed(value)}" for name, value in measured.about.items())
    return page(measured.title, summary(measured), about, sections(measured))


def _check_replaceable(out: Path) -> None:
    """Raise if `out` is a file that is not a report."""
    if out.is_file() and (content := out.read_bytes()) and GENERATOR.encode() not in content:
        raise SettingsError(f"{out} exists and is not a report of stepscan inspect; choose another name")


def _target(target: Any, text: str | None, inputs: Sequences | None, seed: int) -> InspectionTarget:
    if isinstance(target, InspectionTarget):
        return target
    if isinstance(target, str):
        return InspectionTarget.from_cells([name.strip() for name in target.split(",")], seed=seed)
    if isinstance(target, Layer):
        if inputs is None:
            raise SettingsError(f"expected inputs [B, T, I] for {target.signature} to read, got none; give inputs")
        return InspectionTarget.from_layer(target, inputs)
    return InspectionTarget.from_estimator(target, None if text is None else checked_texts([text])[0], seed=seed)


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
