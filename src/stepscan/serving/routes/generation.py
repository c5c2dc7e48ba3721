"""Routes of generation."""

from __future__ import annotations

from stepscan.serving.call import Call
from stepscan.serving.fields import GenerateFields
from stepscan.serving.inputs import check_task, text_request
from stepscan.serving.routes.route import WRITTEN, Route
from stepscan.serving.writing import send_text


async def generate(call: Call) -> None:
    """Write a text."""
    with call.served.engine(call.arguments["model"]).in_use() as engine:
        check_task(engine, "generate", "translate")
        fields = await call.fields(GenerateFields, optional=True)
        await send_text(call, engine, text_request(engine, fields), fields.stream)


ROUTES = (
    Route(
        *("POST", "/v1/models/{model}/generate", generate, "Write a text, as server-sent events or at once"),
        *(GenerateFields, WRITTEN),
        gate="texts",
    ),
)
