"""Commands that train: `demo`, `train`, `compare`."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stepscan.cli.arguments import TakesFiles
from stepscan.cli.options import (
    DATA,
    JSON,
    MODEL,
    MOST_SEED,
    OUTPUT,
    TRAINING,
    Task,
    app,
    from_config,
    option,
    reads_data,
    seconds,
)
from stepscan.cli.printing import print_figures, quieten, report
from stepscan.data.lines import check_files
from stepscan.json_text import json_text
from stepscan.terminal import printable

VALID = Annotated[
    list[Path] | None,
    option(DATA, "Validation data; without it a random tenth is held out (generate: the last)."),
]


@app.command()
def demo(
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of the generated data and of training.")] = 0,
    only: Annotated[Task | None, typer.Option(help="One of the four parts.", show_default=False)] = None,
) -> None:
    """Train all four patterns on embedded data (about three minutes) and show what each learned."""
    from stepscan.demo import run

    run(seed=seed, only=only.value if only else None)


@app.command(
    epilog="""[bold]Examples[/bold]

stepscan train classify --train reviews.csv --out model

stepscan train tag --train en-train.conllu --valid en-dev.conllu --out model --cell gru

stepscan train generate --train book.txt --out model --time-budget 10m

stepscan train classify --train TRAIN.ts.gz --out model

stepscan train translate --train train.de --train train.en --valid val.de --valid val.en --out model

Defaults depend on the task: those of stepscan.Classifier, LanguageModel, Tagger and Translator. Sizes, dropout,
batch size, learning rate, its decay and --average-decay are chosen by the size of the data unless they are given; a
line says which values were chosen. Training ends when the validation score has stopped rising. """,
    cls=TakesFiles,
)
@reads_data()
def train(
    task: Annotated[Task, typer.Argument(help="What the model is to do.")],
    train: Annotated[
        list[Path],
        option(
            DATA,
            "Training data: CSV, TSV, JSON Lines, `label text` lines (classify); CoNLL-U or columns (tag); plain "
            "text, a column of a table, or numbers (generate); a table of pairs, or the option twice: source file, "
            "target file (translate). Gzip of any.",
        ),
    ],
    out: Annotated[Path, option(OUTPUT, "Model folder to write.")],
    valid: Annotated[
        list[Path] | None, option(DATA, "Validation data; without it a random tenth is held out (generate: the last).")
    ] = None,
    reading: Any = None,
    cell: Annotated[
        str | None, option(MODEL, "lstm, gru, elman or transformer; or one a layer: lstm,transformer.")
    ] = None,
    layers: Annotated[int | None, option(MODEL, "Cells one above the other.")] = None,
    hidden_size: Annotated[int | None, option(MODEL, "Numbers in a hidden state.")] = None,
    embedding_size: Annotated[int | None, option(MODEL, "Numbers that stand for a symbol.")] = None,
    size: Annotated[
        str | None,
        option(MODEL, "small, medium or large: hidden and embedding sizes × 0.5, 1 or 2; default: medium."),
    ] = None,
    wide: Annotated[
        bool | None,
        option(
            MODEL,
            "classify, tag: add a linear model on fixed features where it helps; default: on.",
            "--wide/--no-wide",
        ),
    ] = None,
    bidirectional: Annotated[
        bool | None, option(MODEL, "classify, tag: read from both ends.", "--bidirectional/--one-direction")
    ] = None,
    decision: Annotated[
        str | None, option(MODEL, "classify: class, labels (several, with commas between) or number.")
    ] = None,
    class_weights: Annotated[
        str | None, option(TRAINING, "classify: none, or balanced: rare classes count as much as frequent ones.")
    ] = None,
    pooling: Annotated[str | None, option(MODEL, "classify: last, mean, max or attention.")] = None,
    attention: Annotated[str | None, option(MODEL, "translate: additive, dot, general, cross or none.")] = None,
    input_feeding: Annotated[
        bool | None, option(MODEL, "translate: feed back what attention found.", "--input-feeding/--no-input-feeding")
    ] = None,
    tied: Annotated[
        bool | None,
        option(
            MODEL,
            "generate: output weights are the embedding's; default: from 2,000 different symbols.",
            "--tied/--not-tied",
        ),
    ] = None,
    character_size: Annotated[int | None, option(MODEL, "tag: numbers a character; 0: no spelling.")] = None,
    spelling_size: Annotated[int | None, option(MODEL, "tag: hidden state of the character encoder.")] = None,
    tokenizer: Annotated[
        str | None, option(MODEL, "classify, generate, translate: word, whitespace, character, byte or bpe.")
    ] = None,
    source_tokenizer: Annotated[
        str | None,
        option(MODEL, "translate: likewise, for a source in other symbols; then --tokenizer is the target's."),
    ] = None,
    vocabulary_size: Annotated[int | None, option(MODEL, "Symbols at most.")] = None,
    lowercase: Annotated[
        bool | None, option(MODEL, "classify, tag: whether words drop case.", "--lowercase/--keep-case")
    ] = None,
    crf: Annotated[bool | None, option(MODEL, "tag: decide all tags of a sentence together.", "--crf/--no-crf")] = None,
    head: Annotated[str | None, option(MODEL, "generate, numbers: gaussian or quantile.")] = None,
    season: Annotated[int | None, option(MODEL, "generate, numbers: steps after which they repeat.")] = None,
    logarithm: Annotated[
        bool | None, option(MODEL, "generate, numbers: learn their logarithms.", "--logarithm/--no-logarithm")
    ] = None,
    step: Annotated[
        str | None,
        option(MODEL, "generate, numbers: time between two steps, such as month; else that of the data."),
    ] = None,
    residual: Annotated[
        bool | None, option(MODEL, "Add what a layer takes to what it gives.", "--residual/--not-residual")
    ] = None,
    initialisation: Annotated[
        str | None, option(MODEL, "Recurrent weights: orthogonal, identity (elman) or chrono (lstm, gru).")
    ] = None,
    t_max: Annotated[int | None, option(MODEL, "chrono: steps of the longest dependency.")] = None,
    forget_bias: Annotated[float | None, option(MODEL, "lstm: the forget gate's first bias.")] = None,
    dropout: Annotated[float | None, option(MODEL, "Probability that a number is dropped in training.")] = None,
    input_noise: Annotated[float | None, option(MODEL, "Noise on numbers in training.")] = None,
    unknown_probability: Annotated[float | None, option(MODEL, "classify, tag: how often a word is hidden.")] = None,
    embeddings: Annotated[
        str | None,
        option(MODEL, "Word vectors to begin with: glove, wordllama, or a file of text, gzip too."),
    ] = None,
    init_from: Annotated[Path | None, option(MODEL, "Model folder whose weights to begin with.")] = None,
    variational: Annotated[
        bool | None, option(MODEL, "Dropout with one mask a sequence.", "--variational/--not-variational")
    ] = None,
    embedding_dropout: Annotated[float | None, option(MODEL, "Probability that a symbol is dropped.")] = None,
    zoneout: Annotated[float | None, option(MODEL, "Probability that a number of the state stays.")] = None,
    weight_drop: Annotated[float | None, option(MODEL, "Probability that a recurrent weight is dropped.")] = None,
    label_smoothing: Annotated[float | None, option(MODEL, "Share of the target spread over all classes.")] = None,
    beam_width: Annotated[int | None, option(MODEL, "translate: hypotheses kept.")] = None,
    length_penalty: Annotated[float | None, option(MODEL, "translate: favours longer ones.")] = None,
    coverage_penalty: Annotated[float | None, option(MODEL, "translate: favours those that leave nothing out.")] = None,
    activation_regularisation: Annotated[
        float | None, option(MODEL, "generate: cost of large outputs of the layers (AR), such as 2; default: 0.")
    ] = None,
    temporal_activation_regularisation: Annotated[
        float | None, option(MODEL, "generate: cost of large changes of them (TAR), such as 1; default: 0.")
    ] = None,
    window: Annotated[int | None, option(TRAINING, "generate: steps that gradients go back.")] = None,
    vary_window: Annotated[
        bool | None,
        option(TRAINING, "generate: windows of other lengths in each pass.", "--vary-window/--same-window"),
    ] = None,
    softmax_samples: Annotated[
        int | None,
        option(
            TRAINING,
            "generate: symbols that each is compared with in training, beside those of its window; 0: all; default: "
            "2,048 of 8,000 or more, else all.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, option(TRAINING, "Passes over the training data at most, 1 or more; default: unlimited.")
    ] = None,
    max_updates: Annotated[
        int | None,
        option(TRAINING, "Weight updates at most, 1 or more; default: by the data's size, at least 2 to 10 passes."),
    ] = None,
    time_budget: Annotated[
        str | None, option(TRAINING, "Time to train, all of which is used, such as 90s, 10m, 1h30m.")
    ] = None,
    refit: Annotated[
        bool | None,
        option(
            TRAINING,
            "Train once more, on training and validation data together, for as many updates as were best; default: "
            "where the data are few and --valid is not given.",
            "--refit/--no-refit",
        ),
    ] = None,
    batch_size: Annotated[int | None, option(TRAINING, "Sequences a batch.")] = None,
    learning_rate: Annotated[float | None, option(TRAINING, "At its highest.")] = None,
    warmup: Annotated[float | None, option(TRAINING, "Share of training in which the learning rate rises.")] = None,
    decay: Annotated[
        float | None,
        option(
            TRAINING, "Share of training, at its end, in which the learning rate falls to 0: 0 to 1; default: 0.25."
        ),
    ] = None,
    weight_decay: Annotated[float | None, option(TRAINING, "Of AdamW.")] = None,
    clip_norm: Annotated[float | None, option(TRAINING, "Largest norm of the gradients.")] = None,
    clip_value: Annotated[float | None, option(TRAINING, "Largest number in a gradient.")] = None,
    average_decay: Annotated[
        float | None, option(TRAINING, "Keep a moving average of the weights, such as 0.999; 0: none.")
    ] = None,
    accumulate: Annotated[int | None, option(TRAINING, "Batches whose gradients make one update.")] = None,
    patience: Annotated[
        int | None, option(TRAINING, "Evaluations without a better score before the learning rate falls; default: 6.")
    ] = None,
    seed: Annotated[int | None, option(TRAINING, "Same seed, same machine: same weights.")] = None,
    device: Annotated[str | None, option(TRAINING, "cpu or cuda.")] = None,
    watch_gradients: Annotated[
        bool | None,
        option(
            TRAINING,
            "Write into the curve how far back gradients reach, and say if they vanish or explode.",
            "--watch-gradients/--no-watch-gradients",
        ),
    ] = None,
    tensorboard: Annotated[Path | None, option(TRAINING, "Folder to write the curve to for TensorBoard, too.")] = None,
    config: Annotated[
        Path | None, option(TRAINING, "TOML file with any of these settings; options go before it.")
    ] = None,
    resume: Annotated[
        bool, option(OUTPUT, "Go on with the training at --out that was interrupted.", "--resume")
    ] = False,
    checkpoint_every: Annotated[
        str | None, option(OUTPUT, "Time between checkpoints, such as 30s, 5m; 60s if not given.")
    ] = None,
    overwrite: Annotated[bool, option(OUTPUT, "Replace a model that is at --out already.", "--overwrite")] = False,
    quiet: Annotated[bool, option(OUTPUT, "No progress.", "--quiet")] = False,
    as_json: JSON = False,
) -> None:
    """Train a model on your own files and write a model folder."""
    given = dict(locals())
    if quiet:
        quieten()
    check_files([*train, *(valid or ())])  # before the seconds that importing torch takes
    from stepscan.estimators.files import train as train_on_files

    not_settings = ("task", "train", "out", "valid", "reading", "config", "resume", "overwrite", "quiet", "as_json")
    names = [n for n in given if n not in not_settings]
    settings = from_config(config, names) | {n: given[n] for n in names if given[n] is not None}
    for name in {"time_budget", "checkpoint_every"} & set(settings):
        settings[name] = seconds(settings[name])
    summary = train_on_files(
        task.value,
        train,
        out,
        valid_files=valid or (),
        settings={**settings, "verbose": not quiet},
        reading=reading,
        overwrite=overwrite,
        resume=resume,
    )
    report(reading.bad_lines)
    print_figures(summary, as_json)


class Equal(Enum):
    parameters = "parameters"
    time = "time"


@app.command(
    epilog="""[bold]Examples[/bold]

stepscan compare classify --train reviews.csv --cells elman,lstm,gru --out comparison

stepscan compare tag --train en.conllu --cells lstm,transformer --equal time --time-budget 5m --out comparison """,
    cls=TakesFiles,
)
@reads_data("skip_bad_lines")
def compare(
    task: Annotated[Task, typer.Argument(help="What the models are to do.")],
    train: Annotated[list[Path], option(DATA, "Training data, as for `stepscan train`.")],
    cells: Annotated[str, option(MODEL, "Cells with commas between: elman,lstm,gru. The first sets the size.")],
    out: Annotated[Path, option(OUTPUT, "New folder for models, comparison.json and curves.png.")],
    equal: Annotated[
        Equal, typer.Option(help="What all cells have the same amount of.", rich_help_panel=MODEL)
    ] = Equal.parameters,
    valid: Annotated[
        list[Path] | None, option(DATA, "Validation data; without it a random tenth is held out (generate: the last).")
    ] = None,
    reading: Any = None,
    layers: Annotated[int | None, option(MODEL, "Cells one above the other.")] = None,
    hidden_size: Annotated[int | None, option(MODEL, "Numbers in a hidden state of the first cell.")] = None,
    epochs: Annotated[int | None, option(TRAINING, "Passes over the data, at most.")] = None,
    time_budget: Annotated[str | None, option(TRAINING, "Time to train each cell, such as 90s, 10m, 1h30m.")] = None,
    batch_size: Annotated[int | None, option(TRAINING, "Sequences a batch.")] = None,
    learning_rate: Annotated[float | None, option(TRAINING, "At its highest.")] = None,
    seed: Annotated[int | None, option(TRAINING, "The same for all cells.")] = None,
    config: Annotated[
        Path | None, option(TRAINING, "TOML file with any setting of `stepscan train`; options go before it.")
    ] = None,
    quiet: Annotated[bool, option(OUTPUT, "No progress.", "--quiet")] = False,
    as_json: JSON = False,
) -> None:
    """Train the same model with several cells, of as many parameters or in as much time, and show them side by side."""
    given = dict(locals())
    if quiet:
        quieten()
    check_files([*train, *(valid or ())])
    from stepscan.estimators import comparison
    from stepscan.estimators.base import ESTIMATORS

    names = ("layers", "hidden_size", "epochs", "time_budget", "batch_size", "learning_rate", "seed")
    settings = from_config(config, ESTIMATORS[task.value]().get_params())
    settings |= {name: given[name] for name in names if given[name] is not None}
    if "time_budget" in settings:
        settings["time_budget"] = seconds(settings["time_budget"])
    rows = comparison.compare(
        task.value,
        train,
        out,
        cells=[cell.strip() for cell in cells.split(",")],
        equal=equal.value,
        valid_files=valid or (),
        settings={**settings, "verbose": not quiet},
        reading=reading,
        note=lambda text: None if quiet else print(printable(text), file=sys.stderr),
    )
    if as_json:
        print("\n".join(map(json_text, rows)))
    else:
        comparison.show(rows, Console())
        print(f"Learning curves: {out / 'curves.png'}")
