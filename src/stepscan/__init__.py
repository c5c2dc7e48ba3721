"""Sequence models you train as a scan and ship as a step.

    import stepscan as ss

Importing is cheap: torch is imported when a name that needs it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "stepscan.sequences": ["Sequences"],
    "stepscan.contract": ["Layer", "Pointwise", "Recurrence"],
    "stepscan.registry": ["build", "describe", "register"],
    "stepscan.cells.coupled_lstm": ["CoupledLSTM"],
    "stepscan.cells.elman": ["Elman"],
    "stepscan.cells.gru": ["GRU"],
    "stepscan.cells.indrnn": ["IndRNN"],
    "stepscan.cells.janet": ["JANET"],
    "stepscan.cells.layer_norm_lstm": ["LayerNormLSTM"],
    "stepscan.cells.lstm": ["LSTM"],
    "stepscan.cells.mgu": ["MGU"],
    "stepscan.cells.mingru": ["MinGRU"],
    "stepscan.cells.minlstm": ["MinLSTM"],
    "stepscan.cells.paragru": ["ParaGRU"],
    "stepscan.cells.paralstm": ["ParaLSTM"],
    "stepscan.cells.peephole_lstm": ["PeepholeLSTM"],
    "stepscan.cells.projected_lstm": ["ProjectedLSTM"],
    "stepscan.cells.reset_before_gru": ["ResetBeforeGRU"],
    "stepscan.cells.rglru": ["RGLRU"],
    "stepscan.cells.slstm": ["SLSTM"],
    "stepscan.cells.sru": ["SRU"],
    "stepscan.cells.transformer": ["BidirectionalTransformer", "Transformer"],
    "stepscan.conversion": ["from_torch", "to_torch"],
    "stepscan.combinators.bidirectional": ["Bidirectional"],
    "stepscan.combinators.causal_convolution": ["CausalConvolution"],
    "stepscan.combinators.dropout": ["Dropout", "VariationalDropout"],
    "stepscan.combinators.layer_norm": ["LayerNorm"],
    "stepscan.combinators.linear": ["Linear"],
    "stepscan.combinators.mixer_block": ["MixerBlock"],
    "stepscan.combinators.residual": ["Residual"],
    "stepscan.combinators.stack": ["Stack"],
    "stepscan.combinators.weight_drop": ["WeightDrop"],
    "stepscan.combinators.zoneout": ["Zoneout"],
    "stepscan.patterns.embedding": ["Embedding", "WordAndCharacterEmbedding"],
    "stepscan.patterns.encoder": ["Encoder"],
    "stepscan.patterns.numeric_embedding": ["NumericEmbedding"],
    "stepscan.patterns.numeric_generator": ["NumericGenerator"],
    "stepscan.patterns.generator": ["Generator"],
    "stepscan.patterns.crf": ["CRF", "CRFTransducer"],
    "stepscan.patterns.transducer": ["Transducer"],
    "stepscan.patterns.conditioned_generator": ["ConditionedGenerator"],
    "stepscan.patterns.attention": ["AttentiveDecoder"],
    "stepscan.patterns.cross_attention": ["CrossAttention"],
    "stepscan.estimators.classifier": ["Classifier"],
    "stepscan.estimators.forecaster": ["Forecaster"],
    "stepscan.estimators.language_model": ["LanguageModel"],
    "stepscan.estimators.tagger": ["Tagger"],
    "stepscan.estimators.translator": ["Translator"],
    "stepscan.estimators.average": ["average"],
    "stepscan.models.ensemble": ["ensemble"],
    "stepscan.estimators.loader": ["load"],
    "stepscan.errors": [
        *("DataError", "ModelFormatError", "NotFittedError", "SettingsError", "StepscanError", "UnsupportedLayer"),
    ],
}
_home_of = {name: module for module, names in _HOMES.items() for name in names}

_MODULES = ["distributed", "inspection", "kernels", "laws", "runtime"]

__all__ = sorted([*_home_of, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"stepscan.{name}")
    if name not in _home_of:
        raise AttributeError(f"module 'stepscan' has no attribute {name!r}")
    value = getattr(importlib.import_module(_home_of[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
