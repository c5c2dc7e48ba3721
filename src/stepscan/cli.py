"""The command line: parsing only; each command calls one public function."""

from __future__ import annotations

import io
import json
import re
import sys
import warnings
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from stepscan import __version__
from stepscan.errors import Interrupted, SettingsError, StepscanError, nearest

app = typer.Typer(
    name="stepscan",
    help="Sequence models you train as a scan and ship as a step: classify, tag, generate, translate.\n\n"
    "Start with: stepscan demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"stepscan {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


class Task(Enum):
    classify = "classify"
    generate = "generate"
    tag = "tag"
    translate = "translate"


_OF_TRAINING = {"torch", "sklearn", "pydantic", "sacrebleu"}  # what the extra `train` installs
DATA, MODEL, TRAINING, OUTPUT = "Data", "Model", "Training", "Output"
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object a line on standard output.")]
FORMAT = Annotated[
    str | None,
    typer.Option(
        help="Format, where the file's name does not say it: csv, tsv, jsonl, lines, conllu, columns; "
        "of numbers: ts, npy, ucr, numbers (CSV).",
        rich_help_panel=DATA,
    ),
]
TEXT_COLUMN = Annotated[
    str | None,
    typer.Option(help="Column with the text: a name, or a number from 1 if there is no header.", rich_help_panel=DATA),
]
LABEL_COLUMN = Annotated[str | None, typer.Option(help="Column with the label, likewise.", rich_help_panel=DATA)]
SKIP = Annotated[
    bool,
    typer.Option("--skip-bad-lines", help="Skip bad lines, count and report them.", rich_help_panel=DATA),
]
FIELD = Annotated[str, typer.Option(help="tag: which CoNLL-U field is the tag: upos, xpos, …", rich_help_panel=DATA)]


def _option(panel: str, text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=False)


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Seed of the generated data and of training.")] = 0,
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

Defaults depend on the task: those of stepscan.Classifier, LanguageModel, Tagger and Translator. """
)
def train(
    task: Annotated[Task, typer.Argument(help="What the model is to do.")],
    train: Annotated[
        list[Path],
        _option(
            DATA,
            "Training data: CSV, TSV, JSON Lines, `label text` lines (classify); CoNLL-U or columns (tag); plain "
            "text (generate); a .tsv of two columns, or the option twice: source file, target file (translate). "
            "Gzip of any.",
        ),
    ],
    out: Annotated[Path, _option(OUTPUT, "Model folder to write.")],
    valid: Annotated[
        list[Path] | None, _option(DATA, "Validation data; without it the last tenth is held out.")
    ] = None,
    format: FORMAT = None,
    text_column: TEXT_COLUMN = None,
    label_column: LABEL_COLUMN = None,
    skip_bad_lines: SKIP = False,
    field: FIELD = "upos",
    cell: Annotated[
        str | None, _option(MODEL, "lstm, gru, elman or transformer; or one a layer: lstm,transformer.")
    ] = None,
    layers: Annotated[int | None, _option(MODEL, "Cells one above the other.")] = None,
    hidden_size: Annotated[int | None, _option(MODEL, "Numbers in a hidden state.")] = None,
    embedding_size: Annotated[int | None, _option(MODEL, "Numbers that stand for a symbol.")] = None,
    bidirectional: Annotated[
        bool | None, _option(MODEL, "classify, tag: read from both ends.", "--bidirectional/--one-direction")
    ] = None,
    pooling: Annotated[str | None, _option(MODEL, "classify: last, mean, max or attention.")] = None,
    attention: Annotated[str | None, _option(MODEL, "translate: additive, dot, general or none.")] = None,
    input_feeding: Annotated[
        bool | None, _option(MODEL, "translate: feed back what attention found.", "--input-feeding/--no-input-feeding")
    ] = None,
    tied: Annotated[
        bool | None, _option(MODEL, "generate: output weights are the embedding's.", "--tied/--not-tied")
    ] = None,
    character_size: Annotated[int | None, _option(MODEL, "tag: numbers a character; 0: no spelling.")] = None,
    spelling_size: Annotated[int | None, _option(MODEL, "tag: hidden state of the character encoder.")] = None,
    tokenizer: Annotated[
        str | None, _option(MODEL, "classify, generate, translate: word, whitespace, character, byte or bpe.")
    ] = None,
    source_tokenizer: Annotated[
        str | None,
        _option(MODEL, "translate: likewise, for a source in other symbols; then --tokenizer is the target's."),
    ] = None,
    vocabulary_size: Annotated[int | None, _option(MODEL, "Symbols at most.")] = None,
    lowercase: Annotated[
        bool | None, _option(MODEL, "classify, tag: whether words drop case.", "--lowercase/--keep-case")
    ] = None,
    crf: Annotated[
        bool | None, _option(MODEL, "tag: decide all tags of a sentence together.", "--crf/--no-crf")
    ] = None,
    dropout: Annotated[float | None, _option(MODEL, "Probability that a number is dropped in training.")] = None,
    input_noise: Annotated[float | None, _option(MODEL, "classify, tag: noise on numbers in training.")] = None,
    unknown_probability: Annotated[float | None, _option(MODEL, "classify, tag: how often a word is hidden.")] = None,
    embeddings: Annotated[
        Path | None, _option(MODEL, "Word vectors to begin with: GloVe's or word2vec's text, gzip too.")
    ] = None,
    init_from: Annotated[Path | None, _option(MODEL, "Model folder whose weights to begin with.")] = None,
    variational: Annotated[
        bool | None, _option(MODEL, "Dropout with one mask a sequence.", "--variational/--not-variational")
    ] = None,
    embedding_dropout: Annotated[float | None, _option(MODEL, "Probability that a symbol is dropped.")] = None,
    zoneout: Annotated[float | None, _option(MODEL, "Probability that a number of the state stays.")] = None,
    weight_drop: Annotated[float | None, _option(MODEL, "Probability that a recurrent weight is dropped.")] = None,
    label_smoothing: Annotated[float | None, _option(MODEL, "Share of the target spread over all classes.")] = None,
    beam_width: Annotated[int | None, _option(MODEL, "translate: hypotheses kept.")] = None,
    length_penalty: Annotated[float | None, _option(MODEL, "translate: favours longer ones.")] = None,
    window: Annotated[int | None, _option(TRAINING, "generate: steps that gradients go back.")] = None,
    epochs: Annotated[int | None, _option(TRAINING, "Passes over the data, at most.")] = None,
    time_budget: Annotated[str | None, _option(TRAINING, "Time to train at most, such as 90s, 10m, 1h30m.")] = None,
    batch_size: Annotated[int | None, _option(TRAINING, "Sequences a batch.")] = None,
    learning_rate: Annotated[float | None, _option(TRAINING, "At its highest.")] = None,
    warmup: Annotated[float | None, _option(TRAINING, "Share of training in which the learning rate rises.")] = None,
    weight_decay: Annotated[float | None, _option(TRAINING, "Of AdamW.")] = None,
    clip_norm: Annotated[float | None, _option(TRAINING, "Largest norm of the gradients.")] = None,
    average_decay: Annotated[
        float | None, _option(TRAINING, "Keep a moving average of the weights, such as 0.999; 0: none.")
    ] = None,
    accumulate: Annotated[int | None, _option(TRAINING, "Batches whose gradients make one update.")] = None,
    patience: Annotated[int | None, _option(TRAINING, "Evaluations without a better score before it stops.")] = None,
    seed: Annotated[int | None, _option(TRAINING, "Same seed, same machine: same weights.")] = None,
    device: Annotated[str | None, _option(TRAINING, "cpu or cuda.")] = None,
    config: Annotated[
        Path | None, _option(TRAINING, "TOML file with any of these settings; options go before it.")
    ] = None,
    resume: Annotated[
        bool, _option(OUTPUT, "Go on with the training at --out that was interrupted.", "--resume")
    ] = False,
    checkpoint_every: Annotated[
        str | None, _option(OUTPUT, "Time between checkpoints, such as 30s, 5m; 60s if not given.")
    ] = None,
    overwrite: Annotated[bool, _option(OUTPUT, "Replace a model that is at --out already.", "--overwrite")] = False,
    quiet: Annotated[bool, _option(OUTPUT, "No progress.", "--quiet")] = False,
    as_json: JSON = False,
) -> None:
    """Train a model on your own files and write a model folder."""
    given = dict(locals())
    from stepscan.estimators.files import Reading
    from stepscan.estimators.files import train as train_on_files

    not_settings = (
        "task",
        "train",
        "out",
        "valid",
        "format",
        "text_column",
        "label_column",
        "field",
        "config",
        "skip_bad_lines",
    )
    names = [n for n in given if n not in (*not_settings, "resume", "overwrite", "quiet", "as_json")]
    settings = _from_config(config, names) | {n: given[n] for n in names if given[n] is not None}
    for name in {"time_budget", "checkpoint_every"} & set(settings):
        settings[name] = _seconds(settings[name])
    bad_lines = _bad_lines(skip_bad_lines)
    summary = train_on_files(
        task.value,
        train,
        out,
        valid_files=valid or (),
        settings={**settings, "verbose": not quiet},
        reading=Reading(format, text_column, label_column, field, bad_lines),
        overwrite=overwrite,
        resume=resume,
    )
    _report(bad_lines)
    _print_figures(summary, as_json)


class Equal(Enum):
    parameters = "parameters"
    time = "time"


@app.command(
    epilog="""[bold]Examples[/bold]

stepscan compare classify --train reviews.csv --cells elman,lstm,gru --out comparison

stepscan compare tag --train en.conllu --cells lstm,transformer --equal time --time-budget 5m --out comparison """
)
def compare(
    task: Annotated[Task, typer.Argument(help="What the models are to do.")],
    train: Annotated[list[Path], _option(DATA, "Training data, as for `stepscan train`.")],
    cells: Annotated[str, _option(MODEL, "Cells with commas between: elman,lstm,gru. The first sets the size.")],
    out: Annotated[Path, _option(OUTPUT, "New folder for models, comparison.json and curves.png.")],
    equal: Annotated[
        Equal, typer.Option(help="What all cells have the same amount of.", rich_help_panel=MODEL)
    ] = Equal.parameters,
    valid: Annotated[
        list[Path] | None, _option(DATA, "Validation data; without it the last tenth is held out.")
    ] = None,
    format: FORMAT = None,
    text_column: TEXT_COLUMN = None,
    label_column: LABEL_COLUMN = None,
    field: FIELD = "upos",
    layers: Annotated[int | None, _option(MODEL, "Cells one above the other.")] = None,
    hidden_size: Annotated[int | None, _option(MODEL, "Numbers in a hidden state of the first cell.")] = None,
    epochs: Annotated[int | None, _option(TRAINING, "Passes over the data, at most.")] = None,
    time_budget: Annotated[str | None, _option(TRAINING, "Time to train each cell, such as 90s, 10m, 1h30m.")] = None,
    batch_size: Annotated[int | None, _option(TRAINING, "Sequences a batch.")] = None,
    learning_rate: Annotated[float | None, _option(TRAINING, "At its highest.")] = None,
    seed: Annotated[int | None, _option(TRAINING, "The same for all cells.")] = None,
    config: Annotated[
        Path | None, _option(TRAINING, "TOML file with any setting of `stepscan train`; options go before it.")
    ] = None,
    quiet: Annotated[bool, _option(OUTPUT, "No progress.", "--quiet")] = False,
    as_json: JSON = False,
) -> None:
    """Train the same model with several cells, of as many parameters or in as much time, and show them side by side."""
    given = dict(locals())
    from stepscan.estimators import comparison
    from stepscan.estimators.base import ESTIMATORS
    from stepscan.estimators.files import Reading

    names = ("layers", "hidden_size", "epochs", "time_budget", "batch_size", "learning_rate", "seed")
    settings = _from_config(config, ESTIMATORS[task.value]().get_params())
    settings |= {name: given[name] for name in names if given[name] is not None}
    if "time_budget" in settings:
        settings["time_budget"] = _seconds(settings["time_budget"])
    rows = comparison.compare(
        task.value,
        train,
        out,
        cells=[cell.strip() for cell in cells.split(",")],
        equal=equal.value,
        valid_files=valid or (),
        settings={**settings, "verbose": not quiet},
        reading=Reading(format, text_column, label_column, field),
        note=lambda text: None if quiet else print(text, file=sys.stderr),
    )
    if as_json:
        print("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    else:
        comparison.show(rows, Console())
        print(f"Learning curves: {out / 'curves.png'}")


@app.command(epilog="Example: stepscan evaluate model test.conllu")
def evaluate(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    files: Annotated[
        list[Path], typer.Argument(help="Data with the right answers, in the format of the training data.")
    ],
    format: FORMAT = None,
    text_column: TEXT_COLUMN = None,
    label_column: LABEL_COLUMN = None,
    skip_bad_lines: SKIP = False,
    field: FIELD = "upos",
    per_line: Annotated[
        bool, typer.Option("--per-line", help="Instead: the log-probability of each text or right answer.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Score a model on a file: accuracy, F1 of spans, perplexity or BLEU, whichever its task is judged by."""
    from stepscan.estimators.files import Reading, evaluate_lines
    from stepscan.estimators.files import evaluate as evaluate_files

    bad_lines = _bad_lines(skip_bad_lines)
    reading = Reading(format, text_column, label_column, field, bad_lines)
    if per_line:
        for row in evaluate_lines(model, files, reading=reading):
            print(json.dumps(row) if as_json else f"{row['log_probability']:.4f}\t{row['symbols']}")
        _report(bad_lines)
        return
    figures = evaluate_files(model, files, reading=reading)
    _report(bad_lines)
    _print_figures(figures, as_json)


@app.command(epilog="Example: stepscan predict model 'not a bad film at all'")
def predict(
    model: Annotated[Path, typer.Argument(help="Model folder of a classifier, tagger or translator.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; none: --input, or standard input.")] = None,
    input: Annotated[
        Path | None, typer.Option(help="File of texts, one a line; for a tagger CoNLL-U, columns or text.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File to write, whole or not at all.")] = None,
    n_best: Annotated[int, typer.Option(help="translate: how many translations, shown with --json.")] = 1,
    beam_width: Annotated[int | None, typer.Option(help="translate: hypotheses kept.", show_default=False)] = None,
    length_penalty: Annotated[
        float | None, typer.Option(help="translate: favours longer ones.", show_default=False)
    ] = None,
    minimum_length: Annotated[int, typer.Option(help="translate: fewest symbols.")] = 0,
    maximum_length: Annotated[int | None, typer.Option(help="translate: most symbols.", show_default=False)] = None,
    format: FORMAT = None,
    text_column: TEXT_COLUMN = None,
    as_json: JSON = False,
) -> None:
    """Say what a model thinks: the class, the tags or the translation of each text."""
    from stepscan.data.lines import write_lines
    from stepscan.estimators.files import Reading
    from stepscan.estimators.files import predict as predict_files

    if texts and input:
        raise SettingsError("texts come from the command line or from --input, not from both")
    if not texts and input is None:
        texts = [line.rstrip("\n") for line in sys.stdin]
    given = {"beam_width": beam_width, "length_penalty": length_penalty}
    rows = predict_files(
        model,
        texts or (),
        input_file=input,
        reading=Reading(format, text_column),
        n_best=n_best,
        lengths=(minimum_length, maximum_length),
        settings={name: value for name, value in given.items() if value is not None},
    )
    lines = (line for row in rows for line in ([json.dumps(row, ensure_ascii=False)] if as_json else _as_lines(row)))
    if output:
        write_lines(output, lines)
    else:
        for line in lines:
            print(line)


@app.command(epilog="Example: stepscan generate model --prompt 'ROMEO:' --length 300 --temperature 0.8 --seed 1")
def generate(
    model: Annotated[Path, typer.Argument(help="Model folder of a language model.")],
    prompt: Annotated[str, typer.Option(help="How the text begins.")] = "",
    length: Annotated[int, typer.Option(min=0, help="Symbols to generate.")] = 500,
    temperature: Annotated[
        float, typer.Option(help="Below 1 more cautious, above 1 bolder; 0: always the likeliest.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option(help="Choose among the k likeliest; 0: among all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Choose among the likeliest that together have this probability.")] = 1.0,
    min_p: Annotated[float, typer.Option(help="Choose among those this likely relative to the likeliest.")] = 0.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1: what was said is said less.")] = 1.0,
    stop: Annotated[list[str] | None, typer.Option(help="Text that ends it; may be given again.")] = None,
    forbid: Annotated[list[str] | None, typer.Option(help="Symbol never written; may be given again.")] = None,
    allow: Annotated[list[str] | None, typer.Option(help="Only these symbols; may be given again.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same text.", show_default=False)] = None,
    as_json: JSON = False,
) -> None:
    """Write on from a prompt with a language model."""
    from stepscan.estimators.language_model import LanguageModel

    text = LanguageModel.load(model).generate(
        prompt,
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        stop=stop or (),
        forbidden=forbid or (),
        allowed=allow or (),
        seed=seed,
    )
    print(json.dumps({"prompt": prompt, "text": text}, ensure_ascii=False) if as_json else text)


@app.command(epilog="Example: stepscan reproduce g2p-dutch --data ../shared/data --seed 0")
def reproduce(
    name: Annotated[
        str | None, typer.Argument(help="A recipe, or a .toml file of your own; none: list the recipes.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with the published data; else STEPSCAN_DATA, or ../shared/data.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Model folder to write; without it no model is kept.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the training.")] = 0,
    time_budget: Annotated[str | None, _option(TRAINING, "In place of the recipe's: 90s, 10m, 1h30m.")] = None,
    overwrite: Annotated[bool, _option(OUTPUT, "Replace a model that is at --out already.", "--overwrite")] = False,
    quiet: Annotated[bool, _option(OUTPUT, "No progress.", "--quiet")] = False,
    as_json: JSON = False,
) -> None:
    """Make a row of a published table, from data to score, and print it beside what others published."""
    from stepscan.estimators import recipe, reproduction

    if name is None:
        rows = recipe.list_recipes()
        if as_json:
            print("\n".join(json.dumps(row.model_dump(), ensure_ascii=False) for row in rows))
        else:
            reproduction.show_recipes(rows, Console())
        return
    row = reproduction.reproduce(
        name,
        data=data,
        out=out,
        seed=seed,
        time_budget=None if time_budget is None else _seconds(time_budget),
        overwrite=overwrite,
        verbose=not quiet,
    )
    if as_json:
        print(json.dumps(row, ensure_ascii=False))
    else:
        reproduction.show(row, Console())


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 an error in words, 2 wrong usage, 130 interrupted."""
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "strict")):
        if isinstance(stream, io.TextIOWrapper):  # what is not UTF-8 is found, and said, where the texts are checked
            stream.reconfigure(encoding="utf-8", errors=errors)
    warnings.showwarning = lambda message, *_, **__: _say("[bold yellow]warning:[/bold yellow]", message)
    try:
        app()
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(128 + interrupted.signal)
    except StepscanError as error:
        _say("[bold red]error:[/bold red]", error)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _OF_TRAINING:
            raise
        _say("[bold red]error:[/bold red]", f"this needs {error.name}: pip install 'stepscan[train]'")
        sys.exit(1)
    except OSError as error:  # a full disk or a closed pipe under standard output
        _say("[bold red]error:[/bold red]", f"cannot write: {error.strerror or error}")
        sys.exit(1)
    except SystemExit as end:
        if end.code == 130:  # typer's, for an interrupt
            print("interrupted; nothing was written", file=sys.stderr)
        raise


def _say(what: str, message: object) -> None:
    Console(stderr=True).print(f"{what} {escape(str(message))}", highlight=False, soft_wrap=True)


def _bad_lines(wanted: bool) -> Any:
    from stepscan.data.bad_lines import BadLines

    return BadLines() if wanted else None


def _report(bad_lines: Any) -> None:
    """What was skipped, on standard error."""
    if bad_lines and bad_lines.counts:
        _say("[bold yellow]warning:[/bold yellow]", bad_lines.report())


def _print_figures(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, ensure_ascii=False))
        return
    for name, value in figures.items():
        if name == "types":  # of spans: a line each
            value = "".join(f"\n  {kind:<18}{_in_a_line(of_kind)}" for kind, of_kind in value.items())
        print(f"{name:<16} {value:.4f}" if isinstance(value, float) else f"{name:<16} {value}".rstrip())


def _in_a_line(figures: dict[str, Any]) -> str:
    return " · ".join(f"{n} {v:.4f}" if isinstance(v, float) else f"{n} {v}" for n, v in figures.items())


def _as_lines(row: dict[str, Any]) -> list[str]:
    """What `predict` says of a text: one line, or for a tagger one a token and a blank one."""
    if "tags" in row:
        return [*(f"{token}\t{tag}" for token, tag in zip(row["tokens"], row["tags"], strict=True)), ""]
    said = row["translation"] if "translation" in row else f"{row['label']}\t{row['probability']:.4f}\t{_name(row)}"
    return [re.sub(r"[\r\n]+", " ", said)]


def _name(row: dict[str, Any]) -> str:
    return row["text"] if "text" in row else f"series {row['series']}"


def _from_config(path: Path | None, names: Iterable[str]) -> dict[str, Any]:
    """Settings out of a TOML file, whose keys are the options' names."""
    if path is None:
        return {}
    import tomllib

    from stepscan.data.lines import read_text

    try:
        found = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    known = set(names)
    for key in found:
        if key.replace("-", "_") not in known:
            raise SettingsError(f"{path}: unknown setting {key!r}.{nearest(key.replace('-', '_'), known)}")
    return {key.replace("-", "_"): value for key, value in found.items()}


def _seconds(text: str | float) -> float:
    """`90`, `90s`, `10m` or `1h30m` in seconds."""
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", str(text).strip())
    if not parts or not any(parts.groups()):
        raise SettingsError(f"a time is written like 90s, 10m or 1h30m, got {text!r}")
    hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds
