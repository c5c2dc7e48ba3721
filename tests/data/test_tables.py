"""What people's tables are like: delimiters, headers, quotation marks, columns that go by position or by name."""

from __future__ import annotations

import logging

import pytest

from stepscan.data.bad_lines import BadLines
from stepscan.data.readers import LabelledText, Pair, read_labelled, read_parallel, read_texts, stream_sources
from stepscan.errors import DataError, SettingsError

EXAMPLES = [LabelledText("fine plot, well told", "pos"), LabelledText("dull; bad", "neg"), LabelledText("great", "pos")]
CSV = 'text,label\n"fine plot, well told",pos\ndull; bad,neg\ngreat,pos\n'
SEMICOLONS = 'text;label\nfine plot, well told;pos\n"dull; bad";neg\ngreat;pos\n'
TABS = "text\tlabel\nfine plot, well told\tpos\ndull; bad\tneg\ngreat\tpos\n"
BY_POSITION = {"text_column": 1, "label_column": 2}


@pytest.fixture
def notes(caplog):
    """What was logged, as `(level, message)`."""
    caplog.set_level(logging.INFO, "stepscan")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize("content", [SEMICOLONS, TABS, SEMICOLONS.replace(";p", "|p").replace(";n", "|n")])
@pytest.mark.parametrize("columns", [{}, BY_POSITION, {"text_column": "text", "label_column": 2}])
def test_other_delimiters_in_csv(file, content, columns, notes):
    content = content.replace("text;label", "text|label") if "|" in content else content
    name = "a semicolon" if ";pos" in content else "a tab" if "\tpos" in content else "a vertical bar"
    assert read_labelled(file("a.csv", content), **columns) == EXAMPLES
    assert notes()[0][0] == "INFO"
    assert f"{name} separates fields" in notes()[0][1]


@pytest.mark.parametrize("content", [CSV, SEMICOLONS, TABS])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt", "data"])
def test_the_content_decides_where_the_name_is_wrong(file, content, suffix):
    path = file(f"a.{suffix}", content)
    assert read_labelled(path) == EXAMPLES
    assert read_labelled(path, text_column="TEXT", label_column="label") == EXAMPLES
    assert read_texts(path, text_column="text") == [text for text, _ in EXAMPLES]
    assert read_texts(file("a.txt", content)) == [text for text, _ in EXAMPLES]


def test_a_named_delimiter(file):
    for name, delimiter in (("tab", "\t"), ("\\t", "\t"), (";", ";"), ("^", "^")):
        content = f'label{delimiter}text\nA{delimiter}"b, c"\n'
        assert read_labelled(file("a.csv", content), delimiter=name) == [LabelledText("b, c", "A")]
    assert read_labelled(file("a.tsv", 'label\ttext\nA\t"b"\n'), delimiter="tab") == [LabelledText('"b"', "A")]


def test_a_doubtful_delimiter_is_said(file, notes):
    path = file("a.csv", "fine, well;pos\ndull, bad;neg\n")
    assert read_labelled(path, **BY_POSITION)[0] == LabelledText("fine", "well;pos")
    assert [kind for kind, _ in notes()] == ["WARNING"]
    assert "a comma separates fields, but a semicolon may too: choose one with --delimiter" in notes()[0][1]
    assert read_labelled(path, **BY_POSITION, delimiter=";")[0] == LabelledText("fine, well", "pos")


def test_blanks_before_a_quotation_mark(file):
    path = file("a.csv", 'label, text\npos, "fine plot, well told"\nneg,\t"dull"  \npos, say "hm" \nneg, "a", b"\n')
    with pytest.raises(DataError, match="line 5"):
        read_labelled(path)
    assert read_labelled(path, bad_lines=BadLines()) == [
        LabelledText("fine plot, well told", "pos"),
        LabelledText("dull", "neg"),
        LabelledText(' say "hm" ', "pos"),
    ]
    path = file("b.csv", 'text,label\n"he said, ""no"", twice",a\n"x, ""y"" z", b\n')
    assert read_labelled(path) == [LabelledText('he said, "no", twice', "a"), LabelledText('x, "y" z', "b")]


def test_quoted_tsv(file, notes):
    """As R writes it: names in quotation marks; and as pandas does: only where it must."""
    path = file("a.tsv", '"text"\t"label"\n"say ""a"""\t"pos"\n')
    assert read_labelled(path) == [LabelledText('say "a"', "pos")]
    assert "quotation marks enclose them" in notes()[0][1]
    path = file("b.tsv", 'text\tlabel\n"say ""a"""\tpos\n')
    assert read_labelled(path) == [LabelledText('"say ""a"""', "pos")]
    assert notes()[-1] == (
        "WARNING",
        f"{path}, line 2: quotation marks are text in TSV; if they enclose fields here, add --format csv",
    )
    assert read_labelled(path, format="csv") == [LabelledText('say "a"', "pos")]


@pytest.mark.parametrize(
    ("header", "rows", "columns"),
    [
        ("text,label,text", ["good,pos,x"], {}),
        ("review body,label", ["good,pos"], {}),
        ("review body,stars", ["good,5", "bad,1", "fine,4"], {}),
        (",body,kind", ["0,good,pos", "1,bad,neg", "2,fine,pos"], {"text_column": 2, "label_column": 3}),
        ("0,1", ["good,1", "bad,0", "fine,1"], {}),
        ("id,body,kind", ["7,good,pos", "3,bad,neg", "5,fine,pos"], {"text_column": "2", "label_column": "3"}),
    ],
)
def test_a_header_is_no_example_where_columns_go_by_position(file, header, rows, columns, notes):
    path = file("a.csv", "\n".join([header, *rows]) + "\n")
    columns = {**BY_POSITION, **columns}
    expected = [
        LabelledText(*(row.split(",")[int(columns[name]) - 1] for name in ("text_column", "label_column")))
        for row in rows
    ]
    assert read_labelled(path, **columns) == expected
    assert read_labelled(path, **columns, header=True) == expected
    assert len(read_labelled(path, **columns, header=False)) == len(rows) + 1
    assert "line 1 is read as a header" in notes()[0][1]


def test_an_example_is_no_header(file, notes):
    for content in ("good,pos\nbad,neg\n", "good,1\nbad,0\nfine,1\n", "the text,label\nmore,label\n", "a,1\nb,c\n"):
        examples = read_labelled(file("a.csv", content), **BY_POSITION)
        assert examples == [LabelledText(*line.split(",")) for line in content.splitlines()]
    assert notes() == []


def test_swapped_columns_are_refused(file, refused):
    reason = "expected text and label in columns 1, 2, got them swapped: 'label', 'text'."
    refused(1, reason, read_labelled, file("a.csv", "label,text\npos,good\n"), **BY_POSITION)


def test_doubled_names_can_be_chosen_by_position(file):
    path = file("a.csv", "text,label,text\ngood,pos,x\nbad,neg,x\n")
    with pytest.raises(
        DataError, match=r"expected one column that may be 'text', got 2: 'text' \(column 1\), 'text' \(column 3"
    ):
        read_labelled(path)
    expected = [LabelledText("good", "pos"), LabelledText("bad", "neg")]
    assert read_labelled(path, text_column=1) == read_labelled(path, **BY_POSITION) == expected
    assert read_texts(path, text_column=1) == ["good", "bad"]


@pytest.mark.parametrize("columns", [{}, BY_POSITION, {"text_column": "text", "label_column": "label"}])
def test_a_header_inside(file, refused, columns):
    path = file("a.csv", "text,label\ngood,pos\ntext, label\nbad,neg\n")
    refused(3, "expected an example, got the header of line 1 again. Remove it.", read_labelled, path, **columns)
    bad_lines = BadLines()
    assert len(read_labelled(path, **columns, bad_lines=bad_lines)) == 2
    assert bad_lines.counts == {str(path): 1}


def test_a_header_over_two_lines(file):
    assert read_labelled(file("a.csv", '"text","label","a\nb"\nA,c,d\n')) == [LabelledText("A", "c")]


def test_a_header_of_labelled_lines(file):
    path = file("a.txt", "label\ttext\npos\tgood film\n")
    assert read_labelled(path) == [LabelledText("good film", "pos")]


def test_a_header_of_labelled_lines_with_a_blank(file, refused):
    path = file("a.txt", "Label text\npos good film\n")
    refused(1, "expected an example, got a header. Remove it.", read_labelled, path)


def test_a_bad_row_does_not_hide_the_delimiter(file, refused):
    path = file("a.csv", "good film;pos\nbad, very bad;neg\nthree;is;many\nfine;pos\n")
    hint = "Put quotation marks around a field that contains a semicolon."
    refused(3, f"expected 2 fields, as in line 1, got 3. {hint}", read_labelled, path, **BY_POSITION)


def test_labels_after_texts_are_not_labelled_lines(file):
    path = file("a.txt", "a fine film\tpos\nvery dull\tneg\ngood\tpos\n")
    with pytest.raises(DataError, match=r"expected the label before the text.*--format tsv --text-column 1 --label-c"):
        read_labelled(path)
    assert read_labelled(path, **BY_POSITION)[1] == LabelledText("very dull", "neg")


@pytest.mark.parametrize("content", ['[{"text": "A", "label": 1}, {"text": "B", "label": 0.0}]\n', """
[
  {
    "text": "A",
    "label": 1
  },

  {"text": "B", "label": 0.0}
]
"""])  # fmt: skip
def test_an_array_of_objects(file, content):
    assert read_labelled(file("a.json", content)) == [LabelledText("A", "1"), LabelledText("B", "0")]


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ('[\n{"text": "A", "label": 1},\n3]', 3, "expected a JSON object, got a number. Write one object per line."),
        (
            '[\n{"text": "A", "label": 1}\n',
            2,
            "expected a JSON object, got invalid JSON at character 26: Expecting ',' or ']'",
        ),
        ('[\n{"text": "A"}\n]', 2, "expected a key 'label', got the keys 'text'."),
        (
            '[{"text": "A", "label": 1}]\n\n[]',
            3,
            "expected the end of the file after the array, got more. Write one array.",
        ),
    ],
)
def test_bad_arrays(file, content, line, reason):
    with pytest.raises(DataError) as caught:
        read_labelled(file("a.json", content))
    assert (caught.value.line, reason in str(caught.value)) == (line, True), str(caught.value)


def test_nested_keys(file):
    path = file("a.jsonl", '{"translation": {"en": "go", "fr": "va"}, "id": "7"}\n')
    pairs = read_parallel(path, source_column="translation.en", target_column="translation.fr")
    assert pairs == [Pair("go", "va")]


@pytest.mark.parametrize(
    "names",
    ["source\ttarget", "Source\tTarget", "src\ttgt", "input\toutput", "en\tfr", "English\tFrench", "en_GB\tfr-FR"],
)
def test_a_header_of_pairs(file, names):
    path = file("a.tsv", f"{names}\nGo.\tVa !\nWho?\tQui ?\n")
    assert read_parallel(path) == [Pair("Go.", "Va !"), Pair("Who?", "Qui ?")]
    assert len(read_parallel(path, header=False)) == 3


def test_a_header_of_pairs_turns_them(file):
    assert read_parallel(file("a.tsv", "target\tid\tsource\nVa !\t1\tGo.\n")) == [Pair("Go.", "Va !")]


def test_pairs_without_a_header(file):
    for first in ("ab\tba", "is\tis", "de\tdə"):
        assert len(read_parallel(file("a.tsv", f"{first}\nab\tba\n"))) == 2


def test_pairs_out_of_more_columns(file, refused):
    content = "Go.\tVa !\tCC-BY 2.0\nWho?\tQui ?\tCC-BY 2.0\n"
    for name in ("fra.txt", "fra.tsv", "fra"):
        path = file(name, content)
        expected = [Pair("Go.", "Va !"), Pair("Who?", "Qui ?")]
        assert read_parallel(path, source_column="1", target_column="2") == expected
        assert read_parallel(path, source_column=2, target_column=1)[0] == Pair("Va !", "Go.")
        reason = "expected source and target separated by a tab, got 3 fields. Name them with --source-column and "
        with pytest.raises(DataError, match=reason):
            read_parallel(path)


def test_pairs_in_csv(file):
    expected = [Pair("Go, now.", "Va !")]
    assert read_parallel(file("a.csv", 'en,fr\n"Go, now.",Va !\n')) == expected
    assert (
        read_parallel(
            file("a.csv", 'id,English,French\n1,"Go, now.",Va !\n'), source_column="english", target_column="French"
        )
        == expected
    )
    assert read_parallel(file("a.csv", "Go, now.;Va !\nWho?;Qui ?\n"))[0] == expected[0]


def test_two_files_have_no_columns(file):
    paths = [file("a", "x\n"), file("b", "y\n")]
    with pytest.raises(SettingsError, match="two files of lines have no columns to name"):
        read_parallel(paths, source_column=1)


def test_an_example_that_bears_a_usual_name(file, notes):
    path = file("a.csv", "content,pos\nsad,neg\nhappy,pos\nplain,neg\n")
    assert read_labelled(path, **BY_POSITION)[0] == LabelledText("content", "pos")
    assert notes() == []


def test_a_header_shows_in_columns_that_are_not_asked_for(file, notes):
    assert read_texts(file("a.csv", "id,title,body\n7,A,x\n9,B,y\n"), text_column=3) == ["x", "y"]
    assert read_texts(file("b.csv", CSV), text_column=2) == ["pos", "neg", "pos"]
    assert [message.split(" is read as ")[1] for _, message in notes()] == [
        "a header: 'id', 'title', 'body' (if not: --no-header)",
        "a header: 'text', 'label' (if not: --no-header)",
    ]
    pairs = file("c.tsv", "en\tfr\tlicence\nhello\tbonjour\tCC\nbye\tau revoir\tCC\n")
    assert list(stream_sources(pairs, source_column="2")) == ["bonjour", "au revoir"]


def test_a_header_after_a_byte_order_mark_inside(file, refused):
    reason = "expected an example, got the header of line 1 again. Remove it."
    refused(3, reason, read_labelled, file("a.csv", "text,label\nA,x\n\ufefftext,label\nB,y\n"))
    refused(3, reason, read_labelled, file("b.csv", "text,label\nA,x\nText, Label\nB,y\n"))


def test_a_line_that_names_the_delimiter(file):
    assert read_labelled(file("a.csv", "sep=;\n" + SEMICOLONS)) == EXAMPLES
    assert read_labelled(file("a.csv", "\ufeffsep=;\r\n" + SEMICOLONS), **BY_POSITION) == EXAMPLES


def test_messages_do_not_mislead(file, refused):
    refused(1, "expected rows below the header, got none.", read_labelled, file("a.csv", "text,label\n"))
    reason = (
        "expected a row of CSV to begin here, got a lone carriage return (CR) outside quotation marks. Put quotation "
        "marks around the field, or remove it."
    )
    refused(2, reason, read_labelled, file("b.csv", "text,label\ngo\rod,pos\n"))
