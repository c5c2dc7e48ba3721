"""The counts of ../shared/data/README.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stepscan.data.readers import LabelledText, read_labelled, read_parallel, read_tagged, read_texts
from stepscan.data.series.readers import read_labelled_series, read_series

DATA = Path(os.environ.get("STEPSCAN_DATA") or Path(__file__).resolve().parents[2].parent / "shared/data")
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the published data sets are not in {DATA}"),
]


def counts(sentences):
    return len(sentences), sum(len(sentence.tokens) for sentence in sentences)


def test_published_labelled_texts():
    sst = [read_labelled(DATA / "sst" / f"stsa.binary.{part}") for part in ("train.gz", "dev", "test")]
    assert [len(part) for part in sst] == [6920, 872, 1821]
    assert {example.label for part in sst for example in part} == {"0", "1"}
    assert sst[1][0] == LabelledText("one long string of cliches .", "0")
    phrases = read_labelled(DATA / "sst" / "derived.sst2.phrases.train.tsv.gz", text_column=1, label_column=2)
    assert len(phrases) == 77616
    assert phrases[:2] == [LabelledText("new", "1"), LabelledText("splash", "1")]


def test_published_tagged_sentences():
    ewt = [read_tagged(DATA / "ud_english_ewt" / f"en_ewt-ud-{part}.conllu.gz") for part in ("train", "dev", "test")]
    assert [counts(part) for part in ewt] == [(12544, 204577), (2001, 25147), (2077, 25094)]
    assert len({tag for sentence in ewt[0] for tag in sentence.tags}) == 17
    names = ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")
    wnut = [read_tagged(DATA / "wnut17" / name) for name in names]
    assert [len(part) for part in wnut] == [3394, 1009, 1287]
    assert [sum(tag[0] == "B" for each in part for tag in each.tags) for part in wnut] == [1975, 836, 1079]


def test_published_pairs():
    multi30k = [
        read_parallel([DATA / "multi30k" / f"{part}.{language}.gz" for language in ("en", "de")])
        for part in ("train", "val", "test_2016_flickr")
    ]
    assert [len(part) for part in multi30k] == [29000, 1014, 1000]
    assert multi30k[1][-1].source == "Two women wearing red and a man coming out of a port-a-potty."
    for language in ("dut", "hun", "fre"):
        folder = DATA / "sigmorphon2021_g2p"
        parts = [read_parallel([folder / f"{language}_{part}.tsv"]) for part in ("train", "dev", "test")]
        assert [len(part) for part in parts] == [8000, 1000, 1000]


def test_published_texts():
    lines = read_texts(DATA / "wikitext-2" / "valid.txt.gz")
    assert sum(len(line.split()) + 1 for line in lines) == 217_646


def test_published_series():
    folder = DATA / "timeseries"
    shapes = {"ItalyPowerDemand": (67, 1029, 1, 24, 24, 2), "JapaneseVowels": (270, 370, 12, 7, 29, 9)}
    for name, (train, test, dimensions, shortest, longest, classes) in shapes.items():
        parts = [read_labelled_series(folder / f"{name}_{part}.ts.gz") for part in ("TRAIN", "TEST")]
        lengths = [len(example.values) for part in parts for example in part]
        assert ([len(part) for part in parts], min(lengths), max(lengths)) == ([train, test], shortest, longest)
        assert {example.values.shape[1] for part in parts for example in part} == {dimensions}
        assert len({example.label for part in parts for example in part}) == classes
    ecg = read_labelled_series(folder / "ECG200_TEST.txt.gz", format="ucr")
    assert (len(ecg), {example.values.shape for example in ecg}) == (100, {(96, 1)})
    assert {example.label for example in ecg} == {"1", "-1"}
    (airline,) = read_series(folder / "Airline.csv")
    assert (airline.shape, airline[[0, -1], 0].tolist()) == ((144, 1), [112, 432])
