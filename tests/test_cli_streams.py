"""The command line and streams: the same bytes get the same answers, whatever way they come, and nothing is lost."""

from __future__ import annotations

import gzip
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import stepscan as ss

STEPSCAN = f"{sys.executable} -m stepscan"
ODD = "a\u2028good\x0cfilm\x1c\x85 , x\n\na bad\x0bfilm\rx\nab cd"  # four lines, however many str.splitlines sees
TASKS = ["classify", "tag", "translate"]


def shell(command: str, folder: Path, **more) -> subprocess.CompletedProcess:
    """A command of bash, in which `stepscan` is the command line of this Python."""
    script = f'stepscan() {{ {STEPSCAN} "$@"; }}\n{command}'
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, timeout=120, **more)


@pytest.mark.parametrize("task", TASKS)
def test_the_same_bytes_get_the_same_answers(models, run, tmp_path, task):
    text = "\ufeff" + ODD.replace("\nab", "\r\nab").replace("\n\n", "\r\n\n")
    (tmp_path / "in.txt").write_bytes(text.encode())
    (tmp_path / "in.txt.gz").write_bytes(gzip.compress(text.encode()))
    expected = run("predict", models[task], *ODD.split("\n"), "--json")
    assert [json.loads(line)["text"] for line in expected.out.split("\n")[:-1]] == (
        [" ".join(line.split()) if task == "tag" else line for line in ODD.split("\n")]
    )
    ways: list[tuple[list[object], bytes]] = [(["--input", tmp_path / name], b"") for name in ("in.txt", "in.txt.gz")]
    for raw in (text.encode(), gzip.compress(text.encode())):
        ways += [([], raw), (["-"], raw), (["--input", "-"], raw)]
    for options, raw in ways:
        assert run("predict", models[task], *options, "--json", stdin=raw) == expected
    for file in ("in.txt", "in.txt.gz"):
        done = shell(
            f'predict() {{ stepscan predict {models[task]} --json "$@"; }}\n'
            f"predict --input <(cat {file}); cat {file} | predict --input /dev/stdin; predict < {file}\n"
            f"mkfifo fifo; cat {file} > fifo & predict --input fifo; rm fifo",
            tmp_path,
        )
        assert (done.returncode, done.stdout.decode(), done.stderr) == (0, expected.out * 4, b"")


def test_every_argument_that_is_a_file_may_be_standard_input(models, corpora, run, tmp_path):
    formats = {"classify": "csv", "tag": "columns", "translate": "tsv"}
    for task, model in models.items():
        options = ["--format", formats[task]] if task in formats else []
        raw = corpora[task].read_bytes()
        for more in ([], ["--per-line"]):
            arguments = [*options, *more, "--json"]
            expected = run("evaluate", model, corpora[task], *arguments).out.replace(str(corpora[task]), "-")
            assert run("evaluate", model, "-", *arguments, stdin=raw).out == expected != ""
    text = run("generate", models["generate"], "--prompt", "abc abd\nab", "--length", 9, "--seed", 1, "--json").out
    arguments = ["generate", models["generate"], "--prompt", "-", "--length", 9, "--seed", 1, "--json"]
    assert run(*arguments, stdin="abc abd\r\nab\n").out == text
    expected = run("inspect", models["classify"], "a good film\n", "--json").out
    for options in (["-"], ["--input", "-"]):
        assert run("inspect", models["classify"], *options, "--json", stdin="a good film\n").out == expected
    done = run("compress", models["classify"], "-", "--format", "csv", "--out", tmp_path / "small", "--json",
               stdin=corpora["classify"].read_bytes())  # fmt: skip
    accuracy = ss.load(models["classify"]).metrics(*_columns(corpora["classify"]))["accuracy"]
    assert json.loads(done.out)["score before"] == pytest.approx(accuracy)


def _columns(path: Path) -> tuple[list[str], list[str]]:
    rows = [line.rsplit(",", 1) for line in path.read_text().splitlines()[1:]]
    return [text.strip('"') for text, _ in rows], [label for _, label in rows]


def test_training_reads_standard_input(corpora, run, tmp_path):
    options = ["--epochs", 1, "--hidden-size", 4, "--seed", 3, "--quiet", "--json"]
    (tmp_path / "some.toml").write_text("batch-size = 8\n")
    file = ["--train", corpora["translate"], "--format", "tsv", "--config", tmp_path / "some.toml"]
    assert run("train", "translate", *file, "--out", tmp_path / "a", *options).code == 0
    data = ["--train", "-", "--format", "tsv", "--config", tmp_path / "some.toml"]
    stdin = corpora["translate"].read_bytes()
    assert run("train", "translate", *data, "--out", tmp_path / "b", *options, stdin=stdin).code == 0
    config = ["--train", corpora["translate"], "--config", "-"]
    assert run("train", "translate", *config, "--out", tmp_path / "c", *options, stdin="batch-size = 8\n").code == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] == weights[2]
    twice = run("train", "translate", "--train", "-", "--train", "-", "--out", tmp_path / "d", stdin="a\n")
    assert twice.err == ("error: standard input: expected it once, got it twice: it can be read only once.\n")


def test_answers_go_where_they_are_sent(models, run, tmp_path):
    """A file that the shell has opened is written on, not replaced; so are the links that lead to it."""
    answer = run("predict", models["classify"], "a good film").out
    (tmp_path / "link").symlink_to("/dev/stdout")
    predict = f"stepscan predict {models['classify']} 'a good film' --output"
    done = shell(
        f"{{ echo first; {predict} /dev/stdout; {predict} /dev/fd/1; {predict} link; {predict} -; "
        f"{predict} /proc/self/fd/3 3>&1; echo last; }} > out; cat out; {predict} >(cat); sleep 0.3",
        tmp_path,
    )
    assert (done.stdout.decode(), done.stderr) == (f"first\n{answer * 5}last\n{answer}", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]


def test_lines_are_answered_as_they_come(models, run):
    """The first answer is there before the second line is sent, for each format."""
    conversations = {
        "classify": ([], ["a good film\n", "a bad film\na g", "ood\n"], ["a good film", "a bad film", "a good"]),
        "tag": (["--format", "columns"], ["ab\ncd\n\n", "cd\n\n"], ["ab cd", "cd"]),
        "translate": (["--format", "jsonl"], ['{"text": "abc"}\n', '{"text": "b"}\n'], ["abc", "b"]),
    }
    for task, (options, sent, texts) in conversations.items():
        command = [*STEPSCAN.split(), "predict", models[task], "--json", *options]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            for raw, text in zip(sent, texts, strict=True):
                process.stdin.write(raw.encode())
                process.stdin.flush()
                assert json.loads(process.stdout.readline())["text"] == text
            process.stdin.close()
            assert process.stdout.read() == b""
        assert process.returncode == 0


def test_standard_streams_that_are_closed(models, run, tmp_path):
    answer = run("predict", models["classify"], "a").out.encode()
    said = {
        "<&-": b"error: standard input: expected text, got a closed standard input.\n",
        "--input - <&-": b"error: standard input: expected text, got a closed standard input.\n",
        "< /dev/null": b"error: standard input: expected at least one line of text, got an empty file.\n",
        "a >&-": b"error: standard output: the file cannot be written: standard output is closed.\n",
        "a --output /dev/stdout >&-": b"error: /dev/stdout: the file cannot be written: standard output is closed.\n",
        "a > /dev/full": b"error: standard output: the file cannot be written: No space left on device.\n",
        "a <&- >&- 2>&-": b"",
    }
    script = "".join(f"stepscan predict {models['classify']} {how}; echo $? >> codes\n" for how in said)
    done = shell(f"{script} stepscan predict {models['classify']} a 2>&-", tmp_path)
    assert (done.stdout, done.stderr) == (answer, b"".join(said.values()))
    assert (tmp_path / "codes").read_text() == "1\n" * len(said)


def test_a_line_is_a_line_in_every_score(models, run, tmp_path):
    (tmp_path / "in.txt").write_text(ODD + "\n")
    rows = run("evaluate", models["generate"], tmp_path / "in.txt", "--per-line", "--json").out.splitlines()
    expected = ss.load(models["generate"]).log_probabilities(ODD.split("\n"))
    assert [(row["line"], row["symbols"]) for row in map(json.loads, rows)] == [
        (number, symbols) for number, (_, symbols) in enumerate(expected, start=1)
    ]
    (tmp_path / "s.txt").write_text("a\u2028b\nc\x0c\nc\x85c\n")
    (tmp_path / "t.txt").write_text("b\u2029a\nc\x1d\ncc\n")
    pairs = run("evaluate", models["translate"], tmp_path / "s.txt", tmp_path / "t.txt", "--per-line", "--json").out
    assert pairs.count("\n") == 3
    (tmp_path / "l.txt").write_text("pos a\u2028b\nneg c\x0c\x85d\n")
    assert run("evaluate", models["classify"], tmp_path / "l.txt", "--per-line").out.count("\n") == 2


def test_texts_of_data_sets_are_scored_one_by_one(models, run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    parquet.write_table(pyarrow.table({"text": ["abc\nabd", "abc"]}), tmp_path / "a.parquet")
    rows = run("evaluate", models["generate"], tmp_path / "a.parquet", "--per-line", "--json").out.splitlines()
    assert [json.loads(row)["symbols"] for row in rows] == [7, 3]
    (tmp_path / "odd").mkdir()
    shutil.copy(tmp_path / "a.parquet", tmp_path / "odd" / "-")
    expected = run("predict", models["classify"], "--input", tmp_path / "a.parquet").out
    stdin = (tmp_path / "a.parquet").read_bytes()
    assert run("predict", models["classify"], "--format", "arrow", stdin=stdin).out == expected != ""


def test_rows_keep_their_columns(models, run, tmp_path):
    """What is in a text moves no column and ends no row; as JSON it is there as it was."""
    text = "a\tgood\r\n film\u2028"
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": text}) + "\n")
    row = run("predict", models["classify"], "--input", tmp_path / "in.jsonl").out
    assert re.fullmatch("(pos|neg)\t0\\.[0-9]{4}\ta good  film\u2028\n", row)
    row = run("predict", models["classify"], "--input", tmp_path / "in.jsonl", "--json").out
    assert json.loads(row)["text"] == text


@pytest.fixture
def hostile(models, tmp_path) -> Path:
    """A classifier whose labels and name would colour a terminal, and move what is on it."""
    folder = tmp_path / "\x1b]0;title\x07m"
    shutil.copytree(models["classify"], folder)
    (folder / "labels.json").write_text(json.dumps(["\x1b[31mneg\x9b0m", "\x1b[31mpo\u202es\n\t\x7f"]))
    config = json.loads((folder / "config.json").read_text())
    del config["files"]["labels.json"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_labels_and_names_send_nothing_to_a_terminal(hostile, run, tmp_path):
    shown = {r"\x1b[31mneg\x9b0m", r"\x1b[31mpo\u202es \x7f"}
    assert run("predict", hostile, "a good film").out.split("\t")[0] in shown
    found = json.loads(run("predict", hostile, "a good film", "--json").out)["label"]
    assert found in ("\x1b[31mneg\x9b0m", "\x1b[31mpo\u202es\n\t\x7f")
    for arguments in (
        ["predict", hostile / "no\x1b[2J", "a"],
        ["predict", hostile, "--input", "\x1b[2Jin\x07.txt"],
        ["evaluate", hostile, tmp_path / "\x1b[2Jin\x07.txt"],
        ["train", "classify", "--train", "\x1b[2Jin\x07.txt", "--out", tmp_path / "x"],
    ):
        result = run(*arguments)
        assert result.code == 1
        assert "\x1b" not in result.err
        assert r"\x1b[2J" in result.err


def test_texts_are_made_safe_for_a_terminal_alone(models, run, monkeypatch, tmp_path):
    text = "a good\x1b[31m film"
    (tmp_path / "in.txt").write_text(text + "\n")
    arguments = ["predict", models["classify"], "--input", tmp_path / "in.txt"]
    piped = run(*arguments).out
    assert piped.split("\t")[2] == text + "\n"
    run(*arguments, "--output", tmp_path / "out")
    assert (tmp_path / "out").read_text() == piped
    monkeypatch.setattr("stepscan.cli.prediction.is_terminal", lambda: True)
    assert run(*arguments).out.split("\t")[2] == "a good\\x1b[31m film\n"


def test_json_has_no_infinity(models, run, tmp_path):
    """`null` in place of what JSON cannot say: the probability of a label that is not known."""
    (tmp_path / "in.txt").write_text("pos a good film\nother a bad film\n")
    rows = run("evaluate", models["classify"], tmp_path / "in.txt", "--per-line", "--json").out.splitlines()
    found = [json.loads(row, parse_constant=pytest.fail)["log_probability"] for row in rows]
    assert math.isfinite(found[0])
    assert found[1] is None
    assert run("evaluate", models["classify"], tmp_path / "in.txt", "--per-line").out.splitlines()[1] == "-inf\t1"
    draw = np.random.default_rng(0)
    series = [draw.normal(size=(5, 1)) for _ in range(20)]
    model = ss.Classifier(problem_type="regression", epochs=1, hidden_size=4, verbose=False)
    model.fit(series, [float(one.sum()) for one in series]).save(tmp_path / "m")
    (tmp_path / "in.ts").write_text("1e308,1e308:x\n")
    refused = run("predict", tmp_path / "m", "--input", tmp_path / "in.ts", "--json")
    assert (refused.code, refused.out) == (1, ""), "a number that the layers cannot read is no answer"


def test_tables_and_json_are_known_in_a_pipe(models, run):
    expected = run("predict", models["classify"], "a good film", "a bad film").out
    objects = '{"id": 1, "text": "a good film"}\n{"id": 2, "text": "a bad film"}\n'
    ways = {
        "id,text\n1,a good film\n2,a bad film\n": "a comma separates fields (if not: --delimiter)",
        objects: "read as JSON (if not: --format lines)",
        "[" + objects.replace("}\n{", "},{") + "]": "read as JSON (if not: --format lines)",
    }
    for content, said in ways.items():
        result = run("predict", models["classify"], stdin=content.encode())
        assert (result.code, result.out) == (0, expected)
        assert result.words == f"note: standard input: {said}"


def test_a_translator_reads_the_sources_of_pairs_in_a_pipe(models, run, tmp_path):
    expected = run("predict", models["translate"], "ab", "cd").out
    (tmp_path / "a.tsv").write_text("ab\tba\ncd\tdc\n")
    for options, raw in (([], b"ab\tba\ncd\tdc\n"), (["--input", tmp_path / "a.tsv"], b"")):
        result = run("predict", models["translate"], *options, stdin=raw)
        assert (result.code, result.out) == (0, expected)
        assert "the first of two columns is read as the source (if not: --format lines)" in result.words


def test_a_line_of_scores_for_each_row_of_a_table(models, run, tmp_path):
    (tmp_path / "a.csv").write_text('text,by\n"a b\nc",x\na,y\n')
    result = run("evaluate", models["generate"], tmp_path / "a.csv", "--per-line", "--json")
    assert [json.loads(line)["line"] for line in result.out.splitlines()] == [1, 2]
