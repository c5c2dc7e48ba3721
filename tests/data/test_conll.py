from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepscan.data.readers import TaggedSentence, read_sentences, read_tagged
from stepscan.errors import DataError, SettingsError

CONLLU = """\ufeff# text = don't go
1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tdo\tdo\tAUX\tVBP\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\t_\tPolarity=Neg\t3\tadvmod\t_\t_
2.1\tplease\tplease\tINTJ\tUH\t_\t_\t_\t_\t_
3\tgo\tgo\tVERB\tVB\t_\t0\troot\t_\tSpaceAfter=No


# text = #\u2028\u00a0
1\t#\u2028\u00a0\t#\tSYM\tNN\t_\t0\troot\t_\t_"""


def test_conllu(file):
    path = file("a.conllu", CONLLU)
    tokens = [["do", "n't", "go"], ["#\u2028\u00a0"]]
    for field, tags in {
        "upos": [["AUX", "PART", "VERB"], ["SYM"]],
        "xpos": [["VBP", "_", "VB"], ["NN"]],
        "lemma": [["do", "not", "go"], ["#"]],
        "form": tokens,
        "feats": [["_", "Polarity=Neg", "_"], ["_"]],
        "deprel": [["aux", "advmod", "root"], ["root"]],
    }.items():
        expected = [TaggedSentence(*sentence) for sentence in zip(tokens, tags, strict=True)]
        assert read_tagged(path, field=field) == expected
    assert read_sentences(path) == tokens
    assert read_tagged(file("a.txt", CONLLU), format="conllu") == read_tagged(path)


def test_columns(file):
    content = "-DOCSTART- -X- O\n\nNew  NNP B-LOC\nYork NNP I-LOC \n \t\n\n# NN O\n-DOCSTART- -X- O\n\u00a0 NN O\n"
    path = file("a.conll", content)
    assert read_tagged(path) == [
        TaggedSentence(["New", "York"], ["B-LOC", "I-LOC"]),
        TaggedSentence(["#"], ["O"]),
        TaggedSentence(["\u00a0"], ["O"]),
    ]
    assert read_sentences(path) == [["New", "York"], ["#"], ["\u00a0"]]
    assert read_tagged(file("b.conll", "New York\tO\n")) == [TaggedSentence(["New York"], ["O"])]
    assert read_tagged(file("b.conll", "-DOCSTART-s O\n")) == [TaggedSentence(["-DOCSTART-s"], ["O"])]
    assert read_sentences(file("c.conll", "New\nYork\n\nhere\n")) == [["New", "York"], ["here"]]


def test_sentences_from_plain_text_stay_aligned(file):
    assert read_sentences(file("a.txt", "New York\n\n a\tb \n")) == [["New", "York"], [], ["a", "b"]]


ROW = "1\ta\ta\tX\t_\t_\t0\troot\t_\t_\n"


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("# c\n1 a X\n", 2, "expected 10 columns separated by tabs, got 1."),
        (ROW + "2\ta\tX\n", 2, "expected 10 columns separated by tabs, got 3."),
        (ROW + ROW, 2, "expected the word id 2, got '1'. Separate sentences by a blank line."),
        (ROW + "x" + ROW, 2, "expected the word id 2, got 'x1'."),
        (ROW.replace("X", ""), 1, "expected a tag, got an empty field."),
        (ROW.replace("a", ""), 1, "expected a token, got an empty field."),
        ("# only a comment\n", None, "expected at least one sentence, got none."),
        (
            f"# c\n{ROW}\n{ROW}".replace("X", "_"),
            2,
            "expected the field 'upos' to be filled, got '_' in every word of the file. Choose another field.",
        ),
    ],
)
def test_bad_conllu(file, refused, content, line, reason):
    refused(line, reason, read_tagged, file("a.conllu", content))


def test_words_that_are_not_published(file, refused):
    path = file("a.conllu", ROW.replace("a", "_"))
    reason = (
        "expected the field 'form' to be filled, got '_' in every word of the file. Some corpora are published without "
        "their words."
    )
    refused(1, reason, read_sentences, path)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("\na\nb O\n", 2, "expected a token and a tag, got 1: 'a'."),
        ("a O\n\nb\n", 3, "expected 2 columns, as in line 1, got 1: 'b'."),
        ("a O\nNew York O\n", 2, "expected 2 columns, as in line 1, got 3: 'New York O'."),
        ("a\tO\n\tO\n", 2, "expected a token, got an empty field."),
        ("a\tO\nb\t\n", 2, "expected a tag, got an empty field."),
        ("-DOCSTART- O\n", None, "expected at least one sentence, got none."),
    ],
)
def test_bad_columns(file, refused, content, line, reason):
    refused(line, reason, read_tagged, file("a.conll", content))


def test_wrong_fields(file):
    with pytest.raises(SettingsError, match=r"^unknown CoNLL-U field 'upo'\. Did you mean 'upos'\?$"):
        read_tagged(file("a.conllu", ROW), field="upo")
    with pytest.raises(SettingsError, match=r"^--field xpos: expected CoNLL-U, got columns in .*--tag-column\.$"):
        read_tagged(file("a.conll", "a O\n"), field="xpos")


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\t ")
WORD = st.text(CHARACTERS, min_size=1).filter(lambda word: word not in ("-DOCSTART-", "#", "_"))
SENTENCE = st.lists(st.tuples(WORD, WORD), min_size=1)


@settings(max_examples=50)
@given(sentences=st.lists(SENTENCE, min_size=1), separator=st.sampled_from(["\t", " ", "  "]))
def test_tagged_round_trip(tmp_path_factory, sentences, separator):
    folder = tmp_path_factory.mktemp("tagged")
    expected = [TaggedSentence([token for token, _ in each], [tag for _, tag in each]) for each in sentences]
    columns = "\n".join("".join(f"{token}{separator}{tag}\n" for token, tag in each) for each in sentences)
    (folder / "a.conll").write_bytes(f"-DOCSTART-{separator}O\n\n{columns}".encode())
    assert read_tagged(folder / "a.conll") == expected
    blank = "\t_" * 5
    rows = [[f"{i}\t{token}\t_\t_\t{tag}{blank}\n" for i, (token, tag) in enumerate(s, 1)] for s in sentences]
    (folder / "a.conllu").write_bytes("\n".join("".join(each) for each in rows).encode())
    if any(value not in "_" for each in expected for value in each.tags):
        assert read_tagged(folder / "a.conllu", field="xpos") == expected


def test_what_may_be_text_or_columns_is_an_error(tmp_path):
    path = tmp_path / "sentences.md"
    path.write_text("\nthe dog runs\na cat sleeps\n")
    with pytest.raises(DataError) as caught:
        read_sentences(path)
    assert str(caught.value) == (
        f"{path}, line 2: expected text or columns, got a line that may be either. Choose with --format text or "
        "--format columns."
    )
    assert read_sentences(path, format="text")[1] == ["the", "dog", "runs"]
    assert read_sentences(path, format="columns") == [["the", "a"]]


SMALL = "Ann B-PER\nLee I-PER\nruns O\n\nBob B-PER\nsleeps O\n"
TEXT = "the dog runs\n\na cat\nit sleeps all day\nyes it does\nso it is\n"


@pytest.mark.parametrize("before", ["", "# one = 1\n", "###MEDLINE:1\n\n", "-DOCSTART- -X-\n\n"])
def test_columns_in_a_text_file_are_not_read_as_text(tmp_path: Path, before: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(before + SMALL)
    with pytest.raises(DataError) as caught:
        read_sentences(path)
    expected = (
        "got lines that may be either: 2 fields in every line, and blank lines between blocks. Choose with --format"
    )
    assert expected in str(caught.value)
    assert read_sentences(path, format="columns") == [["Ann", "Lee", "runs"], ["Bob", "sleeps"]]
    assert len(read_sentences(path, format="text")) == len((before + SMALL).splitlines())
    path.write_text(before + SMALL.replace(" ", "\t"))
    assert read_sentences(path) == [["Ann", "Lee", "runs"], ["Bob", "sleeps"]]


def test_conllu_in_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("# text = a b\n" + "".join(f"{i}\t{w}\t_\tX\t_\t_\t0\tr\t_\t_\n" for i, w in ((1, "a"), (2, "b"))))
    assert read_sentences(path) == [["a", "b"]]


@pytest.mark.parametrize(
    "text",
    [TEXT, "good day\nhow goes\nthank you\nsee you\nso long\n", "a b\n\nc d\n\ne f\n\ng h\n", "#a b\nc\n"],
)
def test_text_stays_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    assert read_sentences(path) == [line.split() for line in text.splitlines()]


def test_numbered_text_is_ambiguous(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1\tthe dog runs\n2\ta cat\n")
    with pytest.raises(DataError, match="got lines that may be either: all have tabs, and some spaces"):
        read_sentences(path)


def test_a_token_a_line_in_a_text_file_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.txt"
    path.write_text("the\ndog\n\na\ncat\n")
    assert read_sentences(path) == [["the"], ["dog"], [], ["a"], ["cat"]]
    assert "read as text, one sentence per line; for columns add --format columns" in caplog.text


def test_a_pipe_of_columns_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for text, warned in ((SMALL, True), (TEXT, False), (SMALL * 20, True)):
        caplog.clear()
        writer = threading.Thread(target=pipe.write_text, args=(text,))
        writer.start()
        assert len(read_sentences(pipe)) == len(text.splitlines())
        writer.join()
        assert ("fields in every line, and blank lines between blocks" in caplog.text) == warned
        assert len(caplog.records) == warned
