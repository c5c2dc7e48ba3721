"""`--skip-bad-lines`: exactly the bad ones are skipped, counted and reported; without it the first is an error."""

from __future__ import annotations

import json

import pytest

from stepscan.data.bad_lines import BadLines
from stepscan.data.readers import read_labelled, read_parallel, read_tagged, read_texts
from stepscan.errors import DataError

GOOD = 12
FILES = {
    "classify": (
        "data.csv",
        b"text,label\n" + b"a good film,pos\na bad film,neg\n" * (GOOD // 2) + b"no label\nb\xff,pos\nthree,is,many\n",
        3,
        "line",
    ),
    "tag": ("data.txt", b"a X\nb Y\n\n" * GOOD + b"a X\nlonely\n\na X\nb\xff Y\n\n", 2, "sentence"),
    "translate": ("data.tsv", b"ab\tba\n" * GOOD + b"one\nthree\tof\tthem\nx\xff\ty\n", 3, "line"),
}
READ = {"classify": read_labelled, "tag": read_tagged, "translate": read_parallel}


@pytest.fixture(params=FILES)
def case(request, tmp_path):
    name, content, bad, unit = FILES[request.param]
    path = tmp_path / name
    path.write_bytes(content)
    return request.param, path, bad, unit


def test_the_readers_count(case):
    task, path, bad, unit = case
    with pytest.raises(DataError, match="line"):
        READ[task](path)
    skipped = BadLines()
    assert len(READ[task](path, bad_lines=skipped)) == GOOD
    assert skipped.counts == {str(path): bad}
    assert f"skipped {bad} {unit}s of {path}:" in skipped.report()


def test_the_command_line(case, run, tmp_path):
    task, path, bad, unit = case
    sizes = "--hidden-size 4 --embedding-size 4 --epochs 1 --batch-size 4 --quiet --json"
    own = "--tokenizer character" if task == "translate" else "--char-embedding-size 0" if task == "tag" else ""
    command = ["train", task, "--train", path, "--out", tmp_path / "m", *sizes.split(), *own.split()]
    refused = run(*command)
    assert refused.code == 1
    assert not (tmp_path / "m").exists()
    done = run(*command, "--skip-bad-lines")
    assert done.code == 0, done.err
    assert json.loads(done.out)["skipped"] == bad
    assert f"skipped {bad} {unit}s of" in done.words
    scored = run("evaluate", tmp_path / "m", path, "--skip-bad-lines", "--json")
    assert json.loads(scored.out)["skipped"] == bad


def test_nothing_left(tmp_path):
    path = tmp_path / "all.tsv"
    path.write_text("one\ntwo\n")
    with pytest.raises(DataError, match="no example is left: all 2 lines are bad"):
        read_parallel(path, bad_lines=BadLines())


def test_pairs_are_dropped_on_both_sides(tmp_path):
    (tmp_path / "a").write_bytes(b"one\nt\xffwo\nthree\n")
    (tmp_path / "b").write_bytes(b"eins\nzwei\ndrei\n")
    skipped = BadLines()
    found = read_parallel([tmp_path / "a", tmp_path / "b"], bad_lines=skipped)
    assert [tuple(pair) for pair in found] == [("one", "eins"), ("three", "drei")]
    assert sum(skipped.counts.values()) == 1


def test_texts(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"one\n\xff\nthree\n")
    skipped = BadLines()
    assert read_texts(tmp_path / "t.txt", bad_lines=skipped) == ["one", "three"]
    assert sum(skipped.counts.values()) == 1


def test_numbers_are_not_skipped(run, tmp_path):
    (tmp_path / "x.ts").write_text("@data\n1,2,3:a\n")
    said = run("train", "classify", "--train", tmp_path / "x.ts", "--out", tmp_path / "m", "--skip-bad-lines")
    assert "--skip-bad-lines: expected texts, got numbers in" in said.words
