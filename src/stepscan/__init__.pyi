"""The names of the package for type checkers and editors; `__init__.py` imports them when they are first used."""

from stepscan import distributed as distributed
from stepscan import inspection as inspection
from stepscan import kernels as kernels
from stepscan import laws as laws
from stepscan import runtime as runtime
from stepscan.cells.coupled_lstm import CoupledLSTM as CoupledLSTM
from stepscan.cells.elman import Elman as Elman
from stepscan.cells.gru import GRU as GRU
from stepscan.cells.indrnn import IndRNN as IndRNN
from stepscan.cells.janet import JANET as JANET
from stepscan.cells.layer_norm_lstm import LayerNormLSTM as LayerNormLSTM
from stepscan.cells.lstm import LSTM as LSTM
from stepscan.cells.mgu import MGU as MGU
from stepscan.cells.mingru import MinGRU as MinGRU
from stepscan.cells.minlstm import MinLSTM as MinLSTM
from stepscan.cells.paragru import ParaGRU as ParaGRU
from stepscan.cells.paralstm import ParaLSTM as ParaLSTM
from stepscan.cells.peephole_lstm import PeepholeLSTM as PeepholeLSTM
from stepscan.cells.projected_lstm import ProjectedLSTM as ProjectedLSTM
from stepscan.cells.reset_before_gru import ResetBeforeGRU as ResetBeforeGRU
from stepscan.cells.rglru import RGLRU as RGLRU
from stepscan.cells.slstm import SLSTM as SLSTM
from stepscan.cells.sru import SRU as SRU
from stepscan.cells.transformer import BidirectionalTransformer as BidirectionalTransformer
from stepscan.cells.transformer import Transformer as Transformer
from stepscan.combinators.bidirectional import Bidirectional as Bidirectional
from stepscan.combinators.causal_convolution import CausalConvolution as CausalConvolution
from stepscan.combinators.dropout import Dropout as Dropout
from stepscan.combinators.dropout import VariationalDropout as VariationalDropout
from stepscan.combinators.layer_norm import LayerNorm as LayerNorm
from stepscan.combinators.linear import Linear as Linear
from stepscan.combinators.mixer_block import MixerBlock as MixerBlock
from stepscan.combinators.residual import Residual as Residual
from stepscan.combinators.stack import Stack as Stack
from stepscan.combinators.weight_drop import WeightDrop as WeightDrop
from stepscan.combinators.zoneout import Zoneout as Zoneout
from stepscan.contract import Layer as Layer
from stepscan.contract import Pointwise as Pointwise
from stepscan.contract import Recurrence as Recurrence
from stepscan.conversion import from_torch as from_torch
from stepscan.conversion import to_torch as to_torch
from stepscan.errors import (
    DataError as DataError,
)
from stepscan.errors import (
    ModelFormatError as ModelFormatError,
)
from stepscan.errors import (
    NotFittedError as NotFittedError,
)
from stepscan.errors import (
    SettingsError as SettingsError,
)
from stepscan.errors import (
    StepscanError as StepscanError,
)
from stepscan.errors import (
    UnsupportedLayer as UnsupportedLayer,
)
from stepscan.estimators.average import average as average
from stepscan.estimators.classifier import Classifier as Classifier
from stepscan.estimators.forecaster import Forecaster as Forecaster
from stepscan.estimators.language_model import LanguageModel as LanguageModel
from stepscan.estimators.loader import load as load
from stepscan.estimators.tagger import Tagger as Tagger
from stepscan.estimators.translator import Translator as Translator
from stepscan.models.ensemble import ensemble as ensemble
from stepscan.patterns.attention import AttentiveDecoder as AttentiveDecoder
from stepscan.patterns.conditioned_generator import ConditionedGenerator as ConditionedGenerator
from stepscan.patterns.crf import CRF as CRF
from stepscan.patterns.crf import CRFTransducer as CRFTransducer
from stepscan.patterns.cross_attention import CrossAttention as CrossAttention
from stepscan.patterns.embedding import Embedding as Embedding
from stepscan.patterns.embedding import WordAndCharacterEmbedding as WordAndCharacterEmbedding
from stepscan.patterns.encoder import Encoder as Encoder
from stepscan.patterns.generator import Generator as Generator
from stepscan.patterns.numeric_embedding import NumericEmbedding as NumericEmbedding
from stepscan.patterns.numeric_generator import NumericGenerator as NumericGenerator
from stepscan.patterns.transducer import Transducer as Transducer
from stepscan.registry import build as build
from stepscan.registry import describe as describe
from stepscan.registry import register as register
from stepscan.sequences import Sequences as Sequences

__version__: str
__all__: list[str]
