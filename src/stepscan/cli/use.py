"""Commands that use a model: `evaluate`, `predict`, `generate`, `average`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Any

import typer

from stepscan.cli.arguments import check_output, check_texts
from stepscan.cli.loading import load
from stepscan.cli.options import JSON, OUTPUT, WITH, app, option, reads_data
from stepscan.cli.printing import as_forecast_line, as_lines, is_terminal, print_figures, report
from stepscan.errors import STANDARD, ModelFormatError, SettingsError
from stepscan.json_text import json_text
from stepscan.machine import cores
from stepscan.terminal import printable


@app.command(epilog="Example: stepscan evaluate model test.conllu")
@reads_data()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    files: Annotated[
        list[Path], typer.Argument(help="Data with the right answers, as for training; -: standard input.")
    ],
    reading: Any,
    per_line: Annotated[
        bool, typer.Option("--per-line", help="Instead: the log-probability of each text or right answer.")
    ] = False,
    dynamic: Annotated[
        float, typer.Option(help="generate: also score a model that goes on learning, at this rate, such as 0.001.")
    ] = 0.0,
    horizon: Annotated[
        int, typer.Option(min=0, help="generate, numbers: forecast so many last steps at once; 0: each, one ahead.")
    ] = 0,
    bleu_tokenize: Annotated[
        str | None,
        typer.Option(
            help="translate: sacreBLEU's tokenizer for BLEU, such as 13a, zh, ja-mecab or char; by default chosen by "
            "what the target is written in.",
            show_default=False,
        ),
    ] = None,
    with_: WITH = None,
    as_json: JSON = False,
) -> None:
    """Score a model on a file: accuracy, F1 of spans, perplexity or BLEU, whichever its task is judged by."""
    from stepscan.data.lines import check_files
    from stepscan.runtime import files as used

    if per_line and (dynamic or horizon or bleu_tokenize):
        raise SettingsError("--per-line gives log-probabilities alone; omit --dynamic, --horizon and --bleu-tokenize")
    if dynamic and with_:
        raise SettingsError("dynamic evaluation is of one model, not of an ensemble")
    check_files(files)
    found = load(model, with_ or (), needs="dynamic evaluation goes on training" if dynamic else "", threads=cores())
    if per_line:
        for row in used.evaluate_lines(found, files, reading=reading):
            print(json_text(row) if as_json else f"{row['log_probability']:.4f}\t{row['symbols']}")
        report(reading.bad_lines)
        return
    figures = used.evaluate(
        found, files, reading=reading, dynamic=dynamic, horizon=horizon, bleu_tokenize=bleu_tokenize
    )
    report(reading.bad_lines)
    print_figures(figures, as_json)


@app.command(epilog="Example: stepscan predict model 'not a bad film at all'")
@reads_data("label_column", "target_column", "field", "tag_column", "skip_bad_lines")
def predict(
    model: Annotated[Path, typer.Argument(help="Model folder of a classifier, tagger or translator.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; none, or -: --input, or standard input.")] = None,
    input: Annotated[
        Path | None,
        typer.Option(help="File of texts, one a line; for a tagger CoNLL-U, columns or text; -: stdin."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File to write, whole or not at all; -: standard output.")] = None,
    n_best: Annotated[int, typer.Option(help="translate: how many translations, shown with --json.")] = 1,
    beam_width: Annotated[int | None, typer.Option(help="translate: hypotheses kept.", show_default=False)] = None,
    prefix: Annotated[str, typer.Option(help="translate: how every translation begins.")] = "",
    length_penalty: Annotated[
        float | None, typer.Option(help="translate: favours longer ones.", show_default=False)
    ] = None,
    coverage_penalty: Annotated[
        float | None, typer.Option(help="translate: favours those that leave nothing out.", show_default=False)
    ] = None,
    minimum_length: Annotated[int, typer.Option(help="translate: fewest symbols.")] = 0,
    maximum_length: Annotated[int | None, typer.Option(help="translate: most symbols.", show_default=False)] = None,
    reading: Any = None,
    with_: WITH = None,
    as_json: JSON = False,
) -> None:
    """Say what a model thinks: the class, the tags or the translation of each text."""
    from stepscan.data.line_writer import write_chunks
    from stepscan.runtime import files as used

    if texts and input:
        raise SettingsError("texts come from the command line or from --input, not from both")
    check_texts(texts or ())
    if output is not None:
        check_output(output, [model, *(with_ or ()), *([input] if input else [])])
    if texts in (None, [], [STANDARD]):
        texts, input = [], input or Path(STANDARD)
    elif given := reading.non_default():
        raise SettingsError(f"{', '.join(given)}: for files, from --input; a text given here is taken as it is")
    settings = {"beam_width": beam_width, "length_penalty": length_penalty, "coverage_penalty": coverage_penalty}
    limits = {"n_best": n_best, "minimum_length": minimum_length, "maximum_length": maximum_length, "prefix": prefix}
    not_given = {"n_best": 1, "minimum_length": 0, "maximum_length": None, "prefix": ""}
    found = load(model, with_ or (), threads=cores())
    if found.task == "generate":
        raise SettingsError(f"{model} holds a language model: use `stepscan generate`, or `stepscan evaluate`")
    portions = used.predict(
        found,
        texts or (),
        input_file=input,
        reading=reading,
        of_translation={name: value for name, value in limits.items() if value != not_given[name]},
        settings={name: value for name, value in settings.items() if value is not None},
    )
    show = printable if output is None and is_terminal() else str

    def lines_of(row: dict[str, Any]) -> list[str]:
        return [json_text(row)] if as_json else as_lines(row, show)

    lines = (itertools.chain.from_iterable(map(lines_of, rows)) for rows in portions)
    write_chunks(output or STANDARD, lines)


@app.command(epilog="Example: stepscan generate model --prompt 'ROMEO:' --length 300 --temperature 0.8 --seed 1")
@reads_data(only=("format", "time_column", "series_column", "ignore_time", "sort", "fill", "day_first"))
def generate(
    model: Annotated[Path, typer.Argument(help="Model folder of a language model.")],
    prompt: Annotated[str, typer.Option(help="How the text begins; -: read it from standard input.")] = "",
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
    history: Annotated[
        Path | None,
        typer.Option(help="Numbers: file of what was; CSV of numbers, .npy; -: standard input.", show_default=False),
    ] = None,
    interval: Annotated[float, typer.Option(help="Numbers: share of outcomes between low and high.")] = 0.9,
    paths: Annotated[int, typer.Option(min=1, help="Numbers: simulations that a forecast is made of.")] = 500,
    reading: Any = None,
    with_: WITH = None,
    as_json: JSON = False,
) -> None:
    """Write on from a prompt with a language model; or forecast numbers: median, low and high of each step."""
    if history is not None:
        given: dict[str, object] = {
            "prompt": prompt,
            "with": with_,
            "stop": stop,
            "forbid": forbid,
            "allow": allow,
            "top-k": top_k,
        }
        given |= {"temperature": temperature != 1, "top-p": top_p != 1, "min-p": min_p}
        given |= {"repetition-penalty": repetition_penalty != 1}
        if of_text := [f"--{name}" for name, value in given.items() if value]:
            raise SettingsError(f"{', '.join(of_text)}: for models of text; a forecast goes on from --history alone")
        from stepscan.runtime.files import forecasts

        forecaster = load(model, needs="forecasts have no native kernel")
        _check_writes(model, forecaster)
        for row in forecasts(forecaster, history, length, reading=reading, interval=interval, paths=paths, seed=seed):
            print(json_text(row) if as_json else as_forecast_line(row))
        return
    if asked := reading.non_default():
        raise SettingsError(f"{', '.join(asked)}: for forecasts of numbers, from --history")
    if (interval, paths) != (0.9, 500):
        raise SettingsError("--interval and --paths are for forecasts of numbers, from --history")
    check_texts([prompt], 'the prompt itself, such as --prompt "$(cat FILE)"')
    writer = load(model, with_ or ())
    _check_writes(model, writer)
    if prompt == STANDARD:
        from stepscan.data.lines import read_text

        prompt = read_text(STANDARD).removesuffix("\n")
    text = writer.generate(
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
    show = printable if is_terminal() else str
    print(json_text({"prompt": prompt, "text": text}) if as_json else show(text))


def _check_writes(path: Path, model: Any) -> None:
    if model.task != "generate":
        raise ModelFormatError(f"{path} holds a {type(model).__name__}, not a LanguageModel; use stepscan.load")


@app.command(epilog="Example: stepscan average model-1 model-2 --out model")
def average(
    models: Annotated[list[Path], typer.Argument(help="Model folders of one shape that began alike.")],
    out: Annotated[Path, option(OUTPUT, "Model folder to write.")],
    overwrite: Annotated[bool, option(OUTPUT, "Replace a model that is at --out already.", "--overwrite")] = False,
) -> None:
    """Write a model whose weights are the mean of those of several, such as fine-tuned versions of one model."""
    from stepscan.estimators.files import average_folders

    average_folders(models, out, overwrite=overwrite)
