"""Schemes of tags that mark spans, such as B-person, I-person, O: their roles, and which may follow which.

Every tag has a role: outside of spans, or beginning, inside, end or whole of one. The schemes, as in Ramshaw & Marcus
(1995), Tjong Kim Sang & Veenstra (1999) and Ratinov & Roth (2009), where X is a type:

    IOB1   I-X; B-X only where a span of the same type comes just before
    IOB2   B-X I-X I-X …
    IOE1   I-X; E-X only where a span of the same type comes just after
    IOE2   … I-X I-X E-X
    IOBES  B-X I-X … E-X, and S-X for one token; BILOU has L and U in place of E and S, BMES and BMEWO M in place of I

Types may follow the letter or precede it (`X-B`), with a hyphen or another sign, or be missing (`B`, `I`, `O`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from stepscan.decoding.transitions import EDGE

UNTYPED = "span"  # the type of spans whose tags have no type
_ROLES = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "W": "S"}
_DELIMITERS = "-_:./|=#"


class Mark(NamedTuple):
    """A parsed tag: its role, B, I, E, S or O, and the type of the span."""

    role: str
    type: str


OUTSIDE = Mark("O", "")


def continues(mark: Mark, before: Mark) -> bool:
    """Whether a tag belongs to the span of the tag before it."""
    return mark.role in "IE" and before.role in "BI" and mark.type == before.type


def _does_not_continue(before: Mark, mark: Mark) -> bool:
    return not continues(mark, before)


_BREAK_RULES: dict[str, Callable[[Mark, Mark], bool]] = {  # scheme → whether a tag must not follow another
    "IOB1": lambda before, mark: mark.role == "B" and not continues(mark._replace(role="I"), before),
    "IOB2": lambda before, mark: mark.role == "I" and _does_not_continue(before, mark),
    "IOE1": lambda before, mark: before.role == "E" and not continues(mark, before._replace(role="I")),
    "IOE2": lambda before, mark: before.role == "I" and _does_not_continue(before, mark),
    "IOBES": lambda before, mark: (mark.role in "IE" or before.role in "BI") and _does_not_continue(before, mark),
}
_LETTERS = {
    **{"IOB1": "IB", "IOB2": "BI", "IOE1": "IE", "IOE2": "IE"},
    **{"IOBES": "BIES", "BILOU": "BILU", "BMES": "BMES", "BMEWO": "BMEW"},
}
_SYNONYMS = {"IOB1": "M", "IOB2": "M", "IOE1": "LM", "IOE2": "LM", "BMEWO": "I"}  # further letters, by scheme
SCHEMES = tuple(_LETTERS)


class Notation(NamedTuple):
    """The format of tags: the delimiter between letter and type (empty without types), and whether the type comes
    first."""

    delimiter: str
    suffix: bool = False

    def mark(self, tag: str) -> Mark | None:
        """Parse a tag; None if it does not have this format."""
        if tag in ("O", "o"):
            return OUTSIDE
        letter, kind = self.parts(tag)
        role = _ROLES.get(letter)
        return Mark(role, kind) if role and kind else None

    def parts(self, tag: str) -> tuple[str, str]:
        """The letter, in upper case, and the type of a tag."""
        if not self.delimiter:
            return tag.upper(), UNTYPED
        first, _, last = tag.rpartition(self.delimiter) if self.suffix else tag.partition(self.delimiter)
        return (last.upper(), first) if self.suffix else (first.upper(), last)

    def format(self, letter: str) -> str:
        """The tag of a letter, such as `B-…`."""
        if not self.delimiter:
            return letter
        return f"…{self.delimiter}{letter}" if self.suffix else f"{letter}{self.delimiter}…"


_HYPHEN = Notation("-")
_NOTATIONS = (Notation(""), *(Notation(sign, suffix) for suffix in (False, True) for sign in _DELIMITERS))


class Break(NamedTuple):
    """Where tags break a scheme: sentence and token from 1, and the reason."""

    sentence: int
    token: int
    reason: str

    def __str__(self) -> str:
        return f"sentence {self.sentence}, token {self.token}: {self.reason}"


@dataclass(frozen=True)
class Scheme:
    """A scheme and the format of its tags; `name` is one of `SCHEMES`."""

    name: str = "IOB2"
    notation: Notation = _HYPHEN

    @classmethod
    def from_dict(cls, description: Any) -> Scheme:
        """The scheme that a model folder describes.

        Raises:
            ValueError: it does not describe a scheme.
        """
        match description:
            case {"name": str(name), "delimiter": str(sign), "suffix": bool(suffix), **rest} if not rest:
                if name in SCHEMES and Notation(sign, suffix) in _NOTATIONS:
                    return cls(name, Notation(sign, suffix))
        raise ValueError(f"expected name, one of {', '.join(SCHEMES)}, delimiter and suffix")

    def to_dict(self) -> dict[str, Any]:
        """The description for a model folder."""
        return {"name": self.name, **self.notation._asdict()}

    def is_outside(self, tag: str) -> bool:
        """Whether a tag is in no span; so are tags of another format."""
        return self.notation.mark(tag) in (OUTSIDE, None)

    def first_break(self, sentences: Iterable[Sequence[str]]) -> Break | None:
        """The first tag that the scheme does not have, or that must not follow the one before, begin or end a sentence.
        Tags of another format count as outside."""
        breaks, marks = self._breaks, _Marks(self.notation)
        unknown = {letter for letter in _ROLES if letter not in _LETTERS[self.name] + _SYNONYMS.get(self.name, "")}
        for number, tags in enumerate(sentences, start=1):
            previous, mark = OUTSIDE, OUTSIDE
            for position, tag in enumerate(tags, start=1):
                previous, mark = mark, marks[tag]
                if mark is not OUTSIDE and self.notation.parts(tag)[0] in unknown:
                    return Break(number, position, f"{tag}, which {self.name} does not have")
                if breaks(previous, mark):
                    context = f"after {tags[position - 2]}" if position > 1 else "at the beginning"
                    return Break(number, position, f"{tag} {context}")
            if breaks(mark, OUTSIDE):
                return Break(number, len(tags), f"{tags[-1]} at the end")
        return None

    def forbidden(self, tags: Sequence[str]) -> list[list[int]]:
        """Pairs of indices of tags that must not follow each other; -1 is the beginning, or the end, of a sentence."""
        breaks, marks = self._breaks, [self.notation.mark(tag) or OUTSIDE for tag in tags]
        indexed = list(enumerate(marks))
        pairs = [
            [index, after]
            for index, previous in [(EDGE, OUTSIDE), *indexed]
            for after, mark in indexed
            if breaks(previous, mark)
        ]
        if any(not breaks(OUTSIDE, mark) and not breaks(mark, OUTSIDE) for mark in marks):
            pairs += [[index, EDGE] for index, mark in indexed if breaks(mark, OUTSIDE)]
        return pairs  # if no tag can be a whole sentence, ends are unconstrained: a sentence of one token needs a tag

    def expected(self) -> str:
        """The tags in words, such as `O, B-… or I-…`."""
        first, *others = map(self.notation.format, sorted(_LETTERS[self.name], key="BIMELSUW".index))
        return f"{', '.join(['O', first, *others[:-1]])} or {others[-1]}"

    @property
    def _breaks(self) -> Callable[[Mark, Mark], bool]:
        return _BREAK_RULES.get(self.name, _BREAK_RULES["IOBES"])


class _Marks(dict[str, Mark]):
    """Tag → mark, parsed once."""

    def __init__(self, notation: Notation) -> None:
        self.notation = notation

    def __missing__(self, tag: str) -> Mark:
        mark = self[tag] = self.notation.mark(tag) or OUTSIDE
        return mark


def notation_of(tags: Collection[str]) -> Notation | None:
    """The format of tags that mark spans; None if they do not."""
    for notation in _NOTATIONS:
        marks = [notation.mark(tag) for tag in tags]
        if all(marks) and _mark_spans({mark.role for mark in marks if mark}, bool(notation.delimiter)):
            return notation
    return None


def _mark_spans(roles: set[str], typed: bool) -> bool:
    """Whether roles mark spans. Untyped letters are ambiguous: these must be B or I with O, or B with I or E."""
    if typed:
        return "B" in roles or ("O" in roles and len(roles) > 1)
    return bool("O" in roles and roles & {"B", "I"}) or {"B", "I"} <= roles or {"B", "E"} <= roles


def recognise(sentences: Iterable[Sequence[str]]) -> tuple[Scheme | None, Break | None]:
    """The scheme of tagged sentences, and where they break it; no scheme if they do not mark spans.

    IOB2 and IOB1 (IOE2 and IOE1) have the same tags, and differ in their order; if the tags break both, it is IOB2
    (IOE2). IOBES and similar schemes differ in their letters.
    """
    tags = {tag for row in sentences for tag in row}
    notation = notation_of(tags)
    if notation is None:
        return None, None
    schemes = [Scheme(name, notation) for name in _candidate_names(tags, notation)]
    breaks = [scheme.first_break(sentences) for scheme in schemes]
    return next(
        ((s, None) for s, problem in zip(schemes, breaks, strict=True) if problem is None), (schemes[0], breaks[0])
    )


def _candidate_names(tags: Collection[str], notation: Notation) -> tuple[str, ...]:
    """The schemes that have these tags, the more common one first."""
    roles = {(notation.mark(tag) or OUTSIDE).role for tag in tags}
    if "S" not in roles and not {"B", "E"} <= roles:
        return ("IOE2", "IOE1") if "E" in roles else ("IOB2", "IOB1")
    letters = {notation.parts(tag)[0] for tag in tags}
    if letters & {"L", "U"}:
        return ("BILOU",)
    return ("BMEWO" if "W" in letters else "BMES" if "M" in letters else "IOBES",)


def legacy_scheme(labels: Iterable[Any]) -> Scheme | None:
    """The scheme of a model folder of a version that did not record schemes: IOB2 or none."""
    tags = list(map(str, labels))
    fits = all(re.fullmatch("O|[BI]-.+", tag) for tag in tags) and any(tag[0] == "B" for tag in tags)
    return Scheme() if fits else None


def near_miss(sentences: Iterable[Sequence[str]]) -> str:
    """Why tags that look like spans do not mark spans, naming the first other tag; empty if they do not look so."""
    kinds = {tag for row in sentences for tag in row} - {"O"}
    for notation in _NOTATIONS[1:]:
        marks = [mark for tag in kinds if (mark := notation.mark(tag))]
        if 2 * len(marks) >= len(kinds) and "B" in {mark.role for mark in marks}:
            number, position, tag = next(
                (number, position, tag)
                for number, row in enumerate(sentences, start=1)
                for position, tag in enumerate(row, start=1)
                if notation.mark(tag) is None
            )
            letters = ", ".join(map(notation.format, "BIES"))
            return (
                f"sentence {number}, token {position}: expected O, {letters} or the same with L, U, M, W, got {tag!r}"
            )
    brackets = [tag for row in sentences for tag in row if re.match(r"\(\w", tag)]
    if brackets and all(re.fullmatch(r"(\(\w[^()]*)*\*?\)*", tag) for tag in kinds):
        return f"they are brackets, as in CoNLL-2012, such as {brackets[0]!r}; expected B-…, I-… or O for each token"
    if kinds and all(re.fullmatch(f"[BIESLUMWbieslumw][{re.escape(_DELIMITERS)}]", tag) for tag in kinds):
        return f"they have no types: expected such as B-person or B, got {min(kinds)!r}"
    return ""
