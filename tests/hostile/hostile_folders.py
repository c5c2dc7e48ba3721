"""A catalogue of what can be wrong with a model folder: each entry breaks one that is whole, a small classifier's."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from stepscan.data.vocabulary import KINDS
from stepscan.storage.tensor_file import write_tensors
from stepscan.storage.wide_part import describe_wide, wide_tensors
from stepscan.wide.model import WideModel
from stepscan.wide.ngrams import NGramFeatures

Change = Callable[[Path], None]
DEEP = 10**6


def tensor_file(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file, right or wrong: a header of any kind, and another length of it than it has."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def content(name: str, text: bytes | str) -> Change:
    """Another content of a file."""
    return lambda folder: _write(folder / name, text)


def config(**changes: Any) -> Change:
    """Other values in config.json; None takes a key away."""

    def change(folder: Path) -> None:
        values = {**json.loads((folder / "config.json").read_text()), **changes}
        _write(folder / "config.json", json.dumps({key: one for key, one in values.items() if one is not None}))

    return change


def model(edit: Callable[[dict[str, Any]], Any]) -> Change:
    """Other arguments of the encoder in config.json."""

    def change(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_text())
        edit(values["model"]["encoder"])
        _write(folder / "config.json", json.dumps(values))

    return change


def entry(name: str, **changes: Any) -> Change:
    """Another entry of a tensor in the header; None takes a key away."""

    def change(folder: Path) -> None:
        header, data = parts(folder / "model.safetensors")
        values = {**header[name], **changes}
        header[name] = {key: one for key, one in values.items() if one is not None}
        _write(folder / "model.safetensors", tensor_file(header, data))

    return change


def tensors(edit: Callable[[dict[str, np.ndarray]], Any]) -> Change:
    """Other tensors, in a file that is itself whole."""

    def change(folder: Path) -> None:
        found = load_file(folder / "model.safetensors")
        edit(found)
        _write(folder / "model.safetensors", save(found))

    return change


def value(number: float) -> Change:
    """One weight of another value."""
    return tensors(lambda found: found["layer.forward_layer.weight_hh"].__setitem__((1, 2), number))


def wide(
    edit: Callable[[dict[str, np.ndarray]], Any] = lambda tensors: None,
    describe: Callable[[dict[str, Any]], Any] = lambda description: None,
) -> Change:
    """A wide part, with other tensors, or another description."""

    def change(folder: Path) -> None:
        features = NGramFeatures.fit(["a good film", "a bad film"])
        part = WideModel(features, np.ones((features.size, 2), np.float32), np.zeros(2, np.float32))
        found, description = wide_tensors(part), describe_wide(part)
        edit(found)
        describe(description)
        config(wide=description)(folder)
        write_tensors(folder / "wide.safetensors", found)

    return change


def tokenizer(edit: Callable[[dict[str, Any]], Any]) -> Change:
    """Another tokenizer.json."""

    def change(folder: Path) -> None:
        values = json.loads((folder / "tokenizer.json").read_text())
        edit(values)
        _write(folder / "tokenizer.json", json.dumps(values))

    return change


def compressed(kind: str, store: Callable[[dict[str, Any]], Any]) -> Change:
    """Weights of a smaller kind: `store` changes `{name: (dtype, array)}`."""

    def change(folder: Path) -> None:
        config(weights=kind)(folder)
        found: dict[str, Any] = {n: ("F32", a) for n, a in load_file(folder / "model.safetensors").items()}
        store(found)
        header, data = {}, b""
        for name, (dtype, array) in found.items():
            header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [len(data), len(data) + array.nbytes]}
            data += array.tobytes()
        _write(folder / "model.safetensors", tensor_file(header, data))

    return change


def as_int8(name: str, scales: Any = None) -> Callable[[dict[str, Any]], None]:
    """Stores one tensor in int8, by default with right scales beside it."""

    def store(found: dict[str, Any]) -> None:
        array = found[name][1]
        found[name] = ("I8", np.ones(array.shape, np.int8))
        found[f"{name}.scale"] = ("F32", np.ones(array.shape[:1], np.float32) if scales is None else scales)

    return store


def bfloat16(array: np.ndarray) -> np.ndarray:
    """The upper halves."""
    return (array.view(np.uint32) >> 16).astype(np.uint16)


def _write(path: Path, text: bytes | str) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([1, 2]))
    return file.getvalue()


def _within(name: str, times: int) -> Callable[[dict[str, Any]], None]:
    def edit(encoder: dict[str, Any]) -> None:
        for _ in range(times):
            encoder["layer"] = {name: {"layer": encoder["layer"]}}

    return edit


def _swap(found: dict[str, Any]) -> None:
    ids = found["model"]["vocab"]
    ids["film"], ids["<pad>"] = ids["<pad>"], ids["film"]


WEIGHTS, HH, HEAD = "model.safetensors", "layer.forward_layer.weight_hh", "head.weight"
OFFSETS = "data_offsets: "
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
WORDS = json.loads(KINDS["word"].splitter.__getstate__())


def _split(pattern: str) -> dict[str, Any]:
    return {**WORDS, "pattern": {"Regex": pattern}}


CONFIGS: dict[str, tuple[Change, str]] = {
    "an empty config.json": (content("config.json", ""), "config.json is not JSON"),
    "config.json in UTF-16": (content("config.json", "{}".encode("utf-16")), "config.json cannot be read: 'utf-8'"),
    "config.json is a zip": (content("config.json", _zip()), "config.json"),
    "a million lists": (content("config.json", "[" * DEEP), "config.json: expected at most 200 levels of nesting"),
    "a million objects": (
        content("config.json", '{"a":' * DEEP),
        "config.json: expected at most 200 levels of nesting",
    ),
    "a million closed lists": (
        content("config.json", "[" * DEEP + "]" * DEEP),
        "expected at most 200 levels of nesting",
    ),
    "brackets in a string are none": (config(extra="[" * 1000), "unknown key 'extra'"),
    "layers in layers": (model(_within("residual", 150)), "config.json: expected at most 200 levels of nesting"),
    "a key twice": (content("config.json", '{"format": "stepscan", "format": "x"}'), "'format' occurs twice"),
    "NaN": (config(settings={"dropout": float("nan")}), "config.json is not JSON: NaN is not a number"),
    "an infinite number": (content("config.json", '{"format": 1e999}'), "1e999 is too large a number"),
    "a number of 5000 digits": (content("config.json", '{"format": 1%s}' % ("0" * 5000)), "config.json is not JSON"),
    "a string": (content("config.json", '"config"'), "config.json: expected an object, got 'config'"),
    "null": (content("config.json", "null"), "config.json: expected an object, got None"),
    "no format": (config(format=None), "config.json: format: expected 'stepscan', got nothing"),
    "no format_version": (config(format_version=None), "config.json: format_version: expected 1 to 2, got nothing"),
    "format_version true": (config(format_version=True), "config.json: format_version: expected 1 to 2, got True"),
    "format_version 0": (config(format_version=0), "config.json: format_version: expected 1 to 2, got 0"),
    "no task": (config(task=None), "config.json: task: expected a string, got nothing"),
    "a list of tasks": (config(task=["classify"]), "config.json: task: expected a string, got ['classify']"),
    "no settings": (config(settings=None), "config.json: settings: expected an object, got nothing"),
    "a list of settings": (config(settings=[]), "config.json: settings: expected an object, got []"),
    "no model": (config(model=None), "config.json: model: expected an object, got nothing"),
    "a version that is a number": (
        config(stepscan_version=1),
        "config.json: stepscan_version: expected a string, got 1",
    ),
    "a key like another": (
        config(weight="int8"),
        "unknown key 'weight'. Did you mean 'weights'?",
    ),
    "weights of no kind": (
        config(weights="int4"),
        "config.json: weights: expected float32, bfloat16, int8, got 'int4'",
    ),
    "weights in a list": (
        config(weights=["int8"]),
        "config.json: weights: expected float32, bfloat16, int8, got ['int8']",
    ),
    "another task": (
        config(task="generate"),
        "model: expected generator for the task 'generate', got encoder",
    ),
    "another problem type": (
        model(lambda m: m.update(problem_type="multilabel")),
        "config.json: settings: problem_type: expected the model's 'multilabel', got 'classification'",
    ),
    **{
        f"a setting of a run: {name}": (
            config(settings={name: value}),
            f"config.json: expected settings of the model, got {name}: {value!r}, which is a setting of a training run",
        )
        for name, value in {
            **{
                "checkpoints": "/home",
                "checkpoint_every": 0,
                "resume": True,
                "init_from": "..",
                "embeddings": "hf:a/b",
            },
            **{"tensorboard": "/tmp", "monitor_gradients": False},
        }.items()
    },
    "a reference": (
        model(lambda m: m.update(layer={"$ref": "#/model"})),
        "'model' cannot be built: Encoder: expected a Layer, got",
    ),
    "a model of two patterns": (
        config(model={"encoder": {}, "transducer": {}}),
        "'model' cannot be built: expected a model, got",
    ),
    "a layer that is a list": (
        model(lambda m: m.update(layer=[m["layer"]])),
        "'model' cannot be built: Encoder: expected a Layer, got a list of 1",
    ),
    "an unknown argument": (
        model(lambda m: m.update(hiden=1)),
        "the description of 'encoder' does not fit its constructor",
    ),
    "no outputs": (model(lambda m: m.update(outputs=0)), "outputs: expected a whole number of at least 1, got 0"),
    "a negative size": (model(lambda m: m["embedding"]["embedding"].update(size=-4)), "size: expected a whole number"),
    "a size of 1.5": (model(lambda m: m["embedding"]["embedding"].update(size=1.5)), "size: expected a whole number"),
    "a size of true": (model(lambda m: m["embedding"]["embedding"].update(size=True)), "size: expected a whole number"),
    "a size of 2⁶³": (
        model(lambda m: m["embedding"]["embedding"].update(size=2**63)),
        "size: expected at most 2,147,483,647",
    ),
    "a size of 10⁴⁰⁰⁰": (model(lambda m: m["embedding"]["embedding"].update(size=10**4000)), "size: expected at most"),
    "a size of 2³¹ − 1": (
        model(lambda m: m["embedding"]["embedding"].update(size=2**31 - 1)),
        "expected an embedding of size 4, the input size of Bidirectional(4 → 12), got 2147483647",
    ),
    "a stack of nothing": (
        model(lambda m: m.update(layer={"stack": []})),
        "Stack: expected at least one layer, got none",
    ),
    "widths that do not fit": (
        model(lambda m: m.update(layer={"stack": [m["layer"], m["layer"]]})),
        "Stack: expected a layer of input size 12 after Bidirectional(4 → 12), got Bidirectional(4 → 12)",
    ),
    "an embedding too wide": (
        model(lambda m: m["embedding"]["embedding"].update(size=5)),
        "Encoder: expected an embedding of size 4, the input size of Bidirectional(4 → 12), got 5",
    ),
    "an unknown pooling": (
        model(lambda m: m.update(pooling="lst")),
        "pooling: expected 'last', 'mean', 'max' or 'attention', got 'lst'",
    ),
    "characters that a terminal obeys": (config(task=["\x1b[2J"]), r"got ['\x1b[2J']"),
}

FILES: dict[str, tuple[Change, str]] = {
    "an empty weights' file": (content(WEIGHTS, b""), "not a safetensors file: it has 0 bytes"),
    "weights of 7 bytes": (content(WEIGHTS, b"\0" * 7), "not a safetensors file: it has 7 bytes"),
    "weights of nothing but zeros": (
        content(WEIGHTS, b"\0" * 100),
        "not a safetensors file: expected a header that begins with",
    ),
    "weights are a zip": (
        content(WEIGHTS, _zip()),
        "not a safetensors file: it is a zip archive, as torch.save writes",
    ),
    "weights are a pickle": (content(WEIGHTS, pickle.dumps([1] * 99)), "not a safetensors file: it is a Python pickle"),
    "weights are gzip": (
        content(WEIGHTS, gzip.compress(b"a" * 99, mtime=0)),
        "not a safetensors file: it is gzip data",
    ),
    "weights are HTML": (
        content(WEIGHTS, "<!DOCTYPE html><html>"),
        "not a safetensors file: expected a header of at most",
    ),
    "a pointer of Git LFS": (
        content(WEIGHTS, "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"),
        "not a safetensors file: it is a pointer of Git LFS, not the file itself (git lfs pull fetches that)",
    ),
    "a header longer than the file": (content(WEIGHTS, tensor_file({}, length=99)), "expected a header of 99 bytes"),
    "a header of 2⁶⁴ − 1 bytes": (
        content(WEIGHTS, tensor_file({}, length=2**64 - 1)),
        "expected a header of at most 4,194,304 bytes",
    ),
    "a header that is a list": (content(WEIGHTS, tensor_file([])), "expected a header that begins with {, got b'['"),
    "a header that is no JSON": (
        content(WEIGHTS, tensor_file(b"{]")),
        "the header of model/model.safetensors is not JSON",
    ),
    "a header that is not UTF-8": (content(WEIGHTS, tensor_file(b'{"\xff":1}')), "is not UTF-8"),
    "a header of a million lists": (
        content(WEIGHTS, tensor_file(b'{"a":' + b"[" * DEEP)),
        "expected at most 200 levels of nesting",
    ),
    "a tensor twice": (content(WEIGHTS, tensor_file(b'{"a":1,"a":1}')), "'a' occurs twice"),
    "no tensors": (content(WEIGHTS, tensor_file({})), "does not fit config.json: embedding.weight is missing"),
    "metadata of numbers": (
        content(WEIGHTS, tensor_file({"__metadata__": {"a": 1}})),
        "__metadata__: expected strings",
    ),
    "a tensor that is null": (content(WEIGHTS, tensor_file({HEAD: None})), "expected dtype, shape and data_offsets"),
    "a tensor without dtype": (entry(HEAD, dtype=None), "'head.weight': expected dtype, shape and data_offsets"),
    "a tensor with more": (entry(HEAD, strides=[1]), "'head.weight': expected dtype, shape and data_offsets"),
    "an unknown dtype": (entry(HEAD, dtype="F8_E4M3"), "'head.weight': dtype: expected one of F64, F32"),
    "a dtype that is a number": (entry(HEAD, dtype=32), "'head.weight': dtype: expected one of F64, F32"),
    "a dtype too large": (entry(HEAD, dtype="F64"), "'head.weight': " + OFFSETS),
    "a dtype as large": (entry(HEAD, dtype="I32"), "head.weight: expected F32 [2, 12], got I32 [2, 12]"),
    "a negative size in a shape": (entry(HEAD, shape=[-2, -12]), "'head.weight': shape: expected at most 8 whole"),
    "a size of 12.0": (entry(HEAD, shape=[2, 12.0]), "'head.weight': shape: expected at most 8 whole"),
    "a shape of truth values": (entry(HEAD, shape=[True, 24]), "'head.weight': shape: expected at most 8 whole"),
    "a shape that is a number": (
        entry(HEAD, shape=24),
        "'head.weight': shape: expected at most 8 whole numbers, got 24",
    ),
    "a shape of 9 sizes": (entry(HEAD, shape=[2, 12] + [1] * 7), "'head.weight': shape: expected at most 8 whole"),
    "a shape of 2⁶² × 4": (entry(HEAD, shape=[2**62, 4]), "'head.weight': " + OFFSETS),
    "a shape whose product overflows": (entry(HEAD, shape=[2**32, 2**32, 24]), "'head.weight': " + OFFSETS),
    "a shape turned": (entry(HEAD, shape=[12, 2]), "head.weight: expected F32 [2, 12], got F32 [12, 2]"),
    "a shape of 10¹⁰⁰": (entry(HEAD, shape=[10**100]), "'head.weight': shape: expected at most 8 whole"),
    "negative offsets": (entry(HEAD, data_offsets=[-96, 0]), "'head.weight': " + OFFSETS + "expected the first byte"),
    "offsets turned": (
        entry(HEAD, data_offsets=[96, 0]),
        "'head.weight': " + OFFSETS + "expected the bytes of F32 [2, 12], got [96, 0]",
    ),
    "one offset": (entry(HEAD, data_offsets=[96]), "'head.weight': " + OFFSETS + "expected the first byte and the end"),
    "tensors that overlap": (
        entry(HEAD, data_offsets=[0, 96]),
        "'embedding.weight': " + OFFSETS + "expected byte 96, got 0, which overlaps",
    ),
    "a tensor past the end": (
        entry(HEAD, data_offsets=[2**50, 2**50 + 96]),
        OFFSETS + "expected byte 200, got 296, which leaves a hole",
    ),
    "a petabyte": (entry(HEAD, shape=[2**48], data_offsets=[0, 2**50]), "model/model.safetensors"),
    "weights with something after them": (
        lambda folder: _write(folder / WEIGHTS, (folder / WEIGHTS).read_bytes() + b"\0"),
        "other data follow the tensors",
    ),
    "a tensor missing": (tensors(lambda t: t.pop(HEAD)), "does not fit config.json: head.weight is missing"),
    "a tensor that nothing needs": (
        tensors(lambda t: t.update(hed=np.zeros(1, np.float32))),
        "does not fit config.json: unexpected 'hed'",
    ),
    "a weight that is NaN": (value(np.nan), HH + ": expected finite values, got others"),
    "a weight that is infinite": (value(-np.inf), HH + ": expected finite values, got others"),
}

SMALLER: dict[str, tuple[Change, str]] = {
    "int8 without scales": (
        compressed("int8", lambda t: t.update({HEAD: ("I8", np.ones((2, 12), np.int8))})),
        "head.weight.scale: expected F32 [2] for the int8 head.weight",
    ),
    "int8 with too many scales": (
        compressed("int8", as_int8(HEAD, np.ones(12, np.float32))),
        "head.weight.scale: expected F32 [2] for the int8 head.weight",
    ),
    "scales that are NaN": (
        compressed("int8", as_int8(HEAD, np.full(2, np.nan, np.float32))),
        "head.weight.scale: expected finite values",
    ),
    "scales too large": (
        compressed("int8", as_int8(HEAD, np.full(2, 3e37, np.float32))),
        "head.weight.scale: expected finite values",
    ),
    "scales without int8": (
        compressed("int8", lambda t: t.update({f"{HEAD}.scale": ("F32", np.ones(2, np.float32))})),
        "unexpected 'head.weight.scale'",
    ),
    "int8 that is no matrix": (
        compressed("int8", as_int8("head.bias")),
        "head.bias: expected F32 or BF16 [2], got I8 [2]",
    ),
    "int8 that is not announced": (compressed("float32", as_int8(HEAD)), "head.weight: expected F32 [2, 12], got I8"),
    "bfloat16 that is not announced": (
        compressed("float32", lambda t: t.update({HEAD: ("BF16", bfloat16(t[HEAD][1]))})),
        "head.weight: expected F32 [2, 12], got BF16 [2, 12]",
    ),
    "bfloat16 that is NaN": (
        compressed("bfloat16", lambda t: t.update({HEAD: ("BF16", np.full((2, 12), 0xFFC0, np.uint16))})),
        "head.weight: expected finite values, got others",
    ),
}

_LETTERS = "features.letters.keys"
WIDE: dict[str, tuple[Change, str]] = {
    "a wide part that is a list": (config(wide=[1]), "wide: expected an object of features and shares, got [1]"),
    "a wide part of more": (wide(describe=lambda d: d.update(more=1)), "wide: expected an object of features and"),
    "a wide part without a file": (
        config(wide={"features": {"name": "ngrams", "words": 1, "letters": 1}, "shares": [1, 1]}),
        "model is not a complete model folder: wide.safetensors is missing",
    ),
    "shares of three": (wide(describe=lambda d: d["shares"].append(1)), "shares: expected two numbers from 0 to"),
    "a negative share": (wide(describe=lambda d: d.update(shares=[-1, 1])), "expected two numbers from 0 to 1,000,000"),
    "a share of true": (wide(describe=lambda d: d.update(shares=[True, 1])), "expected two numbers from 0 to"),
    "a share of 10⁴⁰⁰": (wide(describe=lambda d: d.update(shares=[10**400, 1])), "expected two numbers from 0 to"),
    "features without a name": (
        wide(describe=lambda d: d["features"].pop("name")),
        "wide: features: expected the name ngrams or convolutions, got None",
    ),
    "features of no kind": (
        wide(describe=lambda d: d["features"].update(name="ngram")),
        "expected the name ngrams or convolutions, got 'ngram'. Did you mean 'ngrams'?",
    ),
    "features that are a number": (wide(describe=lambda d: d.update(features=1)), "features: expected the name ngrams"),
    "features of series, to a model of texts": (
        wide(describe=lambda d: d["features"].update(name="convolutions")),
        "wide: features: expected features of texts, which the model reads, got convolutions",
    ),
    "features of 2⁶³ words": (
        wide(describe=lambda d: d["features"].update(words=2**63)),
        "features: words.keys: expected int64 [9223372036854775808], got int64 [5]",
    ),
    "features without words": (
        wide(describe=lambda d: d["features"].pop("words")),
        "does not fit config.json: features: expected ngrams with words and letters, got letters, name",
    ),
    "no wide weight": (
        wide(lambda t: t.pop("weight")),
        "wide.safetensors does not fit config.json: weight is missing",
    ),
    "a wide weight of another size": (
        wide(lambda t: t.update(weight=t["weight"][:, :1].copy())),
        "wide.safetensors does not fit config.json: weight: expected float32 [",
    ),
    "a wide weight of int8": (
        wide(lambda t: t.update(weight=t["weight"].astype(np.int8))),
        "wide.safetensors does not fit config.json: weight: expected float32 [",
    ),
    "a wide bias of float64": (
        wide(lambda t: t.update(bias=np.zeros(2))),
        "wide.safetensors does not fit config.json: bias: expected float32 [2], got float64 [2]",
    ),
    "a wide weight that is NaN": (
        wide(lambda t: t["weight"].__setitem__((0, 1), np.nan)),
        "wide.safetensors: weight: expected finite values, got others",
    ),
    "a tensor that no features need": (
        wide(lambda t: t.update({"features.x": np.zeros(1, np.float32)})),
        "wide.safetensors does not fit config.json: features: expected the tensors letters.idf",
    ),
    "a tensor of no features": (
        wide(lambda t: t.update(x=np.zeros(1, np.float32))),
        "wide.safetensors does not fit config.json: nothing needs 'x'",
    ),
    "keys that are not sorted": (
        wide(lambda t: t.update({_LETTERS: t[_LETTERS][::-1].copy()})),
        "features: letters.keys: expected hashes of 47 bits in ascending order",
    ),
    "a key twice in the features": (
        wide(lambda t: t[_LETTERS].__setitem__(1, t[_LETTERS][0])),
        "features: letters.keys: expected hashes of 47 bits in ascending order",
    ),
    "a negative key": (
        wide(lambda t: t[_LETTERS].__setitem__(0, -1)),
        "features: letters.keys: expected hashes of 47 bits in ascending order",
    ),
    "features that weigh nothing": (
        wide(lambda t: t.update({"features.words.idf": np.zeros(5, np.float32)})),
        "features: words.idf: expected weights of 1 or more",
    ),
}

TOKENIZERS: dict[str, tuple[Change, str]] = {
    "an empty tokenizer": (content("tokenizer.json", ""), "tokenizer.json: not a valid tokenizer: "),
    "a tokenizer that is a pickle": (
        content("tokenizer.json", pickle.dumps(1)),
        "tokenizer.json cannot be read: it is a Python pickle",
    ),
    "a tokenizer of a million lists": (content("tokenizer.json", "[" * DEEP), "tokenizer.json: not a valid tokenizer"),
    "a tokenizer that is an object": (content("tokenizer.json", "{}"), "tokenizer.json: not a valid tokenizer: "),
    "a symbol more": (
        tokenizer(lambda t: t["model"]["vocab"].update(new=12)),
        "tokenizer.json: expected 12 symbols, as in the embedding of config.json, got 13",
    ),
    "a symbol less": (tokenizer(lambda t: t["model"]["vocab"].popitem()), "expected 12 symbols, as in the embedding"),
    "ids with a gap": (tokenizer(lambda t: t["model"]["vocab"].update(film=99)), "expected ids from 0 without a gap"),
    "ids of specials exchanged": (tokenizer(_swap), "tokenizer.json: not a valid tokenizer: "),
    "a negative id": (tokenizer(lambda t: t["model"]["vocab"].update(film=-1)), "not a valid tokenizer: "),
    "an unknown token that is none": (
        tokenizer(lambda t: t["model"].update(unk_token="?")),
        "unk_token of the WordLevel: expected '<unk>', got '?'",
    ),
    "a tokenizer of too few bytes": (
        tokenizer(lambda t: t.update(pre_tokenizer=BYTES)),
        "the decoder of kind 'byte': expected {'type': 'ByteLevel'",
    ),
    "a tokenizer that pads": (
        tokenizer(
            lambda t: t.update(
                padding={
                    **{"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None},
                    **{"pad_id": 10**6, "pad_type_id": 0, "pad_token": "x"},
                }
            )
        ),
        "tokenizer.json: not a valid tokenizer: expected no padding, got {'strategy': {'Fixed': 9}",
    ),
    "a tokenizer that cuts": (
        tokenizer(
            lambda t: t.update(
                truncation={"max_length": 1, "strategy": "LongestFirst", "direction": "Right", "stride": 0}
            )
        ),
        "tokenizer.json: not a valid tokenizer: expected no truncation, got {'max_length': 1",
    ),
    "a tokenizer that splits in another way": (
        tokenizer(lambda t: t.update(pre_tokenizer={"type": "Whitespace"})),
        "tokenizer.json: not a valid tokenizer: expected a pre_tokenizer of a known kind",
    ),
    **{
        f"a normalizer: {name}": (
            tokenizer(lambda t, normalizer=normalizer: t.update(normalizer=normalizer)),
            "the normalizer: expected None or {'type': 'Lowercase'}, got ",
        )
        for name, normalizer in {
            "nine times ten letters": {
                "type": "Sequence",
                "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}] * 9,
            },
            "a regular expression": {"type": "Replace", "pattern": {"Regex": "(a|aa)+$"}, "content": ""},
            "megabytes before the text": {"type": "Prepend", "prepend": "a" * 10**6},
            "of unicode": {"type": "NFKC"},
            "precompiled": {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
            "more than lower case": {"type": "Lowercase", "more": 1},
            "a list": [{"type": "Lowercase"}],
            "false": False,
        }.items()
    },
    **{
        f"a pre-tokenizer: {name}": (
            tokenizer(lambda t, splitter=splitter: t.update(pre_tokenizer=splitter)),
            "expected a pre_tokenizer of a known kind, got ",
        )
        for name, splitter in {
            "none": None,
            "a pattern without end": _split("(a|aa)+$"),
            "a pattern of nothing": _split(""),
            "a pattern that looks around": _split("(?<=(a+)+)b"),
            "ours of words with another behaviour": {**WORDS, "behavior": "MergedWithPrevious"},
            "ours of words turned": {**WORDS, "invert": False},
            "ours of words with 1 for true": {**WORDS, "invert": 1},
            "a sequence": {"type": "Sequence", "pretokenizers": [WORDS] * 100},
            "bytes with a space before": {**BYTES, "add_prefix_space": True},
            "punctuation": {"type": "Punctuation", "behavior": "Isolated"},
        }.items()
    },
    **{
        f"a decoder: {name}": (
            tokenizer(lambda t, decoder=decoder: t.update(decoder=decoder)),
            "the decoder of kind 'word': expected None, got ",
        )
        for name, decoder in {
            "byte fallback": {"type": "ByteFallback"},
            "fuse": {"type": "Fuse"},
            "strip": {"type": "Strip", "content": "a", "start": 2**40, "stop": 2**40},
            "replace": {"type": "Replace", "pattern": {"String": ""}, "content": "a" * 10**6},
            "a sequence": {"type": "Sequence", "decoders": [{"type": "Fuse"}] * 100},
        }.items()
    },
    **{
        f"added tokens: {name}": (tokenizer(edit), "the added tokens: expected [{'id': 0, 'content': '<pad>'")
        for name, edit in {
            "one more": lambda t: t["added_tokens"].append({**t["added_tokens"][3], "id": 4, "content": "a"}),
            "none": lambda t: t.update(added_tokens=[]),
            "an empty one": lambda t: t["added_tokens"][3].update(content=""),
            "a huge id": lambda t: t["added_tokens"][3].update(id=2**32 - 1),
            "not special": lambda t: t["added_tokens"][1].update(special=False),
            "that eat spaces": lambda t: t["added_tokens"][2].update(lstrip=True, rstrip=True),
            "normalized": lambda t: t["added_tokens"][2].update(normalized=True),
            "1 for true": lambda t: t["added_tokens"][2].update(special=1),
        }.items()
    },
    **{
        f"a model: {name}": (tokenizer(edit), expected)
        for name, (edit, expected) in {
            "of pieces": (
                lambda t: t["model"].update(type="WordPiece", max_input_chars_per_word=2**60),
                "expected a WordLevel with type, unk_token, vocab for kind 'word', got ",
            ),
            "of another type": (
                lambda t: t["model"].update(type="Unigram"),
                "type of the WordLevel: expected 'WordLevel', got 'Unigram'",
            ),
            "null": (lambda t: t.update(model=None), "expected a WordLevel with type, unk_token, vocab"),
            "no unknown token": (lambda t: t["model"].pop("unk_token"), "expected a WordLevel with type, unk_token"),
            "an unknown token of null": (
                lambda t: t["model"].update(unk_token=None),
                "unk_token of the WordLevel: expected '<unk>', got None",
            ),
            "a vocabulary of a list": (
                lambda t: t["model"].update(vocab=list(t["model"]["vocab"])),
                "expected a vocabulary of tokens and ids, got ['<pad>'",
            ),
            "an id of 1.0": (lambda t: t["model"]["vocab"].update({"<unk>": 1.0}), "expected a vocabulary of tokens"),
            "an id of true": (lambda t: t["model"]["vocab"].update({"<unk>": True}), "expected a vocabulary of tokens"),
            "an id of 2⁶⁴": (lambda t: t["model"]["vocab"].update(film=2**64), "expected ids from 0 without a gap"),
            "an id twice": (lambda t: t["model"]["vocab"].update(film=4), "expected ids from 0 without a gap"),
            "half a surrogate pair": (
                lambda t: t["model"]["vocab"].update({"\ud800": t["model"]["vocab"].pop("film")}),
                "expected valid Unicode tokens, got half a surrogate pair",
            ),
        }.items()
    },
    "a tokenizer with more": (tokenizer(lambda t: t.update(more=1)), "expected an object with added_tokens, decoder"),
    "a tokenizer without a version": (tokenizer(lambda t: t.pop("version")), "expected an object with added_tokens"),
    "a tokenizer of another version": (tokenizer(lambda t: t.update(version="2.0")), "the version: expected '1.0'"),
    "a tokenizer that has a key twice": (
        content("tokenizer.json", '{"model": {}, "model": {}}'),
        "it is not JSON: the key 'model' occurs twice",
    ),
}

LABELS: dict[str, tuple[Change, str]] = {
    "no labels": (content("labels.json", "[]"), "labels.json: expected a list of 2 labels, as in config.json, got 0"),
    "three labels": (
        content("labels.json", '["a", "b", "c"]'),
        "expected a list of 2 labels, as in config.json, got 3",
    ),
    "labels that are an object": (
        content("labels.json", '{"a": 0, "b": 1}'),
        "labels.json: expected a list of 2 labels",
    ),
    "labels of two kinds": (content("labels.json", '["a", 1]'), "labels that are all strings or all whole numbers"),
    "labels that are lists": (content("labels.json", '[["a"], ["b"]]'), "labels that are all strings or all whole"),
    "a label twice": (content("labels.json", '["a", "a"]'), "labels.json: expected distinct labels, got 'a' twice"),
    "half a surrogate pair": (content("labels.json", r'["a", "\ud800"]'), r"the label '\ud800' is not valid Unicode"),
    "labels of a million lists": (
        content("labels.json", "[" * DEEP),
        "labels.json: expected at most 200 levels of nesting",
    ),
}

HOSTILE = {**CONFIGS, **FILES, **SMALLER, **WIDE, **TOKENIZERS, **LABELS}
