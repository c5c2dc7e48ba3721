"""A model folder: plain files, no pickle, written whole or not at all.

config.json          task, settings and the model as a nested description
model.safetensors    weights
tokenizer.json       Hugging Face tokenizers; beside it characters.json where words are spelled, and
                     source_tokenizer.json where a translator reads other symbols than it writes
labels.json          where there are labels
metrics.jsonl        the training curve, one row an evaluation
README.md            a model card
"""

from __future__ import annotations

import glob
import json
import secrets
import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

import stepscan
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import ModelFormatError, StepscanError
from stepscan.estimators.model_card import model_card
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.encoder import Encoder
from stepscan.patterns.transducer import Transducer
from stepscan.registry import build, describe
from stepscan.training.checkpoints import sync

FORMAT_VERSION: Literal[1] = 1
CHECKPOINTS = "checkpoints"  # the folder in it that training state lies in until training ends


class Config(BaseModel):
    """What `config.json` holds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["stepscan"] = "stepscan"
    format_version: Literal[1] = FORMAT_VERSION
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
    labels: list[Any] | None  # strings, or whole numbers
    history: list[dict[str, Any]]


def check_free(path: str | Path, *, overwrite: bool) -> None:
    """Raise unless a model may be written to `path`: nothing there but checkpoints, or a model and `overwrite`."""
    target = Path(path).resolve()
    if target.is_file() or (target.is_dir() and any(there.name != CHECKPOINTS for there in target.iterdir())):
        if not (target / "config.json").is_file():
            raise StepscanError(f"{path} is there already and is no model folder; choose another name")
        if not overwrite:
            raise StepscanError(f"{path} holds a model already; choose another name, or overwrite it (--overwrite)")
    if target == Path.cwd() or target.is_mount():
        raise StepscanError(
            f"{path} cannot be replaced by a new folder; name a folder in it, such as {Path(path) / 'model'}"
        )
    if not target.parent.is_dir():
        parent, name = Path(path).parent, target.name
        raise StepscanError(f"{parent} is not a folder, so {name} cannot be written into it; make it first")
    _temporary_beside(target).rmdir()


def write_folder(path: str | Path, folder: ModelFolder, *, overwrite: bool = False) -> None:
    """Write the folder under a temporary name beside `path`, then rename it."""
    path = Path(path).resolve()
    check_free(path, overwrite=overwrite)
    temporary = _temporary_beside(path)
    try:
        _write_files(temporary, folder)
        for file in temporary.iterdir():
            file.chmod((temporary / "config.json").stat().st_mode)  # safetensors writes for the owner alone
            sync(file)
        _put(temporary, path)
        sync(path.parent)
    except (OSError, SafetensorError) as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_savable(model: nn.Module) -> None:
    """Raise now, not after hours of training, if a model could not be written: nameless layers, shared weights.

    Raises:
        StepscanError: says which part is to blame.
    """
    try:
        describe(model)
    except TypeError as error:
        raise StepscanError(str(error)) from None
    owner: dict[int, str] = {}
    for name, tensor in model.state_dict().items():
        first = owner.setdefault(tensor.data_ptr(), name) if tensor.numel() else name
        if first != name:
            raise StepscanError(
                f"{name} and {first} are one tensor; a model folder needs each weight once, so part them"
            )


def read_folder(path: str | Path) -> ModelFolder:
    """Read and check a model folder.

    Raises:
        ModelFormatError: the folder is none, or one of its files is missing, broken or of another version.
    """
    path = Path(path)
    config = _read_config(path)
    model = _build(path, config)
    try:
        model.load_state_dict(load_file(_required(path / "model.safetensors")))
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelFormatError(f"{path / 'model.safetensors'} does not fit config.json: {reason}") from None
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise ModelFormatError(f"{path / 'model.safetensors'}: {name} has values that are no finite numbers")
    reads_symbols = any(isinstance(part, Embedding) for part in model.modules())
    others = [name for name in ("characters", "source_tokenizer") if (path / f"{name}.json").exists()]
    names = ["tokenizer", *others] if reads_symbols else others
    tokenizers = {name: TextTokenizer.load(path / f"{name}.json") for name in names}
    vocabularies = sorted(part.vocabulary_size for part in model.modules() if isinstance(part, Embedding))
    if vocabularies != sorted(map(len, tokenizers.values())):
        raise ModelFormatError(f"{path / 'tokenizer.json'} is not of this model: it has another number of symbols")
    return ModelFolder(
        config.task, config.settings, model.eval(), tokenizers, _read_labels(path, model), _read_history(path)
    )


def _temporary_beside(path: Path) -> Path:
    """A new empty folder in the same place as `path`, so that renaming it is one step."""
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        temporary.mkdir()
    except OSError as error:
        raise _cannot_write(path, error) from error
    return temporary


def _put(new: Path, path: Path) -> None:
    """Rename `new` to `path`; what stood there is removed only once the new one stands."""
    old = _aside(path)
    if not path.exists():
        new.rename(path)
    else:
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
        try:
            new.rename(path)
        except BaseException:
            old.rename(path)
            raise
    shutil.rmtree(old, ignore_errors=True)


def tidy(path: str | Path) -> None:
    """Undo what a process that was killed while it wrote to `path` left: what stood there stands there again."""
    target = Path(path).resolve()
    if not target.exists() and _aside(target).exists():
        _aside(target).rename(target)
    for left_over in (_aside(target), *target.parent.glob(f".{glob.escape(target.name)}.*.tmp")):
        shutil.rmtree(left_over, ignore_errors=True)


def _aside(path: Path) -> Path:
    """Where what stands at `path` waits while it is replaced."""
    return path.with_name(f".{path.name}.old")


def _cannot_write(path: Path, error: Exception) -> StepscanError:
    return StepscanError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}")


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
    (path / "README.md").write_text(model_card(folder.task, folder.settings, folder.model, folder.history), "utf-8")


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


def _build(path: Path, config: Config) -> nn.Module:
    try:
        model = build(config.model)
    except (ArithmeticError, AttributeError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelFormatError(f"{path / 'config.json'}: 'model' cannot be built: {reason}") from error
    if not isinstance(model, nn.Module):
        raise ModelFormatError(f"{path / 'config.json'}: 'model' describes no model: {json.dumps(config.model)[:100]}")
    return model


def _read_labels(path: Path, model: nn.Module) -> list[Any] | None:
    """Names of what the model decides among; None for a pattern that decides nothing."""
    if not isinstance(model, Encoder | Transducer) or getattr(model, "decision", "") == "number":
        return None
    labels, count = _read_json(_required(path / "labels.json")), model.head.out_features
    if (
        not isinstance(labels, list)
        or len(labels) != count
        or not all(isinstance(label, str | int) for label in labels)
    ):
        raise ModelFormatError(f"{path / 'labels.json'}: expected a list of {count} labels, as in config.json")
    return labels


def _read_history(path: Path) -> list[dict[str, Any]]:
    rows = [_parsed(path / "metrics.jsonl", line) for line in _text(path / "metrics.jsonl").splitlines()]
    if not all(isinstance(row, dict) and {"seconds", "best"} <= set(row) for row in rows):
        raise ModelFormatError(f"{path / 'metrics.jsonl'}: expected a JSON object with seconds and best on each line")
    return rows


def _read_json(path: Path) -> Any:
    return _parsed(path, _text(path))


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ModelFormatError(f"{path} is not JSON: {error}") from None


def _text(path: Path) -> str:
    try:
        return _required(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFormatError(f"{path} cannot be read: {error}") from None


def _required(path: Path) -> Path:
    if not path.is_file():
        raise ModelFormatError(f"{path.parent} is no whole model folder: {path.name} is missing")
    return path
