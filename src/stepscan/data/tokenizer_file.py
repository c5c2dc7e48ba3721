"""Reads the file of a tokenizer from an untrusted source.

The `tokenizers` library runs any normaliser, pattern and decoder that a file names, which may take unbounded time and
memory, or panic. Therefore it never reads the file: the parts are compared with those of `stepscan.data.vocabulary`,
and a tokenizer is built from these.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, models

from stepscan.data.vocabulary import KINDS, SPECIAL, byte_letters, make_tokenizer, numbered
from stepscan.errors import ModelFormatError, shown
from stepscan.untrusted_input import parse_json

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


def parse_tokenizer(text: str) -> tuple[str, Tokenizer]:
    """The kind of tokenizer that the text of a file describes, and the tokenizer.

    Raises:
        ModelFormatError: it is not JSON, or not a tokenizer that Stepscan makes; the message does not name the file.
    """
    content = parse_json(text, "it")
    if not isinstance(content, dict) or content.keys() != _KEYS:
        raise ModelFormatError(f"expected an object with {', '.join(sorted(_KEYS))}, got {_show_keys(content)}")
    for name in _NONE:
        if content[name] is not None:
            raise ModelFormatError(f"expected no {name}, got {shown(content[name])}")
    _expect("the version", content["version"], ["1.0"])
    _expect("the added tokens", content["added_tokens"], [_SPECIAL])
    _expect("the normalizer", content["normalizer"], [None, _LOWERCASE])
    kind = _find_kind(content["pre_tokenizer"])
    _expect(f"the decoder of kind {kind!r}", content["decoder"], [_serialised(KINDS[kind].decoder)])
    make = _bpe if kind in ("byte", "bpe") else _word_level
    return kind, make_tokenizer(kind, make(kind, content["model"]), lowercase=content["normalizer"] is not None)


def _find_kind(splitter: Any) -> str:
    """The kind of tokenizer that has a splitter."""
    for kind, parts in KINDS.items():
        if _is_same_json(splitter, _serialised(parts.splitter)):
            return kind
    raise ModelFormatError(f"expected a pre_tokenizer of a known kind, got {shown(splitter)}")


def _serialised(part: Any) -> Any:
    """A splitter or decoder as it is written in files."""
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
        raise ModelFormatError("expected the bytes in their order and no merges in a tokenizer of bytes, got others")
    if missing := [letter for letter in letters if letter not in vocabulary]:
        raise ModelFormatError(f"expected the characters of all 256 bytes in the vocabulary, got none {missing[0]!r}")
    if unknown := set().union(*(token for token in vocabulary if token not in SPECIAL)) - set(letters):
        raise ModelFormatError(f"expected tokens of bytes, got one with {shown(min(unknown))}")
    if "" in vocabulary:
        raise ModelFormatError("expected tokens of bytes, got an empty one")
    return models.BPE(vocabulary, _merges(model["merges"], vocabulary))


def _check_model(kind: str, model: Any, options: dict[str, Any], *others: str) -> None:
    """Raise unless the model has exactly these options and these other keys."""
    if not isinstance(model, dict) or model.keys() != {*options, *others}:
        keys = ", ".join([*options, *others])
        raise ModelFormatError(f"expected a {options['type']} with {keys} for kind {kind!r}, got {_show_keys(model)}")
    for name, value in options.items():
        _expect(f"{name} of the {options['type']}", model[name], [value])


def _vocabulary(ids: Any) -> dict[str, int]:
    """Check a vocabulary: the special tokens are first, and the ids are 0, 1, …"""
    if not isinstance(ids, dict) or not all(type(id) is int for id in ids.values()):
        raise ModelFormatError(f"expected a vocabulary of tokens and ids, got {shown(ids)}")
    tokens = sorted(ids, key=ids.__getitem__)
    if [ids[token] for token in tokens] != list(range(len(tokens))):
        raise ModelFormatError("expected ids from 0 without a gap in the vocabulary, got others")
    if tuple(tokens[: len(SPECIAL)]) != SPECIAL:
        raise ModelFormatError(f"expected the first tokens {list(SPECIAL)}, got {shown(tokens[: len(SPECIAL)])}")
    try:
        "".join(tokens).encode()
    except UnicodeEncodeError:
        raise ModelFormatError("expected valid Unicode tokens, got half a surrogate pair") from None
    return ids


def _merges(pairs: Any, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Check merges: both tokens of a pair, and the token that they form, are in the vocabulary."""
    if not isinstance(pairs, list):
        raise ModelFormatError(f"expected a list of merges, got {shown(pairs)}")
    merges = [tuple(pair) for pair in pairs if isinstance(pair, list) and all(isinstance(token, str) for token in pair)]
    known = vocabulary.keys() - set(SPECIAL)
    wrong = [pair for pair in merges if len(pair) != 2 or not {*pair, "".join(pair)} <= known]
    if wrong or len(merges) != len(pairs) or len(set(merges)) != len(merges):
        got = f", got {shown(list(wrong[0]))}" if wrong else ""
        raise ModelFormatError(f"expected merges of two tokens of the vocabulary, each pair once{got}")
    return merges


def _expect(name: str, value: Any, allowed: Iterable[Any]) -> None:
    allowed = list(allowed)
    if not any(_is_same_json(value, each) for each in allowed):
        raise ModelFormatError(f"{name}: expected {' or '.join(map(shown, allowed))}, got {shown(value)}")


def _is_same_json(left: Any, right: Any) -> bool:
    """Whether two values are the same in JSON; in Python, 1 equals True."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _show_keys(value: Any) -> str:
    return shown(", ".join(value)) if isinstance(value, dict) else shown(value)
