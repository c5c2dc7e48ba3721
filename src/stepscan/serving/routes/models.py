"""Routes of models."""

from __future__ import annotations

from stepscan.serving.call import Call
from stepscan.serving.errors import ApiError
from stepscan.serving.routes.route import Route


async def models(call: Call) -> None:
    """List the models."""
    await call.answer({"object": "list", "data": [engine.description for engine in call.served.engines.values()]})


async def model(call: Call) -> None:
    """Describe a model."""
    await call.answer(call.served.engine(call.arguments["model"]).description)


async def reload(call: Call) -> None:
    """Read a model's folder again."""
    if not call.client.startswith("token "):
        raise ApiError(
            403, "unauthorised", "expected a server with --token-file, whose tokens may reload, got one without"
        )
    name = call.arguments["model"]
    call.served.engine(name)
    is_new = await call.served.reload(name)
    await call.answer(
        {"model": name, "changed": is_new, "fingerprint": call.served.engine(name).model.fingerprint.hex()}
    )


ROUTES = (
    Route("GET", "/v1/models", models, "List the models"),
    Route("GET", "/v1/models/{model}", model, "Describe a model"),
    Route("POST", "/v1/models/{model}/reload", reload, "Read a model's folder again; needs a token"),
)
