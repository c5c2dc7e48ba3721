"""A model folder is untrusted: whatever is wrong in it is one `ModelFormatError` on both sides, and takes no memory."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_folders import DEEP, HOSTILE, as_int8, bfloat16, compressed, config, parts, tensor_file
from safetensors.numpy import load_file, save_file

import stepscan as ss
from stepscan import runtime
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import ModelFormatError, UnsupportedLayer
from stepscan.estimators.folder import ModelFolder, write_folder
from stepscan.estimators.folder import read_folder as read_to_train
from stepscan.storage.folder import expanded, read_folder

GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0"
READERS = {"runtime": read_folder, "estimators": read_to_train}
FILES = ["config.json", "model.safetensors", "tokenizer.json", "labels.json"]


@pytest.fixture(params=READERS)
def read(request):
    """Either way to read a folder."""
    return READERS[request.param]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A whole model folder, to be broken; it is `model` in the current one."""
    shutil.copytree(GOLDEN / "classify", tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return Path("model")


@pytest.fixture
def tiny(tmp_path):
    """A whole folder with as few bytes as can be, without symbols."""
    arguments = {"embedding": None, "layer": {"layer_norm": {"size": 1}}, "outputs": 1}
    values = {"format": "stepscan", "format_version": 1, "stepscan_version": "0.1.0", "task": "tag"}
    values |= {"settings": {"seed": 0}, "model": {"transducer": arguments}}
    weights = {name: np.ones(1, np.float32) for name in ("layer.norm.weight", "layer.norm.bias", "head.bias")}
    weights["head.weight"] = np.ones((1, 1), np.float32)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(values, separators=(",", ":")))
    (tmp_path / "tiny" / "labels.json").write_text('["a"]')
    (tmp_path / "tiny" / "metrics.jsonl").write_text('{"seconds": 1, "best": true}\n')
    save_file(weights, tmp_path / "tiny" / "model.safetensors")
    return tmp_path / "tiny"


def refused(read, folder) -> str:
    """What is said of a folder that must not load; little memory may be taken for it."""
    tracemalloc.start()
    try:
        with pytest.raises(ModelFormatError) as caught:
            read(folder)
        assert tracemalloc.get_traced_memory()[1] < 64e6
    finally:
        tracemalloc.stop()
    said = str(caught.value)
    assert len(said) < 600
    assert said.isprintable()
    return said


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(folder, read, name):
    change, expected = HOSTILE[name]
    change(folder)
    assert expected in refused(read, folder)


LOADERS = pytest.mark.parametrize("load", [runtime.load, ss.load], ids=READERS)


@LOADERS
def test_nothing_to_read(tiny, load):
    """Such a network can be used by itself, but no sentence or series becomes its input."""
    with pytest.raises(ModelFormatError, match=r"expected one that models for the task 'tag' can use, got null"):
        load(tiny)


@LOADERS
def test_a_classifier_does_not_read_spellings(tmp_path, load):
    spelling = ss.Bidirectional(ss.GRU(3, 2), ss.GRU(3, 2))
    embedding = ss.WordAndCharacterEmbedding(ss.Embedding(5, 4), ss.Embedding(5, 3), spelling)
    tokenizers = {name: TextTokenizer.train("character", ["a"]) for name in ("tokenizer", "characters")}
    model = ModelFolder("classify", {}, ss.Encoder(embedding, ss.LSTM(8, 6), 2), tokenizers, ["a", "b"], [])
    write_folder(tmp_path / "model", model)
    with pytest.raises(ModelFormatError, match=r"'classify' can use, got word_and_character_embedding"):
        load(tmp_path / "model")


def doubling(times: int, around: Any = None) -> Any:
    """A layer without a weight, that gives 2 ** times as many numbers as it takes."""
    layers: list[Any] = [around] if around else []
    for place in range(times):
        half = {"dropout": {"size": 6 * 2**place, "p": 0.0}}
        layers.append({"bidirectional": {"forward": half, "backward": half}})
    return {"stack": layers}


@pytest.mark.parametrize("times", [14, 26])
def test_a_small_description_of_large_layers(tmp_path, read, times):
    """6 KB of JSON, and no weight, once took 3.6 GB to translate "abc"."""
    shutil.copytree(GOLDEN / "translate", tmp_path / "model")
    values = json.loads((tmp_path / "model" / "config.json").read_text())
    arguments = values["model"]["conditioned_generator"]
    arguments["encoder"] = doubling(times, arguments["encoder"])
    arguments["generator"]["generator"]["layer"] = {"dropout": {"size": 4, "p": 0.0}}
    (tmp_path / "model" / "config.json").write_text(json.dumps(values))
    assert "expected layers whose outputs are in proportion to" in refused(read, tmp_path / "model")


@pytest.mark.parametrize("name", ["classify", "tag", "tag-crf"])
def test_large_layers_of_other_tasks(tmp_path, read, name):
    shutil.copytree(GOLDEN / name, tmp_path / "model")
    values = json.loads((tmp_path / "model" / "config.json").read_text())
    [arguments] = values["model"].values()
    arguments["layer"] = {"stack": [arguments["layer"], *[{"dropout": {"size": 12, "p": 0.0}}] * 10_000]}
    (tmp_path / "model" / "config.json").write_text(json.dumps(values))
    assert "got 120" in refused(read, tmp_path / "model")


def attempt(read, folder) -> tuple[Any, str]:
    """What a folder holds, or what is said of it; any other error is a failure of the test."""
    try:
        found = read(folder)
        found.history  # noqa: B018 - the runtime reads it when asked
    except ModelFormatError as error:
        return None, str(error)
    return found, ""


def weights_of(found) -> dict[str, np.ndarray]:
    if hasattr(found, "tensors"):
        return {name: array.copy() for name, array in expanded(found.tensors).items()}
    return {name: tensor.numpy() for name, tensor in found.model.state_dict().items()}


def assert_equal(left, right) -> None:
    assert left.keys() == right.keys()
    for name, array in left.items():
        np.testing.assert_array_equal(array, right[name])


def flips(content: bytes, read):
    """The content with each single bit turned; for the training side, which asks the runtime's, with each third."""
    for place in range(0, 8 * len(content), 1 if read is read_folder else 3):
        broken = bytearray(content)
        broken[place // 8] ^= 1 << place % 8
        yield bytes(broken)


def test_any_bit_of_the_header(tiny, read):
    """The file is refused, or says what it said: white space and the like."""
    file = tiny / "model.safetensors"
    whole, tensors = file.read_bytes(), weights_of(read(tiny))
    end = 8 + int.from_bytes(whole[:8], "little")
    refusals, tries = 0, 0
    for broken in flips(whole[:end], read):
        file.write_bytes(broken + whole[end:])
        found, said = attempt(read, tiny)
        assert "model.safetensors" in said or found
        tries, refusals = tries + 1, refusals + (found is None)
        if found:
            assert_equal(weights_of(found), tensors)
    assert refusals > 0.9 * tries


def test_any_bit_of_the_weights(tiny, read):
    """Another number, or an error if it is none."""
    file = tiny / "model.safetensors"
    whole = file.read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    for broken in flips(whole[end:], read):
        file.write_bytes(whole[:end] + broken)
        finite = np.isfinite(np.frombuffer(broken, np.float32)).all()
        found, said = attempt(read, tiny)
        assert bool(found) == finite
        assert "expected finite values" in said or finite


def test_any_bit_of_the_configuration(tiny, read):
    """A name that is no other built-in one may be that of a user's layer: then only PyTorch can tell."""
    whole = (tiny / "config.json").read_bytes()
    for broken in flips(whole, read):
        (tiny / "config.json").write_bytes(broken)
        try:
            found, said = attempt(read, tiny)
        except UnsupportedLayer:
            assert read is read_folder
        else:
            assert str(tiny) in said or found.task


@pytest.mark.parametrize(("name", "step"), [("tokenizer.json", 7), ("labels.json", 1), ("metrics.jsonl", 9)])
def test_a_bit_of_many_bytes(folder, read, name, step):
    whole = (folder / name).read_bytes()
    for place in range(0, len(whole), step):
        broken = bytearray(whole)
        broken[place] ^= 1 << place % 8
        (folder / name).write_bytes(broken)
        found, said = attempt(read, folder)
        assert name in said or found


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "metrics.jsonl"])
def test_cut_off_anywhere(tiny, read, name):
    whole = (tiny / name).read_bytes()
    for length in range(len(whole.rstrip())):
        (tiny / name).write_bytes(whole[:length])
        said = attempt(read, tiny)[1]
        assert name in said or (name, length) == ("metrics.jsonl", 0), "no evaluation is no fault"


@pytest.mark.parametrize("name", ["labels.json", "tokenizer.json"])
def test_cut_off_where_there_are_symbols(folder, read, name):
    whole = (folder / name).read_bytes().rstrip()
    for length in range(0, len(whole), 7):
        (folder / name).write_bytes(whole[:length])
        assert name in attempt(read, folder)[1]


# What stands where a file should --------------------------------------------------------------------------------------


def _folder(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")
@pytest.mark.parametrize("put", [_folder, _loop, _dangling, _pipe, _device])
@pytest.mark.parametrize("name", FILES)
def test_no_file(folder, read, name, put):
    (folder / name).unlink()
    put(folder / name)
    assert name in refused(read, folder)


@pytest.mark.parametrize("put", [_folder, _loop, _pipe])
def test_no_curve(folder, read, put):
    (folder / "metrics.jsonl").unlink()
    put(folder / "metrics.jsonl")
    assert "metrics.jsonl" in attempt(read, folder)[1]


@pytest.mark.parametrize("path", ["nowhere", "a\0b", "x" * 5000, "model/config.json", "model/config.json/x", "loop"])
def test_no_folder(folder, read, path):
    Path("loop").symlink_to("loop")
    assert path in attempt(read, path)[1]


# What would be large --------------------------------------------------------------------------------------------------


def make_sparse(path: Path, size: int) -> None:
    """Let a file claim a size that nothing was written of."""
    try:
        os.truncate(path, size)
    except OSError:
        pytest.skip("this file system has no files so large")


@pytest.mark.parametrize("name", [*FILES, "metrics.jsonl"])
def test_a_terabyte_of_nothing(folder, name):
    make_sparse(folder / name, 2**40)
    said = refused(lambda path: read_folder(path).history, folder)
    largest = f"{name}: expected at most {2**24 if name == 'config.json' else 2**28:,} bytes, got 1,099,511,627,776"
    assert largest in said or "other data follow the tensors" in said


def test_terabytes_as_announced(tiny, read):
    """All fits together, but this machine has no memory for it."""
    values, size = json.loads((tiny / "config.json").read_text()), 2**20
    layer = {"stack": [{"linear": {"input_size": 1, "output_size": size}}]}
    layer["stack"] += [{"linear": {"input_size": size, "output_size": size}}]
    values["model"]["transducer"]["layer"] = layer
    (tiny / "config.json").write_text(json.dumps(values))
    shapes = {"head.bias": [1], "head.weight": [1, size]}
    for place, inputs in enumerate([1, size]):
        shapes[f"layer.layers.{place}.projection.weight"] = [size, inputs]
        shapes[f"layer.layers.{place}.projection.bias"] = [size]
    header, end = {}, 0
    for name, shape in shapes.items():
        count = int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + 4 * count]}
        end += 4 * count
    content = tensor_file(header)
    (tiny / "model.safetensors").write_bytes(content)
    make_sparse(tiny / "model.safetensors", len(content) + end)
    assert "which are free in memory, got" in refused(read, tiny)


def test_a_size_that_nothing_can_hold(tiny, read):
    """The description alone asks for an exabyte; it is held against the file before a layer is made."""
    values = json.loads((tiny / "config.json").read_text())
    values["model"]["transducer"]["layer"] = {"lstm": {"input_size": 2**31 - 1, "hidden_size": 2**28}}
    (tiny / "config.json").write_text(json.dumps(values))
    assert "layer.weight_ih is missing" in refused(read, tiny)


def test_a_recursion_limit_that_somebody_raised(folder, read):
    (folder / "config.json").write_text("[" * DEEP)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(2**30)
    try:
        assert "expected at most 200 levels of nesting" in refused(read, folder)
    finally:
        sys.setrecursionlimit(limit)


# What is right --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.iterdir()))
def test_whole(name):
    found, trained = (one(GOLDEN / name) for one in READERS.values())
    assert (found.task, found.settings, found.labels) == (trained.task, trained.settings, trained.labels)
    assert found.history == trained.history
    assert found.tokenizers.keys() == trained.tokenizers.keys()
    assert_equal(weights_of(found), weights_of(trained))
    assert not any(array.flags.writeable for array in found.tensors.values() if array.size)


def test_exchanged_tokenizers_are_those_of_another_model(tmp_path, read):
    shutil.copytree(GOLDEN / "tag", tmp_path / "model")
    first, second = (tmp_path / "model" / f"{name}.json" for name in ("tokenizer", "characters"))
    first.rename(tmp_path / "x"), second.rename(first), (tmp_path / "x").rename(second)
    with pytest.raises(ModelFormatError, match=r"symbols, as in the embedding of config\.json, got"):
        read(tmp_path / "model")


def test_a_file_that_is_not_aligned(tiny, read):
    """Other writers put no white space after the header; then the tensors are copied to where kernels may read them."""
    expected = weights_of(read(tiny))
    header, data = parts(tiny / "model.safetensors")
    text = json.dumps(header).encode()
    for spaces in range(4):
        (tiny / "model.safetensors").write_bytes(tensor_file(text + b" " * spaces, data))
        found = read(tiny)
        assert_equal(weights_of(found), expected)
        assert all(array.flags.aligned for array in getattr(found, "tensors", {}).values())


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
def test_smaller_weights_are_expanded(folder, read, kind):
    name, whole = "head.weight", load_file(folder / "model.safetensors")
    if kind == "int8":
        compressed("int8", as_int8(name, np.array([0.5, 2], np.float32)))(folder)
        expected = np.repeat([[0.5], [2]], 12, axis=1)
    else:
        compressed("bfloat16", lambda t: t.update({name: ("BF16", bfloat16(whole[name]))}))(folder)
        expected = (whole[name].view(np.uint32) & 0xFFFF0000).view(np.float32)
    found = weights_of(read(folder))
    assert found[name].dtype == np.float32
    assert_equal(found, {**whole, name: expected})


def test_weights_of_float32_may_be_said(folder, read):
    config(weights="float32")(folder)
    assert read(folder).task == "classify"
