"""Texts whose spans have labels: one bracketed tree per line, as the Stanford Sentiment Treebank (Socher et al. 2013)
has them: `(3 (2 a) (4 (2 good) (2 film)))`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from stepscan.data.bad_lines import BadLines, convert, require_some
from stepscan.data.example_lines import without_blank_end
from stepscan.data.example_types import LabelledText
from stepscan.data.labels import PARSERS
from stepscan.data.lines import Line, valid_lines
from stepscan.errors import DataError

TREES, SUBTREES = TREE_FORMATS = ("trees", "subtrees")
_PIECE = re.compile(r"[()]|[^\s()]+")


class Span(NamedTuple):
    """A labelled part of a text: the pieces in its brackets, and its words."""

    label: str
    inner: list[Span]
    words: list[str]


def is_tree(line: str) -> bool:
    """Whether a line is one tree of several spans."""
    try:
        return line.lstrip().startswith("(") and len(spans_of(line, "", 0)) > 1
    except DataError:
        return False


def spans_of(line: str, path: str | Path, number: int) -> list[Span]:
    """All labelled spans of the tree in a line, the whole text last.

    Raises:
        DataError: it is not one tree whose brackets have a label and then words or further brackets.
    """
    opened: list[Span] = []
    spans: list[Span] = []
    for piece in _PIECE.findall(line):
        if not opened and (spans or piece != "("):
            raise _no_tree(f"a text in one pair of brackets, got {piece!r} outside", path, number)
        if piece == "(":
            opened.append(Span("", [], []))
        elif piece == ")":
            spans.append(_closed(opened.pop(), path, number))
            if opened:
                opened[-1].inner.append(spans[-1])
                opened[-1].words.extend(spans[-1].words)
        elif not opened[-1].label and not opened[-1].words:
            opened[-1] = opened[-1]._replace(label=piece)
        else:
            opened[-1].words.append(piece)
    if opened or not spans:
        raise _no_tree(f"as many closing brackets as opening ones, got {len(opened)} fewer", path, number)
    return spans


def _closed(span: Span, path: str | Path, number: int) -> Span:
    """The span if it has a label and either words or nothing but spans."""
    if not span.label or not span.words or (span.inner and len(span.words) > sum(len(s.words) for s in span.inner)):
        got = " ".join([span.label, *span.words])
        raise _no_tree(f"a label and then words or further brackets in each pair, got ({got})", path, number)
    return span


def _no_tree(problem: str, path: str | Path, number: int) -> DataError:
    hint = "A tree is (3 (2 a) (4 film)); if the lines are labels and texts: --format lines."
    return DataError(f"expected {problem}.", path=path, line=number, hint=hint)


def tree_texts(lines: Iterator[Line], path: str | Path, bad_lines: BadLines | None) -> Iterator[str]:
    """The words of each tree, with spaces between them."""
    texts = (" ".join(spans[-1].words) for _, spans in _trees(lines, path, bad_lines))
    return require_some(texts, path, bad_lines)


def labelled_trees(
    lines: Iterator[Line], problem_type: str, path: str | Path, bad_lines: BadLines | None, *, every_span: bool
) -> Iterator[LabelledText]:
    """The examples in lines of trees.

    Args:
        lines: of the file.
        problem_type: how labels are parsed, a key of `stepscan.data.labels.PARSERS`.
        path: the file, for messages.
        bad_lines: skips and counts bad lines.
        every_span: whether each labelled span is an example, the same span with the same label only once; otherwise
            the whole texts are.
    """
    parse = PARSERS[problem_type]

    def examples(row: tuple[int, list[Span]]) -> list[LabelledText]:
        number, spans = row
        chosen = spans if every_span else spans[-1:]
        return [LabelledText(" ".join(span.words), parse(span.label, path, number)) for span in chosen]

    found = chain.from_iterable(convert(_trees(lines, path, bad_lines), examples, bad_lines))
    return require_some(_once(found) if every_span else found, path, bad_lines)


def _once(examples: Iterable[LabelledText]) -> Iterator[LabelledText]:
    """Each text with each of its labels once."""
    seen: set[tuple[str, str]] = set()
    for example in examples:
        key = (example.text, repr(example.label))
        if key not in seen:
            seen.add(key)
            yield example


def _trees(lines: Iterator[Line], path: str | Path, bad_lines: BadLines | None) -> Iterator[tuple[int, list[Span]]]:
    rows = without_blank_end(valid_lines(lines, bad_lines), path, bad_lines)
    return convert(rows, lambda row: (row[0], spans_of(row[1], path, row[0])), bad_lines)
