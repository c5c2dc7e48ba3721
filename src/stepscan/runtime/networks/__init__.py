"""The four patterns without torch: NumPy around the native layers, built from a description and tensors.

Each module is the twin of one in `stepscan.patterns`: same names, same arguments (those of training change nothing
here), same bits as the torch side answers with on its native back end.
"""

from stepscan.runtime.networks.conditioned_generator import ConditionedGenerator
from stepscan.runtime.networks.crf import CRFTransducer
from stepscan.runtime.networks.encoder import Encoder
from stepscan.runtime.networks.factory import build_network
from stepscan.runtime.networks.generator import Generator
from stepscan.runtime.networks.transducer import Transducer

__all__ = ["CRFTransducer", "ConditionedGenerator", "Encoder", "Generator", "Transducer", "build_network"]
