"""How labels are spelt, and what is odd about them."""

from __future__ import annotations

import pytest

from stepscan.data.label_checks import match_spelling, warn_unknown_labels
from stepscan.data.series.number_cells import with_decimal_points
from stepscan.data.task_data import ReadOptions, read_examples, read_validation
from stepscan.errors import DataError

READINGS = {
    problem_type: ReadOptions(problem_type=problem_type)
    for problem_type in ("classification", "multilabel", "regression")
}


def labels_of(path, problem_type="classification", **known):
    return read_examples("classify", [path], READINGS[problem_type], **known)[1]


@pytest.fixture
def warnings(caplog):
    """The warnings that were logged, without the file's name."""
    return lambda: [
        record.getMessage().partition(": ")[2] for record in caplog.records if record.levelname == "WARNING"
    ]


def test_whole_numbers_have_no_decimals(file):
    content = "text,label\nA,1.0\nB, 0.00 \nC,-2.0\nD,1.5\nE,1.10\nF,007\nG,True\n"
    expected = ["1", "0", "-2", "1.5", "1.10", "007", "True"]
    assert labels_of(file("a.csv", content)) == expected
    assert labels_of(file("a.jsonl", '{"text": "A", "label": 1.0}\n{"text": "B", "label": "1"}\n')) == ["1", "1"]
    assert labels_of(file("a.txt", "1.0 A\n0 B\n")) == ["1", "0"]


@pytest.mark.parametrize("missing", ["NaN", "nan", "<NA>", "NaT", ""])
@pytest.mark.parametrize("problem_type", ["classification", "regression"])
def test_a_missing_label_is_an_error(file, missing, problem_type):
    with pytest.raises(DataError, match="line 3"):
        labels_of(file("a.csv", f"text,label\nA,1\nB,{missing}\n"), problem_type)


def test_what_may_be_missing_is_said(file, warnings):
    assert labels_of(file("a.csv", "text,label\nA,None\nB,x\n")) == ["None", "x"]
    assert warnings() == ["'None' is read as a label; if it marks missing labels, remove these rows"]
    labels_of(file("a.csv", "text,label\nA,none\nB,x\n"))
    assert len(warnings()) == 1


@pytest.mark.parametrize(
    "cell", ["a;b", "a|b", '"a,b"', '" b ; a"', "\"['a', 'b']\"", '"[""b"", ""a""]"', "['a'; 'b']".replace("'", "")]
)
def test_several_labels(file, cell):
    expected = ["[a", "b]"] if cell.startswith("[a") else ["a", "b"]
    assert labels_of(file("a.csv", f"text,labels\nA,{cell}\nB,\nC,a\n"), "multilabel") == [expected, [], ["a"]]


def test_several_labels_as_one_class_are_said(file, warnings):
    rows = "".join(f"text,{label}\n" for label in ("drama", "drama;comedy", "comedy", "drama", "comedy;horror") * 3)
    path = file("a.csv", f"text,label\n{rows}")
    assert labels_of(path)[1] == "drama;comedy"
    assert warnings() == ["'drama;comedy' is read as one class; if it is several labels, add --problem-type multilabel"]
    labels_of(path, "multilabel")
    labels_of(file("a.csv", f"text,label\n{rows.replace('drama;comedy', 'x;y').replace('comedy;horror', 'x')}"))
    assert len(warnings()) == 1


def test_decimal_commas(file, refused):
    assert labels_of(file("a.csv", "text;score\nA;10,5\nB;-1,25\nC;3\nD;1,234\n"), "regression") == [
        10.5,
        -1.25,
        3,
        1.234,
    ]
    assert labels_of(file("a.csv", 'text,score\nA,"0,125"\nB,2\n'), "regression") == [0.125, 2]
    assert labels_of(file("a.csv", "text;score\nA;10.5\nB;3\n"), "regression") == [10.5, 3]
    with pytest.raises(
        DataError,
        match=r"line 3: expected a number, got '1,234', which may be 1\.234 or 1234\. Write numbers with a decimal",
    ):
        labels_of(file("a.csv", "text;score\nA;3\nB;1,234\n"), "regression")
    with pytest.raises(DataError, match=r"line 2: expected a finite number to predict, got '10,5'"):
        labels_of(file("a.csv", "text;score\nA;10,5\nB;3.5\n"), "regression")
    assert with_decimal_points([(1, "1,5"), (2, "x")], "a") == ["1.5", "x"]


def test_texts_in_place_of_labels(file, warnings):
    rows = [f"text {i},{i}.25" for i in range(20)]
    with pytest.raises(
        DataError, match=r"expected classes that several texts share, got 20 different labels in 20 examples"
    ):
        labels_of(file("a.csv", "text,label\n" + "\n".join(rows)))
    few = "text,label\n" + "\n".join(rows[:9])
    assert len(labels_of(file("a.csv", few))) == 9
    many = "text,label\n" + "\n".join([*rows, *rows[:3]])
    assert len(labels_of(file("a.csv", many))) == 23
    assert warnings() == [
        "20 different labels in 23 examples, such as '0.25'. Is it the right column? Name it with --label-column; to "
        "predict numbers, add --problem-type regression."
    ]
    assert len(labels_of(file("a.csv", many), "regression")) == 23


def test_a_header_that_nothing_shows_is_said(file, warnings):
    path = file("a.tsv", "body\tkind\n" + "good\tpos\nbad\tneg\n" * 10)
    reading = ReadOptions(text_column="1", label_column="2")
    assert read_examples("classify", [path], reading)[1][:2] == ["kind", "pos"]
    assert warnings() == [
        "only the first row has the label 'kind'; if it is a header, name the columns or add --header"
    ]
    assert read_examples("classify", [path], reading._replace(header=True))[1][:2] == ["pos", "neg"]


def test_labels_are_spelt_as_those_learned(file, warnings):
    path = file("a.csv", "text,label\nA,TRUE\nB,false \nC,maybe\n")
    assert labels_of(path, known=["true", "False"]) == ["true", "False", "maybe"]
    assert warnings() == [
        "labels differ in spelling from the model's and are read 'TRUE' as 'true', 'false' as 'False'",
    ]
    assert match_spelling(["1", "0"], [0, 1], "a") == [1, 0]  # a model that was fitted to numbers
    assert match_spelling(["1"], ["1.0", "0.0"], "a") == ["1.0"]
    assert match_spelling([["POS", "x"], []], ["pos", "x"], "a") == [["pos", "x"], []]
    assert match_spelling(["a", "A"], ["a", "A", "b"], "a") == ["a", "A"]


def test_labels_that_were_not_learned_are_said(warnings):
    warn_unknown_labels(["b", "maybe", "maybe", "a"], ["a", "b"], "x")
    warn_unknown_labels(["emotion", "a", "b"], ["a", "b"], "x")
    warn_unknown_labels([["a"], ["b", "c"]], ["a", "b"], "x")
    assert warnings() == [
        "2 labels are not among those learned: 'maybe'",
        "1 label is not among those learned: 'emotion'; if the first row is a header, name the columns or add --header",
        "1 label is not among those learned: 'c'",
    ]


def test_validation_is_spelt_as_training(file):
    train = file("train.csv", "text,label\nA,1.0\nB,yes\n")
    valid = file("valid.jsonl", '{"label": 1, "text": "A"}\n{"label": "Yes", "text": "B"}\n')
    examples = read_examples("classify", [train])
    assert read_validation("classify", [valid], ReadOptions(), examples) == (["A", "B"], ["1", "yes"])
    assert read_validation("classify", [], ReadOptions(), examples) is None


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("a.csv", "id,text\n1,go\n2,stop\n", "go\nstop"),
        ("a.csv", "text;id\ngo;1\nstop;2\n", "go\nstop"),
        ("a.jsonl", '{"text": "go"}\n{"text": "stop"}\n', "go\nstop"),
        ("a.json", '[{"text": "go"},\n{"text": "stop"}]\n', "go\nstop"),
        ("a.tsv", "text\tid\ngo\t1\n", "go"),
        ("a.txt", "text,id\ngo,1\n", "text,id\ngo,1\n"),
    ],
)
def test_a_language_model_learns_texts_and_not_tables(file, name, content, texts):
    assert read_examples("generate", [file(name, content)]) == (texts,)


def test_a_table_of_numbers_is_not_text(file, warnings):
    content = "month,sales\n" + "".join(f"2020-{i:02},{i}.5\n" for i in range(1, 13))
    with pytest.raises(DataError, match=r"expected a column 'text'.*train forecast.*--format lines"):
        read_examples("generate", [file("a.csv", content)])
    assert read_examples("generate", [file("a.csv", content)], ReadOptions(format="lines")) == (content,)
    assert warnings() == []
    assert read_examples("generate", [file("a.txt", content)]) == (content,)
    assert warnings() == ["a table of numbers is learned as characters; to learn the numbers, train forecast"]


def test_labels_that_only_spelling_tells_apart_are_said(file, warnings):
    rows = ["A,spam", "B,Spam", "C,caf\u00e9", "D,cafe\u0301", "E,no  one", "F,no one", "G,x", "H,X", "I,ham"]
    path = file("a.csv", "text,label\n" + "\n".join(rows) + "\n")
    (_, labels) = read_examples("classify", [path])
    assert labels == [row.split(",")[1] for row in rows]
    assert warnings() == [
        "labels that differ only in spelling are read as different labels: 'Spam' and 'spam'; 'X' and 'x'; "
        "'cafe\\u0301' and 'caf\\xe9'"
    ]


def test_the_composition_of_letters_is_no_other_label(file, warnings):
    path = file("a.csv", "text,label\nA,cafe\u0301\nB,no  one\n")
    assert read_examples("classify", [path], known={"caf\u00e9", "no one"})[1] == ["caf\u00e9", "no one"]
    assert "'cafe\\u0301' as 'caf\\xe9', 'no  one' as 'no one'" in warnings()[0]


def test_several_labels_of_fasttext_with_commas(file):
    path = file("a.txt", "__label__a,__label__b good film\n__label__c bad\n")
    assert labels_of(path, "multilabel") == [["a", "b"], ["c"]]
    with pytest.raises(DataError, match="expected one label, got 2"):
        labels_of(path)


@pytest.mark.parametrize("row", ["pos,good film", "good film ; pos", "film | pos | 3"])
def test_labelled_lines_that_may_be_a_table(file, warnings, row):
    labels_of(file("a.txt", f"{row}\n" * 6))
    assert "is in every line, but lines are read as label, space, text" in warnings()[0]


def test_labelled_lines_with_marks_in_the_text(file, warnings):
    labels_of(file("a.txt", "pos good, or fine\nneg bad\npos good\nneg poor, dull\nneg sad, dull, poor\n"))
    assert warnings() == []


def test_a_header_of_labelled_lines_in_either_order(file):
    for header in ("label text", "Text label"):
        with pytest.raises(DataError, match="expected an example, got a header"):
            labels_of(file("a.txt", f"{header}\npos good\n"))
