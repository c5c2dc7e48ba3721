"""Routes of predictions: predict, translate, forecast."""

from __future__ import annotations

from typing import Any

from stepscan.serving import predictions
from stepscan.serving.call import Call
from stepscan.serving.deliveries import Reply
from stepscan.serving.engine import Engine
from stepscan.serving.errors import invalid
from stepscan.serving.fields import ForecastFields, PredictFields, TranslateFields
from stepscan.serving.inputs import check_length, check_numbers, check_task, check_texts, checked_inputs
from stepscan.serving.routes.route import Route
from stepscan.serving.worker import Operation, Prediction


async def predict(call: Call) -> None:
    """Predict a batch."""
    with call.served.engine(call.arguments["model"]).in_use() as engine:
        check_task(engine, "classify", "tag", "generate", "translate")
        fields = await call.fields(PredictFields)
        inputs = await call.compute(checked_inputs, engine, fields.inputs)
        if fields.probabilities:
            check_numbers(_probabilities(engine, inputs), "probabilities")
        await _answer(call, engine, Operation(predictions.predict, (fields.probabilities,)), inputs, b"predictions")


async def translate(call: Call) -> None:
    """Translate a batch."""
    with call.served.engine(call.arguments["model"]).in_use() as engine:
        check_task(engine, "translate")
        fields = await call.fields(TranslateFields)
        inputs = await call.compute(checked_inputs, engine, fields.inputs)
        check_texts(engine, fields.prefix)
        for length in (fields.minimum_length, fields.maximum_length):
            check_length(engine, length)
        if fields.attention and not engine.description["attention"]:
            raise invalid("attention: expected false for a model without attention, got true", "attention")
        if fields.attention:
            check_numbers(sum(len(one) * (2 * len(one) + 20) for one in inputs), "attention")
        limits = fields.n_best, fields.minimum_length, fields.maximum_length, fields.prefix, fields.attention
        await _answer(call, engine, Operation(predictions.translate, limits), inputs, b"translations")


async def forecast(call: Call) -> None:
    """Forecast a batch of series."""
    with call.served.engine(call.arguments["model"]).in_use() as engine:
        check_task(engine, "forecast")
        fields = await call.fields(ForecastFields)
        inputs = await call.compute(checked_inputs, engine, fields.inputs)
        check_paths(engine, fields.length, fields.num_samples)
        arguments = fields.length, fields.level, fields.num_samples, fields.seed
        await _answer(call, engine, Operation(predictions.forecast, arguments), inputs, b"forecasts")


def check_paths(engine: Engine, length: int, num_samples: int) -> None:
    """Check the size of a forecast.

    Raises:
        ApiError: its sample paths have too many numbers.
    """
    check_length(engine, length)
    check_numbers(length * num_samples * engine.model.network_.embedding.size, "length")


def _probabilities(engine: Engine, inputs: list[Any]) -> int:
    """How many probabilities an answer has."""
    model = engine.model
    if model.task == "generate":
        return len(inputs) * len(model.tokenizers_["tokenizer"])
    return (sum(map(len, inputs)) if model.task == "tag" else len(inputs)) * len(model.labels_ or ())


async def _answer(call: Call, engine: Engine, operation: Operation, inputs: list[Any], name: bytes) -> None:
    answers = await predicted(call, engine, operation, inputs)
    await call.answer(b'{"model": "%s", "%s": [%s]}' % (engine.name.encode(), name, b", ".join(answers)))


async def predicted(call: Call, engine: Engine, operation: Operation, inputs: list[Any]) -> list[bytes]:
    """What the model's worker computes for each input, as JSON.

    Raises:
        ApiError: there is no room, or it takes too long.
        ClientGone: the client has gone away.
    """
    engine.predictions.enter(call.client)
    try:
        worker = engine.worker
        reply = Reply(worker.deliveries)
        worker.submit(Prediction(operation, inputs, reply, call.client))
        with call.cancelled_with_client():
            return await call.reply(reply)
    finally:
        engine.predictions.leave(call.client)


ROUTES = (
    Route("POST", "/v1/models/{model}/predict", predict, "Predict a batch", PredictFields, gate="predictions"),
    Route("POST", "/v1/models/{model}/translate", translate, "Translate a batch", TranslateFields, gate="predictions"),
    Route("POST", "/v1/models/{model}/forecast", forecast, "Forecast series", ForecastFields, gate="predictions"),
)
