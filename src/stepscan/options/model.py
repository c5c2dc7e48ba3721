"""Options of a model: of every task, and of those that read texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from stepscan.fields import PROBABILITY, Choice, FilePath, Flag, Integer, NameOrPath, Real, Text
from stepscan.options.option import BY_SIZE, DATA, REGULARISATION, TRAINING, Option
from stepscan.options.training import BatchSize, DecayRatio, EMADecay, LearningRate, TrainingOptions

SIZE = Integer(1, 2**20)  # of a vector

# Options whose defaults differ from class to class.
Layers = Annotated[int, Option(Integer(1, 1000), "Number of stacked layers.")]
LabelSmoothing = Annotated[
    float,
    Option(
        PROBABILITY,
        "Label smoothing: share of the target probability that is spread over all classes.",
        REGULARISATION,
        source="Szegedy et al. 2016",
    ),
]
VocabularySize = Annotated[int | None, Option(Integer(5), "Maximum vocabulary size.", unset="no limit")]


@dataclass(kw_only=True, eq=False, repr=False)
class ModelOptions(TrainingOptions):
    """Of every task."""

    cell: Annotated[
        str,
        Option(
            Text(),
            "Cell, or one per layer, separated by commas: lstm, gru, elman, layer_norm_lstm, transformer, "
            "coupled_lstm, indrnn, janet, mgu, mingru, minlstm, paragru, paralstm, peephole_lstm, projected_lstm, "
            "reset_before_gru, rglru, slstm, sru, or your own.",
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
        Option(
            Integer(3),
            "Chrono initialisation, janet and indrnn: longest dependency, in steps.",
            unset="longest training sequence; 100 for janet and indrnn",
        ),
    ] = None
    forget_bias: Annotated[
        float | None,
        Option(
            Real(),
            "Initial forget gate bias (lstm, layer_norm_lstm).",
            unset="1; lstm: -1 for text to generate, 0 to translate",
            source="Gers et al. 2000",
        ),
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
            "Pretrained word vectors: glove, glove-100d, wordllama (installed packages) or a file in the text format "
            "of GloVe or word2vec, gzip too. classify and tag add them, frozen, to learned embeddings; the others "
            "start from them.",
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
    cache_dir: Annotated[
        str | Path | None,
        Option(
            FilePath(),
            "Folder where training texts are kept tokenised and read from, for data that are larger than memory.",
            DATA,
            unset="none: data are in memory",
            recorded=False,
        ),
    ] = None
