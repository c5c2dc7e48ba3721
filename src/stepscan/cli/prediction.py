"""Commands that use a model: `evaluate`, `predict`, `generate`, `average`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Any

import typer

from stepscan.cli.arguments import check_output, check_texts
from stepscan.cli.folders import PARAMETERS, folder_options, predict_folder, refuse_json
from stepscan.cli.loader import check_task, load
from stepscan.cli.options import ENSEMBLE, JSON, OUT, OVERWRITE, app, parameter, with_options, with_reading_options
from stepscan.cli.output import as_lines, is_terminal, print_figures, report
from stepscan.data.file_patterns import is_pattern
from stepscan.errors import STANDARD, SettingsError
from stepscan.hardware import cores
from stepscan.json_text import json_text
from stepscan.options import SearchOptions, settings_of
from stepscan.terminal import printable


@app.command(epilog="Example: stepscan evaluate model test.conllu")
@with_reading_options()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    files: Annotated[list[Path], typer.Argument(help="Labelled data, as for training; -: standard input.")],
    reading: Any,
    per_line: Annotated[
        bool, typer.Option("--per-line", help="Print the log-probability of each text or true answer instead.")
    ] = False,
    dynamic: Annotated[
        float, typer.Option(help="generate: also report dynamic evaluation with this learning rate (e.g. 0.001).")
    ] = 0.0,
    horizon: Annotated[
        int, typer.Option(min=0, help="forecast: forecast the last HORIZON steps at once; 0: each step, one ahead.")
    ] = 0,
    bleu_tokenize: Annotated[
        str | None,
        typer.Option(
            help="translate: sacreBLEU's tokenizer for BLEU, such as 13a, zh, ja-mecab or char.",
            show_default="by the target's script",
        ),
    ] = None,
    ensemble: ENSEMBLE = None,
    as_json: JSON = False,
) -> None:
    """Score a model on a file: accuracy, F1 of spans, perplexity, forecast errors or BLEU."""
    from stepscan.data.lines import check_files
    from stepscan.models import files as commands

    if per_line and (dynamic or horizon or bleu_tokenize):
        raise SettingsError(
            "--per-line: expected neither --dynamic, --horizon nor --bleu-tokenize, got one of them; omit it"
        )
    if dynamic and ensemble:
        raise SettingsError("--dynamic: expected one model, got an ensemble; omit --ensemble")
    check_files(files)
    loaded = load(
        model, ensemble or (), needs="dynamic evaluation trains the model" if dynamic else "", threads=cores()
    )
    if per_line:
        for row in commands.evaluate_lines(loaded, files, reading=reading):
            print(json_text(row) if as_json else f"{row['log_probability']:.4f}\t{row['symbols']}")
        report(reading.bad_lines)
        return
    figures = commands.evaluate(
        loaded, files, reading=reading, dynamic=dynamic, horizon=horizon, bleu_tokenize=bleu_tokenize
    )
    report(reading.bad_lines)
    print_figures(figures, as_json)


@app.command(epilog="Example: stepscan predict model 'not a bad film at all'")
@with_options("search", [parameter(one, shows_default=False) for one in settings_of(SearchOptions).values()], dict)
@with_options("folders", PARAMETERS, folder_options)
@with_reading_options("label_column", "target_column", "field", "tag_column")
def predict(
    model: Annotated[Path, typer.Argument(help="Model folder of a classifier, tagger or translator.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; none, or -: --input, or standard input.")] = None,
    input: Annotated[
        str | None,
        typer.Option(
            help="File of texts, one per line; for a tagger CoNLL-U, columns or text; -: standard input. Many Parquet "
            "files: a folder, or a pattern in quotation marks, 'FOLDER/*.parquet'."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(help="File to write, whole or not at all; -: standard output. Of many files: a folder."),
    ] = None,
    n_best: Annotated[int, typer.Option(help="translate: number of translations, shown with --json.")] = 1,
    prefix: Annotated[str, typer.Option(help="translate: text that every translation begins with.")] = "",
    minimum_length: Annotated[int, typer.Option(help="translate: minimum length, in symbols.")] = 0,
    maximum_length: Annotated[
        int | None,
        typer.Option(help="translate: maximum length, in symbols.", show_default="twice the source's and 20"),
    ] = None,
    search: Any = None,
    folders: Any = None,
    reading: Any = None,
    ensemble: ENSEMBLE = None,
    as_json: JSON = False,
) -> None:
    """Predict the class, tags or translation of each text."""
    from stepscan.data.line_writer import write_chunks
    from stepscan.models import files as commands

    if texts and input:
        raise SettingsError("--input: expected either texts or a file, got both; omit one")
    limits = {"n_best": n_best, "minimum_length": minimum_length, "maximum_length": maximum_length, "prefix": prefix}
    defaults = {"n_best": 1, "minimum_length": 0, "maximum_length": None, "prefix": ""}
    translation = {name: value for name, value in limits.items() if value != defaults[name]}
    models = [model, *(ensemble or ())]
    if folders.given or (input and is_pattern(input)):
        refuse_json(as_json)
        predict_folder(models, input, output, folders, reading=reading, arguments=translation, settings=search)
        return
    if reading.bad_lines is not None:
        raise SettingsError("--skip-bad-lines: predictions of one file stay aligned with it; expected many files")
    check_texts(texts or ())
    if output is not None:
        check_output(Path(output), [*models, *([Path(input)] if input else [])])
    if texts in (None, [], [STANDARD]):
        texts, input = [], input or STANDARD
    elif named := reading.non_default():
        raise SettingsError(
            f"{', '.join(named)}: for files, from --input; texts given as arguments are used as they are"
        )
    loaded = load(model, ensemble or (), threads=cores())
    portions = commands.predict(
        loaded,
        texts or (),
        input_file=input,
        reading=reading,
        translation=translation,
        settings=search,
    )
    show = printable if output is None and is_terminal() else str

    def format_record(row: dict[str, Any]) -> list[str]:
        return [json_text(row)] if as_json else as_lines(row, show)

    lines = (itertools.chain.from_iterable(map(format_record, rows)) for rows in portions)
    write_chunks(output or STANDARD, lines)


@app.command(epilog="Example: stepscan generate model --prompt 'ROMEO:' --length 300 --temperature 0.8 --seed 1")
def generate(
    model: Annotated[Path, typer.Argument(help="Model folder of a language model.")],
    prompt: Annotated[str, typer.Option(help="Text to continue; -: read it from standard input.")] = "",
    length: Annotated[int, typer.Option(min=0, help="Number of symbols to generate.")] = 500,
    temperature: Annotated[
        float, typer.Option(help="Sampling temperature, 0 or more; 0: always the most probable symbol.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option(help="Sample from the k most probable symbols; 0: from all.")] = 0,
    top_p: Annotated[
        float, typer.Option(help="Sample from the most probable symbols that together have this probability.")
    ] = 1.0,
    min_p: Annotated[
        float, typer.Option(help="Keep symbols at least min_p times as probable as the most probable one.")
    ] = 0.0,
    repetition_penalty: Annotated[float, typer.Option(help="Values above 1 discourage repetition.")] = 1.0,
    stop: Annotated[list[str] | None, typer.Option(help="Stop before this text (repeatable).")] = None,
    forbid: Annotated[list[str] | None, typer.Option(help="Symbol never to generate (repeatable).")] = None,
    allow: Annotated[list[str] | None, typer.Option(help="Generate only these symbols (repeatable).")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.", show_default="a new one each time")] = None,
    ensemble: ENSEMBLE = None,
    as_json: JSON = False,
) -> None:
    """Generate text from a prompt with a language model."""
    check_texts([prompt], 'the prompt itself, such as --prompt "$(cat FILE)"')
    writer = load(model, ensemble or ())
    check_task(model, writer, "generate")
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


@app.command(epilog="Example: stepscan average model-1 model-2 --out model")
def average(
    models: Annotated[list[Path], typer.Argument(help="Model folders of equal shape, such as fine-tuned versions.")],
    out: OUT,
    overwrite: OVERWRITE = False,
) -> None:
    """Write a model whose weights are the mean of those of several models."""
    from stepscan.estimators.files import average_folders

    average_folders(models, out, overwrite=overwrite)
