"""The patterns without torch: NumPy and the native layers, built from a description and tensors.

Each module corresponds to one in `stepscan.patterns`, with the same names and arguments (those for training are
ignored), and has the same outputs to the bit as that one with its native backend.
"""

from stepscan.runtime.networks.conditioned_generator import ConditionedGenerator
from stepscan.runtime.networks.crf import CRFTransducer
from stepscan.runtime.networks.encoder import Encoder
from stepscan.runtime.networks.factory import build_network
from stepscan.runtime.networks.generator import Generator
from stepscan.runtime.networks.transducer import Transducer

__all__ = ["CRFTransducer", "ConditionedGenerator", "Encoder", "Generator", "Transducer", "build_network"]
