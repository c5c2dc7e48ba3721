"""Decoding for all generators: sampling, beam search and Viterbi, with NumPy arrays and without torch.

A step function reads one token per row and returns the scores of each next token:

    step(tokens [N], state) -> (scores [N, V], state)

with int64 tokens, unnormalised scores (logits; -inf forbids a token) and states as in `stepscan.state`. It must not
change the state that it is given.

Dimension letters: N rows, V size of the vocabulary, B batch, T time, K tags or hypotheses, S items of a source.
"""

from stepscan.decoding.beam import Hypothesis, StepFunction, beam_search
from stepscan.decoding.checks import checked_whole, is_within
from stepscan.decoding.constraints import (
    with_coverage_penalty,
    with_minimum_length,
    with_repetition_penalty,
    without_tokens,
)
from stepscan.decoding.generation import generate, row_generators, stream
from stepscan.decoding.sampling import Sampler, log_softmax
from stepscan.decoding.viterbi import viterbi

__all__ = [
    "Hypothesis",
    "Sampler",
    "StepFunction",
    "beam_search",
    "checked_whole",
    "generate",
    "is_within",
    "log_softmax",
    "row_generators",
    "stream",
    "viterbi",
    "with_coverage_penalty",
    "with_minimum_length",
    "with_repetition_penalty",
    "without_tokens",
]
