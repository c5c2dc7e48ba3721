"""BLEU counts words as the language of the references separates them."""

from __future__ import annotations

import logging

import pytest

import stepscan as ss
from stepscan.evaluation.bleu import bleu, tokenizer_for

CHINESE = ["你看见苹果。", "你喝茶。", "他喜欢红色的苹果和绿色的茶。"]


@pytest.mark.parametrize(
    ("text", "tokenizer"),
    [
        ("ein Hund läuft über die Wiese .", "13a"),
        ("나는 오늘 학교에 간다 .", "13a"),
        ("你看见苹果。\n你喝茶。", "zh"),
        ("他买了一台 iPhone 手机。", "zh"),
        ("我們 看見 紅色 的 蘋果 。", "13a"),  # somebody has separated the words
        ("私 は 東京 に 行き ます 。", "13a"),
        ("ฉันไปโรงเรียนทุกวัน", "char"),
        ("ខ្ញុំទៅសាលារៀន", "char"),
        ("the word 苹果 means apple", "13a"),
        ("", "13a"),
    ],
)
def test_the_tokenizer_is_that_of_the_writing(text, tokenizer):
    assert tokenizer_for(text)[0] == tokenizer


@pytest.mark.parametrize(("installed", "tokenizer"), [(True, "ja-mecab"), (False, "char")])
def test_japanese_is_split_by_mecab_where_it_is_installed(installed, tokenizer, monkeypatch):
    monkeypatch.setattr("stepscan.evaluation.bleu.find_spec", lambda name: object() if installed else None)
    assert tokenizer_for("私は東京に行きます。")[0] == tokenizer


def test_chinese_is_scored_by_its_characters(caplog):
    """As words between spaces, not one four-gram would be right: 0.0."""
    found = ["你看见苹果。", "你看茶。", "他喜欢红色的苹果和绿色的水。"]
    caplog.set_level(logging.INFO, "stepscan")
    score, signature = bleu(found, CHINESE)
    assert score == pytest.approx(82.43, abs=0.01)
    assert "|tok:zh|" in signature
    [record] = caplog.records
    assert "the references are in Chinese without spaces between words" in record.getMessage()
    caplog.clear()
    assert bleu(["ein Hund läuft"], ["ein Hund läuft"]).signature.split("|")[3] == "tok:13a"
    assert not caplog.records


def test_a_tokenizer_may_be_named(caplog):
    caplog.set_level(logging.INFO, "stepscan")
    assert bleu(CHINESE, CHINESE, "char").signature.split("|")[3] == "tok:char"
    assert not caplog.records
    with pytest.raises(ss.SettingsError, match=r"unknown BLEU tokenizer 'zhh'\. Did you mean 'zh'\?"):
        bleu(CHINESE, CHINESE, "zhh")


def test_a_tokenizer_that_is_not_installed(monkeypatch):
    import sacrebleu.metrics.bleu

    def fail(name):
        raise RuntimeError("\nJapanese tokenization requires extra dependencies\nmore")

    monkeypatch.setattr(sacrebleu.metrics.bleu, "_get_tokenizer", fail)
    with pytest.raises(ss.SettingsError, match="'ja-mecab' cannot be used here: Japanese tokenization requires extra"):
        bleu(CHINESE, CHINESE, "ja-mecab")


def test_the_command_line(run, tmp_path):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("".join(f"you see {word}\t你看见{word}。\n" for word in "茶水花鱼鸟马") * 4)
    model = tmp_path / "model"
    settings = ["--tokenizer", "character", "--hidden-size", 8, "--embedding-size", 8, "--epochs", 1, "--quiet"]
    assert run("train", "translate", "--train", pairs, "--out", model, *settings).code == 0
    result = run("evaluate", model, pairs, "--json")
    assert "tok:zh" in result.out
    assert "note: the references are in Chinese" in result.words
    assert "tok:13a" in run("evaluate", model, pairs, "--json", "--bleu-tokenize", "13a").out
    result = run("evaluate", model, pairs, "--bleu-tokenize", "thirteen")
    assert (result.code, "unknown BLEU tokenizer 'thirteen'" in result.words) == (1, True)
