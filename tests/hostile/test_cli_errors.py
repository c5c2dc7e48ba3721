"""Every wrong input to `stepscan train` is an error in words, and nothing is written."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
import torch

# what, command after `stepscan train` (--out out --quiet is added), pieces of the message
DATA = [
    ("no such file", "classify --train revews.csv", "revews.csv: no such file. Did you mean 'reviews.csv'?"),
    ("no such folder", "classify --train nowhere/a.csv", "nowhere/a.csv: no such file: there is no folder 'nowhere'"),
    ("a folder", "classify --train full", "full: expected a file, got a folder"),
    ("empty", "classify --train empty.csv", "empty.csv: expected at least one line of text, got an empty file"),
    (
        "empty standard input",
        "classify --train -",
        "standard input: expected at least one line of text, got an empty file",
    ),
    (
        "one stream twice",
        "translate --train - --train -",
        "standard input: expected it once, got it twice: it can be read only once",
    ),
    ("no rows", "classify --train header.csv", "header.csv, line 1: expected rows below the header, got none"),
    (
        "no column",
        "classify --train other.csv",
        "other.csv, line 1: expected a column 'text', got the columns 'title', 'stars'",
    ),
    (
        "no such column",
        "classify --train reviews.csv --label-column stars",
        "reviews.csv, line 1: expected a column 'stars', got the columns 'text', 'label'",
    ),
    ("a long row", "classify --train ragged.csv", "ragged.csv, line 3: expected 2 fields, as in line 1, got 3"),
    (
        "one class",
        "classify --train one-class.csv",
        "one-class.csv: expected at least two classes|'pos'|--label-column",
    ),
    (
        "not UTF-8",
        "classify --train latin.csv",
        "latin.csv, line 3: expected UTF-8 text, got 0xe9 at byte 4 of the line",
    ),
    ("cut gzip", "classify --train cut.csv.gz", "cut.csv.gz, line|expected gzip data, got a truncated or damaged file"),
    (
        "broken JSON",
        "classify --train bad.jsonl",
        "bad.jsonl, line 2: expected a JSON object, got invalid JSON at character 10",
    ),
    (
        "no such vectors",
        "classify --train reviews.csv --embeddings glov",
        "embeddings: expected glove, glove-100d, wordllama or a file of word vectors, got 'glov'|Did you mean 'glove'?",
    ),
    ("no such format", "classify --train reviews.csv --format cvs", "unknown format 'cvs'|Did you mean 'csv'?"),
    ("two files", "classify --train reviews.csv --train other.csv", "classify: expected one data file, got 2"),
    (
        "bad --valid",
        "classify --train reviews.csv --valid empty.csv",
        "empty.csv: expected at least one line of text, got an empty file",
    ),
    ("no tag", "tag --train tags.txt", "tags.txt, line 2: expected 2 columns, as in line 1, got 1: 'b'"),
    (
        "not CoNLL-U",
        "tag --train words.conllu",
        "words.conllu, line 1: expected 10 columns separated by tabs, got 4",
    ),
    ("no such field", "tag --train words.conllu --field xpso", "unknown CoNLL-U field 'xpso'|Did you mean 'xpos'?"),
    (
        "a comment within",
        "tag --train three.conll",
        "three.conll, line 6: expected 3 columns, as in line 1, got|'#'",
    ),
    (
        "no such column",
        "tag --train three.conll --tag-column ter",
        "expected one column 'ter', got the columns 'word', 'pos', 'ner'|--tag-column 1 is the first of 3",
    ),
    (
        "no such column",
        "tag --train three.conll --tag-column 4",
        "expected --tag-column from 1 to 3, the number of columns",
    ),
    ("one column twice", "tag --train three.conll --tag-column 1", "in two columns, got column 1 for both"),
    (
        "ids",
        "tag --train counted.conll",
        "expected a token in the first column, got numbers of tokens: 1, 2, …|--token-column|--format conllu",
    ),
    ("not tagged", "tag --train blank.conll", "expected tags in column 3, got '_' in every row of the file"),
    ("columns of CoNLL-U", "tag --train words.conllu --tag-column 4", "--tag-column: expected CoNLL columns|--field"),
    ("another option", "tag --train three.conll --label-column 3", "for words use --tag-column"),
    (
        "unequal files",
        "translate --train source.txt --train short.txt",
        "source.txt: expected 2 lines, as in short.txt, got 3",
    ),
    (
        "an empty line",
        "translate --train source.txt --train gap.txt",
        "gap.txt, line 2: expected a target, got an empty string",
    ),
    (
        "one side",
        "translate --train source.txt",
        "source.txt, line 1: expected source and target separated by a tab, got 1 field. If source and target are",
    ),
    (
        "three columns",
        "translate --train three.tsv",
        "three.tsv, line 1: expected source and|got 3 fields|--source-column",
    ),
    (
        "no such pair",
        "translate --train three.tsv --source-column 1 --target-column fr",
        "three.tsv, line 1: expected a column 'fr', got the columns 'Go.', 'Va !', 'CC-BY 2.0'",
    ),
    (
        "a name twice",
        "classify --train doubled.csv",
        "may be 'text', got 2: 'text' (column 1), 'text' (column 3)|--text-column",
    ),
    (
        "a header inside",
        "classify --train two-headers.csv",
        "line 22: expected an example, got the header of line 1 again. Remove it.",
    ),
    (
        "swapped columns",
        "classify --train swapped.csv --text-column 1 --label-column 2",
        "swapped.csv, line 1: expected text and label in columns 1, 2, got them swapped: 'label', 'text'",
    ),
    (
        "no header",
        "classify --train reviews.csv --text-column text --no-header",
        "--no-header: expected positions from 1 for text and label, got text_column='text', label_column=None",
    ),
    ("a long delimiter", "classify --train reviews.csv --delimiter ;;", "--delimiter: expected one character|got ';;'"),
    (
        "two readings of a number",
        "classify --train decimals.csv --problem-type regression",
        "decimals.csv, line 2: expected a number, got '1,234', which may be 1.234 or 1234. Write numbers",
    ),
    (
        "no class twice",
        "classify --train ids.csv",
        "expected classes that several texts share|20 different|--label-column",
    ),
    ("no label", "classify --train missing.csv", "missing.csv, line 3: expected a label, got a missing one (NaN)"),
    ("label last", "classify --train after.txt", "expected the label before the text|--format tsv --text-column 1"),
    (
        "numbers as text",
        "generate --train sales.csv",
        "sales.csv, line 1: expected a column 'text'|train forecast|--format lines",
    ),
    ("a target", "classify --train target.ts", "target.ts, line 1: |@targetLabel|--problem-type regression"),
    ("three files", f"translate{' --train source.txt' * 3}", "translate: expected one .tsv file, or two files|got 3"),
    (
        "a gap in time",
        "forecast --train gap.csv",
        "gap.csv, line 4: expected 2021-03 after 2021-02 (line 3)|2 rows are missing|--fill linear|--ignore-time",
    ),
    (
        "the newest first",
        "forecast --train newest.csv",
        "newest.csv, line 3: expected ascending times, got 2021-02 after 2021-03|--sort",
    ),
    ("a time twice", "forecast --train twice.csv", "twice.csv, line 4|got 2021-02 again. Remove one"),
    (
        "a word for a number",
        "forecast --train long.csv",
        "long.csv, line 2: expected a finite number as value 1, got 'A'|--series-column",
    ),
    (
        "a name again",
        "classify --format numbers --train panel.csv",
        "panel.csv, line 3: expected one row per series, got a name twice in column 'subject'|--series-column subject",
    ),
    (
        "times across",
        "forecast --train across.csv",
        "across.csv, line 1: expected one time step per row, got times in the header|Transpose",
    ),
    ("series of text", "classify --train reviews.csv --series-column 1", "--series-column: expected series of numbers"),
    ("day or month", "forecast --train either.csv", "either.csv, line 2|--day-first or --month-first"),
    (
        "a gap in tags",
        "tag --format numbers --train tagged-gap.csv --time-column ms",
        "tagged-gap.csv, line 5: expected 60 after 40 (line 4), with a step of 20, got 100: 2 rows are missing",
    ),
    ("no such column", "forecast --train gap.csv --time-column mnth", "Did you mean 'month'?"),
    ("no such step", "forecast --train gap.csv --step fortnight", "step: expected a number and a unit"),
    (
        "times of text",
        "classify --train reviews.csv --sort",
        "--sort: expected series of numbers (--format numbers), got text",
    ),
    ("unknown fill", "forecast --train gap.csv --fill mean", "--fill: expected one of linear, previous, zero, got"),
    ("little text", "generate --train short-text.txt", "the text has 3 symbols, too few for 8 parallel streams"),
]
SETTINGS = [
    ("unknown cell", "classify --cell lstmm", "unknown cell 'lstmm'. Did you mean 'lstm'?"),
    ("another case", "classify --cell LSTM", "unknown cell 'LSTM'. Did you mean 'lstm'?"),
    (
        "not causal",
        "generate --cell bidirectional_transformer",
        "cell: expected a causal cell to generate, such as|got 'bidirectional_transformer'",
    ),
    ("not causal", "translate --cell lstm,bidirectional_transformer", "cell: expected a causal cell to translate"),
    ("negative", "classify --learning-rate -1", "learning_rate: expected a finite number above 0, got -1.0"),
    ("not a number", "classify --learning-rate nan", "learning_rate: expected a finite number above 0, got nan"),
    ("more than all", "classify --dropout 1.5", "dropout: expected a probability, at least 0 and below 1, got 1.5"),
    ("nothing", "classify --hidden-size 0", "hidden_size: expected a whole number from 1 to 1,048,576, got 0"),
    ("nothing", "classify --epochs 0", "epochs: expected a whole number of at least 1, got 0"),
    ("nothing", "classify --max-updates 0", "max_updates: expected a whole number of at least 1, got 0"),
    (
        "more than all",
        "classify --decay-ratio 2",
        "decay_ratio: expected a number of at least 0 and at most 1, got 2.0",
    ),
    ("no such choice", "classify --size huge", "size: expected 'small', 'medium' or 'large', got 'huge'"),
    ("nothing", "classify --layers 0", "layers: expected a whole number from 1 to 1,000, got 0"),
    ("nothing", "generate --bptt 0", "bptt: expected a whole number of at least 1, got 0"),
    (
        "more than all",
        "classify --warmup-ratio 2",
        "warmup_ratio: expected a number of at least 0 and at most 1, got 2.0",
    ),
    ("huge", f"classify --seed {2**63}", f"seed: expected at most {2**63 - 1:,}, got {2**63}"),
    ("negative", "classify --seed -1", "seed: expected a whole number from 0 to|, got -1"),
    ("two at once", "classify --epochs 0 --batch-size 0", "epochs: expected|; batch_size: expected"),
    ("no such choice", "classify --pooling maxx", "pooling: expected 'last', 'mean', 'max' or 'attention'"),
    ("no such choice", "generate --tokenizer wrd", "tokenizer: expected 'word', 'whitespace'|got 'wrd'"),
    ("no such device", "classify --device gpu", "device: expected 'cpu' or 'cuda', got 'gpu'"),
    (
        "small vocabulary",
        "translate --tokenizer bpe --vocabulary-size 10",
        "vocabulary_size: expected 260 or more for a tokenizer of kind 'bpe', got 10",
    ),
    (
        "feeding nothing",
        "translate --attention none --input-feeding",
        "input_feeding|attention: expected 'additive', 'dot' or 'general' with input_feeding",
    ),
    (
        "another cell's",
        "classify --initialisation identity",
        "initialisation: expected orthogonal or chrono for the cell lstm, got identity",
    ),
    (
        "another cell's",
        "classify --cell elman --initialisation chrono",
        "expected orthogonal or identity for the cell elman, got chrono",
    ),
    (
        "another cell's",
        "generate --cell gru --forget-bias 2",
        "expected a cell that has it (layer_norm_lstm or lstm), got gru",
    ),
    (
        "another cell's",
        "translate --cell transformer --residual",
        "got bidirectional_transformer, which has residual connections",
    ),
    ("two say it", "generate --initialisation chrono --forget-bias 2", "omit forget_bias"),
    ("of nothing", "classify --t-max 9", "t_max: expected none with orthogonal initialisation, got 9"),
    (
        "too short",
        "generate --initialisation chrono --t-max 2",
        "t_max: expected a whole number of at least 3, got 2",
    ),
    ("nothing", "classify --max-grad-value 0", "max_grad_value: expected a number above 0, got 0.0"),
    (
        "no time",
        "classify --time-budget soon",
        "time_budget: expected a duration such as 90s, 10m or 1h30m, got 'soon'",
    ),
    ("no time", "classify --time-budget 0m", "time_budget: expected seconds, a finite number above 0, got 0.0"),
    (
        "config key",
        "classify --config typo.toml",
        "typo.toml: unknown setting 'hiden_size'. Did you mean 'hidden_size'?",
    ),
    (
        "TOML nested too deeply",
        "classify --config deep.toml",
        "deep.toml: expected TOML with settings, got lists",
    ),
    ("not TOML", "classify --config broken.toml", "broken.toml: expected TOML, got an error|line 1, column 8"),
    ("a table", "classify --config table.toml", "table.toml: unknown setting 'model'"),
    (
        "kind of value",
        "classify --config kind.toml",
        "hidden_size: expected a whole number from 1 to 1,048,576, got 'big'",
    ),
    ("no such config", "classify --config typ.toml", "typ.toml: no such file. Did you mean 'typo.toml'?"),
]
USAGE = [
    (
        "unknown option",
        "classify --train reviews.csv --hiden-size 3",
        "no such option: --hiden-size. Did you mean '--hidden-size'?",
    ),
    (
        "unknown task",
        "clasify --train reviews.csv",
        "No such command 'clasify'. Did you mean 'classify'?",
    ),
    ("no task", "", "No such option: --out comes after the task, one of classify, tag"),
    (
        "another task's",
        "classify --train reviews.csv --tag-column 2",
        "no such option: --tag-column. It is an option of",
    ),
    ("another task's", "classify --train reviews.csv --crf", "no such option: --crf. It is an option of train tag."),
    ("another task's", "generate --train text.txt --wide", "It is an option of train classify and train tag."),
    ("renamed", "generate --train text.txt --window 9", "--window is called --bptt now"),
    ("renamed", "classify --train reviews.csv --one-direction", "--one-direction is called --no-bidirectional now"),
    ("renamed", "generate --train text.txt --no-watch-gradients", "is called --no-monitor-gradients now"),
    ("no data", "classify", "Missing option '--train'"),
    ("not a number", "classify --train reviews.csv --epochs many", "Invalid value for '--epochs'"),
    (
        "two files, one option",
        "translate --train source.txt short.txt",
        "unexpected extra argument|(short.txt): an option takes one file; repeat --train before each further",
    ),
]
FILE_OF = {"classify": "reviews.csv", "tag": "tags.txt", "generate": "text.txt", "translate": "pairs.tsv"}


def table(rows):
    """What `parametrize` takes: the values of each row, named by its first."""
    return {"argvalues": [row[1:] for row in rows], "ids": [row[0].replace(" ", "-") for row in rows]}


@pytest.mark.parametrize(("command", "expected"), **table(DATA))
def test_wrong_data(workplace, refuses, command, expected):
    refuses(workplace, 1, expected.split("|"), "train", *shlex.split(command), "--out", "out", "--quiet")


@pytest.mark.parametrize(("command", "expected"), **table(SETTINGS))
def test_wrong_setting(workplace, refuses, command, expected):
    task, *options = shlex.split(command)
    refuses(
        workplace, 1, expected.split("|"), "train", task, *options, "--train", FILE_OF[task], "--out", "out", "--quiet"
    )


@pytest.mark.parametrize(("command", "expected"), **table(USAGE))
def test_wrong_usage(workplace, refuses, command, expected):
    refuses(workplace, 2, expected.split("|"), "train", *shlex.split(command), "--out", "out", "--quiet")


@pytest.mark.parametrize("command", ["trian", "--vresion"])
def test_unknown_command(workplace, refuses, command):
    refuses(workplace, 2, {"trian": ["'trian'", "Did you mean 'train'?"]}.get(command, ["No such option"]), command)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu(workplace, refuses):
    expected = ["device: expected 'cpu', for PyTorch finds no GPU, got 'cuda'"]
    refuses(workplace, 1, expected, "train", "classify", "--train", "reviews.csv", "--out", "out", "--device", "cuda")


@pytest.mark.parametrize("batch_size", [2, 100])
def test_a_loss_that_is_no_number_writes_nothing(workplace, refuses, batch_size):
    """With one batch in all, only the validation score shows that the weights are lost."""
    options = f"--learning-rate 1e300 --epochs 1 --hidden-size 4 --embedding-size 4 --batch-size {batch_size}".split()
    expected = ["became nan at step", "nothing was saved", "lower learning_rate"]
    refuses(workplace, 1, expected, "train", "classify", "--train", "reviews.csv", "--out", "out", "--quiet", *options)


OUT = [
    ("a file", "file", "file: expected a new name or a model folder, got something else"),
    ("a file, --overwrite", "file --overwrite", "file: expected a new name or a model folder, got something else"),
    ("a folder of something else", "full", "full: expected a new name or a model folder, got something else"),
    ("the same, --overwrite", "full --overwrite", "full: expected a new name or a model folder, got something else"),
    ("this folder", ". --overwrite", ".: expected a new name or a model folder, got something else"),
    ("in no folder", "nowhere/out", "nowhere: expected a folder in which to write out, got none; create it first"),
    ("in a file", "file/out", "file: expected a folder in which to write out, got none; create it first"),
    ("a web project", "webapp --overwrite", "webapp: expected a new name or a model folder, got something else"),
    (
        "more than a model",
        "trained --overwrite",
        "trained/notes.txt is not a file of a model, and would be deleted with",
    ),
    (
        "others' checkpoints",
        "ours --overwrite",
        "ours/checkpoints/best.pt is not a file of a model, and would be deleted",
    ),
    ("a loop of links", "loop", "loop cannot be written: "),
    ("the root", "/", "/: expected a new name or a model folder, got something else; choose another name"),
    ("a pipe", "pipe --overwrite", "pipe: expected a new name or a model folder, got something else"),
    ("too long", "x" * 300, "cannot be written: File name too long"),
]


@pytest.mark.parametrize(("out", "expected"), **table(OUT))
def test_wrong_out(workplace, refuses, out, expected):
    """Known before any training: the data file here does not even exist."""
    texts = {
        "webapp/config.json": '{"name": "my web app"}',
        "webapp/.git/HEAD": "ref",
        "trained/config.json": '{"format": "stepscan"}',
        "trained/notes.txt": "mine",
        "ours/checkpoints/best.pt": "mine",
    }
    for name, text in texts.items():
        (workplace / name).parent.mkdir(parents=True, exist_ok=True)
        (workplace / name).write_text(text)
    (workplace / "loop").symlink_to("loop")
    os.mkfifo(workplace / "pipe")
    refuses(workplace, 1, [expected], "train", "classify", "--train", "reviews.csv", "--out", *shlex.split(out))


def test_out_in_a_folder_that_may_not_be_written(workplace, refuses, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)  # root may write everywhere
    expected = ["full/out cannot be written: Permission denied"]
    refuses(workplace, 1, expected, "train", "classify", "--train", "reviews.csv", "--out", "full/out")


def test_a_disk_that_fails_at_the_end(workplace, run, monkeypatch):
    """The training is kept."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    options = ["--epochs", "1", "--hidden-size", "4", "--embedding-size", "4", "--quiet"]
    command = ["train", "classify", "--train", "reviews.csv", "--out", "out", *options]
    with monkeypatch.context() as patch:
        patch.setattr("stepscan.estimators.folder.save_file", fail)
        failed = run(*command)
    assert failed.code == 1
    assert "out cannot be written: No space left on device; the training is saved: fix that, then" in failed.words
    assert [path.name for path in (workplace / "out").iterdir()] == ["checkpoints"]
    assert run(*command, "--resume").code == 0
    assert not (workplace / "out" / "checkpoints").exists()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_out_where_no_folder_can_be_made(workplace, refuses):
    options = ["--epochs", "1", "--hidden-size", "4", "--embedding-size", "4", "--quiet"]
    expected = ["/proc/out cannot be written"]
    refuses(workplace, 1, expected, "train", "classify", "--train", "reviews.csv", "--out", "/proc/out", *options)
