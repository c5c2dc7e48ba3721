"""What is answered for what `push` of a session returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from stepscan.backends.batches import Array


def result_of(model: Any, session: Any, result: Any, with_probabilities: bool) -> Any:
    """The result as a JSON value.

    Args:
        model: the runtime model.
        session: the session, after the push.
        result: what `push` returned.
        with_probabilities: whether all probabilities of the next symbol are wanted.
    """
    match model.task:
        case "classify" | "tag":
            return result
        case "forecast":
            return None if result is None else {name: values.tolist() for name, values in result._asdict().items()}
    answer = {"probabilities": result.tolist()} if with_probabilities else most_probable(model, result)
    if model.task == "translate":
        weights = session.attention
        answer["attention"] = None if weights is None else weights.tolist()
    return answer


def most_probable(model: Any, probabilities: Array) -> dict[str, Any]:
    """The most probable next symbol, of those that are written, and its probability."""
    tokenizer = model.tokenizers_["tokenizer"]
    never = model._never_generated if model.task == "generate" else [tokenizer.pad, tokenizer.unknown, tokenizer.begin]
    allowed = np.array(probabilities)
    allowed[never] = -1
    id = int(allowed.argmax())
    text = model.decode([id]) if model.task == "generate" else tokenizer.decode([id])
    return {"symbol": text, "id": id, "probability": float(probabilities[id])}
