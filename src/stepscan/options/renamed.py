"""Names of earlier versions."""

from __future__ import annotations

# Names of earlier versions: what is given by them is an error that names the new one; model folders may have them.
RENAMED = {
    "accumulate": "gradient_accumulation_steps",
    "average_decay": "ema_decay",
    "character_size": "char_embedding_size",
    "clip_norm": "max_grad_norm",
    "clip_value": "max_grad_value",
    "decay": "decay_ratio",
    "decision": "problem_type",
    "logarithm": "log_transform",
    "season": "seasonal_period",
    "spelling_size": "char_hidden_size",
    "tied": "tie_weights",
    "unknown_probability": "word_dropout",
    "vary_window": "vary_bptt",
    "warmup": "warmup_ratio",
    "watch_gradients": "monitor_gradients",
    "window": "bptt",
}

RENAMED_VALUES = {"problem_type": {"class": "classification", "labels": "multilabel", "number": "regression"}}


def renamed(name: str) -> str:
    """What to say of a name that was renamed."""
    values = RENAMED_VALUES.get(RENAMED[name], {})
    and_values = f" ({', '.join(f'{old}: {new}' for old, new in values.items())})" if values else ""
    return f"{name!r} is called {RENAMED[name]!r} now{and_values}"
