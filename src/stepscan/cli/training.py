"""Commands that train: `demo`, `train`, `compare`.

Without postponed annotations, since those of `stepscan train TASK` name local variables.
"""

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stepscan.cli.arguments import Tasks
from stepscan.cli.options import (
    CONFIG,
    JSON,
    OUT,
    OVERWRITE,
    QUIET,
    VALID,
    Program,
    Task,
    app,
    option,
    parameter,
    parse_settings,
    read_settings,
    with_options,
    with_reading_options,
)
from stepscan.cli.output import hide_notes, print_figures, report
from stepscan.cli.processes import in_processes
from stepscan.data.lines import check_files
from stepscan.json_text import json_text
from stepscan.options import DATA, MODEL, MOST_SEED, OUTPUT, TASKS, settings_of
from stepscan.terminal import printable

_COMPARED_SETTINGS = ("layers", "hidden_size", "epochs", "time_budget", "batch_size", "learning_rate", "seed")


@app.command()
def demo(
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Random seed of generated data and training.")] = 0,
    only: Annotated[
        str | None, typer.Option(help="One part: classify, generate, tag or translate.", show_default="all")
    ] = None,
) -> None:
    """Train all four patterns on embedded data (about three minutes) and show what each learned."""
    from stepscan.demo import run

    run(seed=seed, only=only)


train = Program(
    cls=Tasks,
    help="Train a model on your own files and write a model folder.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(train, name="train")

_TASK_HELP = {  # task → what the command does, its data, examples
    "classify": (
        "Train a classifier of texts or series: one class, several labels, or a number.",
        "CSV, TSV, JSON Lines or `label text` lines; series: .ts, .npy, UCR text or CSV of numbers. Gzip of any.",
        ("--train reviews.csv --out model", "--train TRAIN.ts.gz --out model"),
    ),
    "tag": (
        "Train a tagger: a tag for each token of a sentence, or for each step of a series.",
        "CoNLL-U, or columns with blank lines between sentences; series with a column of tags. Gzip of any.",
        ("--train en-train.conllu --valid en-dev.conllu --out model --cell gru",),
    ),
    "generate": (
        "Train a language model, which generates text.",
        "Plain text, or a table with a column of texts. Gzip of either.",
        ("--train book.txt --out model --time-budget 10m",),
    ),
    "forecast": (
        "Train a forecaster of series of numbers.",
        "CSV of numbers, .npy or .ts; gzip of any.",
        ("--train airline.csv --out model --seasonal-period 12 --log-transform",),
    ),
    "translate": (
        "Train a translator, or any other model from sequence to sequence.",
        "A table of pairs, or the option twice: source file, target file. Gzip of any.",
        ("--train train.de --train train.en --valid val.de --valid val.en --out model",),
    ),
}


def _command(task: str) -> None:
    """`stepscan train TASK`, with the options of the task."""
    options = TASKS[task]
    description, data, examples = _TASK_HELP[task]
    settings = [parameter(one) for one in settings_of(options).values() if one.option.group]

    @with_options("settings", settings, lambda chosen: parse_settings(chosen, options))
    @with_reading_options(task=task)
    def run(
        train: Annotated[list[Path], option(DATA, f"Training data: {data}")],
        out: OUT,
        valid: VALID = None,
        reading: Any = None,
        settings: Any = None,
        config: CONFIG = None,
        resume: Annotated[
            bool, option(OUTPUT, "Resume the interrupted training at --out from its newest checkpoint.", "--resume")
        ] = False,
        overwrite: OVERWRITE = False,
        quiet: QUIET = False,
        as_json: JSON = False,
    ) -> None:
        if quiet:
            hide_notes()
        settings = {**parse_settings(read_settings(config, options), options), **settings}
        settings = in_processes(settings, [*train, *(valid or ())], out)
        from stepscan.estimators.files import train as train_on_files

        summary = train_on_files(
            task,
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

    run.__doc__ = description
    lines = "\n\n".join(f"stepscan train {task} {example}" for example in examples)
    epilog = f"[bold]Examples[/bold]\n\n{lines}\n\nTraining ends once the validation score stops rising."
    train.command(task, epilog=epilog)(run)


for _task in TASKS:
    _command(_task)


class Equal(Enum):
    parameters = "parameters"
    time = "time"


@app.command(
    epilog="""[bold]Examples[/bold]

stepscan compare classify --train reviews.csv --cells elman,lstm,gru --out comparison

stepscan compare tag --train en.conllu --cells lstm,transformer --equal time --time-budget 5m --out comparison """
)
@with_options(
    "settings",
    [parameter(settings_of(TASKS["classify"])[name], shows_default=False) for name in _COMPARED_SETTINGS],
    dict,
)
@with_reading_options("skip_bad_lines")
def compare(
    task: Annotated[Task, typer.Argument(help="Task of the models.")],
    train: Annotated[list[Path], option(DATA, "Training data, as for `stepscan train`.")],
    cells: Annotated[str, option(MODEL, "Cells, separated by commas: elman,lstm,gru. The first sets the size.")],
    out: Annotated[Path, option(OUTPUT, "New folder for models, comparison.json and curves.png.")],
    equal: Annotated[
        Equal, typer.Option(help="What to hold equal across cells: parameters or time.", rich_help_panel=MODEL)
    ] = Equal.parameters,
    valid: VALID = None,
    reading: Any = None,
    settings: Any = None,
    config: CONFIG = None,
    quiet: QUIET = False,
    as_json: JSON = False,
) -> None:
    """Train the same model with several cells, at equal parameters or in equal time, and compare them."""
    if quiet:
        hide_notes()
    check_files([*train, *(valid or ())])
    options = TASKS[task.value]
    settings = parse_settings({**read_settings(config, options), **settings}, options)
    from stepscan.estimators import comparison

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
