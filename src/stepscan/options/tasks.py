"""The one table of options: what can be set, of which kind, with which default, and what each means.

Each task has a dataclass. A field is an option: its annotation holds an `Option`, its value the default of the task.
The estimators inherit their constructors from here; `stepscan train TASK`, `--config` files, the checks of settings,
what a model folder records, what `--resume` may change and the pages of the documentation are read off these classes.
To add an option is to add a field, and to use it.

Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args, get_type_hints

from stepscan.errors import SettingsError, nearest
from stepscan.fields import (
    DEVIATION,
    FACTOR,
    PROBABILITY,
    Choice,
    Duration,
    FilePath,
    Flag,
    Integer,
    Kind,
    NameOrPath,
    Real,
    Text,
)

DATA, MODEL, REGULARISATION, TRAINING, OUTPUT = "Data", "Model", "Regularisation", "Training", "Output"
SIZE = Integer(1, 2**20)  # of a vector
COUNT = Integer(1)
SHARE = Real(0, 1)
TOKENIZERS = Choice(("word", "whitespace", "character", "byte", "bpe"))
POSITIVE = Real(0, open_least=True)
SERIES_TASKS = ("classify", "tag", "forecast")  # that read series of numbers
BY_SIZE: Any = None  # the default of what is chosen by the kind and size of the data: see `stepscan.training.defaults`
MOST_SEED = 2**63 - 1  # that torch takes


@dataclass(frozen=True)
class Option:
    """What is known of an option, but for its name and its defaults."""

    kind: Kind
    help: str  # one sentence: the quantity, its unit, its range
    group: str | None = MODEL  # of the help page; None: not an option of the command line
    unset: str = ""  # what None means: "by data size", where there is nothing else
    source: str = ""  # paper and equation
    recorded: bool = True  # whether the model folder records it: False for what does not change the result
    resumable: bool = False  # whether `--resume` may change it
    tasks: tuple[str, ...] = ()  # of a reading option: those whose files have it; none: all


# Options that several tasks have, with defaults of their own.
BatchSize = Annotated[int, Option(COUNT, "Sequences per batch (generate: parallel streams of text).", TRAINING)]
LearningRate = Annotated[float, Option(POSITIVE, "Peak learning rate of AdamW.", TRAINING, resumable=True)]
DecayRatio = Annotated[
    float,
    Option(
        SHARE,
        "Share of training, at its end, over which the learning rate falls to 0 by half a cosine, 0 to 1.",
        TRAINING,
        source="Hägele et al. 2024",
        resumable=True,
    ),
]
EMADecay = Annotated[
    float,
    Option(
        PROBABILITY,
        "Decay of the exponential moving average (EMA) of the weights, which is evaluated and kept; 0: none.",
        TRAINING,
    ),
]
Layers = Annotated[int, Option(Integer(1, 1000), "Number of stacked layers.")]
BPTT = Annotated[
    int,
    Option(COUNT, "Truncated back-propagation through time: steps that gradients go back.", TRAINING),
]
Bidirectional = Annotated[bool, Option(Flag(), "Read in both directions.")]
InputNoise = Annotated[
    float,
    Option(DEVIATION, "Standard deviation of Gaussian noise on standardised series in training.", REGULARISATION),
]
LabelSmoothing = Annotated[
    float,
    Option(
        PROBABILITY,
        "Label smoothing: share of the target probability that is spread over all classes.",
        REGULARISATION,
        source="Szegedy et al. 2016",
    ),
]
Lowercase = Annotated[bool, Option(Flag(), "Lowercase words.")]
Tokenizer = Annotated[
    str, Option(TOKENIZERS, "How text is split: word, whitespace, character, byte or bpe (byte-pair encoding).")
]
VocabularySize = Annotated[int | None, Option(Integer(5), "Maximum vocabulary size.", unset="no limit")]
WordDropout = Annotated[
    float,
    Option(
        PROBABILITY,
        "Word dropout: probability that a word is replaced by the unknown word in training.",
        REGULARISATION,
    ),
]


@dataclass(kw_only=True, eq=False, repr=False)
class TrainingOptions:
    """How a model is trained, whatever the model."""

    if not TYPE_CHECKING:

        def __new__(cls, *positional: Any, **settings: Any) -> Any:
            for name in RENAMED.keys() & settings.keys():
                raise TypeError(f"{cls.__name__}: {unknown_setting(name, {})}")
            return super().__new__(cls)

    epochs: Annotated[
        int | None,
        Option(COUNT, "Maximum passes over the training data.", TRAINING, unset="no limit", resumable=True),
    ] = None
    max_updates: Annotated[
        int | None,
        Option(
            COUNT,
            "Maximum weight updates (optimizer steps); training ends earlier once the validation score stops rising.",
            TRAINING,
            unset="by data size",
            resumable=True,
        ),
    ] = None
    time_budget: Annotated[
        float | None,
        Option(
            Duration(POSITIVE),
            "Time to train, in seconds or such as 90s, 10m, 1h30m; all of it is used.",
            TRAINING,
            unset="no limit",
            resumable=True,
        ),
    ] = None
    batch_size: BatchSize = 32
    gradient_accumulation_steps: Annotated[int, Option(COUNT, "Batches per weight update.", TRAINING)] = 1
    learning_rate: LearningRate = 2e-3
    warmup_ratio: Annotated[
        float,
        Option(SHARE, "Share of training over which the learning rate rises, 0 to 1.", TRAINING, resumable=True),
    ] = 0.05
    decay_ratio: DecayRatio = 1.0
    weight_decay: Annotated[
        float,
        Option(FACTOR, "AdamW weight decay, of matrices.", TRAINING, source="Loshchilov & Hutter 2019", resumable=True),
    ] = 0.01
    max_grad_norm: Annotated[
        float,
        Option(
            Real(0, open_least=True, finite=False),
            "Maximum norm of all gradients together; larger ones are scaled down.",
            TRAINING,
            source="Pascanu et al. 2013",
            resumable=True,
        ),
    ] = 1.0
    max_grad_value: Annotated[
        float | None,
        Option(
            Real(0, open_least=True, finite=False),
            "Maximum absolute value of a gradient's elements, clipped before the norm.",
            TRAINING,
            unset="no limit",
            source="Graves 2013, section 2.1",
            resumable=True,
        ),
    ] = None
    ema_decay: EMADecay = 0.0
    patience: Annotated[
        int | None,
        Option(
            COUNT,
            "Evaluations without a better validation score before the learning rate decays from the best weights.",
            TRAINING,
            unset="6, after 400 updates",
            resumable=True,
        ),
    ] = None
    seed: Annotated[
        int,
        Option(
            Integer(0, MOST_SEED),
            "Random seed: same seed, same data, same machine: same weights to the bit (unless there is a time budget).",
            TRAINING,
        ),
    ] = 0
    device: Annotated[str, Option(Choice(("cpu", "cuda")), "Device to train on.", TRAINING, recorded=False)] = "cpu"
    monitor_gradients: Annotated[
        bool,
        Option(
            Flag(),
            "Record how far back gradients reach in the training curve, and warn if they vanish or explode.",
            TRAINING,
            recorded=False,
        ),
    ] = False
    tensorboard: Annotated[
        str | Path | None,
        Option(FilePath(), "Folder for TensorBoard event files.", TRAINING, unset="none", recorded=False),
    ] = None
    checkpoint_every: Annotated[
        float,
        Option(
            Duration(Real(0)),
            "Time between checkpoints, in seconds or such as 30s, 5m; there is one after each evaluation, too.",
            OUTPUT,
            recorded=False,
        ),
    ] = 60.0
    checkpoints: Annotated[
        str | Path | None,
        Option(
            FilePath(),
            "Folder for checkpoints, from which an interrupted training can be resumed.",
            None,
            unset="none",
            recorded=False,
        ),
    ] = None
    resume: Annotated[
        bool,
        Option(
            Flag(), "Resume from the newest valid checkpoint, to the same weights to the bit.", None, recorded=False
        ),
    ] = False
    verbose: Annotated[
        bool,
        Option(Flag(), "Report progress on standard error.", None, recorded=False, resumable=True),
    ] = False


@dataclass(kw_only=True, eq=False, repr=False)
class ModelOptions(TrainingOptions):
    """Of every task."""

    cell: Annotated[
        str,
        Option(
            Text(),
            "Cell of the layers: elman, lstm, layer_norm_lstm, gru, transformer or a registered one; or one per layer, "
            "separated by commas.",
        ),
    ] = "lstm"
    layers: Layers = 1
    hidden_size: Annotated[int, Option(SIZE, "Hidden size of each layer and direction.")] = BY_SIZE
    embedding_size: Annotated[
        int, Option(SIZE, "Embedding dimension; of series of numbers, what each step is projected to.")
    ] = BY_SIZE
    size: Annotated[
        str | None,
        Option(
            Choice(("small", "medium", "large")),
            "Scales hidden and embedding sizes that are not set: × 0.5, 1 or 2.",
            unset="medium",
        ),
    ] = None
    residual: Annotated[
        bool, Option(Flag(), "Add a residual connection around each layer.", source="He et al. 2016")
    ] = False
    initialisation: Annotated[
        str,
        Option(
            Choice(("orthogonal", "identity", "chrono")),
            "Initialisation of recurrent weights and gates: orthogonal, identity (elman, with ReLU) or chrono (lstm, "
            "gru, layer_norm_lstm).",
            source="Saxe et al. 2014; Le et al. 2015; Tallec & Ollivier 2018",
        ),
    ] = "orthogonal"
    t_max: Annotated[
        int | None,
        Option(Integer(3), "Chrono initialisation: longest dependency, in steps.", unset="longest training sequence"),
    ] = None
    forget_bias: Annotated[
        float | None,
        Option(Real(), "Initial forget gate bias (lstm, layer_norm_lstm).", unset="1", source="Gers et al. 2000"),
    ] = None
    init_from: Annotated[
        str | Path | None,
        Option(FilePath(), "Model folder to initialise weights from, where shapes fit.", unset="none", recorded=False),
    ] = None
    dropout: Annotated[
        float,
        Option(PROBABILITY, "Dropout probability on embeddings, between layers and before the output.", REGULARISATION),
    ] = BY_SIZE
    variational: Annotated[
        bool,
        Option(
            Flag(),
            "Variational dropout: the same mask at every step of a sequence.",
            REGULARISATION,
            source="Gal & Ghahramani 2016",
        ),
    ] = False
    zoneout: Annotated[
        float,
        Option(
            PROBABILITY,
            "Zoneout probability: an element of the state keeps its previous value.",
            REGULARISATION,
            source="Krueger et al. 2017",
        ),
    ] = 0.0
    weight_drop: Annotated[
        float,
        Option(
            PROBABILITY,
            "DropConnect probability of hidden-to-hidden weights.",
            REGULARISATION,
            source="Merity et al. 2018",
        ),
    ] = 0.0
    batch_size: BatchSize = BY_SIZE
    learning_rate: LearningRate = BY_SIZE
    decay_ratio: DecayRatio = BY_SIZE
    ema_decay: EMADecay = BY_SIZE
    refit: Annotated[
        bool | None,
        Option(
            Flag(),
            "Train again on training and validation data together, for the number of updates found best.",
            TRAINING,
            unset="if the data are few and no validation data are given",
        ),
    ] = None


@dataclass(kw_only=True, eq=False, repr=False)
class SymbolOptions(ModelOptions):
    """Of the tasks that read texts."""

    embeddings: Annotated[
        str | Path | None,
        Option(
            NameOrPath(),
            "Pretrained word vectors: glove, wordllama (installed packages) or a file in the text format of GloVe or "
            "word2vec, gzip too. classify and tag add them, frozen, to learned embeddings; the others start from them.",
            unset="none",
            recorded=False,
        ),
    ] = None
    embedding_dropout: Annotated[
        float,
        Option(
            PROBABILITY,
            "Embedding dropout: probability that a symbol is dropped at all its positions in a batch.",
            REGULARISATION,
            source="Gal & Ghahramani 2016",
        ),
    ] = 0.0
    label_smoothing: LabelSmoothing = 0.0
    vocabulary_size: VocabularySize = None


@dataclass(kw_only=True, eq=False, repr=False)
class ProblemOptions:
    """What a classifier predicts."""

    decision: Annotated[
        str,
        Option(
            Choice(("class", "labels", "number")),
            "class (one of several), labels (any number, separated by commas) or number (regression).",
        ),
    ] = "class"


@dataclass(kw_only=True, eq=False, repr=False)
class ClassifyOptions(ProblemOptions, SymbolOptions):
    """Of `stepscan.Classifier`."""

    class_weights: Annotated[
        str,
        Option(
            Choice(("none", "balanced")),
            "none, or balanced: rare classes count as much as frequent ones, as in scikit-learn.",
            TRAINING,
        ),
    ] = "none"
    bidirectional: Bidirectional = True
    pooling: Annotated[
        str,
        Option(
            Choice(("last", "mean", "max", "attention")),
            "How outputs become one feature vector: last, mean, max or attention.",
        ),
    ] = "max"
    wide: Annotated[
        bool | None,
        Option(
            Flag(),
            "Add a linear model on fixed features (TF-IDF of words and letters, convolutions of series) if it helps.",
            unset="on if bidirectional",
            source="Cheng et al. 2016",
        ),
    ] = None
    tokenizer: Tokenizer = "word"
    vocabulary_size: VocabularySize = 30000
    lowercase: Lowercase = True
    word_dropout: WordDropout = BY_SIZE
    input_noise: InputNoise = BY_SIZE


@dataclass(kw_only=True, eq=False, repr=False)
class GenerateOptions(SymbolOptions):
    """Of `stepscan.LanguageModel`."""

    layers: Layers = BY_SIZE
    tokenizer: Tokenizer = "character"
    tie_weights: Annotated[
        bool,
        Option(Flag(), "Share weights between embedding and output layer.", source="Press & Wolf 2017"),
    ] = BY_SIZE
    activation_regularisation: Annotated[
        float,
        Option(
            FACTOR,
            "Activation regularisation (AR): weight of the squared layer outputs in the loss, such as 2.",
            REGULARISATION,
            source="Merity et al. 2017",
        ),
    ] = 0.0
    temporal_activation_regularisation: Annotated[
        float,
        Option(
            FACTOR,
            "Temporal activation regularisation (TAR): weight of squared changes of the layer outputs, such as 1.",
            REGULARISATION,
            source="Merity et al. 2017",
        ),
    ] = 0.0
    bptt: BPTT = BY_SIZE
    vary_bptt: Annotated[
        bool,
        Option(
            Flag(),
            "Vary the truncation of back-propagation from pass to pass.",
            TRAINING,
            source="Merity et al. 2018, section 4.1",
        ),
    ] = False
    softmax_samples: Annotated[
        int,
        Option(
            Integer(0),
            "Sampled softmax: symbols that each target is compared with in training; 0: all.",
            TRAINING,
            source="Jean et al. 2015",
        ),
    ] = BY_SIZE


@dataclass(kw_only=True, eq=False, repr=False)
class ForecastOptions(ModelOptions):
    """Of `stepscan.Forecaster`."""

    layers: Layers = BY_SIZE
    head: Annotated[
        str,
        Option(Choice(("gaussian", "quantile")), "Predicted distribution: gaussian (mean and deviation) or quantile."),
    ] = "gaussian"
    seasonal_period: Annotated[
        int,
        Option(
            Integer(0),
            "Seasonal period in steps (12 for monthly data): the model learns the change from one period before; 1: "
            "from the previous step; 0: the values themselves.",
        ),
    ] = 0
    log_transform: Annotated[bool, Option(Flag(), "Learn the logarithms of the values, which must be above 0.")] = False
    step: Annotated[
        str,
        Option(
            Text(),
            'Time between two steps, such as month or 15 minutes, which all files must have; "": that of the data.',
        ),
    ] = ""
    input_noise: InputNoise = 0.0
    bptt: BPTT = BY_SIZE


@dataclass(kw_only=True, eq=False, repr=False)
class TagOptions(SymbolOptions):
    """Of `stepscan.Tagger`."""

    bidirectional: Bidirectional = True
    char_embedding_size: Annotated[
        int,
        Option(
            Integer(0, 2**20),
            "Embedding dimension of characters; 0: no character encoder.",
            source="Lample et al. 2016",
        ),
    ] = BY_SIZE
    char_hidden_size: Annotated[int, Option(SIZE, "Hidden size of the character encoder, each direction.")] = BY_SIZE
    crf: Annotated[
        bool,
        Option(
            Flag(),
            "Decode all tags of a sentence together with a conditional random field (CRF).",
            source="Lample et al. 2016",
        ),
    ] = False
    wide: Annotated[
        bool,
        Option(
            Flag(),
            "Add a linear-chain CRF on fixed features (spelling, neighbouring words) if it helps; texts only.",
            source="Lafferty et al. 2001",
        ),
    ] = True
    vocabulary_size: VocabularySize = 30000
    lowercase: Lowercase = True
    word_dropout: WordDropout = BY_SIZE
    input_noise: InputNoise = BY_SIZE


@dataclass(kw_only=True, eq=False, repr=False)
class SearchOptions:
    """Of the beam search of a translator; they may change after training."""

    beam_width: Annotated[int, Option(Integer(1, 1000), "Beam width of the search.")] = 5
    length_penalty: Annotated[
        float,
        Option(
            Real(0, 10),
            "Beam search: exponent of the length normalisation, 0 to 10; larger values favour longer translations.",
            source="Wu et al. 2016, equation 14",
        ),
    ] = 1.0
    coverage_penalty: Annotated[
        float,
        Option(
            Real(0, 100),
            "Beam search: weight of the coverage penalty, 0 to 100; larger values favour translations that attend to "
            "all of the source.",
            source="Wu et al. 2016, equation 14",
        ),
    ] = 0.0


@dataclass(kw_only=True, eq=False, repr=False)
class TranslateOptions(SearchOptions, SymbolOptions):
    """Of `stepscan.Translator`."""

    attention: Annotated[
        str,
        Option(
            Choice(("additive", "dot", "general", "cross", "none")),
            "Attention of the decoder: additive, dot or general (after its last layer), cross (after each) or none.",
            source="Bahdanau et al. 2015; Luong et al. 2015; Vaswani et al. 2017",
        ),
    ] = "additive"
    input_feeding: Annotated[
        bool,
        Option(Flag(), "Feed the last attentional vector into the next decoder step.", source="Luong et al. 2015"),
    ] = False
    label_smoothing: LabelSmoothing = 0.1
    tokenizer: Tokenizer = "bpe"
    source_tokenizer: Annotated[
        str | None,
        Option(
            TOKENIZERS,
            "Tokenizer of the source, where it has a vocabulary of its own (letters to phonemes).",
            unset="shared with the target",
        ),
    ] = None


@dataclass(kw_only=True, frozen=True)
class ReadingOptions:
    """How data files are read, where their names do not say it."""

    format: Annotated[
        str | None,
        Option(
            Text(),
            "File format: csv, tsv, jsonl, lines, conllu, columns; of series: ts, npy, ucr, numbers (CSV).",
            DATA,
            unset="by file name and content",
        ),
    ] = None
    text_column: Annotated[
        str | None,
        Option(
            Text(),
            "Column of the text: name, or position from 1.",
            DATA,
            unset="guessed by name",
            tasks=("classify", "generate"),
        ),
    ] = None
    label_column: Annotated[
        str | None,
        Option(
            Text(),
            "Column of the label: name, or position from 1.",
            DATA,
            unset="guessed by name",
            tasks=("classify", "tag"),
        ),
    ] = None
    source_column: Annotated[
        str | None,
        Option(
            Text(),
            "Column of the source text: name, or position from 1.",
            DATA,
            unset="the first",
            tasks=("translate",),
        ),
    ] = None
    target_column: Annotated[
        str | None,
        Option(
            Text(),
            "Column of the target text: name, or position from 1.",
            DATA,
            unset="the second",
            tasks=("translate",),
        ),
    ] = None
    token_column: Annotated[
        str | None,
        Option(Text(), "Column of the token: name, or position from 1.", DATA, unset="the first", tasks=("tag",)),
    ] = None
    tag_column: Annotated[
        str | None,
        Option(Text(), "Column of the tag: name, or position from 1.", DATA, unset="the last", tasks=("tag",)),
    ] = None
    field: Annotated[
        str, Option(Text(), "CoNLL-U field that holds the tag: upos, xpos, feats, …", DATA, tasks=("tag",))
    ] = "upos"
    delimiter: Annotated[
        str | None,
        Option(
            Text(),
            "Field separator of CSV and TSV: one character, or tab.",
            DATA,
            unset="detected",
            tasks=("classify", "generate", "translate"),
        ),
    ] = None
    header: Annotated[
        bool | None,
        Option(
            Flag(),
            "The first row of CSV and TSV names the columns.",
            DATA,
            unset="detected",
            tasks=("classify", "generate", "translate"),
        ),
    ] = None
    time_column: Annotated[
        str | None,
        Option(
            Text(),
            'Series: column of the timestamps: name, or position from 1; "none": every column holds values.',
            DATA,
            unset="guessed by content",
            tasks=SERIES_TASKS,
        ),
    ] = None
    series_column: Annotated[
        str | None,
        Option(
            Text(),
            "Series: column that names the series of each row.",
            DATA,
            unset="one series",
            tasks=SERIES_TASKS,
        ),
    ] = None
    ignore_time: Annotated[
        bool,
        Option(Flag(), "Series: use rows in file order, ignoring timestamps.", DATA, tasks=SERIES_TASKS),
    ] = False
    sort: Annotated[bool, Option(Flag(), "Series: sort rows by time.", DATA, tasks=SERIES_TASKS)] = False
    fill: Annotated[
        str | None,
        Option(
            Choice(("linear", "previous", "zero")),
            "Fill gaps in time and missing values: linear, previous or zero.",
            DATA,
            unset="gaps are errors",
            tasks=("classify", "forecast"),
        ),
    ] = None
    day_first: Annotated[
        bool | None,
        Option(
            Flag("month_first"),
            "Series: 01/02/2021 is 1 February (or 2 January).",
            DATA,
            unset="decided from the whole column",
            tasks=SERIES_TASKS,
        ),
    ] = None
    skip_bad_lines: Annotated[
        bool,
        Option(
            Flag(),
            "Skip invalid lines, and report how many were skipped.",
            DATA,
            tasks=("classify", "tag", "generate", "translate"),
        ),
    ] = False


TASKS: dict[str, type[ModelOptions]] = {
    "classify": ClassifyOptions,
    "tag": TagOptions,
    "generate": GenerateOptions,
    "forecast": ForecastOptions,
    "translate": TranslateOptions,
}
N_BEST = Integer(1, 1000)  # translations that are asked for

# Names of earlier versions: what is given by them is an error that names the new one; model folders may have them.
RENAMED = {
    "accumulate": "gradient_accumulation_steps",
    "average_decay": "ema_decay",
    "character_size": "char_embedding_size",
    "clip_norm": "max_grad_norm",
    "clip_value": "max_grad_value",
    "decay": "decay_ratio",
    "logarithm": "log_transform",
    "season": "seasonal_period",
    "spelling_size": "char_hidden_size",
    "tied": "tie_weights",
    "unknown_probability": "word_dropout",
    "vary_window": "vary_bptt",
    "warmup": "warmup_ratio",
    "watch_gradients": "monitor_gradients",
    "window": "bptt",
}


class Setting(NamedTuple):
    """An option of a task, with its name and its default there."""

    name: str
    option: Option
    default: Any
    takes_none: bool = False  # whether it may be None

    @property
    def default_in_words(self) -> str:
        """What holds where it is not set."""
        if self.default is None:
            return self.option.unset or "by data size"
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default) or "none"


def settings_of(options: Any) -> Mapping[str, Setting]:
    """The options of a dataclass of this module (or a class that inherits from one) by name, in order."""
    return _settings(next(one for one in options.__mro__ if one.__module__ == __name__))


@functools.cache
def _settings(table: Any) -> Mapping[str, Setting]:
    annotations = get_type_hints(table, include_extras=True)
    settings = {}
    for field in dataclasses.fields(table):
        kind, *notes = get_args(annotations[field.name]) or (Any,)
        for option in (note for note in notes if isinstance(note, Option)):
            takes_none = field.default is None or type(None) in get_args(kind)
            settings[field.name] = Setting(field.name, option, field.default, takes_none)
    return settings


def check_settings(options: Any, values: Mapping[str, Any]) -> None:
    """Check values by name; None is one where the default, or the annotation, is None.

    Raises:
        SettingsError: names all that are unknown or not of their kind, what was expected and what arrived.
    """
    known, problems = settings_of(options), []
    for name, value in values.items():
        if name not in known:
            problems.append(unknown_setting(name, known))
        elif value is not None or not known[name].takes_none:
            try:
                known[name].option.kind.check(name, value)
            except ValueError as error:
                problems.append(str(error))
    if problems:
        raise SettingsError("; ".join(problems))


def check_value(kind: Kind, name: str, value: Any) -> None:
    """Raise a `SettingsError` unless the value is of the kind."""
    try:
        kind.check(name, value)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def unknown_setting(name: str, known: Mapping[str, Any]) -> str:
    """What to say of a name that is not an option: what it is called today, which tasks have it, or the nearest one."""
    current = RENAMED.get(name, name)
    if current != name and (current in known or any(current in settings_of(one) for one in TASKS.values())):
        return f"{name!r} is called {current!r} now"
    others = [task for task, options in TASKS.items() if name in settings_of(options)]
    hint = f" It is an option of {', '.join(others)}." if others else nearest(name, known)
    return f"unknown setting {name!r}.{hint}"


def described_options(options: Any) -> Iterator[str]:
    """The lines of the `Args` section of a docstring."""
    for name, setting in settings_of(options).items():
        option, default = setting.option, setting.default_in_words
        source = f" ({option.source})" if option.source else ""
        yield f"    {name}: {option.help.rstrip('.')}{source}. Default: {default}."
