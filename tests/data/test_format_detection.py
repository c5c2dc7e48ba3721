"""Files whose names do not say how they are written, such as pipes: their first lines do."""

from __future__ import annotations

import logging

import pytest

from stepscan.data.readers import LabelledText, read_labelled, read_texts, stream_sources
from stepscan.data.task_data import ReadOptions, read_examples

OBJECTS = '{"text": "a good film", "label": "pos"}\n{"text": "bad", "label": "neg"}\n'
ARRAY = '[{"text": "a good film", "label": "pos"}, {"text": "bad", "label": "neg"}]'


@pytest.mark.parametrize("content", [OBJECTS, "\ufeff" + OBJECTS, ARRAY, "[\n" + ARRAY[1:], ARRAY.replace(", ", ",\n")])
def test_json_is_known_by_its_first_line(file, content):
    path = file("a.txt", content)
    assert read_labelled(path) == [LabelledText("a good film", "pos"), LabelledText("bad", "neg")]
    assert read_texts(path) == read_texts(path, text_column="text") == ["a good film", "bad"]
    assert list(stream_sources(path)) == ["a good film", "bad"]
    assert read_texts(path, format="lines") == content.removeprefix("\ufeff").rstrip("\n").split("\n")


def test_json_with_other_keys(file, refused, caplog):
    path = file("a.txt", '{"body": "a good film", "label": "pos"}\n')
    hint = "Name them with --text-column and --label-column (text_column, label_column), by name or by position from 1."
    refused(1, f"expected a key 'text', got the keys 'body', 'label'. {hint}", read_labelled, path)
    assert read_texts(path) == ['{"body": "a good film", "label": "pos"}']
    assert "the first line is a JSON object, read as a text" in caplog.text
    assert read_texts(path, text_column="body") == ["a good film"]


@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
@pytest.mark.parametrize(
    "content", ["id,text\n1,A\n2,B\n", ",review\n0,A\n1,B\n", "text;stars;user-id\nA;1;2\nB;2;3\n"]
)
def test_a_table_without_labels_is_known_by_its_header(file, name, content):
    assert read_texts(file(name, content)) == ["A", "B"]


@pytest.mark.parametrize("line", ["[a] {text", "{text, label}", "Good text, review", "text", "The plot, the content"])
def test_prose_is_neither(file, line):
    assert read_texts(file("a.txt", f"{line}\nmore, of it\n")) == [line, "more, of it"]


@pytest.mark.parametrize("name", ["a.tsv", "a.txt"])
def test_sources_of_pairs(file, name, caplog):
    caplog.set_level(logging.INFO, "stepscan")
    assert list(stream_sources(file(name, "hello\tbonjour\nbye\t\n"))) == ["hello", "bye"]
    assert "the first of two columns is read as the source (if not: --format lines)" in caplog.text
    assert list(stream_sources(file(name, "en\tfr\nhello\tbonjour\nbye\tau revoir\n"))) == ["hello", "bye"]
    assert list(stream_sources(file(name, "target\tsource\nbonjour\thello\n"))) == ["hello"]
    lines = "hello\tbonjour\n"
    assert list(stream_sources(file("b.txt", lines), format="lines")) == ["hello\tbonjour"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (OBJECTS, "JSON is learned as characters; to learn the texts in it, add --format jsonl"),
        ("text,label\nA,x\n", "a table is learned as characters; to learn the texts in it, add --format csv"),
        ("Once, a text\nand more\n", ""),
    ],
)
def test_a_language_model_says_what_it_learns(file, caplog, content, said):
    assert read_examples("generate", [file("a.txt", content)]) == (content,)
    assert said in caplog.text
    assert bool(caplog.text) == bool(said)


def test_texts_of_several_lines_stay_one(file):
    path = file("a.csv", 'text,by\n"a\nb",x\nc,y\n')
    assert read_examples("generate", [path]) == ("a\nb\nc",)
    assert read_examples("generate", [path], each=True) == (["a\nb", "c"],)
    assert read_examples("generate", [file("a.txt", "a\n\nb\n")], each=True) == (["a", "", "b"],)
    assert read_examples("generate", [file("a.txt", "x,y\n")], ReadOptions(format="lines"), each=True) == (["x,y"],)
