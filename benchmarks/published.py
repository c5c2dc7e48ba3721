"""The published data sets that `defaults.py` trains on: their files, formats, and subsets.

A set is read by records: a line, or the lines of a sentence. Subsets are written in the original format, so that small
files look like the large ones. Only the standard library is used: the peers, which may be installed in another
environment, read the sets through this module too.
"""

from __future__ import annotations

import gzip
import random
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from formats import CHARACTERS, CONLL, CONLLU, LINES, NUMBERS, PAIRS, TEXT_FIRST, TS, TSV, UCR, Format

SEED = 0  # of subsets: the same examples for all our seeds and all peers
TEXT, SERIES, REGRESSION, TAGS, SPANS, OTHER = KINDS = ("text", "series", "regression", "tags", "spans", "other")
_PARALLEL = " + "  # between the names of two parallel files, source and target


class Examples(NamedTuple):
    """Inputs and targets, one of each per example."""

    inputs: list[Any]
    targets: list[Any]


class Published(NamedTuple):
    """A data set. The test is a file, or a number of records at the end of the training file."""

    name: str
    kind: str
    format: Format
    train: str
    test: str | int
    test_format: Format | None = None  # if it differs
    task: str = "classify"
    settings: Mapping[str, Any] = {}  # settings that cannot be told from the files
    metric: str = "accuracy"
    figure: str = ""  # of kind `other`: published results in the same metric
    small: bool = True  # whether to train on small subsets too
    horizon: int = 0  # of a forecast: the number of records to forecast; the test includes the history
    prepare: Callable[[str], str] = str  # preprocessing of a record, as a user would do it

    @property
    def greater_is_better(self) -> bool:
        return self.metric in ("accuracy", "f1", "bleu")

    @property
    def minutes(self) -> int:
        """The maximum training time."""
        return 30 if self.task in ("translate", "generate") else 10

    def records(self, data: Path, size: int | None = None) -> tuple[str, list[str], list[str]]:
        """The head of the training file, `size` training records (None: all), and all records of the test."""
        head, train = self.format.split(_read(data, self.train))
        if isinstance(self.test, int):
            train, test = train[: -self.test], train if self.horizon else train[-self.test :]
        else:
            _, test = (self.test_format or self.format).split(_read(data, self.test))
        return head, _subset(self, train, size), test

    def examples(self, data: Path, size: int | None = None) -> tuple[Examples, Examples]:
        """Training and test examples."""
        _, train, test = self.records(data, size)
        return _parsed(self, train, self.format), _parsed(self, test, self.test_format or self.format)

    def write(self, data: Path, size: int | None, folder: Path) -> tuple[list[Path], list[Path]]:
        """The training files and the test files: written into a folder, except for parallel files."""
        if isinstance(self.test, str) and _PARALLEL in self.train:
            return _paths(data, self.train), _paths(data, self.test)
        head, *parts = self.records(data, size)
        formats = (self.format, self.test_format or self.format)
        names = zip(("train", "test"), formats, strict=True)
        paths = [folder / f"{part}{file_format.suffix}" for part, file_format in names]
        for path, file_format, records in zip(paths, formats, parts, strict=True):
            path.write_text(file_format.join(head, [self.prepare(record) for record in records]), encoding="utf-8")
        return paths[:1], paths[1:]


def _paths(data: Path, names: str) -> list[Path]:
    return [data / name for name in names.split(_PARALLEL)]


def _read(data: Path, names: str) -> str:
    """The text of a file, decompressed; of two parallel files, the first."""
    path = _paths(data, names)[0]
    text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode("utf-8-sig")
    return text.replace("\r\n", "\n")


def _subset(published: Published, records: list[str], size: int | None) -> list[str]:
    if size is None:
        return records
    classes = published.kind in (TEXT, SERIES)
    labels = [published.format.parse(record)[1] if classes else "" for record in records]
    return [records[i] for i in stratified(labels, size)]


def stratified(labels: Sequence[Hashable], size: int, seed: int = SEED) -> list[int]:
    """Sorted indices of `size` random examples, stratified: each class in proportion, to within one example."""
    draw, count, seen = random.Random(seed), Counter(labels), Counter[Hashable]()
    offset = {label: draw.random() for label in count}
    order = draw.sample(range(len(labels)), len(labels))
    position = {}
    for i in order:
        position[i] = (seen[labels[i]] + offset[labels[i]]) / count[labels[i]]
        seen[labels[i]] += 1
    return sorted(sorted(order, key=position.__getitem__)[:size])


def _parsed(published: Published, records: Sequence[str], file_format: Format) -> Examples:
    inputs, targets = map(list, zip(*map(file_format.parse, records), strict=True))
    return Examples(inputs, [float(target) for target in targets] if published.kind == REGRESSION else targets)


def _inflection(record: str) -> str:
    """lemma, form, tags → source (lemma and tags) and target (form)."""
    lemma, form, tags = record.split("\t")
    return f"{lemma} {tags.replace(';', ' ')}\t{form}"


def _text(name: str, format: Format, train: str, test: str, **more: Any) -> Published:
    return Published(name, TEXT, format, train, test, **more)


def _series(name: str) -> Published:
    return Published(name, SERIES, TS, f"timeseries/{name}_TRAIN.ts.gz", f"timeseries/{name}_TEST.ts.gz")


def _regression(name: str) -> Published:
    train, test = (f"timeseries/{name}_{part}.ts" for part in ("TRAIN", "TEST"))
    return Published(name, REGRESSION, TS, train, test, settings={"problem_type": "regression"}, metric="rmse")


def _tags(name: str, prefix: str) -> Published:
    train, test = (f"{name}/{prefix}-ud-{part}.conllu.gz" for part in ("train", "test"))
    return Published(name, TAGS, CONLLU, train, test, task="tag")


def _spans(name: str, train: str, test: str) -> Published:
    return Published(name, SPANS, CONLL, train, test, task="tag", metric="f1")


def _pairs(name: str, train: str, test: str, metric: str, figure: str = "", prepare: Any = str) -> Published:
    more = {"metric": metric, "figure": figure, "prepare": prepare, "small": _PARALLEL not in train}
    return Published(name, OTHER, PAIRS, train, test, task="translate", **more)


_SNIPS, _MULTI30K, _INFLECTION = "snips/snips", "multi30k", "sigmorphon2017_inflection"
_FLICKR = f"{_MULTI30K}/test_2016_flickr"
_PHRASES = "sst/derived.sst2.phrases.train.tsv.gz"
_CLINC = "clinc150/clinc150"

SETS = [
    _text("sst2", LINES, "sst/stsa.binary.train.gz", "sst/stsa.binary.test"),
    _text("sst2_phrases", TEXT_FIRST, _PHRASES, "sst/stsa.binary.test", test_format=LINES, small=False),
    _text("sst5", LINES, "sst/stsa.fine.train.gz", "sst/stsa.fine.test"),
    _text("subj", LINES, "subj/subj.train.txt.gz", "subj/subj.test.txt.gz"),
    _text("cr", LINES, "cr/cr.train.txt.gz", "cr/cr.test.txt"),
    _text("mpqa", LINES, "mpqa/mpqa.train.txt.gz", "mpqa/mpqa.test.txt"),
    _text("smsspam", TSV, "smsspam/smsspam.train.tsv.gz", "smsspam/smsspam.test.tsv"),
    _text("emotion", TSV, "tweets/emotion.train.tsv.gz", "tweets/emotion.test.tsv.gz"),
    _text("irony", TSV, "tweets/irony.train.tsv.gz", "tweets/irony.test.tsv"),
    _text("snips_intents", TSV, f"{_SNIPS}.intents.train.tsv.gz", f"{_SNIPS}.intents.test.tsv"),
    _text("nchlt_langid", TSV, "nchlt_langid/train.short.tsv.gz", "nchlt_langid/test.short.tsv.gz"),
    _text("banking77", TSV, "banking77/banking77.train.tsv.gz", "banking77/banking77.test.tsv.gz"),
    _text("clinc150", TSV, f"{_CLINC}.imbalanced.train.tsv.gz", f"{_CLINC}.test.tsv.gz"),
    Published("ECG200", SERIES, UCR, "timeseries/ECG200_TRAIN.txt.gz", "timeseries/ECG200_TEST.txt.gz"),
    *map(_series, ("ItalyPowerDemand", "JapaneseVowels", "OSULeaf", "Epilepsy", "GestureMidAir3D", "PLAID", "ACSF1")),
    *map(_regression, ("Covid3Month", "CardanoSentiment")),
    _tags("ud_afrikaans_afribooms", "af_afribooms"),
    _tags("ud_uyghur_udt", "ug_udt"),
    _tags("ud_english_ewt", "en_ewt"),
    _spans("wnut17", "wnut17/wnut17train.conll", "wnut17/emerging.test.annotated"),
    _spans("ncbi_disease", "ncbi_disease/train.tsv.gz", "ncbi_disease/test.tsv.gz"),
    _spans("snips_slots", f"{_SNIPS}.slots.train.conll.gz", f"{_SNIPS}.slots.test.conll"),
    _pairs(
        "multi30k_de_en",
        f"{_MULTI30K}/train.de.gz + {_MULTI30K}/train.en.gz",
        f"{_FLICKR}.de.gz + {_FLICKR}.en.gz",
        "bleu",
        "28.3, GRU with attention; 36.5, transformer",
    ),
    _pairs(
        "g2p_dutch",
        "sigmorphon2021_g2p/dut_train.tsv",
        "sigmorphon2021_g2p/dut_test.tsv",
        "error_rate",
        "14.7, ensembled neural transducer",
    ),
    *(
        _pairs(
            f"inflection_{language}",
            f"{_INFLECTION}/{language}-train-high.gz",
            f"{_INFLECTION}/{language}-test",
            "error_rate",
            "22.2, rules, and 4.7, the best; means of 52 languages (unchecked)",
            _inflection,
        )
        for language in ("finnish", "german")
    ),
    Published(
        "tinyshakespeare",
        OTHER,
        CHARACTERS,
        "tinyshakespeare/input.txt.gz",
        111_540,
        task="generate",
        small=False,
        metric="nats",
        figure="1.470, 6-layer transformer",
    ),
    Published(
        "airline",
        OTHER,
        NUMBERS,
        "timeseries/Airline.csv",
        24,
        task="forecast",
        small=False,
        metric="mae",
        figure="71.25, seasonal naive",
        horizon=24,
    ),
]
