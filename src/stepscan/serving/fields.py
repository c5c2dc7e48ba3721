"""The fields of requests."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from stepscan.errors import nearest, shown
from stepscan.serving.errors import ApiError, invalid

_MOST = 2**53  # whole numbers that every JSON parser reads exactly
Whole = Annotated[int, Field(ge=0, le=_MOST)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Texts = Annotated[str | list[str], Field(union_mode="left_to_right")]
_TEXT, _TOKENS = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
_STEP = {"type": "array", "items": {"type": "number"}}
_ONE = {"anyOf": [_TEXT, _TOKENS, _STEP, {"type": "array", "items": _STEP}]}
_PIECE = {"anyOf": [{"type": "number"}, *_ONE["anyOf"]]}
_SOME = Field(json_schema_extra={"minItems": 1})  # checked with the model, which knows what it reads
# Which of these it must be depends on the model, which checks it:
Input = Annotated[Any, WithJsonSchema(_ONE | {"description": "a text; a list of tokens; or a series [T] or [T, D]"})]
Piece = Annotated[
    Any, WithJsonSchema(_PIECE | {"description": "a text; a token or a list of them; or a step, or steps [T, D]"})
]


class Fields(BaseModel):
    """Base of the fields of a request: strict, and no others."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class PredictFields(Fields):
    """A batch to predict."""

    inputs: Annotated[list[Input], _SOME]
    probabilities: bool = False


class TranslateFields(Fields):
    """A batch to translate."""

    inputs: Annotated[list[str], _SOME]
    n_best: Annotated[int, Field(ge=1, le=100)] = 1
    minimum_length: Whole = 0
    maximum_length: Annotated[int, Field(ge=1, le=_MOST)] | None = None
    prefix: str = ""
    attention: bool = False


class LookAheadFields(Fields):
    """How far a forecast looks."""

    length: Annotated[int, Field(ge=1, le=_MOST)]
    level: Annotated[float, Field(gt=0, lt=1)] = 0.9
    num_samples: Annotated[int, Field(ge=1, le=10_000)] = 500
    seed: Whole | None = 0


class ForecastFields(LookAheadFields):
    """A batch of series to forecast."""

    inputs: Annotated[list[Input], _SOME]


class SamplingFields(Fields):
    """How a text is written."""

    length: Whole | None = None
    temperature: Number | None = None
    top_k: Whole = 0
    top_p: Number = 1.0
    min_p: Number = 0.0
    stop: Texts = Field(default_factory=list)
    forbidden: Texts = Field(default_factory=list)
    allowed: Texts = Field(default_factory=list)
    seed: Whole | None = None
    stream: bool = True
    probabilities: bool = False


class GenerateFields(SamplingFields):
    """A text to write."""

    prompt: str = ""
    source: str | None = None


class OpenFields(Fields):
    """A session to open."""

    source: str | None = None
    ttl: Number | None = None
    rollback: Whole | None = None
    durable: bool | None = None


class PushFields(Fields):
    """What a session reads."""

    items: Piece
    position: Whole | None = None
    probabilities: bool = False


class PushAllFields(Fields):
    """What several sessions read."""

    sessions: list[str]
    items: list[Piece]
    probabilities: bool = False


class RollbackFields(Fields):
    """Where a session goes back to."""

    position: Whole


class StreamOptions(Fields):
    """What a stream of OpenAI's API ends with."""

    include_usage: bool = False


class CompletionFields(Fields):
    """OpenAI's request for completions."""

    model: str
    prompt: Texts = ""
    max_tokens: Whole | None = 16
    temperature: Number | None = 1.0
    top_p: Number | None = 1.0
    n: Annotated[int, Field(ge=1, le=128)] | None = 1
    stop: Texts | None = None
    seed: Whole | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    echo: bool | None = False
    logprobs: Annotated[int, Field(ge=0, le=1)] | None = None
    user: str | None = None
    best_of: int | None = None
    frequency_penalty: Number | None = None
    presence_penalty: Number | None = None
    logit_bias: dict[str, Number] | None = None
    suffix: str | None = None


Kind = TypeVar("Kind", bound=Fields)


def checked(kind: type[Kind], value: Any) -> Kind:
    """A JSON value as checked fields.

    Raises:
        ApiError: names the first field that is missing, unknown or out of range.
    """
    if not isinstance(value, dict):
        raise ApiError(400, "bad_json", f"body: expected a JSON object, got {shown(value)}")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        unknown_first = sorted(errors, key=lambda one: one["type"] != "extra_forbidden")
        raise _described(kind, unknown_first[0]) from None
    except RecursionError:
        raise ApiError(400, "bad_json", "body: expected JSON, got lists that are nested too deeply") from None


def _described(kind: type[Fields], error: Any) -> ApiError:
    where = [str(part) for part in error["loc"]]
    name = where[0] if where else ""
    match error["type"]:
        case "extra_forbidden":
            return invalid(f"unknown field {name!r:.60}.{nearest(name[:60], kind.model_fields)}", name[:60])
        case "missing":
            return invalid(f"{name}: expected a value, got none", name)
    index = f" {int(where[1]) + 1}" if len(where) > 1 and where[1].isdigit() else ""
    reason = error["msg"].removeprefix("Input should be ").removeprefix("a ").removeprefix("valid ")
    return invalid(f"{name}{index}: expected {reason}, got {shown(error['input'])}", name)
