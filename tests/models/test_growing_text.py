"""Texts that grow by an id at a time are those of all ids at once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from stepscan import runtime
from stepscan.models.growing_text import GrowingText, StopSearch
from stepscan.models.stop_texts import StopTexts


@pytest.mark.parametrize("folder", ["write", "write word", "write whitespace", "write byte", "write bpe"])
def test_pieces_join_to_the_text(session_models: Path, folder: str) -> None:
    model, draw = runtime.load(session_models / folder), random.Random(3)
    tokenizer = model.tokenizers_["tokenizer"]
    for length in (0, 1, 5, 200):
        for _ in range(20):
            ids = [draw.randrange(len(tokenizer)) for _ in range(length)]
            text = GrowingText(tokenizer, keeps_lines=tokenizer.drops_space)
            assert "".join(map(text.add, ids)) + text.finish() == model.decode(ids)


@pytest.mark.parametrize("folder", ["write byte", "write bpe"])
def test_half_a_character_waits(session_models: Path, folder: str) -> None:
    model = runtime.load(session_models / folder)
    text = GrowingText(model.tokenizers_["tokenizer"])
    ids = model.encode("a😀é")
    pieces = [text.add(id) for id in ids]
    assert [piece for piece in pieces if piece] == ["a", "😀", "é"]
    assert [text.add(ids[1]), text.finish()] == ["", "\ufffd"]


def test_stop_texts() -> None:
    draw = random.Random(1)
    for _ in range(500):
        letters = draw.choices("ab", k=30)
        stops = ["".join(draw.choices("ab", k=draw.randint(1, 6)))]
        search, batch = StopSearch(stops), StopTexts(stops, lambda ids: "".join(map(chr, ids)))
        shown, found = "", False
        for letter in letters:
            piece, found = search.add(letter)
            shown += piece
            assert found == batch.is_reached([ord(letter)])
            if found:
                break
        assert shown + search.finish() == batch.text_before()
    assert StopSearch(["", "bc"]).add("ab") == ("a", False)
    assert StopSearch(["abc", "b"]).add("xab") == ("xa", True)
