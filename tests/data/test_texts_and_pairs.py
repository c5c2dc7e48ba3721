from __future__ import annotations

import pytest

from stepscan.data.readers import Pair, read_parallel, read_texts
from stepscan.errors import DataError, SettingsError


def test_texts_keep_empty_ones(file):
    assert read_texts(file("a.txt", "A\n\n b \n\n")) == ["A", "", " b ", ""]
    assert read_texts(file("a.csv", 'id,text\n1,A\n2,\n3," "\n')) == ["A", "", " "]
    assert read_texts(file("a.csv", 'text\nA\n\n""\n')) == ["A", "", ""]
    assert read_texts(file("a.tsv", "A\t1\n\t2\n"), text_column=1) == ["A", ""]
    assert read_texts(file("a.jsonl", '{"text": ""}\n{"text": "A"}\n\n')) == ["", "A"]


def test_texts_need_their_column(file, refused):
    hint = "Name it with --text-column (text_column), by name or by position from 1."
    refused(1, f"expected a column 'text', got the columns 'A', '1'. {hint}", read_texts, file("a.tsv", "A\t1\n"))
    refused(1, "expected a string as the text, got null.", read_texts, file("a.jsonl", '{"text": null}'))


def test_pairs(file):
    expected = [Pair("aad", "aː t"), Pair('"b', "b")]
    tsv = file("a.tsv", 'aad\taː t\n"b\tb\n\n')
    assert read_parallel([tsv]) == read_parallel(tsv) == read_parallel(str(tsv)) == expected
    path = file("a.jsonl", '{"source": "aad", "target": "aː t", "id": 1}\n{"target": "b", "source": "\\"b"}\n')
    assert read_parallel([path]) == expected
    assert read_parallel([file("a.en", 'aad\n"b\n'), file("a.tsv", "aː t\nb")]) == expected


def test_bad_pairs(file, refused):
    wanted = "expected source and target separated by a tab, got"
    choose = (
        "Name them with --source-column and --target-column (source_column, target_column), by name or by position "
        "from 1."
    )
    refused(2, f"{wanted} 3 fields. {choose}", read_parallel, file("a.tsv", "a\tb\na\tb\tc\n"))
    both = "If source and target are two files, give both."
    refused(1, f"{wanted} 1 field. {both}", read_parallel, file("a.tsv", "a b\n"))
    refused(1, "expected a target, got an empty string.", read_parallel, file("a.tsv", "a\t\n"))
    refused(
        1,
        f"expected a key 'target', got the keys 'source'. {choose}",
        read_parallel,
        file("a.jsonl", '{"source": "a"}'),
    )
    path = file("a.jsonl", '{"source": "a", "target": ["b"]}')
    refused(1, "expected a string as the target, got a list.", read_parallel, path)


def test_two_files_must_go_line_by_line(file):
    two, three, gap = file("two", "a\nb\n"), file("three", "a\nb\nc\n"), file("gap", "a\n \n")
    with pytest.raises(DataError) as caught:
        read_parallel([two, three])
    assert str(caught.value) == f"{two}: expected 3 lines, as in {three}, got 2."
    with pytest.raises(DataError) as caught:
        read_parallel([two, gap])
    assert str(caught.value) == f"{gap}, line 2: expected a target, got an empty string."
    with pytest.raises(DataError) as caught:
        read_parallel([gap, two])
    assert str(caught.value) == f"{gap}, line 2: expected a source, got an empty string."


@pytest.mark.parametrize(
    ("count", "format", "reason"),
    [
        (0, None, r"got 0 files\.$"),
        (3, None, r"got 3 files\.$"),
        (1, "lines", r"got format 'lines' and 1 file\.$"),
        (2, "tsv", r"got format 'tsv' and 2 files\.$"),
        (1, "cvs", r"^unknown format 'cvs' for this data\. Did you mean 'csv'\?"),
    ],
)
def test_files_of_pairs_must_suit_the_format(file, count, format, reason):
    with pytest.raises(SettingsError, match=reason):
        read_parallel([file("a.txt", "a\n")] * count, format=format)
