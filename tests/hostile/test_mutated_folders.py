"""Model folders in whose JSON something stands that was not written there: each is refused, or loads and answers.

What passes the checks reaches the native library, so this is also what to run under its sanitizers.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_folders import BYTES, parts, tensor_file

from stepscan import runtime
from stepscan.errors import SettingsError, StepscanError
from stepscan.kernels import native

GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0"
TRIES = 240  # a folder
FILES = ["config.json", "config.json", "model.safetensors", "tokenizer.json", "labels.json"]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, 2, 3, 4, 5, 6, 7, 12, -1, 1.5, 0.0, 0.5, 2**31 - 1, 2**63, 10**30, 1e300),
    *("", "last", "mean", "max", "attention", "class", "labels", "number", "tanh", "relu", "learned", "dot", "general"),
    *(10**18, 10**400, -(2**63), "\ud800", "a\0", "a" * 10**5, {"type": "ByteFallback"}, {"type": "Fuse"}),
    {"type": "Replace", "pattern": {"Regex": "(a|aa)+$"}, "content": "a" * 10},
    *("F64", "I8", "BF16", "int8", "<unk>", [], {}, [1], [[0, 1]], [[-1, 0]], BYTES, {"type": "Lowercase"}),
]
KEYS = [
    *("lstm", "gru", "elman", "layer_norm_lstm", "stack", "residual", "bidirectional", "zoneout", "weight_drop"),
    *(
        "dropout",
        "linear",
        "encoder",
        "transducer",
        "crf_transducer",
        "generator",
        "conditioned_generator",
        "embedding",
    ),
    *(
        "numbers",
        "transformer",
        "attentive_decoder",
        "bias",
        "tie_weights",
        "initial",
        "pooling",
        "kind",
        "p",
        "layer",
        "<unk>",
        *("checkpoints", "resume", "init_from", "device", "beam_width", "length_penalty", "n_best", "size", "merges"),
    ),
]

pytestmark = pytest.mark.skipif(native.library is None, reason="needs the native library")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all that is in a value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def mutated(value: Any, draw: random.Random) -> Any:
    """A copy in which one to three things are replaced, taken out, copied to another place, or named in another way."""
    value = copy.deepcopy(value)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        found = list(places(value))
        *above, key = draw.choice(found[1:] or [("nothing",)])
        parent = at(value, tuple(above)) if len(found) > 1 else {key: None}
        kind = draw.choice(["replace", "replace", "remove", "copy", "name", "add"])
        if kind == "replace":
            parent[key] = copy.deepcopy(draw.choice(VALUES))
        elif kind == "remove":
            del parent[key]
        elif kind == "copy":
            parent[key] = copy.deepcopy(at(value, draw.choice(found)))
        elif isinstance(parent, dict):
            parent[draw.choice(KEYS)] = parent.pop(key) if kind == "name" else draw.choice(VALUES)
    return value


def mutate(folder: Path, draw: random.Random) -> None:
    path = folder / draw.choice([name for name in FILES if (folder / name).exists()])
    if path.suffix == ".safetensors":
        header, data = parts(path)
        path.write_bytes(tensor_file(mutated(header, draw), data))
    else:
        path.write_text(json.dumps(mutated(json.loads(path.read_text()), draw)))


def use(model: Any) -> None:
    with contextlib.suppress(SettingsError):  # a layer that looks ahead has no session
        model.session().push(model.task if model.tokenizers_ else np.arange(5.0)[:, None])
    match model.task:
        case "classify":
            model.predict(["a good film", ""] if model.tokenizers_ else [np.arange(5.0)])
        case "tag":
            model.predict([["ab", "cd"], []])
        case "generate":
            model.generate("ab", length=5, seed=0)
        case "forecast":
            model.forecast(np.arange(1.0, 30.0), 3, num_samples=5)
        case _:
            model.translate(["abc"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.iterdir()))
def test_it_is_refused_or_answers(tmp_path, name):
    draw, folder, refused = random.Random(name), tmp_path / "model", 0
    for _ in range(TRIES):
        shutil.copytree(GOLDEN / name, folder)
        mutate(folder, draw)
        try:
            use(runtime.load(folder))
        except StepscanError:
            refused += 1
        shutil.rmtree(folder)
    assert refused > TRIES / 2
