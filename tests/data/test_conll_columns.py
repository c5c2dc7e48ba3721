"""CoNLL columns: comments, names and positions of columns, mixed separators, and what is said of them."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from stepscan.data.bad_lines import BadLines
from stepscan.data.readers import read_sentences, read_tagged
from stepscan.errors import DataError, SettingsError

REPORTS = Path(__file__).resolve().parents[2].parent / "shared/reports"
DATA = Path(os.environ.get("STEPSCAN_DATA") or Path(__file__).resolve().parents[2].parent / "shared/data")


def pairs(path, **settings):
    """Sentences as `token/tag`."""
    return [[f"{a}/{b}" for a, b in zip(*one, strict=True)] for one in read_tagged(path, **settings)]


SONG = [["the/O", "song/O", "blue/B-WORK", "moon/I-WORK"]] * 2


@pytest.mark.parametrize(
    ("comments", "separator"),
    [
        (["# id 0000-ab domain=train", "# id 0001-ab domain=train"], " _ _ "),  # as many fields as a row
        (["# id 0000-ab\tdomain=train", "# id 0001-ab\tdomain=train"], " _ _ "),
        (["# id 0000-ab\tdomain=train", "# id 0001-ab\tdomain=train"], "\t"),
        (["# 0", "# 1"], " "),
        (["# 0", "# 1"], "\t"),
        (["# a", "# b"], " "),
        (["# text = the song", "# text = a"], " "),
        (["# sent_id = 1", "# sent_id = 2"], " _ _ "),
        (["# sent_id = 1\n# text = the song blue moon", "# sent_id = 2\n# text = x y"], " _ _ "),
        (["# I sang the song blue moon", "# Sing it"], " "),
        (["# newdoc", "# newpar"], " "),
        (["# Sung by few", ""], " "),
        (["#begin document (a); part 000", "#end document"], " "),
        (["# an author\n\n# a licence of it\n", "# 1"], " "),
    ],
)
def test_comments(file, comments, separator):
    rows = "".join(f"{one.replace('/', separator)}\n" for one in SONG[0])
    path = file("a.conll", f"{comments[0]}\n{rows}\n{comments[1]}\n{rows if comments[1] else ''}")
    expected = SONG if comments[1] else SONG[:1]
    assert pairs(path) == expected
    assert read_sentences(path) == [[one.partition("/")[0] for one in row] for row in expected]


@pytest.mark.parametrize("separator", ["\t", " ", "  ", " NN "])
def test_a_token_is_not_a_comment(file, separator):
    """`#` and hashtags at the beginning of sentences, the first too, and of their own."""
    sentences = [
        ["#/O", "happy/O"],
        ["#/B-x", "#day/I-x", "a/O"],
        ["#one/B-x", "b/O"],
        ["#/O"],
        ["#2/O"],
        ["#newdoc/O", "x/O"],
        ["a/O", "#/O"],
    ]
    rows = "\n".join("".join(f"{one.replace('/', separator)}\n" for one in row) for row in sentences)
    path = file("a.conll", rows)
    assert pairs(path) == sentences
    assert read_sentences(path) == [[one.partition("/")[0] for one in row] for row in sentences]


def test_comments_before_a_token_that_looks_like_one(file):
    path = file("a.conll", "# sent_id = 1\n#\tO\nx\tB-y\n\n# sent_id = 2\n#x\tO\n#\tB-y\n")
    assert pairs(path) == [["#/O", "x/B-y"], ["#x/O", "#/B-y"]]


@pytest.mark.parametrize("content", ["#\tO\nhappy\tB-x\n\n# x\nz\tO\n", "# O\nhappy B-x\n\n# x y z\nz O\n"])
def test_a_token_before_the_first_comment(file, content):
    path = file("a.conll", content)
    assert pairs(path) == [["#/O", "happy/B-x"], ["z/O"]]


def test_the_same_symbol_before_two_sentences(file):
    """`# SYM` twice, before any other SYM, is a token: comments differ."""
    path = file("a.conll", "# SYM\none NUM\n\n# SYM\ntwo NUM\n")
    assert pairs(path) == [["#/SYM", "one/NUM"], ["#/SYM", "two/NUM"]]


def test_a_token_a_line_with_comments(file):
    path = file("a.conll", "-DOCSTART-\n\n# sent_id = 1\n# 1\nthe\n#\n#tag\r\n \t\n\n# 2 of 2\n\u00a0\n")
    assert read_sentences(path) == [["the", "#", "#tag"], ["\u00a0"]]


def test_a_comment_inside_a_sentence_is_an_error(file, refused):
    reason = "expected 2 columns, as in line 1, got 4: '# of all this'. "
    hint = "A comment is a line before a sentence that begins with '#'."
    refused(2, reason + hint, read_tagged, file("a.conll", "a O\n# of all this\nb O\n"))


def test_a_hashtag_that_lost_its_tag_is_said(file, caplog):
    path = file("a.conll", "a O\n\n#x\nb O\n")
    assert pairs(path) == [["a/O"], ["b/O"]]
    [record] = [one for one in caplog.records if one.levelname == "WARNING"]
    assert record.getMessage() == f"{path}, line 3: '#x' is read as a comment: it has no tag"


CONLL_2003 = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n"


@pytest.mark.parametrize(
    ("content", "token", "tag", "expected"),
    [
        (CONLL_2003, None, None, ["EU/B-ORG", "rejects/O"]),
        (CONLL_2003, None, "2", ["EU/NNP", "rejects/VBZ"]),
        (CONLL_2003, 1, 3, ["EU/B-NP", "rejects/B-VP"]),
        ("B-x the\nO dog\n", "2", "1", ["the/B-x", "dog/O"]),
        ("token\ttag\nthe\tO\ndog\tB\n", None, None, ["the/O", "dog/B"]),
        ("Word POS Tag\n\nthe DT O\ndog NN B\n", None, None, ["the/O", "dog/B"]),
        ("Word POS Tag\nthe DT O\ndog NN B\n", None, "pos", ["the/DT", "dog/NN"]),
        ("pos\tword\tner\tof\nDT\tthe\tO\t1\nNN\tdog\tB\t1\n", None, None, ["the/O", "dog/B"]),
        ("x\ty\nthe\tO\ndog\tB\n", "x", "Y", ["the/O", "dog/B"]),
        ("# global.columns = ID FORM UPOS NER\n# t = 1\n1\tthe\tDT\tO\n", None, None, ["the/DT"]),
        (
            "# global.columns = ID FORM UPOS NER\n1\ta\tX\tO\n"
            "2-3\tdont\t_\t_\n2\tdo\tX\tB\n2.1\te\t_\t_\n3\tnt\tY\tO\n",
            None,
            "NER",
            ["a/O", "do/B", "nt/O"],
        ),
        ("1-2\tdont\t_\n1\tdo\tX\n2\tnt\tY\n", "2", None, ["do/X", "nt/Y"]),
        ("\t".join(["1", "a", *"cdefghijklm", "X"]) + "\n", "2", "14", ["a/X"]),
        ("1 O\n2 O\n3 B\n", None, None, ["1/O", "2/O", "3/B"]),
        ("word O\nthe B\n", None, None, ["word/O", "the/B"]),
    ],
)
def test_which_columns_are_read(file, content, token, tag, expected):
    path = file("a.conll", content)
    assert pairs(path, token_column=token, tag_column=tag) == [expected]
    assert read_sentences(path, token_column=token) == [[one.partition("/")[0] for one in expected]]


def test_what_was_read_is_said(file, caplog):
    caplog.set_level("INFO", logger="stepscan")
    path = file("a.conll", "word\tpos\tner\nthe\tDT\tO\n" + "x\tY\tB\n" * 8)
    read_tagged(path, tag_column="pos")
    read_sentences(path)
    rest = "x x x x x x x …"
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 3 columns; the token is column 1 (word), the tag column 2 (pos); first sentence: "
        "the/DT x/Y x/Y x/Y x/Y x/Y x/Y x/Y …",
        f"{path}: 3 columns; the token is column 1 (word); first sentence: the {rest}",
    ]


def test_what_is_said_cannot_command_a_terminal(file, caplog):
    caplog.set_level("INFO", logger="stepscan")
    assert pairs(file("a.conll", "\x1b[31m\tO\n")) == [["\x1b[31m/O"]]
    assert caplog.records[0].getMessage().endswith(r"first sentence: \x1b[31m/O")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("the\tO\t\ndog\tB \n \t \nx\tO\t\t\r\n", [["the/O", "dog/B"], ["x/O"]]),  # blanks at the end
        ("the O \ndog B\t\n", [["the/O", "dog/B"]]),
        ("the O\ndog\tB\nx  O\n", [["the/O", "dog/B", "x/O"]]),  # tabs here, blanks there
        ("the DT\tO\ndog NN B\n", [["the/O", "dog/B"]]),
        ("New York\tB\nhere\tO\n", [["New York/B", "here/O"]]),  # tabs alone
        (" \tO\na\tB\n", [[" /O", "a/B"]]),  # a blank is a token
        ("\u00a0\tO\n\u200b\tB\n", [["\u00a0/O", "\u200b/B"]]),
    ],
)
def test_blanks(file, content, expected):
    assert pairs(file("a.conll", content)) == expected


def test_mixed_separators_are_said_once(file, caplog):
    path = file("a.conll", "New York\tB\nhere\tO\n\ndog B\nx O\n")
    assert pairs(path) == [["New York/B", "here/O"], ["dog/B", "x/O"]]
    [record] = [one for one in caplog.records if one.levelname == "WARNING"]
    assert record.getMessage() == (
        f"{path}, line 4: spaces between columns, where lines before have tabs: 'dog B' is read as ['dog', 'B']"
    )


def test_bad_lines_cost_their_sentence_alone(file):
    bad = BadLines()
    path = file("a.conll", "# id 0\tof=1\nthe\n\n# id 1\tof=1\na _ O\nb _ B\n\nc _ O\nd B\n")
    assert pairs(path, bad_lines=bad) == [["a/O", "b/B"]]
    assert bad.describe_count(path) == "2 sentences"


@pytest.mark.parametrize(
    ("content", "settings", "line", "reason"),
    [
        ("a X\n", {"tag_column": 3}, 1, "expected --tag-column from 1 to 2, the number of columns, got 3."),
        ("a X\n", {"token_column": "0"}, 1, "expected --token-column from 1 to 2, the number of columns, got 0."),
        (
            "a X\n",
            {"tag_column": "ner"},
            1,
            "expected one column 'ner', got columns without names. Give a position: --tag-column 1 is the first of 2.",
        ),
        (
            "word tag\na X\n",
            {"tag_column": "ner"},
            1,
            "expected one column 'ner', got the columns 'word', 'tag'. "
            "Give a position: --tag-column 1 is the first of 2.",
        ),
        (
            "a X\n",
            {"token_column": 2},
            1,
            "expected a token and a tag in two columns, got column 2 for both. Name the other with --tag-column.",
        ),
        (
            "1\ta\tX\n2\tb\tX\n",
            {},
            1,
            "expected a token in the first column, got numbers of tokens: 1, 2, … "
            "Name the columns with --token-column and --tag-column; or, if this is CoNLL-U, add --format conllu.",
        ),
        (
            "a _\nb _\n",
            {},
            None,
            "expected tags in column 2, got '_' in every row of the file. Name another with --tag-column.",
        ),
        (
            "a,X\nb,Y\n",
            {},
            1,
            "expected columns separated by tabs or spaces, got 'a,X'. Commas and semicolons do not separate "
            "columns; a blank line ends a sentence.",
        ),
        ("# only\n\n# of this kind\n", {}, None, "expected at least one sentence, got none."),
    ],
)
def test_wrong_columns(file, refused, content, settings, line, reason):
    refused(line, reason, read_tagged, file("a.conll", content), **settings)


def test_files_without_columns_to_name(file):
    conllu = file("a.conllu", "1\ta\ta\tX\t_\t_\t0\troot\t_\t_\n")
    with pytest.raises(SettingsError, match=r"expected CoNLL columns, got CoNLL-U .* in .*a\.conllu, and column '2'"):
        read_tagged(conllu, tag_column="2")
    assert pairs(conllu, format="columns", token_column=2, tag_column=4) == [["a/X"]]
    with pytest.raises(SettingsError, match="expected CoNLL columns, got"):
        read_sentences(file("a.txt", "a b\n"), token_column=1)


def test_a_token_a_line_is_one(file, refused):
    reason = "expected 1 columns, as in line 1, got 2: '# 2'. A comment is a line before a sentence that begins "
    refused(2, reason + "with '#'.", read_sentences, file("a.conll", "the\n# 2 \n"))


@pytest.mark.parametrize("name", ["10-space.conll", "10-tab.conll", "10-two.conll"])
def test_reported(name):
    if not REPORTS.is_dir():
        pytest.skip(f"no reports in {REPORTS}")
    assert pairs(REPORTS / name) == SONG[:1] * 30


def test_published_hashtags_are_tokens():
    if not (DATA / "wnut17").is_dir():
        pytest.skip(f"no data sets in {DATA}")
    tokens = [token for one in read_tagged(DATA / "wnut17" / "wnut17train.conll") for token in one.tokens]
    assert (len(tokens), sum(token.startswith("#") for token in tokens)) == (62730, 828)


JOINED = "expected one token per line, got tokens and tags joined by"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the/at cat/nn sat/vbd\n\nthe/at dog/nn ran/vbd\n", f"{JOINED} '/': 'the/at cat/nn sat/vbd'"),
        ("Ann_B-PER runs_O\nBob_B-PER sits_O\n", f"{JOINED} '_': 'Ann_B-PER runs_O'"),
        ("Ann|NNP|B-PER runs|VB|O home|NN|O\n", f"{JOINED} '|'"),
        (
            "Ann Lee runs\tB-PER I-PER O\nBob sits\tB-PER O\n",
            "expected one token and its tag, got 3 of each: 'Ann Lee",
        ),
        ("Ann,B-PER\nruns,O\n", "expected columns separated by tabs or spaces, got 'Ann,B-PER'"),
        ("word;tag\nAnn;B-PER\nruns;O\n", "expected columns separated by tabs or spaces, got 'word;tag'"),
        (
            "d/1 0 Ann (P\nd/1 1 runs -\n\nd/2 0 Bob (P\nd/2 1 is -\nd/2 2 in -\n",
            "expected tokens in column 1 of 4, got",
        ),
    ],
)
def test_what_is_not_a_token_a_line(tmp_path, text, words):
    path = tmp_path / "a.conll"
    path.write_text(text)
    with pytest.raises(DataError, match=re.escape(words)):
        read_tagged(path)
    if "joined" not in words:
        with pytest.raises(DataError, match=re.escape(words)):
            read_sentences(path)


def test_tokens_with_such_signs_stay_tokens(tmp_path):
    path = tmp_path / "a.conll"
    for text, tokens in (
        ("and/or N/A\n\n1/2 CD\nof IN\n", [["and/or"], ["1/2", "of"]]),
        ("1,000 CD\n2;3 CD\n", [["1,000", "2;3"]]),
        ("ha O\nha O\nha O\nha O\nha O\n", [["ha"] * 5]),
        ("New York\tB-LOC\nis\tO\n", [["New York", "is"]]),
    ):
        path.write_text(text)
        assert [one.tokens for one in read_tagged(path)] == tokens
    path.write_text("d/1 0 Ann (P\nd/1 1 runs -\nd/1 2 to -\nd/1 3 us -\nd/1 4 all -\n")
    assert read_tagged(path, token_column=3)[0].tokens == ["Ann", "runs", "to", "us", "all"]
    assert read_tagged(path, token_column=1)[0].tokens == ["d/1"] * 5


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.ndjson"])
def test_lists_in_json(tmp_path, name):
    path = tmp_path / name
    path.write_text('{"tokens": ["Ann", "runs"], "ner_tags": ["B-P", "O"]}\n{"tokens": ["# a"], "ner_tags": ["O"]}\n')
    assert read_tagged(path) == [(["Ann", "runs"], ["B-P", "O"]), (["# a"], ["O"])]
    assert read_sentences(path) == [["Ann", "runs"], ["# a"]]
    assert read_tagged(path, token_column="ner_tags", tag_column="tokens")[1] == (["O"], ["# a"])
    path.write_text('[{"words": ["Ann"], "pos": ["N"], "ner": ["B-P"]}]')
    assert read_tagged(path) == [(["Ann"], ["B-P"])]
    assert read_tagged(path, tag_column="pos") == [(["Ann"], ["N"])]
    for line, words in (
        (
            '{"tokens": ["a"], "tags": [3]}',
            "line 1: expected a list of strings as the tags, got a number (3) as item 1",
        ),
        ('{"tokens": ["a"], "tags": ["X", "Y"]}', "line 1: expected one tag per token, got 1 tokens and 2 tags"),
        ('{"tokens": "a b", "tags": ["X"]}', "line 1: expected a list of strings as the tokens, got a string"),
        ('{"tokens": ["a"]}', "line 1: expected a key 'tags', got the keys 'tokens'"),
    ):
        path.write_text(line + "\n")
        with pytest.raises(DataError, match=re.escape(words)):
            read_tagged(path)


def test_json_without_a_name(tmp_path):
    line = '{"tokens": ["Ann", "runs"], "tags": ["B-P", "O"]}\n'
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "a.txt").write_text(line)
    for path in (pipe, tmp_path / "a.txt"):
        for read, expected in ((read_tagged, [(["Ann", "runs"], ["B-P", "O"])]), (read_sentences, [["Ann", "runs"]])):
            writer = threading.Thread(target=pipe.write_text, args=(line,))
            if path == pipe:
                writer.start()
            assert read(path) == expected
            if path == pipe:
                writer.join()
