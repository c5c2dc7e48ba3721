"""A tokenizer's file, which anybody may have written: only what `stepscan.data.vocabulary` makes is read.

The library that tokenizes runs whatever normaliser, pattern and decoder a file names, and may then take any time and
memory, or panic. So it never sees the file: the parts are compared with our own, and a tokenizer of those is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, models

from stepscan.data.vocabulary import KINDS, SPECIAL, byte_letters, make_tokenizer, numbered
from stepscan.errors import ModelFormatError
from stepscan.runtime.outline import shown
from stepscan.runtime.untrusted import parsed

_NONE = ("truncation", "padding", "post_processor")
_KEYS = {"version", "added_tokens", "normalizer", "pre_tokenizer", "decoder", "model", *_NONE}
_LOWERCASE = {"type": "Lowercase"}
_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
_SPECIAL = [{"id": id, "content": token, **_FLAGS} for id, token in enumerate(SPECIAL)]
_WORD_LEVEL = {"type": "WordLevel", "unk_token": "<unk>"}
_BPE = {
    **{"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None},
    **{"end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False},
}


def tokenizer_of_text(text: str) -> tuple[str, Tokenizer]:
    """The kind of tokenizer that a file's text describes, and the tokenizer.

    Raises:
        ModelFormatError: it is not JSON, or is not a tokenizer that Stepscan makes; the first fault, without the file.
    """
    found = parsed(text, "it")
    if not isinstance(found, dict) or found.keys() != _KEYS:
        raise ModelFormatError(f"expected an object with {', '.join(sorted(_KEYS))}, got {_keys(found)}")
    for name in _NONE:
        if found[name] is not None:
            raise ModelFormatError(f"expected no {name}, got {shown(found[name])}")
    _expect("the version", found["version"], ["1.0"])
    _expect("the added tokens", found["added_tokens"], [_SPECIAL])
    _expect("the normalizer", found["normalizer"], [None, _LOWERCASE])
    kind = _kind(found["pre_tokenizer"])
    _expect(f"the decoder of kind {kind!r}", found["decoder"], [_state(KINDS[kind].decoder)])
    make = _bpe if kind in ("byte", "bpe") else _word_level
    return kind, make_tokenizer(kind, make(kind, found["model"]), lowercase=found["normalizer"] is not None)


def _kind(splitter: Any) -> str:
    """The kind that splits text so."""
    for kind, parts in KINDS.items():
        if _same(splitter, _state(parts.splitter)):
            return kind
    raise ModelFormatError(f"it is of no kind that Stepscan knows: it splits text by {shown(splitter)}")


def _state(part: Any) -> Any:
    """A splitter or decoder as files write it."""
    return None if part is None else json.loads(part.__getstate__())


def _word_level(kind: str, model: Any) -> models.WordLevel:
    _check_model(kind, model, _WORD_LEVEL, "vocab")
    return models.WordLevel(_vocabulary(model["vocab"]), unk_token="<unk>")


def _bpe(kind: str, model: Any) -> models.BPE:
    _check_model(kind, model, _BPE, "vocab", "merges")
    vocabulary, letters = _vocabulary(model["vocab"]), byte_letters()
    expected = numbered([*SPECIAL, *letters])
    if kind == "byte" and len(vocabulary) != len(expected):
        raise ModelFormatError(f"expected {len(expected)} symbols for a tokenizer of bytes, got {len(vocabulary)}")
    if kind == "byte" and (vocabulary != expected or model["merges"] != []):
        raise ModelFormatError("expected the bytes in their order, and no merges, in a tokenizer of bytes")
    if missing := [letter for letter in letters if letter not in vocabulary]:
        raise ModelFormatError(f"expected all 256 letters of bytes in the vocabulary, but {missing[0]!r} is missing")
    if strange := set().union(*(token for token in vocabulary if token not in SPECIAL)) - set(letters):
        raise ModelFormatError(f"expected pieces of bytes, got one with {shown(min(strange))}")
    if "" in vocabulary:
        raise ModelFormatError("expected pieces of bytes, got an empty one")
    return models.BPE(vocabulary, _merges(model["merges"], vocabulary))


def _check_model(kind: str, model: Any, options: dict[str, Any], *others: str) -> None:
    """Raise unless the model has exactly these options, and other keys."""
    if not isinstance(model, dict) or model.keys() != {*options, *others}:
        raise ModelFormatError(
            f"expected a {options['type']} with {', '.join([*options, *others])} for kind {kind!r}, got {_keys(model)}"
        )
    for name, value in options.items():
        _expect(f"{name} of the {options['type']}", model[name], [value])


def _vocabulary(found: Any) -> dict[str, int]:
    """A checked vocabulary: the special tokens first, ids from 0 without a gap."""
    if not isinstance(found, dict) or not all(type(id) is int for id in found.values()):
        raise ModelFormatError(f"expected a vocabulary of tokens and ids, got {shown(found)}")
    tokens = sorted(found, key=found.__getitem__)
    if [found[token] for token in tokens] != list(range(len(tokens))):
        raise ModelFormatError("its ids do not count from 0 without a gap")
    if tuple(tokens[: len(SPECIAL)]) != SPECIAL:
        raise ModelFormatError(f"its first tokens are {shown(tokens[: len(SPECIAL)])}, not {list(SPECIAL)}")
    try:
        "".join(tokens).encode()
    except UnicodeEncodeError:
        raise ModelFormatError("a token is not valid Unicode (half a surrogate pair)") from None
    return found


def _merges(found: Any, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Checked merges: each of two pieces, to one that is in the vocabulary, as all three must be."""
    if not isinstance(found, list):
        raise ModelFormatError(f"expected a list of merges, got {shown(found)}")
    merges = [tuple(pair) for pair in found if isinstance(pair, list) and all(isinstance(one, str) for one in pair)]
    known = vocabulary.keys() - set(SPECIAL)
    wrong = [pair for pair in merges if len(pair) != 2 or not {*pair, "".join(pair)} <= known]
    if wrong or len(merges) != len(found) or len(set(merges)) != len(merges):
        place = f", got {shown(list(wrong[0]))}" if wrong else ""
        raise ModelFormatError(f"expected merges of two pieces of the vocabulary, each pair once{place}")
    return merges


def _expect(what: str, found: Any, allowed: Iterable[Any]) -> None:
    allowed = list(allowed)
    if not any(_same(found, one) for one in allowed):
        raise ModelFormatError(f"{what}: expected {' or '.join(shown(one) for one in allowed)}, got {shown(found)}")


def _same(left: Any, right: Any) -> bool:
    """Whether both are the same JSON: to Python 1 and true are equal."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _keys(found: Any) -> str:
    return shown(", ".join(found)) if isinstance(found, dict) else shown(found)
