"""Pieces of text: wherever they are cut, a session says what the model says of the text so far."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepscan import runtime
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError

# What a tokenizer may join with its neighbours: clitics, decimals, joiners, white space of all kinds, letters that
# change with case, marks, sequences of code points that make one picture, and texts that look like special symbols.
BITS = [
    *"ablrvestd  '’-.,03ÄΣİſ_!\n\r\t\u00a0\u2028\x85\x1c\u200d\u0301日。😀",
    "re",
    "'s",
    "n't",
    "  ",
    "\r\n",
    "<eos>",
]
TEXTS = st.lists(st.sampled_from(BITS), max_size=20)
WRITERS = ["write", "write word", "write whitespace", "write byte", "write bpe"]
PIECES = [
    ["the d", "og's", " bo", "ne"],
    ["don", "'", "t 3", ".", "5", "0 cm"],
    ["a\r", "\nb", "\n", "\n c", " ", " ", "d"],
    list("they're well-made,  we'll see\r\nthe end. "),
    ["", "the", "", " dog", ""],
]


def tokenizers() -> list[Any]:
    chance = random.Random(0)
    corpus = ["".join(chance.choices(BITS, k=40)) for _ in range(300)] + ["don't they're we'll a  b 3.5 rl"] * 20
    return [
        pytest.param(
            TextTokenizer.train(kind, corpus, lowercase=lowercase, vocabulary_size=500 if kind == "bpe" else None),
            id=f"{kind}{', lower case' * lowercase}",
        )
        for kind in ("word", "whitespace", "character", "byte", "bpe")
        for lowercase in (False, True)
    ]


@pytest.mark.parametrize("tokenizer", tokenizers())
@settings(max_examples=150)
@given(pieces=TEXTS)
def test_what_is_settled_stays(tokenizer: TextTokenizer, pieces: list[str]) -> None:
    """After every piece, the ids of what is settled and of the rest are those of the text so far."""
    ids: list[int] = []
    rest = ""
    for end, piece in enumerate(pieces, start=1):
        settled, rest = tokenizer.split_settled(rest + piece)
        ids += tokenizer.encode(settled)
        assert ids + tokenizer.encode(rest) == tokenizer.encode("".join(pieces[:end]))
    assert tokenizer.split_settled(rest) == ("", rest)


@pytest.mark.parametrize("tokenizer", tokenizers())
def test_the_end_of_a_long_text_will_do(tokenizer: TextTokenizer) -> None:
    """What is not settled yet does not depend on how much stands before it."""
    chance = random.Random(1)
    for size in (30, 100, 300) * 5:
        text = "".join(chance.choices(BITS, k=size))
        settled, rest = tokenizer.split_settled(text)
        assert tokenizer.encode(settled) + tokenizer.encode(rest) == tokenizer.encode(text)
        assert tokenizer.split_settled(f"{text} {text}")[1] == tokenizer.split_settled(f"not {text}")[1]


@pytest.mark.parametrize(
    ("kind", "text", "settled"),
    [
        ("word", "the dog", ""),
        ("word", "not the dog", "not "),
        ("word", "the dog ", "the dog "),
        ("whitespace", "the dog. It", "the "),
        ("character", "the do", "the do"),
        ("byte", "the do", "the do"),
        ("bpe", "the dogs bark", "the"),
    ],
)
def test_how_much_is_settled(kind: str, text: str, settled: str) -> None:
    tokenizer = TextTokenizer.train(kind, ["the dog barks at the dogs."], vocabulary_size=300)
    assert tokenizer.split_settled(text) == (settled, text[len(settled) :])


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("name", WRITERS)
def test_a_text_in_any_pieces(session_models: Path, name: str, pieces: list[str]) -> None:
    model = runtime.load(session_models / name)
    session = model.session()
    for end, piece in enumerate(pieces, start=1):
        expected = model.predict_proba(["".join(pieces[:end])])[0]
        assert np.array_equal(session.push(piece), expected), pieces[:end]
    again, twin, text = model.session().restore(session.state()), session.fork(), "".join(pieces)
    for one in (session, again, twin):
        assert np.array_equal(one.push("s on"), model.predict_proba([text + "s on"])[0])


@pytest.mark.filterwarnings("ignore:the prompt has symbols")
@pytest.mark.parametrize("name", WRITERS)
def test_writing_on_takes_the_text_as_it_is(session_models: Path, name: str) -> None:
    """What was held back is read, once, before what is written; so is it before an item of `step_batch`."""
    model = runtime.load(session_models / name)
    session, whole = model.session(), model.session()
    for piece in ("the do", "g'", "s b"):
        session.push(piece)
    whole.push("the dog's b")
    choice: dict[str, Any] = {"temperature": 0.7, "seed": 4}
    written = session.generate(8, **choice)
    assert written == whole.generate(8, **choice)
    begun = "the dog's b"
    assert model.generate(begun, length=8, **choice).removeprefix(begun).lstrip(" ") == written.lstrip(" ")
    assert session.state() == whole.state()


def test_a_word_and_then_a_word(session_models: Path) -> None:
    """`step_batch` takes whole words, and what was pushed before it is whole too."""
    model = runtime.load(session_models / "write word")
    one, two = model.session(), model.session()
    one.push("the")
    found = model.step_batch([one, two], ["dog", "the"])
    assert np.array_equal(found[0], model.predict_proba(["the dog"])[0])
    assert np.array_equal(found[1], model.predict_proba(["the"])[0])
    found = model.step_batch([one, two], ["s", "dog"])
    assert np.array_equal(found, model.predict_proba(["the dog s", "the dog"]))


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("kind", ["byte", "bpe"])
def test_a_decision_on_any_pieces(session_models: Path, kind: str, pieces: list[str]) -> None:
    model = runtime.load(session_models / f"judge {kind}")
    session = model.session()
    for end, piece in enumerate(pieces, start=1):
        assert session.push(piece) == model.predict_records(["".join(pieces[:end])])[0]


@pytest.mark.parametrize("kind", ["word", "whitespace"])
def test_pieces_of_words_end_words(session_models: Path, kind: str) -> None:
    model = runtime.load(session_models / f"judge {kind}")
    session = model.session()
    assert session.push("not") == model.predict_records(["not"])[0]
    assert session.push("a bad") == model.predict_records(["not a bad"])[0]


@pytest.mark.parametrize("name", ["write", "write word", "judge bpe", "judge word"])
def test_pieces_that_are_not_text(session_models: Path, name: str) -> None:
    model = runtime.load(session_models / name)
    session = model.session()
    session.push("the d")
    before = session.state()
    for piece in (b"og", None, 3, ["og"], "o\ud83d"):
        for read in (session.push, lambda one: model.step_batch([session], [one])):
            with pytest.raises(SettingsError, match=r"expected a string|expected valid Unicode|expected one item"):
                read(piece)
    assert session.state() == before
