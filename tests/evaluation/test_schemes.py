"""Schemes of spans: recognised, read as seqeval reads them, forbidden what they forbid."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import pytest

import stepscan as ss
from stepscan.data.readers import read_tagged
from stepscan.evaluation.schemes import EDGE, SCHEMES, Notation, Scheme, near_miss, recognise
from stepscan.evaluation.spans import Span, span_scores, spans

REPORTS = Path(__file__).resolve().parents[2].parent / "shared/reports"
DATA = Path(os.environ.get("STEPSCAN_DATA") or Path(__file__).resolve().parents[2].parent / "shared/data")


def drawn(draw: random.Random, length: int, types: str = "ab") -> list[tuple[int, int, str]]:
    """Spans of a sentence: first and last token, type; often side by side."""
    found, place = [], 0
    while place < length:
        if draw.random() < 0.6:
            last = min(length - 1, place + draw.choice([0, 0, 1, 2]))
            found.append((place, last, draw.choice(types)))
            place = last
        place += 1
    return found


def written(found: list[tuple[int, int, str]], length: int, scheme: str) -> list[str]:
    """The tags of spans, by the definition of the scheme."""
    tags = ["O"] * length
    for first, last, kind in found:
        before = any(one[1] == first - 1 and one[2] == kind for one in found)
        after = any(one[0] == last + 1 and one[2] == kind for one in found)
        letters = ["I"] * (last - first + 1)
        if scheme == "IOB2" or (scheme == "IOB1" and before):
            letters[0] = "B"
        elif scheme == "IOE2" or (scheme == "IOE1" and after):
            letters[-1] = "E"
        elif scheme not in ("IOB1", "IOE1"):
            begin, inside, end, whole = {"BMEWO": "BMEW", "BMES": "BMES", "BILOU": "BILU"}.get(scheme, "BIES")
            letters = [begin, *inside * (last - first - 1), end] if last > first else [whole]
        tags[first : last + 1] = [f"{letter}-{kind}" for letter in letters]
    return tags


def corpus(scheme: str, seed: int, count: int = 12) -> tuple[list[list[str]], list[Span]]:
    draw, sentences, found = random.Random(seed), [], []
    for number in range(count):
        length = draw.randint(0, 9)
        one = drawn(draw, length)
        sentences.append(written(one, length, scheme))
        found += [Span(number, *span) for span in one]
    return sentences, found


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", SCHEMES)
def test_recognised_and_read(name, seed):
    """Out of tags made of spans, by the scheme's definition, come the scheme and the spans."""
    sentences, expected = corpus(name, seed, 40)
    scheme, broken = recognise(sentences)
    assert (scheme, broken) == (Scheme(name), None)
    assert spans(sentences, scheme) == expected


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["IOB1", "IOB2", "IOE2", "IOBES", "BILOU"])
def test_against_seqeval_strict(name, seed):
    """Two valid corpora of a scheme; seqeval's IOE1 is marked as unfinished there."""
    metrics, schemes = pytest.importorskip("seqeval.metrics"), pytest.importorskip("seqeval.scheme")
    said, true = corpus(name, seed)[0], corpus(name, seed + 100)[0]
    true = [row[: len(other)] + ["O"] * (len(other) - len(row)) for row, other in zip(true, said, strict=True)]
    scheme = Scheme(name)
    if any(scheme.first_break([row]) for row in true):  # those that were cut inside of a span
        true = [row if scheme.first_break([row]) is None else ["O"] * len(row) for row in true]
    report = metrics.classification_report(
        true, said, output_dict=True, zero_division=0, mode="strict", scheme=getattr(schemes, name)
    )
    _check_same(span_scores(said, true, scheme), report)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("suffix", [False, True])
def test_against_seqeval_on_any_tags(seed, suffix):
    """Tags drawn at random, which break every scheme in every way."""
    metrics = pytest.importorskip("seqeval.metrics")
    draw = random.Random(seed)
    tags = ["O", *(f"{a}-{b}" for a, b in itertools.product("BIES", "ab"))]
    tags = [tag[::-1] for tag in tags] if suffix else tags
    lengths = [draw.randint(0, 9) for _ in range(12)]
    true, said = ([draw.choices(tags, k=length) for length in lengths] for _ in range(2))
    report = metrics.classification_report(true, said, output_dict=True, zero_division=0, suffix=suffix)
    _check_same(span_scores(said, true, Scheme("IOBES", Notation("-", suffix))), report)


def _check_same(found, report):
    mine = {**found["types"], "micro avg": found}
    assert set(report) - {"macro avg", "weighted avg"} == set(mine)
    for name, row in mine.items():
        expected = [report[name][figure] for figure in ("f1-score", "precision", "recall", "support")]
        assert [row[figure] for figure in ("f1", "precision", "recall", "spans")] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O B-a I-a", Scheme("IOB2")),
        ("B-a", Scheme("IOB2")),
        ("B-a O B-a", Scheme("IOB2")),
        ("O I-a", Scheme("IOB1")),  # IO, where no spans of a type meet
        ("I-a B-a", Scheme("IOB1")),
        ("O E-a", Scheme("IOE2")),
        ("I-a E-a O", Scheme("IOE2")),
        ("I-a I-a E-a I-a O", Scheme("IOE1")),
        ("O S-a", Scheme("IOBES")),
        ("B-a E-a O", Scheme("IOBES")),
        ("O U-a", Scheme("BILOU")),
        ("B-a L-a", Scheme("BILOU")),
        ("B-a M-a E-a W-a", Scheme("BMEWO")),
        ("B-a M-a E-a S-a", Scheme("BMES")),
        ("B-a M-a O", Scheme("IOB2")),
        ("I-a L-a O", Scheme("IOE2")),
        ("B-a I-a E-a W-a", Scheme("BMEWO")),
        ("B-a-b I-a-b", Scheme("IOB2")),
        ("a-B a-I O", Scheme("IOB2", Notation("-", True))),
        ("a-b-S O", Scheme("IOBES", Notation("-", True))),
        ("B_a-b I_a-b O", Scheme("IOB2", Notation("_"))),
        ("B:a O", Scheme("IOB2", Notation(":"))),
        ("b-a i-a o", Scheme("IOB2")),
        ("B I O", Scheme("IOB2", Notation(""))),
        ("I O", Scheme("IOB1", Notation(""))),
        ("B E S B M E", Scheme("BMES", Notation(""))),
        ("O", None),
        ("", None),
        ("NOUN B-a", None),
        ("B- O", None),
        ("B", None),
        ("S O", None),
        ("E-mail S-bahn", None),
        ("A B C", None),
        ("PER O LOC", None),
        ("s u m", None),
    ],
)
def test_which_scheme(tags, expected):
    found, broken = recognise([tags.split()])
    assert (found, broken) == (expected, None)


@pytest.mark.parametrize(
    ("tags", "name", "words"),
    [
        ("E-a O I-a", "IOE2", "sentence 2, token 3: I-a at the end"),  # and IOE1: E-a at the beginning
        ("B-a O I-a B-b", "IOB2", "sentence 2, token 3: I-a after O"),
        ("I-b B-a", "IOB2", "sentence 2, token 1: I-b at the beginning"),
        ("B-a O S-a", "IOBES", "sentence 2, token 2: O after B-a"),
        ("B-a L-a O S-b", "BILOU", "sentence 2, token 4: S-b, which BILOU does not have"),
        ("S-a B-a", "IOBES", "sentence 2, token 2: B-a at the end"),
        ("O U-a I-b", "BILOU", "sentence 2, token 3: I-b after U-a"),
    ],
)
def test_broken_schemes(tags, name, words):
    scheme, broken = recognise([[], tags.split()])
    assert (scheme, str(broken)) == (Scheme(name), words)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("B-a I-a X-a O", "sentence 2, token 3: expected O, B-…, I-…, E-…, S-… or the same with L, U, M, W, got 'X-a'"),
        ("B-a I-a _", "sentence 2, token 3: expected O, B-…, I-…, E-…, S-… or the same with L, U, M, W, got '_'"),
        ("a-B a-I a", "sentence 2, token 3: expected O, …-B, …-I, …-E, …-S or the same with L, U, M, W, got 'a'"),
        ("B-a I-a tag", "sentence 2, token 3: expected O, B-…, I-…, E-…, S-… or the same with L, U, M, W, got 'tag'"),
        ("NOUN VERB B-a", ""),
        ("PER O", ""),
        ("B I X", ""),
    ],
)
def test_near_misses(tags, words):
    assert near_miss([["O"], tags.split()]) == words


@pytest.mark.parametrize(
    ("name", "tags", "expected"),
    [
        ("IOB2", "B-a B-b I-a O", [[-1, 2], [1, 2], [3, 2]]),
        ("IOB1", "B-a I-a I-b O", [[-1, 0], [2, 0], [3, 0]]),
        ("IOE2", "E-a I-a O", [[1, 2], [1, -1]]),
        ("IOE1", "E-a I-a I-b O", [[0, 2], [0, 3], [0, -1]]),
        (
            "IOBES",
            "B-a E-a O S-a",
            [[-1, 1], [0, 0], [0, 2], [0, 3], [1, 1], [2, 1], [3, 1], [0, -1]],
        ),
        ("IOBES", "B-a E-a", [[-1, 1], [0, 0], [1, 1]]),  # one token must still have a tag: ends are free
    ],
)
def test_what_schemes_forbid(name, tags, expected):
    assert Scheme(name).forbidden(tags.split()) == expected


@pytest.mark.parametrize("name", SCHEMES)
def test_what_is_not_forbidden_is_the_scheme(name):
    """A sentence breaks the scheme exactly if it has a forbidden pair; checked on all of up to four tags."""
    tags = ["O", *(f"{letter}-{kind}" for letter in Scheme(name).expected() if letter in "BIELSMUW" for kind in "ab")]
    tags = sorted({*tags})
    scheme, forbidden = Scheme(name), {tuple(pair) for pair in Scheme(name).forbidden(tags)}
    for length in range(1, 4):
        for row in itertools.product(range(len(tags)), repeat=length):
            has = not forbidden.isdisjoint(itertools.pairwise((EDGE, *row, EDGE)))
            assert has == (scheme.first_break([[tags[i] for i in row]]) is not None), row


def test_untyped_spans_have_a_name():
    scores = span_scores([["B", "I", "O"]], [["B", "I", "B"]], Scheme("IOB2", Notation("")))
    assert (scores["precision"], scores["recall"], list(scores["types"])) == (1.0, 0.5, ["span"])


def test_a_tag_of_another_notation():
    with pytest.raises(ss.SettingsError, match="sentence 1, token 2: expected O, …_B, …_I, …_E or …_S, got 'B-a'"):
        spans([["a_B", "B-a"]], Scheme("IOBES", Notation("_", True)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("06-iob1", "IOB1"), ("06-iobes", "IOBES"), ("06-bilou", "BILOU"), ("06-untyped", "IOB2")],
)
def test_reported(name, expected):
    if not REPORTS.is_dir():
        pytest.skip(f"no reports in {REPORTS}")
    tags = [one.tags for one in read_tagged(REPORTS / f"{name}.tsv")]
    scheme, broken = recognise(tags)
    assert scheme is not None
    assert (scheme.name, broken) == (expected, None)
    assert len(spans(tags, scheme)) == (30 if name == "06-untyped" else 60)


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("wnut17/wnut17train.conll", 1975),
        ("wnut17/emerging.test.annotated", 1079),
        ("snips/snips.slots.test.conll", 1790),
        ("ncbi_disease/test.tsv.gz", 960),
    ],
)
def test_published(path, count):
    """The entities that their authors count."""
    if not (DATA / path).is_file():
        pytest.skip(f"no data sets in {DATA}")
    tags = [one.tags for one in read_tagged(DATA / path)]
    assert recognise(tags) == (Scheme("IOB2"), None)
    assert len(spans(tags)) == count
