"""A model folder: plain files, no pickle, written whole or not at all.

config.json          task, settings, the description of the model, and the SHA-256 of the files below
model.safetensors    weights
wide.safetensors     features and weights of a classifier's or tagger's wide part, if it has one
tokenizer.json       Hugging Face tokenizers; also characters.json for a character encoder, and source_tokenizer.json
                     for a translator whose source has another vocabulary than its target
programs.safetensors constants of the programs of the model's own cells, if there are any
labels.json          if there are labels
metrics.jsonl        the training curve, one row per evaluation
README.md            a model card (without SHA-256, so that it can be edited)
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
from stepscan.definitions.definition import Tensor
from stepscan.errors import ModelFormatError, StepscanError, UnsupportedLayer, shown
from stepscan.estimators.model_card import model_card
from stepscan.estimators.stored_programs import store_programs
from stepscan.evaluation.schemes import Scheme
from stepscan.json_text import json_text
from stepscan.patterns.conditioned_generator import ConditionedGenerator
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.encoder import Encoder
from stepscan.patterns.transducer import Transducer
from stepscan.registry import build, describe
from stepscan.storage import folder as runtime_folder
from stepscan.storage import wide_part
from stepscan.storage.atomic import atomic_write
from stepscan.storage.configuration import FORMAT, FORMAT_VERSION, PROGRAMS, WIDE, write_config
from stepscan.storage.folder import FolderSpec, expanded
from stepscan.storage.tensor_file import write_tensors
from stepscan.wide.model import WideModel

_DTYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint8: "U8", torch.bool: "BOOL"},
}


class ModelFolder(NamedTuple):
    """The content of a model folder."""

    task: str
    settings: dict[str, Any]
    model: nn.Module
    tokenizers: dict[str, TextTokenizer]  # file name without `.json` → tokenizer
    labels: list[Any] | None  # strings, or whole numbers
    history: list[dict[str, Any]]
    scheme: Scheme | None = None  # of a tagger whose tags mark spans
    outside_penalty: float = 0.0  # subtracted from the score of O where tags are predicted
    wide: WideModel | None = None  # of a classifier or tagger with a wide part
    yardstick: dict[str, Any] | None = None  # a trivial model, as `Yardstick.described`
    chosen: Mapping[str, Any] = MappingProxyType({})  # the settings that were chosen by the size of the data


def write_folder(path: str | Path, folder: ModelFolder, *, overwrite: bool = False) -> None:
    """Write the folder atomically."""
    atomic_write(path, lambda temporary: _write_files(temporary, folder), overwrite=overwrite)


def check_savable(model: nn.Module) -> None:
    """Check, before hours of training, that a model can be written.

    Raises:
        StepscanError: it has layers that are not registered, arguments that JSON has no value for, or shared weights.
    """
    try:
        description = describe(model)
    except TypeError as error:
        raise StepscanError(str(error)) from None
    try:
        json.dumps(description, allow_nan=False)
    except ValueError:
        raise StepscanError(
            "the model cannot be saved: expected finite arguments of its layers, got an infinite one or NaN, which "
            "JSON does not have"
        ) from None
    with contextlib.suppress(UnsupportedLayer):  # a user's own layers are not checked
        try:
            runtime_folder.folder_spec(description)
        except (ModelFormatError, TypeError, ValueError) as error:
            raise StepscanError(f"the model could not be loaded again: {error}") from None
    owner: dict[int, str] = {}
    for name, tensor in model.state_dict().items():
        first = owner.setdefault(tensor.data_ptr(), name) if tensor.numel() else name
        if first != name:
            raise StepscanError(
                f"{name} and {first} share one tensor; clone one of them: a model folder holds each weight once"
            )


def read_folder(path: str | Path) -> ModelFolder:
    """Read and check a model folder, as `stepscan.storage.folder` does, and build its model.

    Raises:
        ModelFormatError: the folder is not a model folder, or one of its files is missing, broken or of another
            version.
    """
    folder = runtime_folder.read_folder(path, _needs)
    history, model = folder.history, build(folder.model)
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in expanded(folder.tensors).items()}
    model.load_state_dict(tensors)
    chosen = {name: folder.settings[name] for name in folder.chosen if name in folder.settings}
    files = (folder.tokenizers, folder.labels, history, folder.scheme, folder.outside_penalty, folder.wide)
    return ModelFolder(folder.task, folder.settings, model.eval(), *files, folder.yardstick, chosen)


def _needs(description: Any) -> FolderSpec:
    """What a model needs of its folder; a model with a user's own layers is built to find that."""
    try:
        return runtime_folder.folder_spec(description)
    except UnsupportedLayer:
        return _needs_of_model(_build_empty(description))


def _build_empty(description: Any) -> nn.Module:
    """The model on the meta device, if it can be built there."""
    try:
        with torch.device("meta"):
            model = build(description)
    except (NotImplementedError, RuntimeError):  # a cell whose constructor reads its weights
        model = build(description)
    if not isinstance(model, nn.Module):
        raise ModelFormatError(f"expected the description of a model, got {shown(description)}")
    return model


def _needs_of_model(model: Any) -> FolderSpec:
    tensors = {name: Tensor(_DTYPES[tensor.dtype], tuple(tensor.shape)) for name, tensor in model.state_dict().items()}
    vocabularies = {
        _tokenizer_name(model, name): module.vocabulary_size
        for name, module in model.named_modules()
        if isinstance(module, Embedding)
    }
    problem_type = model.problem_type if isinstance(model, Encoder) else ""
    has_labels = isinstance(model, Encoder | Transducer) and problem_type != "regression"
    return FolderSpec(tensors, vocabularies, model.head.out_features if has_labels else None, problem_type)


def _tokenizer_name(model: nn.Module, name: str) -> str:
    """The file, without `.json`, of the tokenizer of the embedding of that name."""
    if isinstance(model, ConditionedGenerator) and name == "embedding":
        return "source_tokenizer"
    return "characters" if name.endswith("characters") else "tokenizer"


def _write_files(path: Path, folder: ModelFolder) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in folder.model.state_dict().items()}
    save_file(tensors, path / "model.safetensors")
    if folder.wide is not None:
        write_tensors(path / WIDE, wide_part.wide_tensors(folder.wide))
    for name, tokenizer in folder.tokenizers.items():
        tokenizer.save(path / f"{name}.json")
    if folder.labels is not None:
        (path / "labels.json").write_text(json_text(folder.labels, indent=1) + "\n", "utf-8")
    (path / "metrics.jsonl").write_text("".join(json_text(row) + "\n" for row in folder.history), "utf-8")
    programs = store_programs(folder.model)
    if programs.constants:
        write_tensors(path / PROGRAMS, programs.constants)
    card = model_card(
        folder.task,
        folder.settings,
        folder.model,
        folder.history,
        yardstick=folder.yardstick,
        outside_penalty=folder.outside_penalty,
        wide=folder.wide,
        chosen=folder.chosen,
    )
    (path / "README.md").write_text(card, "utf-8")
    entries = [entry and entry.to_json() for entry in programs.entries]
    write_config(path, _config(folder) | ({"programs": entries} if entries else {}))


def _config(folder: ModelFolder) -> dict[str, Any]:
    """The content of `config.json`. JSON has no infinity; in a setting, the largest float has the same effect."""
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
        **({"outside_penalty": folder.outside_penalty} if folder.outside_penalty else {}),
        **({"wide": wide_part.describe_wide(folder.wide)} if folder.wide is not None else {}),
    }
