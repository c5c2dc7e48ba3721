"""What users may rely on: public names, commands, options, and that importing them is cheap. Change it on purpose."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import stepscan
from stepscan.cli import app
from stepscan.options import TASKS, ReadingOptions, settings_of

NAMES = """
    AttentiveDecoder Bidirectional BidirectionalTransformer CRF CRFTransducer CausalConvolution Classifier
    ConditionedGenerator CoupledLSTM CrossAttention DataError Dropout Elman Embedding Encoder Forecaster GRU
    Generator IndRNN JANET LSTM LanguageModel Layer LayerNorm LayerNormLSTM Linear MGU MinGRU MinLSTM MixerBlock
    ModelFormatError NotFittedError NumericEmbedding NumericGenerator ParaGRU ParaLSTM PeepholeLSTM Pointwise
    ProjectedLSTM RGLRU Recurrence ResetBeforeGRU Residual SLSTM SRU Sequences SettingsError Stack StepscanError
    Tagger Transducer Transformer Translator UnsupportedLayer VariationalDropout WeightDrop
    WordAndCharacterEmbedding Zoneout average build describe distributed ensemble from_torch inspection kernels
    laws load register runtime to_torch
"""
OPTIONS = {
    "compare": """
        --batch-size --cells --config --day-first --delimiter --epochs --equal --field --fill --format --header
        --hidden-size --ignore-time --json --label-column --layers --learning-rate --month-first --no-header --out
        --quiet --seed --series-column --sort --source-column --tag-column --target-column --text-column --time-budget
        --time-column --token-column --train --valid task
    """,
    "average": "--out --overwrite models",
    "compress": """
        --day-first --delimiter --field --fill --format --header --ignore-time --json --label-column --month-first
        --no-header --out --overwrite --series-column --sort --source-column --tag-column --target-column --text-column
        --time-column --token-column --weights files model
    """,
    "bench": "--json --only --rounds --threads kind",
    "demo": "--only --seed",
    "evaluate": """
        --bleu-tokenize --day-first --delimiter --dynamic --ensemble --field --fill --format --header --horizon
        --ignore-time --json --label-column --month-first --no-header --per-line --series-column --skip-bad-lines --sort
        --source-column --tag-column --target-column --text-column --time-column --token-column files model
    """,
    "generate": """
        --allow --ensemble --forbid --json --length --min-p --prompt --repetition-penalty --seed --stop --temperature
        --top-k --top-p model
    """,
    "inspect": "--cell --hidden-size --input --json --length --out --seed model text",
    "predict": """
        --beam-width --coverage-penalty --day-first --delimiter --ensemble --fill --format --header --ignore-time
        --input --json --length-penalty --maximum-length --minimum-length --month-first --n-best --no-header --output
        --overwrite --prefix --ray --rows-per-part --series-column --skip-bad-lines --sort --source-column
        --text-column --time-column --token-column --workers model texts
    """,
    "reproduce": "--cells --data --json --out --overwrite --quiet --seed --seeds --time-budget name",
    "forecast": """
        --context --day-first --fill --format --ignore-time --json --length --level --month-first --num-samples --output
        --overwrite --ray --rows-per-part --seed --series-column --sort --time-column --workers model
    """,
    "serve": """
        --client-timeout --connections --host --max-body --max-items --port --prefix-memory --queue --queue-time
        --rollback --session-ttl --sessions --shutdown-timeout --state-dir --state-memory --streams --threads --timeout
        --token-file models
    """,
}
TORCH_FREE = [
    "stepscan",
    "stepscan.cli",
    "stepscan.cli.loader",
    "stepscan.data.task_data",
    "stepscan.data.readers",
    "stepscan.data.series.readers",
    "stepscan.data.tokenizers",
    "stepscan.decoding",
    "stepscan.distributed",
    "stepscan.distributed.cluster",
    "stepscan.options",
    "stepscan.registry",
    "stepscan.runtime",
    "stepscan.models.classifier",
    "stepscan.models.files",
    "stepscan.models.language_model",
    "stepscan.models.model",
    "stepscan.models.tagger",
    "stepscan.models.translator",
    "stepscan.state",
]


def test_public_names():
    assert stepscan.__all__ == sorted(NAMES.split())
    assert dir(stepscan) == stepscan.__all__


def test_every_public_name_is_there():
    for name in stepscan.__all__:
        found = getattr(stepscan, name)
        assert getattr(found, "__name__", name).removeprefix("stepscan.") == name


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'stepscan' has no attribute 'Lstm'"):
        _ = stepscan.Lstm


def words_of(command):
    return sorted(word for parameter in command.params for word in [*parameter.opts, *parameter.secondary_opts])


def test_commands_and_options():
    commands = dict(typer.main.get_command(app).commands)
    assert commands.pop("train").commands.keys() == TASKS.keys()
    assert {name: words_of(one) for name, one in commands.items()} == {n: sorted(w.split()) for n, w in OPTIONS.items()}


@pytest.mark.parametrize("task", TASKS)
def test_options_of_train(task):
    """Every option of the table that is one of the command line, those of its files, and those of the command."""
    command = typer.main.get_command(app).commands["train"].commands[task]
    of_table = {f"--{name.replace('_', '-')}" for name, one in settings_of(TASKS[task]).items() if one.option.group}
    reading = settings_of(ReadingOptions).items()
    of_table |= {f"--{n.replace('_', '-')}" for n, one in reading if task in (one.option.tasks or TASKS)}
    own = {"--train", "--valid", "--out", "--config", "--resume", "--overwrite", "--quiet", "--json"}
    given = {word for word in words_of(command) if not word.startswith(("--no-", "--month-first"))}
    assert given == of_table | own
    assert {f"--no-{word[5:]}" for word in words_of(command) if word.startswith("--no-")} >= {"--no-residual"}


def test_importing_is_cheap():
    """None of these brings in torch, or scikit-learn, which is as slow."""
    check = (
        "import importlib, sys\n"
        f"for name in {TORCH_FREE}:\n"
        "    importlib.import_module(name)\n"
        "    found = {'torch', 'sklearn', 'scipy', 'pydantic'} & set(sys.modules)\n"
        "    assert not found, f'{name} imports {found}'\n"
        "print('done')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(stepscan.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_help(run):
    result = run("--help")
    assert result.code == 0
    for words in ("Sequence models you train as a scan", "stepscan demo", "train", "evaluate", "predict", "generate"):
        assert words in result.out


def test_help_of_train(run):
    result = run("train", "classify", "--help")
    assert result.code == 0
    words = " ".join(result.out.replace("│", " ").split())
    for expected in (
        "--train",
        "Hidden size of each layer and direction. [default: (by data size)]",
        "Maximum vocabulary size. [default: (30000)]",
        "such as 90s, 10m, 1h30m",
        "stepscan train classify --train reviews.csv --out model",
    ):
        assert expected in words, expected
    assert "--crf" not in words
    commands = [
        line.split()[1] for line in run("train", "--help").out.splitlines() if "Train a" in line and "│" in line
    ]
    assert commands == list(TASKS)


def test_commands_are_listed_as_people_use_them():
    listed = typer.main.get_command(app).list_commands(None)
    assert listed[:6] == ["demo", "train", "evaluate", "predict", "generate", "forecast"]
    assert sorted(listed) == sorted([*OPTIONS, "train"])
