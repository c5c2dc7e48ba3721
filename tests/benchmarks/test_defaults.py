"""The parts of `benchmarks/defaults.py` that need no data sets."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import defaults  # noqa: E402
import formats  # noqa: E402
import peers  # noqa: E402
import published  # noqa: E402
import tables  # noqa: E402
import targets  # noqa: E402
from runs import OURS, Run, Store  # noqa: E402

import training  # noqa: E402


def row(ours, *, set="s", kind="text", n=50, whole=False, seeds=2, minutes=1.0, yardstick=None, **peers):
    names = {"words": "TF-IDF, words", "letters": "TF-IDF, letters", "nearest": "1-NN, DTW", "rocket": "MiniRocket"}
    named = {names.get(name, name): score for name, score in peers.items()}
    return targets.Row(set, kind, n, whole, seeds, ours, ours, minutes, 10, named, yardstick)


def target_of(rows, start):
    return next(target for target in targets.check_targets(rows) if target.title.startswith(start))


# Subsets


def test_subset_has_each_class_by_its_share():
    labels = ["a"] * 600 + ["b"] * 300 + ["c"] * 100
    chosen = published.stratified(labels, 50)
    assert Counter(labels[i] for i in chosen) == {"a": 30, "b": 15, "c": 5}
    assert chosen == sorted(set(chosen))
    assert published.stratified(labels, 50) == chosen
    assert published.stratified(labels, 50, seed=1) != chosen


@pytest.mark.parametrize("seed", range(20))
def test_subset_is_within_one_example_of_the_share(seed):
    labels = [0] * 71 + [1] * 17 + [2] * 9 + [3] * 3
    counts = Counter(labels[i] for i in published.stratified(labels, 31, seed))
    assert sum(counts.values()) == 31
    for label, all_of_it in Counter(labels).items():
        assert abs(counts[label] - 0.31 * all_of_it) < 1.5


def test_subset_of_fewer_examples_than_classes_takes_distinct_classes():
    labels = [i % 150 for i in range(1500)]
    assert max(Counter(labels[i] for i in published.stratified(labels, 50)).values()) == 1


# Files


def test_a_subset_is_written_in_the_original_format(tmp_path):
    (tmp_path / "train.tsv").write_text("".join(f"{'ab'[i % 2]}\ttext {i}\n" for i in range(20)), "utf-8")
    (tmp_path / "test.txt").write_text("b text one\na two\n", "utf-8")
    data_set = published.Published("s", "text", formats.TSV, "train.tsv", "test.txt", test_format=formats.LINES)
    (train,), (test,) = data_set.write(tmp_path, 4, tmp_path)
    assert (train.name, test.name) == ("train.tsv", "test.txt")
    rows = [line.split("\t") for line in train.read_text("utf-8").splitlines()]
    assert Counter(label for label, _ in rows) == {"a": 2, "b": 2}
    assert test.read_text("utf-8") == "b text one\na two\n"
    learned, tested = data_set.examples(tmp_path)
    assert learned.inputs == [text for _, text in rows]
    assert tested == published.Examples(["text one", "two"], ["b", "a"])


def test_formats():
    text = "@problemName x\n@data\n1,2:3,4:up\n5,6:7,8:down\n"
    head, records = formats.TS.split(text)
    assert (head, records) == ("@problemName x\n@data\n", ["1,2:3,4:up", "5,6:7,8:down"])
    assert formats.TS.join(head, records) == text
    assert formats.TS.parse(records[0]) == ([[1.0, 2.0], [3.0, 4.0]], "up")
    assert formats.UCR.parse("-1\t0.5 2") == ([[0.5, 2.0]], "-1")
    sentence = "# text = vom\n1-2\tvom\t_\t_\n1\tvon\tvon\tADP\n2\tdem\tder\tDET"
    assert formats.CONLLU.split(f"{sentence}\n\n{sentence}\n\n")[1] == [sentence, sentence]
    assert formats.CONLLU.parse(sentence) == (["von", "dem"], ["ADP", "DET"])
    assert formats.CONLL.split("a\tO\nb\tB-x\n \nc\tO\n")[1] == ["a\tO\nb\tB-x", "c\tO"]
    assert formats.CHARACTERS.split("a\n b")[1] == ["a", "\n", " ", "b"]


def test_names_are_distinct():
    assert len({data_set.name for data_set in published.SETS}) == len(published.SETS)


# Peers


def test_tag_of_a_new_word_is_that_of_its_longest_suffix():
    train = published.Examples(
        [["the", "walking", "king", "sings"], ["the", "king", "king"]],
        [["DET", "VERB", "NOUN", "VERB"], ["DET", "NOUN", "NOUN"]],
    )
    test = [["king", "talking", "ring", "wings", "Über"]]
    assert peers.tag_per_word_or_suffix(train, test) == [["NOUN", "VERB", "NOUN", "VERB", "NOUN"]]
    assert peers.tag_per_word(train, test) == [["NOUN"] * 5]
    assert peers.tag_per_word(train, [["the", "sings"]]) == [["DET", "VERB"]]


def test_yardsticks():
    assert peers.most_frequent_class(published.Examples([0, 0, 0], ["a", "b", "b"]), [1, 2]) == ["b", "b"]
    assert peers.train_mean(published.Examples([0, 0], [1.0, 4.0]), [1, 2]) == [2.5, 2.5]


def test_features_of_a_word():
    assert [peers.shape(token) for token in ("Ab-30", "USA's", "x")] == ["Aa-0", "A'a", "a"]
    second = peers.features(["New", "York", "wins"])[1]
    assert {"word=York", "shape=Aa", "suffix=k", "suffix=york", "prefix=yor", "lower-1=new", "lower-2="} <= set(second)
    assert {"lower+1=wins", "suffix+1=ins", "shape+1=a"} <= set(second)


def test_peers_are_scored_as_our_models_are():
    assert defaults.evaluate("series", ["a", "b", "b"], ["a", "a", "b"])["accuracy"] == pytest.approx(2 / 3)
    assert defaults.evaluate("regression", [1.0, 2.0], [1.0, 4.0])["rmse"] == pytest.approx(2**0.5)
    assert defaults.evaluate("tags", [["A", "B"], ["A"]], [["A", "A"], ["A"]]) == {"accuracy": 2 / 3}
    spans = defaults.evaluate("spans", [["B-x", "I-x", "O"]], [["B-x", "O", "B-x"]])
    assert (spans["f1"], spans["accuracy"]) == (0, 1 / 3)


# Targets


def test_texts_are_compared_with_the_better_of_two_peers():
    rows = [row(80, words=70, letters=83), row(70, set="t", words=74.5), row(90, words=50, letters=50, n=1000)]
    few = target_of(rows, "texts, fewer")
    assert (few.reached, few.margin, few.where, few.missed, few.rows) == (True, 1.0, "s 50", (), 1)  # t lacks a peer
    assert target_of(rows, "texts, 1,000").margin == 41
    assert target_of([row(78.5, words=80, letters=80, n=1000)], "texts, 1,000").missed == ("s 1,000",)


def test_means_and_rows_that_miss_a_target():
    rows = [
        row(90, set="x", kind="series", nearest=93, rocket=95),
        row(70, set="y", kind="series", nearest=71, rocket=70),
        row(None, set="z", kind="series", nearest=71, rocket=70),
    ]
    assert target_of(rows, "series: at most 2")[1:] == (False, -1.0, "x 50", ("x 50",), 2)
    assert target_of(rows, "series: at most 3")[1:] == (True, 0.5, "mean", (), 2)
    assert target_of(rows, "no run fails").missed == ("z 50",)


def test_no_lead_over_the_yardstick_is_at_chance():
    assert not target_of([row(60, yardstick=60)], "no run at chance").reached
    assert target_of([row(61, yardstick=60)], "no run at chance").reached
    error = row(0.3, kind="regression", yardstick=0.4)._replace(greater_is_better=False)
    assert target_of([error], "no run at chance").margin == pytest.approx(25)
    assert not target_of([row(80, kind="tags", CRF=80)], "tags: above the CRF").reached


def test_time_and_floors():
    assert target_of([row(80, minutes=10.5)], "at most 10 minutes").missed == ("s 50",)
    assert target_of([row(85.5, set="sst2_phrases", whole=True)], "sst2_phrases").margin == -0.5
    nats = row(1.5, set="tinyshakespeare", kind="other", whole=True)._replace(greater_is_better=False)
    assert target_of([nats], "tinyshakespeare").margin == pytest.approx(0.19)
    assert target_of([], "tags: above the CRF").margin is None


# The store and the table


def test_a_stored_run_is_not_repeated(tmp_path):
    path = tmp_path / "runs.jsonl"
    store = Store(path)
    store.add(Run("s", 50, False, OURS, 0, 1.5, {"accuracy": 0.5}))
    store.add(Run("s", 50, False, OURS, 1, 0, failure="ValueError: no"))
    store.add(Run("s", 50, False, OURS, 2, 60, failure="stopped after 1 min"))
    path.write_text(path.read_text("utf-8") + '{"set": "s", "n', "utf-8")
    again = Store(path)
    assert [("s", 50, OURS, seed) in again for seed in (0, 1, 2, 3)] == [True, False, True, False]
    again.add(Run("s", 50, False, OURS, 1, 2.5, {"accuracy": 0.7}))
    assert [run.seconds for run in Store(path)] == [1.5, 2.5, 60]


def test_table():
    data_set = published.Published("s", "text", formats.TSV, "", "")
    shares = [(OURS, 0, 0.8, 60), (OURS, 1, 0.9, 90), ("TF-IDF, words", 0, 0.75, 1), ("majority class", 0, 0.5, 0)]
    runs = [Run("s", 2000, True, who, seed, time, {"accuracy": value}) for who, seed, value, time in shares]
    lines = tables.report([(data_set, 2000), (data_set, 50)], runs).splitlines()
    assert lines[2] == "| set | n | ours | minutes | TF-IDF, words | TF-IDF, letters | majority class | lead |"
    assert lines[4] == "| s | 2,000 (all) | 85.0 | 1.5 | 75.0 |  | 50.0 | +10.0 |"


def test_circumstances():
    runs = [
        Run("s", 9, True, OURS, 0, 1, date="2026-01-02", machine="m", versions="a 1, b 2"),
        Run("s", 9, True, OURS, 1, 1, date="2026-01-03", machine="m", versions="a 1, b 3"),
        Run("s", 9, True, "CRF", 0, 1, date="2026-01-03", machine="m"),
    ]
    assert tables.circumstances(runs) == [
        "Ours: 2026-01-02 to 2026-01-03; m; a 1, b 2, b 3.",
        "Peers: 2026-01-03; m.",
    ]


def test_scratch_folders_are_not_named(tmp_path):
    script = f"import sys, json; print(json.dumps({{'said': ['{tmp_path}/train.tsv: odd']}}))"
    assert defaults._run([sys.executable, "-c", script], 60, str(tmp_path)) == {"said": ["train.tsv: odd"]}
    failed = defaults._run([sys.executable, "-c", f"raise ValueError('{tmp_path}/train.tsv')"], 60, str(tmp_path))
    assert failed == {"seconds": 0.0, "failure": "exit code 1: ValueError: train.tsv"}
    slow = defaults._run([sys.executable, "-c", "import time; time.sleep(60)"], 0.3, str(tmp_path))
    assert slow["failure"] == "stopped after 0.005 min"


def test_a_training_reports_scores_time_and_memory(tmp_path):
    path = tmp_path / "lines.tsv"
    path.write_text("".join(f"{'up' if i % 2 else 'down'}\tgoes {i}\n" for i in range(40)), "utf-8")
    columns = {"label_column": "1", "text_column": "2"}
    result = training.trained(
        task="classify",
        train=[str(path)],
        test=[str(path)],
        out=str(tmp_path / "model"),
        settings={"epochs": 1, "hidden_size": 8, "embedding_size": 8},
        reading=columns,
        test_reading=columns,
        horizon=0,
    )
    run = Run("s", 40, True, OURS, 0, **result)
    assert run.scores["texts"] == 40
    assert 0 <= run.scores["accuracy"] <= 1
    assert run.seconds > 0
    assert run.megabytes > 100


def test_a_missing_set_is_skipped(tmp_path, capfd):
    (tmp_path / "train.tsv").write_text("".join(f"{'ab'[i % 2]}\ttext {i}\n" for i in range(60)), "utf-8")
    data_set = published.Published("s", "text", formats.TSV, "train.tsv", 5)
    planned = list(defaults.cases(tmp_path, [data_set, data_set._replace(name="t", train="none.tsv")], [50, 200, None]))
    assert [(case.published.name, case.n, case.size) for case in planned] == [("s", 50, 50), ("s", 55, None)]
    assert capfd.readouterr().err == f"t is skipped: {tmp_path}/none.tsv does not exist\n"


def test_the_failure_of_a_peer(tmp_path):
    (tmp_path / "train.tsv").write_text("a\ttext\n" * 20, "utf-8")
    data_set = published.Published("s", "text", formats.TSV, "train.tsv", 5)
    result = peers.evaluate(tmp_path, data_set, None, peers.Peer("odd", lambda train, inputs: 1 / 0))
    assert result["failure"] == "ZeroDivisionError: division by zero"
    result = peers.evaluate(tmp_path, data_set, None, peers.YARDSTICKS["text"])
    assert result["predictions"] == ["a"] * 5
