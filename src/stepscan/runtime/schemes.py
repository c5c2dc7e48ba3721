"""Schemes of tags that mark spans: what B-person, I-person, O and their like mean, and what may follow what.

Every tag has a role: outside of spans, or beginning, inside, end or whole of one. The schemes, as in Ramshaw & Marcus
(1995), Tjong Kim Sang & Veenstra (1999) and Ratinov & Roth (2009), where X is a type:

    IOB1   I-X; B-X only where a span of the same type comes just before
    IOB2   B-X I-X I-X …
    IOE1   I-X; E-X only where a span of the same type comes just after
    IOE2   … I-X I-X E-X
    IOBES  B-X I-X … E-X, and S-X for one token; BILOU has L and U in place of E and S, BMES and BMEWO M in place of I

Types may stand after the letter or before it (`X-B`), after another sign than a hyphen, or not at all (`B`, `I`, `O`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from stepscan.decoding.transitions import EDGE

UNTYPED = "span"  # the type of spans whose tags name none
_ROLES = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "W": "S"}
_DELIMITERS = "-_:./|=#"


class Mark(NamedTuple):
    """What a tag says: its role, B, I, E, S or O, and the type of the span."""

    role: str
    type: str


OUTSIDE = Mark("O", "")


def continues(mark: Mark, before: Mark) -> bool:
    """Whether a tag is of the same span as the tag before it."""
    return mark.role in "IE" and before.role in "BI" and mark.type == before.type


def _parts(before: Mark, mark: Mark) -> bool:
    return not continues(mark, before)


_BREAKS: dict[str, Callable[[Mark, Mark], bool]] = {  # scheme → whether a tag cannot follow another
    "IOB1": lambda before, mark: mark.role == "B" and not continues(mark._replace(role="I"), before),
    "IOB2": lambda before, mark: mark.role == "I" and _parts(before, mark),
    "IOE1": lambda before, mark: before.role == "E" and not continues(mark, before._replace(role="I")),
    "IOE2": lambda before, mark: before.role == "I" and _parts(before, mark),
    "IOBES": lambda before, mark: (mark.role in "IE" or before.role in "BI") and _parts(before, mark),
}
_LETTERS = {
    **{"IOB1": "IB", "IOB2": "BI", "IOE1": "IE", "IOE2": "IE"},
    **{"IOBES": "BIES", "BILOU": "BILU", "BMES": "BMES", "BMEWO": "BMEW"},
}
_ALSO = {"IOB1": "M", "IOB2": "M", "IOE1": "LM", "IOE2": "LM", "BMEWO": "I"}  # letters that mean the same there
SCHEMES = tuple(_LETTERS)


class Notation(NamedTuple):
    """How tags are written: what stands between letter and type (nothing, where there are no types), and whether the
    type comes first."""

    delimiter: str
    suffix: bool = False

    def mark(self, tag: str) -> Mark | None:
        """What a tag says; None if it is not written so."""
        if tag in ("O", "o"):
            return OUTSIDE
        letter, kind = self.parts(tag)
        role = _ROLES.get(letter)
        return Mark(role, kind) if role and kind else None

    def parts(self, tag: str) -> tuple[str, str]:
        """The letter, a capital, and the type of a tag."""
        if not self.delimiter:
            return tag.upper(), UNTYPED
        first, _, last = tag.rpartition(self.delimiter) if self.suffix else tag.partition(self.delimiter)
        return (last.upper(), first) if self.suffix else (first.upper(), last)

    def written(self, letter: str) -> str:
        """The tag of a letter, such as `B-…`."""
        if not self.delimiter:
            return letter
        return f"…{self.delimiter}{letter}" if self.suffix else f"{letter}{self.delimiter}…"


_HYPHEN = Notation("-")
_NOTATIONS = (Notation(""), *(Notation(sign, suffix) for suffix in (False, True) for sign in _DELIMITERS))


class Break(NamedTuple):
    """Where tags break a scheme: sentence and token from 1, and how."""

    sentence: int
    token: int
    words: str

    def __str__(self) -> str:
        return f"sentence {self.sentence}, token {self.token}: {self.words}"


@dataclass(frozen=True)
class Scheme:
    """A scheme as it is written; `name` is one of `SCHEMES`."""

    name: str = "IOB2"
    notation: Notation = _HYPHEN

    @classmethod
    def of(cls, description: Any) -> Scheme:
        """The scheme that a model folder describes.

        Raises:
            ValueError: it describes none.
        """
        match description:
            case {"name": str(name), "delimiter": str(sign), "suffix": bool(suffix), **rest} if not rest:
                if name in SCHEMES and Notation(sign, suffix) in _NOTATIONS:
                    return cls(name, Notation(sign, suffix))
        raise ValueError(f"expected name, one of {', '.join(SCHEMES)}, delimiter and suffix")

    def described(self) -> dict[str, Any]:
        """What a model folder says of it."""
        return {"name": self.name, **self.notation._asdict()}

    def first_break(self, sentences: Iterable[Sequence[str]]) -> Break | None:
        """The first tag that the scheme does not have, or that cannot follow the one before, begin or end a sentence.
        Tags that are not written so count as outside."""
        breaks, marks = self._breaks, _Marks(self.notation)
        strange = {letter for letter in _ROLES if letter not in _LETTERS[self.name] + _ALSO.get(self.name, "")}
        for number, tags in enumerate(sentences, start=1):
            before, mark = OUTSIDE, OUTSIDE
            for place, tag in enumerate(tags, start=1):
                before, mark = mark, marks[tag]
                if mark is not OUTSIDE and self.notation.parts(tag)[0] in strange:
                    return Break(number, place, f"{tag}, which {self.name} does not have")
                if breaks(before, mark):
                    return Break(
                        number, place, f"{tag} {f'after {tags[place - 2]}' if place > 1 else 'at the beginning'}"
                    )
            if breaks(mark, OUTSIDE):
                return Break(number, len(tags), f"{tags[-1]} at the end")
        return None

    def forbidden(self, tags: Sequence[str]) -> list[list[int]]:
        """Pairs of numbers of tags that cannot follow each other; -1 is the beginning, or the end, of a sentence."""
        breaks, marks = self._breaks, [self.notation.mark(tag) or OUTSIDE for tag in tags]
        places = list(enumerate(marks))
        pairs = [
            [number, after]
            for number, before in [(EDGE, OUTSIDE), *places]
            for after, mark in places
            if breaks(before, mark)
        ]
        if any(not breaks(OUTSIDE, mark) and not breaks(mark, OUTSIDE) for mark in marks):
            pairs += [[number, EDGE] for number, mark in places if breaks(mark, OUTSIDE)]
        return pairs  # without a tag that is a sentence by itself, one of one token must still have tags

    def expected(self) -> str:
        """Its tags in words, such as `O, B-… or I-…`."""
        first, *others = map(self.notation.written, sorted(_LETTERS[self.name], key="BIMELSUW".index))
        return f"{', '.join(['O', first, *others[:-1]])} or {others[-1]}"

    @property
    def _breaks(self) -> Callable[[Mark, Mark], bool]:
        return _BREAKS.get(self.name, _BREAKS["IOBES"])


class _Marks(dict[str, Mark]):
    """What each tag says, looked up once."""

    def __init__(self, notation: Notation) -> None:
        self.notation = notation

    def __missing__(self, tag: str) -> Mark:
        found = self[tag] = self.notation.mark(tag) or OUTSIDE
        return found


def notation_of(tags: Collection[str]) -> Notation | None:
    """How tags that mark spans are written; None if they mark none."""
    for notation in _NOTATIONS:
        marks = [notation.mark(tag) for tag in tags]
        if all(marks) and _mark_spans({mark.role for mark in marks if mark}, bool(notation.delimiter)):
            return notation
    return None


def _mark_spans(roles: set[str], typed: bool) -> bool:
    """Letters alone may mean anything; they mark spans if they are B or I beside O, or B beside I or E."""
    if typed:
        return "B" in roles or ("O" in roles and len(roles) > 1)
    return bool("O" in roles and roles & {"B", "I"}) or {"B", "I"} <= roles or {"B", "E"} <= roles


def recognised(sentences: Sequence[Sequence[str]]) -> tuple[Scheme | None, Break | None]:
    """The scheme of tagged sentences, and where they break it; no scheme if they mark no spans.

    IOB2 and IOB1 (IOE2 and IOE1) have the same tags, so that what follows what decides; where both are broken it is
    IOB2 (IOE2). IOBES and its like are told by their letters.
    """
    tags = {tag for row in sentences for tag in row}
    notation = notation_of(tags)
    if notation is None:
        return None, None
    schemes = [Scheme(name, notation) for name in _names(tags, notation)]
    breaks = [scheme.first_break(sentences) for scheme in schemes]
    return next(((s, None) for s, found in zip(schemes, breaks, strict=True) if found is None), (schemes[0], breaks[0]))


def _names(tags: Collection[str], notation: Notation) -> tuple[str, ...]:
    """The schemes that have these tags, the more common one first."""
    roles = {(notation.mark(tag) or OUTSIDE).role for tag in tags}
    if "S" not in roles and not {"B", "E"} <= roles:
        return ("IOE2", "IOE1") if "E" in roles else ("IOB2", "IOB1")
    letters = {notation.parts(tag)[0] for tag in tags}
    if letters & {"L", "U"}:
        return ("BILOU",)
    return ("BMEWO" if "W" in letters else "BMES" if "M" in letters else "IOBES",)


def of_labels(labels: Iterable[Any]) -> Scheme | None:
    """The scheme of a model that was written before schemes were kept: IOB2 or none."""
    tags = list(map(str, labels))
    fits = all(re.fullmatch("O|[BI]-.+", tag) for tag in tags) and any(tag[0] == "B" for tag in tags)
    return Scheme() if fits else None


def near_miss(sentences: Sequence[Sequence[str]]) -> str:
    """Why tags that look like spans are none, in words that name the first other tag; "" if they do not look so."""
    kinds = {tag for row in sentences for tag in row} - {"O"}
    for notation in _NOTATIONS[1:]:
        marks = [mark for tag in kinds if (mark := notation.mark(tag))]
        if 2 * len(marks) >= len(kinds) and "B" in {mark.role for mark in marks}:
            number, place, tag = next(
                (number, place, tag)
                for number, row in enumerate(sentences, start=1)
                for place, tag in enumerate(row, start=1)
                if notation.mark(tag) is None
            )
            letters = ", ".join(map(notation.written, "BIES"))
            return f"sentence {number}, token {place}: expected O, {letters} or their like (L, U, M, W), got {tag!r}"
    brackets = [tag for row in sentences for tag in row if re.match(r"\(\w", tag)]
    if brackets and all(re.fullmatch(r"(\(\w[^()]*)*\*?\)*", tag) for tag in kinds):
        return f"they are brackets, as in CoNLL-2012, such as {brackets[0]!r}; expected B-…, I-… or O for each token"
    if kinds and all(re.fullmatch(f"[BIESLUMWbieslumw][{re.escape(_DELIMITERS)}]", tag) for tag in kinds):
        return f"they have no types: expected such as B-person or B, got {min(kinds)!r}"
    return ""
