"""A model folder: plain files, no pickle, written whole or not at all.

config.json          task, settings and the model as a nested description
model.safetensors    weights
tokenizer.json       Hugging Face tokenizers; characters.json beside it where words are spelled
labels.json          where there are labels
metrics.jsonl        the training curve, one row an evaluation
README.md            a model card
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import stepscan
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import ModelFormatError, StepscanError, nearest
from stepscan.registry import build, describe

if TYPE_CHECKING:
    from torch import nn

    from stepscan.estimators.base import Estimator

FORMAT_VERSION = 1


class Config(BaseModel):
    """What `config.json` holds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["stepscan"] = "stepscan"
    format_version: int = FORMAT_VERSION
    stepscan_version: str = stepscan.__version__
    task: str
    settings: dict[str, Any]
    model: dict[str, Any]


class ModelFolder(NamedTuple):
    """A trained model and all that is needed to use it."""

    task: str
    settings: dict[str, Any]
    model: nn.Module
    tokenizers: dict[str, TextTokenizer]  # file name without `.json` → tokenizer
    labels: list[str] | None
    history: list[dict[str, Any]]


def check_free(path: str | Path, *, overwrite: bool) -> None:
    """Raise unless a model may be written to `path`: nothing there, an empty folder, or a model and `overwrite`."""
    path = Path(path)
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() or path.is_symlink():
        if not (path / "config.json").is_file():
            raise StepscanError(f"{path} is there already and is no model folder; choose another name")
        if not overwrite:
            raise StepscanError(f"{path} holds a model already; choose another name, or overwrite it (--overwrite)")
    if not path.parent.is_dir():
        raise StepscanError(f"{path.parent} is not a folder, so {path.name} cannot be written into it; make it first")


def write_folder(path: str | Path, folder: ModelFolder, *, overwrite: bool = False) -> None:
    """Write the folder under a temporary name beside `path`, then rename it."""
    path = Path(path)
    check_free(path, overwrite=overwrite)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        temporary.chmod(0o755)
        _write_files(temporary, folder)
        for file in temporary.iterdir():
            _sync(file)
        if path.exists():
            path.rename(temporary / "replaced")  # out of the way, and removed only once the new one stands
            old = temporary.with_name(temporary.name + ".old")
            (temporary / "replaced").rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
        _sync(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read_folder(path: str | Path) -> ModelFolder:
    """Read and check a model folder.

    Raises:
        ModelFormatError: the folder is none, or one of its files is missing, broken or of another version.
    """
    path = Path(path)
    config = _read_config(path)
    model = build(config.model)
    if isinstance(model, dict):
        raise ModelFormatError(f"{path / 'config.json'}: 'model' describes no model: {json.dumps(config.model)[:100]}")
    try:
        model.load_state_dict(load_file(_required(path / "model.safetensors")))
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelFormatError(f"{path / 'model.safetensors'} does not fit config.json: {reason}") from None
    names = ["tokenizer"] + ["characters"] * (path / "characters.json").exists()
    tokenizers = {name: TextTokenizer.load(path / f"{name}.json") for name in names}
    labels = _read_json(path / "labels.json") if (path / "labels.json").exists() else None
    history = [json.loads(line) for line in _required(path / "metrics.jsonl").read_text("utf-8").splitlines()]
    return ModelFolder(config.task, config.settings, model.eval(), tokenizers, labels, history)


def load(path: str | Path) -> Estimator:
    """Whichever of `Classifier`, `LanguageModel`, `Tagger`, `Translator` a model folder holds.

    Raises:
        ModelFormatError: as `read_folder`.
    """
    from stepscan.estimators import classifier, language_model, tagger, translator

    kinds: dict[str, type[Estimator]] = {
        kind.task: kind
        for kind in (classifier.Classifier, language_model.LanguageModel, tagger.Tagger, translator.Translator)
    }
    folder = read_folder(path)
    if folder.task not in kinds:
        raise ModelFormatError(f"{path}: unknown task {folder.task!r}.{nearest(folder.task, kinds)}")
    return kinds[folder.task]._from_folder(folder)


def _write_files(path: Path, folder: ModelFolder) -> None:
    config = Config(task=folder.task, settings=folder.settings, model=describe(folder.model))
    (path / "config.json").write_text(config.model_dump_json(indent=2) + "\n", "utf-8")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in folder.model.state_dict().items()}
    save_file(tensors, path / "model.safetensors")
    for name, tokenizer in folder.tokenizers.items():
        tokenizer.save(path / f"{name}.json")
    if folder.labels is not None:
        (path / "labels.json").write_text(json.dumps(folder.labels, ensure_ascii=False, indent=1) + "\n", "utf-8")
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in folder.history), "utf-8")
    (path / "README.md").write_text(_card(folder), "utf-8")


def _card(folder: ModelFolder) -> str:
    """The model card."""
    parameters = sum(parameter.numel() for parameter in folder.model.parameters())
    best = [row for row in folder.history if row["best"]][-1:]
    scores = "".join(f"| {k} | {v:.4f} |\n" for row in best for k, v in row.items() if k.startswith("valid_"))
    settings = "".join(f"| {name} | {value} |\n" for name, value in folder.settings.items())
    return (
        f"# A Stepscan model: {folder.task}\n\n"
        f"{parameters:,} parameters, trained by Stepscan {stepscan.__version__} for "
        f"{folder.history[-1]['seconds'] if folder.history else 0:.0f} seconds.\n\n"
        f"## Scores on the validation data\n\n| score | value |\n|---|---|\n{scores}\n"
        f"## Settings\n\n| setting | value |\n|---|---|\n{settings}\n"
        "## Use\n\n```python\nimport stepscan as ss\n\nmodel = ss.load('this folder')\n```\n"
    )


def _read_config(path: Path) -> Config:
    if not path.is_dir():
        what = "is a file, not a model folder" if path.exists() else "does not exist"
        raise ModelFormatError(f"{path} {what}; a model folder is what `stepscan train … --out {path.name}` writes")
    if not (path / "config.json").is_file():
        raise ModelFormatError(f"{path} is no model folder: it has no config.json")
    data = _read_json(path / "config.json")
    version = data.get("format_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ModelFormatError(
            f"{path} was written by a newer Stepscan: its format is {version}, this one reads {FORMAT_VERSION}; "
            "update Stepscan"
        )
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ModelFormatError(f"{path / 'config.json'}: {where}: {first['msg']}") from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelFormatError(f"{path} is not JSON: {error}") from None


def _required(path: Path) -> Path:
    if not path.is_file():
        raise ModelFormatError(f"{path.parent} is no whole model folder: {path.name} is missing")
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
