"""What a model does inside: the units and gates of its layers at each step, and the words that its answer depends on.

Computed without PyTorch, from the weights in the model folder.
"""

from __future__ import annotations

from stepscan.serving.inside.traces import LayerTrace, Trace, trace
from stepscan.serving.inside.word_effects import WordEffect, WordEffects, word_effects

__all__ = ["LayerTrace", "Trace", "WordEffect", "WordEffects", "trace", "word_effects"]
