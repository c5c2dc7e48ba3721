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

NAMES = """
    AttentiveDecoder Bidirectional BidirectionalTransformer CRF CRFTransducer Classifier ConditionedGenerator
    CrossAttention DataError Dropout Elman Embedding Encoder Forecaster GRU Generator LSTM LanguageModel Layer
    LayerNorm LayerNormLSTM Linear ModelFormatError NotFittedError Numbers Pointwise Recurrence Residual Sequences
    SettingsError Stack StepscanError Tagger Transducer Transformer Translator UnsupportedLayer VariationalDropout
    WeightDrop WordAndCharacterEmbedding Zoneout average build describe ensemble from_torch inspection kernels laws load
    register runtime to_torch
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
        --bleu-tokenize --day-first --delimiter --dynamic --field --fill --format --header --horizon --ignore-time
        --json --label-column --month-first --no-header --per-line --series-column --skip-bad-lines --sort
        --source-column --tag-column --target-column --text-column --time-column --token-column --with files model
    """,
    "generate": """
        --allow --day-first --fill --forbid --format --history --ignore-time --interval --json --length --min-p
        --month-first --paths --prompt --repetition-penalty --seed --series-column --sort --stop --temperature
        --time-column --top-k --top-p --with model
    """,
    "inspect": "--cell --hidden-size --input --json --length --out --seed model text",
    "predict": """
        --beam-width --coverage-penalty --day-first --delimiter --fill --format --header --ignore-time --input --json
        --length-penalty --maximum-length --minimum-length --month-first --n-best --no-header --output --prefix
        --series-column --sort --source-column --text-column --time-column --token-column --with model texts
    """,
    "reproduce": "--data --json --out --overwrite --quiet --seed --time-budget name",
    "train": """
        --accumulate --activation-regularisation --attention --average-decay --batch-size --beam-width --bidirectional
        --cell --character-size --checkpoint-every --class-weights --clip-norm --clip-value --config --coverage-penalty
        --crf --day-first --decay --decision --delimiter --device --dropout --embedding-dropout --embedding-size
        --embeddings --epochs --field --fill --forget-bias --format --head --header --hidden-size --ignore-time
        --init-from --initialisation --input-feeding --input-noise --json --keep-case --label-column --label-smoothing
        --layers --learning-rate --length-penalty --logarithm --lowercase --max-updates --month-first --no-crf
        --no-header --no-input-feeding --no-logarithm --no-refit --no-watch-gradients --no-wide --not-residual
        --not-tied --not-variational --one-direction --out --overwrite --patience --pooling --quiet --refit --residual
        --resume --same-window --season --seed --series-column --size --skip-bad-lines --softmax-samples --sort
        --source-column --source-tokenizer --spelling-size --step --t-max --tag-column --target-column
        --temporal-activation-regularisation --tensorboard --text-column --tied --time-budget --time-column
        --token-column --tokenizer --train --unknown-probability --valid --variational --vary-window --vocabulary-size
        --warmup --watch-gradients --weight-decay --weight-drop --wide --window --zoneout task
    """,
}
TORCH_FREE = [
    "stepscan",
    "stepscan.cli",
    "stepscan.cli.loading",
    "stepscan.data.task_data",
    "stepscan.data.readers",
    "stepscan.data.series.readers",
    "stepscan.data.tokenizers",
    "stepscan.decoding",
    "stepscan.registry",
    "stepscan.runtime",
    "stepscan.runtime.classifier",
    "stepscan.runtime.files",
    "stepscan.runtime.language_model",
    "stepscan.runtime.model",
    "stepscan.runtime.tagger",
    "stepscan.runtime.translator",
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


def test_commands_and_options():
    commands = typer.main.get_command(app).commands
    found = {
        name: sorted(word for parameter in command.params for word in [*parameter.opts, *parameter.secondary_opts])
        for name, command in commands.items()
    }
    assert found == {name: sorted(words.split()) for name, words in OPTIONS.items()}


def test_options_of_train_are_the_estimators_settings():
    """Every setting of an estimator can be given on the command line."""
    from stepscan.estimators.files import ESTIMATORS

    of_train = {parameter.name for parameter in typer.main.get_command(app).commands["train"].params}
    settings = {name for kind in ESTIMATORS.values() for name in kind().get_params()}
    assert settings - of_train == {"verbose", "checkpoints"}  # --quiet, the other way round; a folder in --out


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
    result = run("train", "--help")
    assert result.code == 0
    words = " ".join(result.out.replace("│", " ").split())
    for expected in (
        "classify|generate|tag|",
        "--train",
        "without it a random tenth is held out (generate: the last)",
        "lstm, gru, elman or transformer; or one a layer: lstm,transformer.",
        "such as 90s, 10m, 1h30m",
        "options go before it",
        "stepscan train classify --train reviews.csv --out model",
        "stepscan train translate --train train.de --train train.en",
        "Defaults depend on the task",
    ):
        assert expected in words, expected
