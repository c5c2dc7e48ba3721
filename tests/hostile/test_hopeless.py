"""What cannot go well is told before it begins, and what is too large never fills the memory."""

from __future__ import annotations

import gzip
import resource
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

import stepscan as ss
from stepscan.training import memory

MEGABYTE = 2**20
KINDS = {"alone": ss.Transducer, "together": ss.CRFTransducer}


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10 * MEGABYTE)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "classify --train reviews.csv --hidden-size 2000",
            "the model would have 34,089,026 weights; with gradients and AdamW's moments they take 1.09 GB",
        ),
        ("tag --train spans.txt --hidden-size 2000", "the model would have"),
        ("tag --train spans.txt --crf --hidden-size 2000", "the model would have"),
        ("generate --train text.txt --hidden-size 2000", "the model would have"),
        ("translate --train pairs.tsv --hidden-size 2000", "the model would have"),
        (
            "classify --train long.csv --hidden-size 8 --embedding-size 8",
            "the largest batch has 300,000 items, padding included, whose outputs alone take",
        ),
    ],
)
def test_more_memory_than_there_is(workplace, refuses, command, expected):
    (workplace / "spans.txt").write_text("a X\nb Y\n\nc X\n\n")
    rows = [f'"{"a " * n}b{" a" * (19_999 - n)}",x\n"b{" b" * n}",y\n' for n in range(10)]
    (workplace / "long.csv").write_text("text,label\n" + "".join(rows))
    refuses(workplace, 1, [expected], "train", *command.split(), "--out", "out", "--quiet")


def test_what_fits_is_not_refused():
    memory.check_memory(torch.nn.Linear(10, 10), 1000)


def test_a_crf_of_many_tags_is_counted(monkeypatch):
    """Scores `[K]` of each item come out of the output matrix and of the transitions."""
    monkeypatch.setattr(memory, "available_memory", lambda: 100 * MEGABYTE)
    tags = {name: make(ss.Embedding(5, 2), ss.GRU(2, 2), 1000) for name, make in KINDS.items()}
    memory.check_memory(tags["alone"], 20_000)
    with pytest.raises(ss.SettingsError, match=r"the largest batch has 20,000 items.* take 161 MB"):
        memory.check_memory(tags["together"], 20_000)


def test_what_a_limit_leaves():
    """`ulimit -v` counts, too."""
    if not sys.platform.startswith("linux"):
        pytest.skip("limits of memory are Linux's")
    code = (
        "import resource\nfrom stepscan.hardware import available_memory\nbefore = available_memory()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\nprint(before, available_memory())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, found.stdout.split())
    assert 0 < after < 2**30 < before


def test_what_is_available():
    """More than the test takes, less than any machine has; it falls by what is taken."""
    from stepscan.hardware import available_memory

    assert 2**26 < available_memory() < 2**50


def test_a_line_of_a_hundred_megabytes(workplace, refuses):
    (workplace / "endless.csv").write_bytes(b"text,label\na,x\n" + b"a" * (100 * MEGABYTE) + b",y\n")
    expected = "endless.csv, line 3: expected a line of at most 16 MiB, got a longer one. Is this a text file with one"
    refuses(workplace, 1, [expected], "train", "classify", "--train", "endless.csv", "--out", "out")


@pytest.mark.parametrize("task", ["classify", "generate"])
def test_a_gzip_bomb_takes_bounded_memory(workplace, task):
    """Four gigabytes of zeros in four megabytes: read in a process that may take one more gigabyte, and refused."""
    if not sys.platform.startswith("linux"):
        pytest.skip("limits of memory are Linux's")
    block = gzip.compress(b"a" * (64 * MEGABYTE), 1)
    with open(workplace / "bomb.gz", "wb") as file:
        for _ in range(64):
            file.write(block)
    read = "list(read_lines('bomb.gz'))" if task == "classify" else "read_text('bomb.gz')"
    code = f"from stepscan.data.lines import *\ntry:\n    {read}\nexcept Exception as error:\n    print(error)"
    limit = 3 * 2**30
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=workplace,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    longest = "16" if task == "classify" else "1,024"
    assert f"bomb.gz, line 1: expected a line of at most {longest} MiB" in found.stdout, found.stderr


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_are_taken(workplace, ending, mark):
    from stepscan.data.readers import read_labelled

    (workplace / "windows.csv").write_bytes((mark + "text,label\na b,x\nc,y\n").replace("\n", ending).encode())
    assert read_labelled("windows.csv") == [("a b", "x"), ("c", "y")]


def test_weights_that_are_no_numbers(models, workplace, refuses):
    shutil.copytree(models["classify"], workplace / "model")
    weights = load_file(workplace / "model" / "model.safetensors")
    weights["head.bias"][0] = float("nan")
    save_file(weights, workplace / "model" / "model.safetensors")
    expected = "model/model.safetensors: head.bias: expected finite values, got others"
    refuses(workplace, 1, [expected], "predict", "model", "a good film")


def test_a_label_that_training_never_saw(models, workplace, run):
    """It counts as wrong, and is not an error: real test data have such labels."""
    (workplace / "new.csv").write_text("text,label\na good film,pos\na new film,new\n")
    result = run("evaluate", models["classify"], "new.csv", "--json")
    assert result.code == 0
    assert '"texts": 2' in result.out


def test_a_mistyped_file_is_told_before_torch_is_imported(workplace):
    code = (
        "import sys\nsys.argv = 'stepscan train classify --train review.csv --out out'.split()\n"
        "from stepscan.cli import main\ntry:\n    main()\nexcept SystemExit:\n    print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=workplace, capture_output=True, text=True)
    assert found.stdout == "False\n"
    assert "review.csv: no such file. Did you mean 'reviews.csv'?" in found.stderr


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("classify --train reviews.csv --problem-type regression", "reviews.csv, line 2: expected a finite number"),
        (
            "classify --train reviews.csv --problem-type several",
            "problem_type: expected 'classification', 'multilabel' or 'regression', got 'sev",
        ),
        ("generate --train series.csv --format numbers", "expected text, but series.csv holds numbers"),
        ("forecast --train series.csv --seasonal-period 12", "has 2 steps, but at least 14 are needed"),
        ("forecast --train gaps.csv", "gaps.csv, line 3: expected a number as value 1, got a missing value"),
        ("forecast --train negative.csv --log-transform", "which have no logarithm"),
        ("classify --train a.npy", "a.npy"),
    ],
)
def test_targets_and_series(workplace, refuses, command, expected):
    (workplace / "series.csv").write_text("x\n1\n2\n3\n")
    (workplace / "gaps.csv").write_text("x,y\n1,2\n,3\n")
    (workplace / "negative.csv").write_text("x\n" + "".join(f"{i}\n" for i in range(-5, 20)))
    (workplace / "a.npy").write_bytes(b"no array")
    refuses(workplace, 1, [expected], "train", *command.split(), "--out", "out", "--quiet")
