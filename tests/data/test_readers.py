from __future__ import annotations

import csv
import gzip
import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepscan.data.readers import LabelledText, Pair, read_labelled, read_parallel, read_texts
from stepscan.errors import DataError, SettingsError

COLUMN_HINT = (
    "Name them with --text-column and --label-column (text_column, label_column), by name or by position from 1."
)
NOT_CSV = "expected a row of CSV to begin here, got invalid CSV"
NO_LABEL = "expected a string, number, true or false as the label, got"
QUOTE_HINT = "Is a quotation mark missing? Inside quotation marks, double each quotation mark."
NO_OBJECT, OBJECT_HINT = "expected a JSON object, got ", "Write one object per line."
COMMA_HINT = "Put quotation marks around a field that contains a comma."


def test_labelled_csv(file):
    content = '\ufeffid,Text,LABEL\r\n1,"A ""film"", two\r\nlines", pos \r\n2,\u2028 B\x0c,neg\r\n\r\n'
    expected = [LabelledText('A "film", two\nlines', "pos"), LabelledText("\u2028 B\x0c", "neg")]
    assert read_labelled(file("a.csv", content)) == expected
    assert read_labelled(file("a.CSV", content)) == expected
    assert read_labelled(file("a.txt", content), format="csv") == expected


def test_labelled_tsv_has_no_quoting(file):
    path = file("a.tsv", 'label\tsentence\n1\t"stray \r quote\n0\tit\'s ""\n')
    assert read_labelled(path) == [LabelledText('"stray \r quote', "1"), LabelledText('it\'s ""', "0")]


def test_labelled_jsonl_makes_strings_of_labels(file):
    labels = ["pos", 1, -2.5, True, False]
    lines = [json.dumps({"label": label, "Review": "Ünï \ud83d\ude00"}) for label in labels]
    expected = [LabelledText("Ünï 😀", label) for label in ["pos", "1", "-2.5", "true", "false"]]
    for name in ("a.jsonl", "a.json", "a.ndjson"):
        assert read_labelled(file(name, "\n".join(lines) + "\n\n")) == expected


def test_labelled_lines(file):
    path = file("stsa.train", "0 A dull film .\n__label__good\tA fine  film \n\n")
    assert read_labelled(path) == [LabelledText("A dull film .", "0"), LabelledText("A fine  film ", "good")]


def test_labelled_gzip_keeps_the_format_of_the_name(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"text,label\nA,b\n"))
    assert read_labelled(path) == [LabelledText("A", "b")]


def test_labelled_columns_by_name_and_by_position(file):
    path = file("a.csv", "Text,text,3\nA,B,C\n")
    assert read_labelled(path, text_column="Text", label_column="text") == [LabelledText("A", "B")]
    rows = [LabelledText("3", "Text"), LabelledText("C", "A")]
    assert read_labelled(path, text_column="3", label_column=1, header=False) == rows
    assert read_labelled(path, text_column="3", label_column=1) == rows[1:]
    path = file("a.jsonl", '{"1": "A", "B": 2}\n')
    assert read_labelled(path, text_column=1, label_column="b") == [LabelledText("A", "2")]


def test_long_documents_fit_in_csv(file):
    assert read_labelled(file("a.csv", f"text,label\n{'x' * 300_000},a\n"))[0].text == "x" * 300_000


def test_guessed_columns_must_be_unambiguous(file, refused):
    path = file("a.csv", "content,category,other\nA,b,c\n")
    assert read_labelled(path) == [LabelledText("A", "b")]
    path = file("b.csv", "content,sentence,label\nA,B,c\n")
    reason = (
        f"expected one column that may be 'text', got 2: 'content' (column 1), 'sentence' (column 2). {COLUMN_HINT}"
    )
    refused(1, reason, read_labelled, path)
    reason = f"expected one column that may be 'label', got 2: 'label' (column 2), 'label' (column 3). {COLUMN_HINT}"
    refused(1, reason, read_labelled, file("c.csv", "text,label,label\nA,B,c\n"))


def test_a_missing_column_lists_those_found(file, refused):
    path = file("a.tsv", "a splash\t1\nnew\t0\n")
    refused(1, f"expected a column 'text', got the columns 'a splash', '1'. {COLUMN_HINT}", read_labelled, path)
    refused(
        1,
        f"expected a column 'txt', got the columns 'a splash', '1'. {COLUMN_HINT}",
        read_labelled,
        path,
        text_column="txt",
    )
    path = file("a.jsonl", '{"text": "A", "label": 1}\n{"text": "A", "lable": 1}')
    refused(2, f"expected a key 'label', got the keys 'text', 'lable'. {COLUMN_HINT}", read_labelled, path)


def test_a_position_must_exist(file, refused):
    path = file("a.tsv", "a splash\t1\n")
    for position in (0, 3):
        reason = f"expected the label in a column from 1 to 2, got column {position}."
        refused(1, reason, read_labelled, path, text_column=1, label_column=position)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("text,label\nA,b\n\nA\n", 3, "expected an example, got a blank line. Remove it."),
        ("text,label\n\nA,b\n", 2, "expected an example, got a blank line. Remove it."),
        ('text,label\n"A\n\nB",b\nA\n', 5, f"expected 2 fields, as in line 1, got 1. {COMMA_HINT}"),
        ("text,label\nA, or B,b\n", 2, f"expected 2 fields, as in line 1, got 3. {COMMA_HINT}"),
        ("text,label\n ,b\n", 2, "expected a text, got an empty string."),
        ("text,label\nA, \n", 2, "expected a label, got an empty string."),
        ("text,label\n\n", 1, "expected rows below the header, got none."),
        ('text,label\n"A\nB",b\n"A\nB,c\nC,d\n', 4, f"{NOT_CSV}: unexpected end of data. {QUOTE_HINT}"),
        ('text,label\n"A"B,b\n', 2, f"{NOT_CSV}: ',' expected after '\"'. {QUOTE_HINT}"),
    ],
)  # fmt: skip
def test_bad_csv(file, refused, content, line, reason):
    refused(line, reason, read_labelled, file("a.csv", content))


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("text\tlabel\nA\n", 2, "expected 2 fields, as in line 1, got 1."),
        ("text\tlabel\nA\tb\tc\n", 2, "expected 2 fields, as in line 1, got 3."),
        ("text\tlabel\n\tb\n", 2, "expected a text, got an empty string."),
        ("text\tlabel\nA\t\n", 2, "expected a label, got an empty string."),
        ("text\tlabel\nA\tb\n \nA\tb\n", 3, "expected an example, got a blank line. Remove it."),
    ],
)
def test_bad_tsv(file, refused, content, line, reason):
    refused(line, reason, read_labelled, file("a.tsv", content))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('["A", "b"]', f"{NO_OBJECT}a list. {OBJECT_HINT}"),
        ("A", f"{NO_OBJECT}invalid JSON at character 1: Expecting value. {OBJECT_HINT}"),
        ('{"text": "A"', f"{NO_OBJECT}invalid JSON at character 13: Expecting ',' delimiter. {OBJECT_HINT}"),
        ('{"text": "A", "label": NaN}', f"{NO_OBJECT}NaN, which is not JSON. {OBJECT_HINT}"),
        ('{"text": 1, "label": 1}', "expected a string as the text, got a number."),
        ('{"text": "", "label": 1}', "expected a text, got an empty string."),
        ('{"text": "A", "label": ""}', "expected a label, got an empty string."),
        *(
            (f'{{"text": "A", "label": {value}}}', f"{NO_LABEL} {kind}.")
            for value, kind in [("null", "null"), ("[1]", "a list"), ("{}", "an object")]
        ),
    ],
)  # fmt: skip
def test_bad_jsonl(file, refused, bad, reason):
    refused(2, reason, read_labelled, file("a.jsonl", f'{{"text": "A", "label": 1}}\n{bad}\n'))


@pytest.mark.parametrize("bad", ['{"text": "\\ud800", "label": 1}', "[" * 100_000, f'{{"text": {"1" * 5000}}}'])
def test_hostile_jsonl(file, bad):
    with pytest.raises(
        DataError, match=r"a\.jsonl, line 1: expected a JSON object, got .*Write one object per line\.$"
    ):
        read_labelled(file("a.jsonl", bad))


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("0 A\n1\n", 2, "expected a text, got an empty string."),
        ("0 A\n1 \n", 2, "expected a text, got an empty string."),
        ("0 A\n A\n", 2, "expected a label, got an empty string."),
        ("__label__ A\n", 1, "expected a label, got an empty string."),
        ("0 A\n\n1 B\n", 2, "expected an example, got a blank line. Remove it."),
        (
            "__label__a __label__b A\n",
            1,
            "expected one label, got 2. If texts have several labels, add --problem-type multilabel.",
        ),
    ],
)
def test_bad_labelled_lines(file, refused, content, line, reason):
    refused(line, reason, read_labelled, file("a.txt", content))


def test_faults_of_the_file_come_through(file, refused, tmp_path):
    refused(None, "no such file.", read_labelled, tmp_path / "a.csv")
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.txt"):
        refused(None, "expected at least one line of text, got an empty file.", read_labelled, file(name, ""))
        refused(None, "expected at least one line of text, got only blank lines.", read_labelled, file(name, "\n \n"))


def test_wrong_settings(file):
    path = file("a.csv", "text,label\nA,b\n")
    with pytest.raises(SettingsError, match=r"^unknown format 'jsnl' for this data\. Did you mean 'jsonl'\?$"):
        read_labelled(path, format="jsnl")
    with pytest.raises(
        SettingsError, match=r"--no-header: expected positions from 1 .*text_column=1, label_column='label'"
    ):
        read_labelled(path, text_column=1, label_column="label", header=False)
    for read in (read_labelled, read_texts):
        with pytest.raises(SettingsError, match="a file of lines has no columns"):
            read(path, format="lines", text_column=1)
    for delimiter in ("", ";;", '"', "\n"):
        with pytest.raises(SettingsError, match="--delimiter: expected one character, such as ';', or tab, got "):
            read_labelled(path, delimiter=delimiter)
    with pytest.raises(
        SettingsError, match=r"--delimiter and --header: expected CSV or TSV, got jsonl in .*a.jsonl; omit them"
    ):
        read_labelled(file("a.jsonl", "{}"), delimiter=";")


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")).filter(str.strip)
WORDS = TEXT.map(lambda text: " ".join(text.split()))


def is_label(text: str) -> bool:
    """Of `1.0` and `1` the label is `1`, and `nan` is not one."""
    return not re.fullmatch(r"[+-]?\d+\.0+|nan|<na>|nat", text.casefold())


LABEL = TEXT.map(str.strip).filter(is_label)


@settings(max_examples=50)
@given(examples=st.lists(st.builds(LabelledText, TEXT, LABEL), min_size=1))
def test_csv_and_jsonl_round_trip(tmp_path_factory, examples):
    folder = tmp_path_factory.mktemp("labelled")
    written = io.StringIO()
    csv.writer(written).writerows([("text", "label"), *examples])
    (folder / "a.csv").write_bytes(written.getvalue().encode())
    assert read_labelled(folder / "a.csv") == examples
    for ascii_only in (True, False):
        lines = [json.dumps(example._asdict(), ensure_ascii=ascii_only) + "\n" for example in examples]
        (folder / "a.jsonl").write_bytes("".join(lines).encode())
        assert read_labelled(folder / "a.jsonl") == examples


@settings(max_examples=50)
@given(rows=st.lists(st.tuples(WORDS, WORDS.filter(is_label)), min_size=1))
def test_tsv_round_trip(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("tsv") / "a.tsv"
    path.write_bytes("".join(f"{left}\t{right}\n" for left, right in rows).encode())
    assert read_labelled(path, text_column=1, label_column=2, header=False) == [LabelledText(*row) for row in rows]
    assert read_parallel(path, header=False) == [Pair(*row) for row in rows]
