"""A transformer, an LSTM and a stack of both differ in one word of every command."""

from __future__ import annotations

import pytest

SIZES = ["--hidden-size", "8", "--embedding-size", "8", "--epochs", "2", "--batch-size", "8", "--quiet"]
OPTIONS = {
    "classify": [],
    "tag": ["--char-embedding-size", "4", "--char-hidden-size", "4"],
    "generate": ["--bptt", "16"],
    "translate": ["--tokenizer", "character"],
}
TEXT = {"classify": "a good film", "tag": "ab cd", "translate": "abc"}


@pytest.mark.parametrize("task", OPTIONS)
@pytest.mark.parametrize("cell", ["lstm", "transformer", "lstm,transformer"])
def test_one_word(run, corpora, tmp_path, task, cell):
    out, data = tmp_path / "model", corpora[task]
    trained = run("train", task, "--train", data, "--out", out, "--cell", cell, *SIZES, *OPTIONS[task])
    assert trained.code == 0, trained.err
    assert ("transformer" in (out / "config.json").read_text()) == ("transformer" in cell)
    assert run("evaluate", out, data).code == 0
    if task == "generate":
        output = [run("generate", out, "--prompt", "ab", "--length", "20", "--seed", "1").out for _ in range(2)]
        assert output[0] == output[1]
        assert len(output[0].rstrip("\n")) >= 22
    else:
        output = run("predict", out, TEXT[task])
        assert output.code == 0, output.err
        assert output.out


def test_a_wrong_name_among_several(run, corpora, tmp_path):
    command = ["train", "tag", "--train", corpora["tag"], "--out", tmp_path / "m", "--cell"]
    assert "unknown cell 'transfomer'. Did you mean 'transformer'?" in run(*command, "lstm,transfomer").words
    several = run(*command, "lstm,gru", "--layers", "3")
    assert (
        "layers: expected 2, the number of cells in 'lstm,gru', got 3; omit layers, or name one cell" in several.words
    )
