"""Python source to tag: every lexeme of the standard library with what it is to Python's own tokenizer."""

from __future__ import annotations

import io
import itertools
import keyword
import random
import re
import sysconfig
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stepscan.data.builtin.split import Split
from stepscan.data.example_types import TaggedSentence
from stepscan.errors import SettingsError

LEXEME = re.compile(r"\n|[^\S\n]+|\w+|[^\w\s]")
LONGEST = 60  # lexemes in a window of several lines; a single line may be longer
CLASSES = {tokenize.COMMENT: "comment", tokenize.NUMBER: "number", tokenize.OP: "operator", tokenize.STRING: "string"}
MODULES = """
    ast base64 bdb calendar cmd code codecs compileall configparser contextlib copy csv dataclasses dis filecmp
    fileinput fractions ftplib functools getopt graphlib gzip hashlib heapq numbers optparse pkgutil plistlib poplib
    posixpath pprint pstats pyclbr queue quopri random runpy selectors shelve shlex shutil smtplib socketserver
    statistics string tabnanny tempfile textwrap timeit tokenize trace traceback types uuid warnings wave weakref
"""


class Span(NamedTuple):
    """Characters `start` to `end` of a source, which have one tag."""

    start: int
    end: int
    tag: str


def python_source(seed: int = 0, train: int = 2500, valid: int = 300, test: int = 300) -> Split[list[TaggedSentence]]:
    """Windows of complete lines out of the standard library, each lexeme tagged with what it is to Python.

    A lexeme is a word, a run of blanks, the end of a line, or one other character, cut without looking at the grammar;
    joined, a window's lexemes are its source to the character. The tags are `keyword`, `definition` (the name after
    `def` or `class`), `name`, `string`, `comment`, `number`, `operator` and `space`: a word between quotes is a string,
    so that context decides. An eighth of the modules goes to each of valid and test; training sees nothing of them.

    Raises:
        SettingsError: if the modules of a part have fewer windows than asked for.
    """
    rng = random.Random(seed)
    library = Path(sysconfig.get_path("stdlib"))
    paths = [path for name in MODULES.split() if (path := library / f"{name}.py").is_file()]
    rng.shuffle(paths)
    eighth = len(paths) // 8
    parts = {"train": paths[2 * eighth :], "valid": paths[eighth : 2 * eighth], "test": paths[:eighth]}
    sizes = {"train": train, "valid": valid, "test": test}
    seen: set[str] = set()
    return Split(*(_sample(rng, name, parts[name], sizes[name], seen) for name in parts))


def label_source(text: str) -> list[tuple[str, str]]:
    """Every lexeme of a complete Python source and its tag, in order; the lexemes joined are `text`.

    Raises:
        tokenize.TokenError, SyntaxError: if `text` ends within a string or bracket, or is not Python.
    """
    spans = _spans(text)
    span = next(spans)
    labelled = []
    for match in LEXEME.finditer(text):
        while span.end <= match.start():
            span = next(spans)
        labelled.append((match.group(), span.tag if span.start <= match.start() else "space"))
    return labelled


def most_frequent_tag_accuracy(split: Split[list[TaggedSentence]]) -> float:
    """Share of the test's lexemes that a dictionary tags rightly: each lexeme its commonest tag in training.

    A lexeme that training has not seen gets the commonest tag of all.
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sentence in split.train:
        for lexeme, tag in zip(sentence.tokens, sentence.tags, strict=True):
            counts[lexeme][tag] += 1
    commonest = sum(counts.values(), Counter[str]()).most_common(1)[0][0]
    best = {lexeme: tags.most_common(1)[0][0] for lexeme, tags in counts.items()}
    hits = [
        best.get(lexeme, commonest) == tag
        for sentence in split.test
        for lexeme, tag in zip(sentence.tokens, sentence.tags, strict=True)
    ]
    return sum(hits) / len(hits)


def _spans(text: str) -> Iterator[Span]:
    """What has a tag other than `space`, in order, and then a last span beyond the end of the text."""
    lines = list(itertools.accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
    opened: list[int] = []  # where f-strings began: Python 3.12 and later cut them into pieces, earlier ones do not
    previous = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        start, end = (lines[row - 1] + column for row, column in (token.start, token.end))
        kind = tokenize.tok_name[token.type]
        if kind.endswith("STRING_START"):
            opened.append(start)
        elif kind.endswith("STRING_END"):
            start = opened.pop()
            if not opened:
                yield Span(start, end, "string")
        elif not opened and (tag := _tag(token, previous)):
            yield Span(start, end, tag)
        previous = token.string
    yield Span(len(text), len(text) + 1, "space")


def _tag(token: tokenize.TokenInfo, previous: str) -> str | None:
    """The tag of a token after the token `previous`, or None for the ends of lines and the like."""
    if token.type != tokenize.NAME:
        return CLASSES.get(token.type)
    if keyword.iskeyword(token.string):
        return "keyword"
    return "definition" if previous in ("def", "class") else "name"


def _sample(rng: random.Random, part: str, paths: list[Path], size: int, seen: set[str]) -> list[TaggedSentence]:
    """`size` windows of these modules in random order, none of them in `seen`, which they then enter."""
    windows = {}
    for path in paths:
        with tokenize.open(path) as file:
            for tokens, tags in _windows(label_source(file.read())):
                windows["".join(tokens)] = TaggedSentence(tokens, tags)
    fresh = [window for source, window in windows.items() if source not in seen]
    if size > len(fresh):
        raise SettingsError(
            f"python_source has {len(fresh)} windows for {part}, but {size} were asked for; ask for fewer."
        )
    seen |= windows.keys()
    return rng.sample(fresh, size)


def _windows(labelled: list[tuple[str, str]]) -> Iterator[tuple[list[str], list[str]]]:
    """Tokens and tags of as many complete lines at a time as fit into a window."""
    tokens: list[str] = []
    tags: list[str] = []
    for line in _lines(labelled):
        if tokens and len(tokens) + len(line) > LONGEST:
            yield tokens, tags
            tokens, tags = [], []
        tokens += (lexeme for lexeme, _ in line)
        tags += (tag for _, tag in line)
    if tokens:
        yield tokens, tags


def _lines(labelled: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    start = 0
    for end, (lexeme, _) in enumerate(labelled, start=1):
        if lexeme == "\n" or end == len(labelled):
            yield labelled[start:end]
            start = end
