"""The inputs of requests, checked against the model and the limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepscan.data.example_checks import as_texts, checked_texts
from stepscan.decoding import Sampler
from stepscan.serving.engine import Engine, inputs_of
from stepscan.serving.errors import invalid, too_large
from stepscan.serving.fields import GenerateFields, SamplingFields
from stepscan.serving.text_task import TextRequest

MOST_NUMBERS = 10_000_000  # of an answer
_LONGEST_SOURCE = 4096  # letters


def checked_inputs(engine: Engine, inputs: Sequence[Any]) -> list[Any]:
    """The inputs of a prediction: texts, lists of tokens, or series.

    Raises:
        ApiError: there are none, too many, or one is not what the model reads.
    """
    kind, most = inputs_of(engine.model), engine.options.max_items
    if not inputs:
        raise invalid("inputs: expected at least one, got none", "inputs")
    if len(inputs) > most:
        raise too_large(f"inputs: expected at most {most:,}, got {len(inputs):,}", "inputs")
    if kind == "texts":
        checked = checked_texts(inputs, "input")
        check_sources(engine, checked)
    else:
        for number, one in enumerate(inputs, start=1):
            if not isinstance(one, list) or not (one or kind == "tokens"):
                expected = "a list of tokens" if kind == "tokens" else "a series, a list of at least one step"
                raise invalid(f"input {number}: expected {expected}, got {_shown(one)}", "inputs")
            if kind == "tokens":
                checked_texts(one, "token", f"input {number}, ")
        checked = list(inputs)
    if (items := sum(map(len, checked))) > most:
        raise too_large(f"inputs: expected at most {most:,} letters, tokens or steps, got {items:,}", "inputs")
    return checked


def check_numbers(count: int, field: str) -> None:
    """Check how many numbers an answer has.

    Raises:
        ApiError: they are too many.
    """
    if count > MOST_NUMBERS:
        raise too_large(f"{field}: expected an answer of at most {MOST_NUMBERS:,} numbers, got {count:,}", field)


def check_sources(engine: Engine, sources: Sequence[str]) -> None:
    """Check the lengths of texts to translate, which take time by their square.

    Raises:
        ApiError: one is too long.
    """
    if engine.model.task == "translate" and (longest := max(map(len, sources), default=0)) > _LONGEST_SOURCE:
        raise too_large(f"source: expected at most {_LONGEST_SOURCE:,} letters, got {longest:,}", "source")


def check_task(engine: Engine, *tasks: str) -> None:
    """Check that a model is of one of the tasks.

    Raises:
        ApiError: it is of another.
    """
    if engine.model.task not in tasks:
        expected = " or ".join(repr(task) for task in tasks)
        raise invalid(f"model: expected one of the task {expected}, got {engine.model.task!r}", "model")


def text_request(engine: Engine, fields: SamplingFields) -> TextRequest:
    """What is written, and how.

    Raises:
        ApiError: a field is out of range, or not one of the model's task.
        SettingsError: a field is out of range.
    """
    check_task(engine, "generate", "translate")
    is_translation = engine.model.task == "translate"
    temperature = (0.0 if is_translation else 1.0) if fields.temperature is None else fields.temperature
    sampler = Sampler(temperature=temperature, top_k=fields.top_k, top_p=fields.top_p, min_p=fields.min_p)
    prompt, source = "", ""
    if isinstance(fields, GenerateFields):
        prompt, source = fields.prompt, _source(fields, is_translation=is_translation)
    if is_translation and (fields.forbidden or fields.allowed):
        raise invalid("forbidden, allowed: expected none for a translator, got some", "forbidden")
    check_length(engine, fields.length)
    check_texts(engine, prompt, source)
    check_sources(engine, [source])
    stop, forbidden, allowed = (as_texts(getattr(fields, name), name) for name in ("stop", "forbidden", "allowed"))
    if sum(map(len, [*stop, *forbidden, *allowed])) > _MOST_LETTERS or len(stop) > _MOST_STOPS:
        limits = f"{_MOST_STOPS} texts, {_MOST_LETTERS:,} letters"
        raise too_large(f"stop, forbidden, allowed: expected at most {limits}, got more", "stop")
    rest = sampler, fields.length, prompt, source, fields.seed
    return TextRequest(*rest, stop, forbidden, allowed, fields.probabilities)


_MOST_STOPS, _MOST_LETTERS = 64, 10_000  # of stop texts; letters of these and of symbols that are forbidden or allowed


def check_length(engine: Engine, length: int | None) -> None:
    """Check a length that is asked for.

    Raises:
        ApiError: it is above the limit.
    """
    if length is not None and length > engine.options.max_items:
        raise too_large(f"length: expected at most {engine.options.max_items:,}, got {length:,}", "length")


def check_texts(engine: Engine, *texts: str) -> None:
    """Check texts of a request.

    Raises:
        ApiError: they are too long.
        SettingsError: one is not valid Unicode.
    """
    checked_texts(texts)
    if (letters := sum(map(len, texts))) > engine.options.max_items:
        raise too_large(f"prompt: expected at most {engine.options.max_items:,} letters, got {letters:,}", "prompt")


def check_pushed(engine: Engine, items: Any) -> None:
    """Check the size of what is pushed.

    Raises:
        ApiError: there are too many items.
    """
    if isinstance(items, str | list) and len(items) > engine.options.max_items:
        raise too_large(f"items: expected at most {engine.options.max_items:,}, got {len(items):,}", "items")


def check_source(engine: Engine, source: str | None) -> None:
    """Check the source of a session.

    Raises:
        ApiError: a translator has none, or another model has one, or it is too long.
        SettingsError: it is not valid Unicode.
    """
    is_translation = engine.model.task == "translate"
    if is_translation and source is None:
        raise invalid("source: expected the text to translate, got none", "source")
    if not is_translation and source is not None:
        raise invalid(f"source: expected none for a model of the task {engine.model.task!r}, got a text", "source")
    check_texts(engine, source or "")
    check_sources(engine, [source or ""])


def _source(fields: GenerateFields, *, is_translation: bool) -> str:
    if is_translation and fields.source is None:
        raise invalid("source: expected the text to translate, got none", "source")
    if not is_translation and fields.source is not None:
        raise invalid("source: expected none for a language model, got a text; use prompt", "source")
    return fields.source or ""


def _shown(value: Any) -> str:
    return type(value).__name__ if value else "nothing"
