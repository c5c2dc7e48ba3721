"""Options of each task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from stepscan.fields import (
    DEVIATION,
    FACTOR,
    HEAD,
    POOLING,
    PROBABILITY,
    PROBLEM_TYPE,
    Choice,
    Flag,
    Integer,
    Real,
    Text,
)
from stepscan.options.model import SIZE, LabelSmoothing, Layers, ModelOptions, SymbolOptions, VocabularySize
from stepscan.options.option import BY_SIZE, REGULARISATION, TRAINING, Option
from stepscan.options.training import COUNT

TOKENIZERS = Choice(("word", "whitespace", "character", "byte", "bpe"))
N_BEST = Integer(1, 1000)  # translations that are asked for

# Options that several tasks have, with defaults of their own.
BPTT = Annotated[
    int,
    Option(COUNT, "Truncated back-propagation through time: steps that gradients go back.", TRAINING),
]
Bidirectional = Annotated[bool, Option(Flag(), "Read in both directions.")]
InputNoise = Annotated[
    float,
    Option(DEVIATION, "Standard deviation of Gaussian noise on standardised series in training.", REGULARISATION),
]
Lowercase = Annotated[bool, Option(Flag(), "Lowercase words.")]
_TOKENIZER = Option(TOKENIZERS, "How text is split: word, whitespace, character, byte or bpe (byte-pair encoding).")
Tokenizer = Annotated[str, _TOKENIZER]
WordDropout = Annotated[
    float,
    Option(
        PROBABILITY,
        "Word dropout: probability that a word is replaced by the unknown word in training.",
        REGULARISATION,
    ),
]


@dataclass(kw_only=True, eq=False, repr=False)
class ProblemOptions:
    """What a classifier predicts."""

    problem_type: Annotated[
        str,
        Option(
            PROBLEM_TYPE,
            "classification (one class), multilabel (labels separated by commas) or regression (a number).",
        ),
    ] = "classification"


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
            POOLING,
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
    tokenizer: Annotated[str, replace(_TOKENIZER, unset="word, or character if most words would be unknown")] = BY_SIZE
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
class SeriesOptions:
    """How a forecaster reads series, and what it predicts of them."""

    head: Annotated[
        str,
        Option(HEAD, "Predicted distribution: gaussian (mean and deviation) or quantile."),
    ] = "gaussian"
    seasonal_period: Annotated[
        int,
        Option(
            Integer(0),
            "Seasonal period in steps (12 for monthly data): the model learns the change from one period before; 1: "
            "from the previous step; 0: the values themselves.",
            unset="by the data: where changes spread least",
        ),
    ] = BY_SIZE
    log_transform: Annotated[bool, Option(Flag(), "Learn the logarithms of the values, which must be above 0.")] = False
    step: Annotated[
        str,
        Option(
            Text(),
            'Time between two steps, such as month or 15 minutes, which all files must have; "": that of the data.',
        ),
    ] = ""


@dataclass(kw_only=True, eq=False, repr=False)
class ForecastOptions(SeriesOptions, ModelOptions):
    """Of `stepscan.Forecaster`."""

    layers: Layers = BY_SIZE
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
    tokenizer: Annotated[str, replace(_TOKENIZER, unset="bpe, or character if most words would be unknown")] = BY_SIZE
    source_tokenizer: Annotated[
        str | None,
        Option(
            TOKENIZERS,
            "Tokenizer of the source, where it has a vocabulary of its own (letters to phonemes).",
            unset="shared with the target",
        ),
    ] = None


TASKS: dict[str, type[ModelOptions]] = {
    "classify": ClassifyOptions,
    "tag": TagOptions,
    "generate": GenerateOptions,
    "forecast": ForecastOptions,
    "translate": TranslateOptions,
}
