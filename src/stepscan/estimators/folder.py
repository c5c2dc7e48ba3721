"""A model folder: plain files, no pickle, written whole or not at all.

config.json          task, settings, the model as a nested description, and the SHA-256 of the files below
model.safetensors    weights
wide.safetensors     features and weights of a classifier's or tagger's wide part, if it has one
tokenizer.json       Hugging Face tokenizers; beside it characters.json where words are spelled, and
                     source_tokenizer.json where a translator reads other symbols than it writes
labels.json          where there are labels
metrics.jsonl        the training curve, one row an evaluation
README.md            a model card (without SHA-256: yours to edit)
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

import stepscan
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import ModelFormatError, StepscanError, UnsupportedLayer
from stepscan.estimators.model_card import model_card
from stepscan.json_text import json_text
from stepscan.patterns.conditioned_generator import ConditionedGenerator
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.encoder import Encoder
from stepscan.patterns.transducer import Transducer
from stepscan.registry import build, describe
from stepscan.runtime import folder as runtime_folder
from stepscan.runtime.atomic import atomic_write
from stepscan.runtime.configuration import FORMAT, FORMAT_VERSION, WIDE, write_config
from stepscan.runtime.folder import FolderSpec, expanded
from stepscan.runtime.outline import Tensor, shown
from stepscan.runtime.schemes import Scheme
from stepscan.runtime.tensor_file import write_tensors
from stepscan.runtime.wide import storage
from stepscan.runtime.wide.scores import Wide

_DTYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint8: "U8", torch.bool: "BOOL"},
}


class ModelFolder(NamedTuple):
    """A trained model and all that is needed to use it."""

    task: str
    settings: dict[str, Any]
    model: nn.Module
    tokenizers: dict[str, TextTokenizer]  # file name without `.json` → tokenizer
    labels: list[Any] | None  # strings, or whole numbers
    history: list[dict[str, Any]]
    scheme: Scheme | None = None  # of a tagger whose tags mark spans
    wide: Wide | None = None  # of a classifier or tagger that has such a part
    yardstick: dict[str, Any] | None = None  # a trivial model, as `Yardstick.to_dict`
    chosen: Mapping[str, Any] = MappingProxyType({})  # of the settings, by the size of the data


def write_folder(path: str | Path, folder: ModelFolder, *, overwrite: bool = False) -> None:
    """Write the folder, whole or not at all."""
    atomic_write(path, lambda place: _write_files(place, folder), overwrite=overwrite)


def check_savable(model: nn.Module) -> None:
    """Raise now, not after hours of training, if a model could not be written: nameless layers, arguments that JSON
    cannot say, shared weights.

    Raises:
        StepscanError: says which part is to blame.
    """
    try:
        description = describe(model)
    except TypeError as error:
        raise StepscanError(str(error)) from None
    try:
        json.dumps(description, allow_nan=False)
    except ValueError:
        raise StepscanError(
            "the model cannot be saved: an argument of one of its layers is infinite or no number; JSON has no such"
        ) from None
    with contextlib.suppress(UnsupportedLayer):  # whoever wrote its layers knows what they need
        try:
            runtime_folder.folder_spec(description)
        except (ModelFormatError, TypeError, ValueError) as error:
            raise StepscanError(f"the model could not be loaded again: {error}") from None
    owner: dict[int, str] = {}
    for name, tensor in model.state_dict().items():
        first = owner.setdefault(tensor.data_ptr(), name) if tensor.numel() else name
        if first != name:
            raise StepscanError(
                f"{name} and {first} are one tensor; a model folder needs each weight once, so part them"
            )


def read_folder(path: str | Path) -> ModelFolder:
    """Read and check a model folder, as `stepscan.runtime.folder` does, and build its model.

    Raises:
        ModelFormatError: the folder is none, or one of its files is missing, broken or of another version.
    """
    found = runtime_folder.read_folder(path, _folder_spec)
    history, model = found.history, build(found.model)
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in expanded(found.tensors).items()}
    model.load_state_dict(tensors)
    chosen = {name: found.settings[name] for name in found.chosen if name in found.settings}
    read = (found.tokenizers, found.labels, history, found.scheme, found.wide, found.yardstick, chosen)
    return ModelFolder(found.task, found.settings, model.eval(), *read)


def _folder_spec(description: Any) -> FolderSpec:
    """What a model needs of its folder; if a part of it is a user's own, it is built to see that."""
    try:
        found = runtime_folder.folder_spec(description)
    except UnsupportedLayer:
        found = _spec_of_model(_empty(description))
    return found


def _empty(description: Any) -> nn.Module:
    """The model without memory for its weights, if it can be made so."""
    try:
        with torch.device("meta"):
            model = build(description)
    except (NotImplementedError, RuntimeError):  # a cell that looks at its weights while it is made
        model = build(description)
    if not isinstance(model, nn.Module):
        raise ModelFormatError(f"it describes no model: {shown(description)}")
    return model


def _spec_of_model(model: Any) -> FolderSpec:
    tensors = {name: Tensor(_DTYPES[one.dtype], tuple(one.shape)) for name, one in model.state_dict().items()}
    vocabularies = {
        _tokenizer_of(model, name): part.vocabulary_size
        for name, part in model.named_modules()
        if isinstance(part, Embedding)
    }
    problem_type = model.problem_type if isinstance(model, Encoder) else ""
    decides = isinstance(model, Encoder | Transducer) and problem_type != "regression"
    return FolderSpec(tensors, vocabularies, model.head.out_features if decides else None, problem_type)


def _tokenizer_of(model: nn.Module, name: str) -> str:
    """The file, without `.json`, whose symbols an embedding of that name takes."""
    if isinstance(model, ConditionedGenerator) and name == "embedding":
        return "source_tokenizer"
    return "characters" if name.endswith("characters") else "tokenizer"


def _write_files(path: Path, folder: ModelFolder) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in folder.model.state_dict().items()}
    save_file(tensors, path / "model.safetensors")
    if folder.wide is not None:
        write_tensors(path / WIDE, storage.tensors_of(folder.wide))
    for name, tokenizer in folder.tokenizers.items():
        tokenizer.save(path / f"{name}.json")
    if folder.labels is not None:
        (path / "labels.json").write_text(json_text(folder.labels, indent=1) + "\n", "utf-8")
    (path / "metrics.jsonl").write_text("".join(json_text(row) + "\n" for row in folder.history), "utf-8")
    about = (folder.task, folder.settings, folder.model, folder.history)
    card = model_card(*about, yardstick=folder.yardstick, wide=folder.wide, chosen=folder.chosen)
    (path / "README.md").write_text(card, "utf-8")
    write_config(path, _config(folder))


def _config(folder: ModelFolder) -> dict[str, Any]:
    """What `config.json` holds. JSON has no infinity: as a setting, the largest number does what it would."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "stepscan_version": stepscan.__version__,
        "task": folder.task,
        "settings": {n: sys.float_info.max if value == math.inf else value for n, value in folder.settings.items()},
        "model": describe(folder.model),
        **({"chosen": list(folder.chosen)} if folder.chosen else {}),
        **({"yardstick": folder.yardstick} if folder.yardstick else {}),
        **({"scheme": folder.scheme and folder.scheme.to_dict()} if folder.task == "tag" else {}),
        **({"wide": storage.described(folder.wide)} if folder.wide is not None else {}),
    }
