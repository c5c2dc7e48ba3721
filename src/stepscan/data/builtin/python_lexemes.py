"""Python source to tag: the lexemes of the standard library, tagged by Python's own tokenizer."""

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
LONGEST = 60  # lexemes per window of several lines; a single line may have more
CLASSES = {tokenize.COMMENT: "comment", tokenize.NUMBER: "number", tokenize.OP: "operator", tokenize.STRING: "string"}
MODULES = """
    ast base64 bdb calendar cmd code codecs compileall configparser contextlib copy csv dataclasses dis filecmp
    fileinput fractions ftplib functools getopt graphlib gzip hashlib heapq numbers optparse pkgutil plistlib poplib
    posixpath pprint pstats pyclbr queue quopri random runpy selectors shelve shlex shutil smtplib socketserver
    statistics string tabnanny tempfile textwrap timeit tokenize trace traceback types uuid warnings wave weakref
"""


class Span(NamedTuple):
    """The characters `start` to `end` of a source, which have one tag."""

    start: int
    end: int
    tag: str


def python_source(seed: int = 0, train: int = 2500, valid: int = 300, test: int = 300) -> Split[list[TaggedSentence]]:
    """Windows of complete lines from the standard library, with the syntactic class of each lexeme as its tag.

    A lexeme is a word, a run of spaces, the end of a line, or any other character, found without the grammar; the
    lexemes of a window, concatenated, are its source. The tags are `keyword`, `definition` (the name after `def` or
    `class`), `name`, `string`, `comment`, `number`, `operator` and `space`. They depend on the context: a word between
    quotation marks is a string. The validation and the test data are an eighth of the modules each, and share none with
    the training data.

    Args:
        seed: of the draw.
        train, valid, test: number of windows in each part.

    Raises:
        SettingsError: the modules of a part have fewer windows.
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
    """Every lexeme of a Python source with its tag, in order; the lexemes, concatenated, are `text`.

    Raises:
        tokenize.TokenError, SyntaxError: `text` ends within a string or bracket, or is not Python.
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
    """Accuracy on the test data of tagging each lexeme with its most frequent tag in the training data.

    A lexeme that is not in the training data has the most frequent tag of all.
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
    """Yield the spans with other tags than `space`, in order, and a last span after the end of the text."""
    lines = list(itertools.accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
    starts: list[int] = []  # of open f-strings, which Python 3.12 and later split into tokens
    previous = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        start, end = (lines[row - 1] + column for row, column in (token.start, token.end))
        kind = tokenize.tok_name[token.type]
        if kind.endswith("STRING_START"):
            starts.append(start)
        elif kind.endswith("STRING_END"):
            start = starts.pop()
            if not starts:
                yield Span(start, end, "string")
        elif not starts and (tag := _tag(token, previous)):
            yield Span(start, end, tag)
        previous = token.string
    yield Span(len(text), len(text) + 1, "space")


def _tag(token: tokenize.TokenInfo, previous: str) -> str | None:
    """The tag of a token after the token `previous`; None for line ends and similar tokens."""
    if token.type != tokenize.NAME:
        return CLASSES.get(token.type)
    if keyword.iskeyword(token.string):
        return "keyword"
    return "definition" if previous in ("def", "class") else "name"


def _sample(rng: random.Random, part: str, paths: list[Path], size: int, seen: set[str]) -> list[TaggedSentence]:
    """`size` windows of modules in random order, none of which is in `seen`; adds all windows to `seen`."""
    windows = {}
    for path in paths:
        with tokenize.open(path) as file:
            for tokens, tags in _windows(label_source(file.read())):
                windows["".join(tokens)] = TaggedSentence(tokens, tags)
    fresh = [window for source, window in windows.items() if source not in seen]
    if size > len(fresh):
        raise SettingsError(f"python_source: expected at most {len(fresh)} windows for {part}, got {size}.")
    seen |= windows.keys()
    return rng.sample(fresh, size)


def _windows(labelled: list[tuple[str, str]]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the tokens and tags of windows, each of as many complete lines as fit."""
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
