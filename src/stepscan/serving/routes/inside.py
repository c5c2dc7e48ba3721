"""Routes that show the inside of a model: its layers at each step, and the words that mattered."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field

from stepscan.json_text import json_text
from stepscan.serving.call import Call
from stepscan.serving.engine import Engine
from stepscan.serving.fields import Fields, Input
from stepscan.serving.inputs import checked_inputs
from stepscan.serving.inside.answers import MOST_STEPS, MOST_UNITS, inside_answer
from stepscan.serving.inside.word_effects import Answer, answers, effects, leave_out_words
from stepscan.serving.predictions import as_json
from stepscan.serving.routes.predictions import predicted
from stepscan.serving.routes.route import Route
from stepscan.serving.worker import Operation


class InsideFields(Fields):
    """An input whose inside is shown."""

    input: Input
    last_steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 64
    units: Annotated[int, Field(ge=1, le=MOST_UNITS)] = 64


class WordsFields(Fields):
    """A text whose words are left out one after the other."""

    text: str
    label: str | None = None


async def inside(call: Call) -> None:
    """Show what the layers do at each step."""
    with call.served.engine(call.arguments["model"]).in_use() as engine:
        fields = await call.fields(InsideFields)
        inputs = checked_inputs(engine, [fields.input])
        operation = Operation(_insides, (fields.last_steps, fields.units))
        [answer] = await predicted(call, engine, operation, inputs)
        await call.answer(answer)


async def words(call: Call) -> None:
    """Show what a classifier's answer depends on."""
    with call.served.engine(call.arguments["model"]).in_use() as engine:
        fields = await call.fields(WordsFields)
        [text] = checked_inputs(engine, [fields.text])
        left_out = leave_out_words(text)
        [answer] = await _answers(call, engine, fields.label, [text])
        others = await _answers(call, engine, answer.label, left_out.texts) if left_out.texts else []
        found = effects(answer, left_out.spans, [other.value for other in others])
        await call.answer({**found._asdict(), "words": [word._asdict() for word in found.words]})


async def _answers(call: Call, engine: Engine, label: str | None, texts: list[str]) -> list[Answer]:
    """What the model's worker says of each text, in batches between those of others."""
    return [Answer(*json.loads(one)) for one in await predicted(call, engine, Operation(_label, (label,)), texts)]


def _insides(model: Any, inputs: list[Any], last_steps: int, units: int) -> list[bytes]:
    return [as_json(inside_answer(model, one, last_steps, units)) for one in inputs]


def _label(model: Any, inputs: list[str], label: str | None) -> list[bytes]:
    return [json_text(list(answer)).encode() for answer in answers(model, inputs, label)]


ROUTES = (
    Route("POST", "/v1/models/{model}/inside", inside, "Show units and gates", InsideFields, gate="predictions"),
    Route("POST", "/v1/models/{model}/words", words, "Show the words that mattered", WordsFields, gate="predictions"),
)
