"""Decoding, once for all generators: NumPy arrays and a step function, no torch.

A step function reads one token a row and says how likely each next token is:

    step(tokens [N], state) -> (scores [N, V], state)

with int64 tokens, unnormalised scores (logits; -inf forbids a token) and states as in `stepscan.state`.
"""

from stepscan.decoding.beam import Hypothesis, StepFunction, beam_search
from stepscan.decoding.checks import checked_whole, is_within
from stepscan.decoding.constraints import at_least, covering, forbidding, penalising
from stepscan.decoding.generation import generate, greedy, row_randoms, stream
from stepscan.decoding.sampling import Sampler, log_softmax
from stepscan.decoding.viterbi import viterbi

__all__ = [
    "Hypothesis",
    "Sampler",
    "StepFunction",
    "at_least",
    "beam_search",
    "checked_whole",
    "covering",
    "forbidding",
    "generate",
    "greedy",
    "is_within",
    "log_softmax",
    "penalising",
    "row_randoms",
    "stream",
    "viterbi",
]
