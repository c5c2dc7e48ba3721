"""Tables on the command line: what was recognised is said, and a file's name is not a text."""

from __future__ import annotations

import pytest


@pytest.fixture
def answers(models, run):
    """What the classifier of the session answers to two texts."""
    return run("predict", models["classify"], "a good film", "a bad film").out


def test_every_layout_gets_the_same_answers(models, run, tmp_path, answers):
    layouts = {
        "a.csv": "text,id\na good film,1\na bad film,2\n",
        "b.csv": "id;text\n1;a good film\n2;a bad film\n",
        "c.tsv": "text\tid\na good film\t1\na bad film\t2\n",
        "d.json": '[{"text": "a good film"},\n {"text": "a bad film"}]\n',
        "e.txt": "label|text\n1|a good film\n2|a bad film\n",
    }
    for name, content in layouts.items():
        (tmp_path / name).write_text(content)
        result = run("predict", models["classify"], "--input", tmp_path / name)
        assert (result.code, result.out) == (0, answers), name
        said = {"b.csv": "a semicolon separates fields", "e.txt": "a vertical bar separates fields"}
        assert said.get(name, "") in result.words
        assert (result.err == "") == (name not in said)
    (tmp_path / "f.csv").write_text("good^a good film\nbad^a bad film\n")
    options = ["--delimiter", "^", "--text-column", "2", "--no-header"]
    assert run("predict", models["classify"], "--input", tmp_path / "f.csv", *options).out == answers


def test_a_header_is_scored_by_nobody(models, run, tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na good film,pos\na bad film,neg\n")
    result = run("evaluate", models["classify"], tmp_path / "a.csv", "--text-column", "1", "--label-column", "2")
    assert ["texts", "2"] in [line.split() for line in result.out.splitlines()]
    assert "a.csv, line 1 is read as a header: 'text', 'label' (if not: --no-header)" in result.words


def test_labels_are_spelt_as_the_model_spells_them(models, run, tmp_path):
    rows = "a good film,{}\na bad film,{}\n"
    scores = []
    for name, labels in (("a.csv", ("pos", "neg")), ("b.csv", ("Pos", "NEG "))):
        (tmp_path / name).write_text("text,label\n" + rows.format(*labels))
        result = run("evaluate", models["classify"], tmp_path / name)
        scores.append(result.out.replace(name, ""))
    assert scores[0] == scores[1]
    assert "labels differ in spelling from the model's and are read 'NEG' as 'neg', 'Pos' as 'pos'" in result.words
    (tmp_path / "c.csv").write_text("text,label\n" + rows.format("pos", "unsure"))
    assert (
        "1 label is not among those learned: 'unsure'" in run("evaluate", models["classify"], tmp_path / "c.csv").words
    )


def test_a_translator_reads_the_source_of_a_table(models, run, tmp_path):
    (tmp_path / "a.csv").write_text("target,source\nba,ab\n")
    (tmp_path / "b.tsv").write_text("ab\tba\tCC-BY\n")
    expected = run("predict", models["translate"], "ab").out
    assert run("predict", models["translate"], "--input", tmp_path / "a.csv").out == expected
    result = run("predict", models["translate"], "--input", tmp_path / "b.tsv", "--source-column", "1")
    assert result.out == expected


def test_the_name_of_a_file_is_not_a_text(models, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film").write_text("a good film\n")
    commands = (["predict", models["classify"], "a", "film"], ["inspect", models["classify"], "film", "--json"])
    for command in commands:
        result = run(*command)
        assert (result.code, result.out) == (1, "")
        assert "expected a text, got the file 'film'; to read it, write --input FILE" in result.words
    result = run("generate", models["generate"], "--prompt", "film")
    assert "expected a text, got the file 'film'; to read it, write the prompt itself" in result.words
    result = run("predict", models["classify"], "reviews.csv")
    assert result.code == 0
    assert "'reviews.csv' is read as a text; there is no file of that name" in result.words
    assert run("predict", models["classify"], "x" * 5000, "a\0b").code == 0


def test_options_that_would_be_ignored_are_refused(models, run, tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na good film,pos\n")
    for task, option in (("classify", "--source-column"), ("classify", "--token-column"), ("tag", "--text-column")):
        for command in (["predict", models[task], "--input"], ["evaluate", models[task]]):
            result = run(*command, tmp_path / "a.csv", option, "1")
            assert (result.code, result.out) == (1, "")
            assert result.words == f"error: {option} is not an option of {task}"
    result = run("predict", models["classify"], "a good film", "--text-column", "1")
    assert (result.code, result.words) == (
        1,
        "error: --text-column: for files, from --input; texts given as arguments are used as they are",
    )
