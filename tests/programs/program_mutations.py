"""Random changes of the program of a cell as it lies in a folder: whatever they are, reading says what is wrong or
returns a program that computes.

    python tests/programs/program_mutations.py 100000 [SEED]
"""

from __future__ import annotations

import copy
import json
import random
import sys

import numpy as np

from stepscan.backends.native_arrays import address, addresses, contiguous
from stepscan.errors import ProgramError
from stepscan.kernels.native import library
from stepscan.programs.derivative import differentiate
from stepscan.programs.lowering import lower
from stepscan.programs.program import Program
from stepscan.programs.reference import Scan
from stepscan.programs.stored import StoredProgram

NUMBERS = (
    -1,
    0,
    1,
    2,
    3,
    7,
    8,
    2**16,
    2**24,
    2**31,
    2**63,
    10**40,
    10**400,
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    True,
    None,
)
WORDS = ("x", "leaf", "vector", "product", "blocks", "sum", "spread", "normal", "output_gradient", "product_back", "")
SMALL = 2**16  # numbers in a row of what is computed
LARGE = 1e3


def places(data, path=()):
    """The paths to everything in plain data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def at(data, path):
    for key in path:
        data = data[key]
    return data


def mutated(data, source):
    """A copy with one to three changes: a value, a swap, a copy or a loss."""
    data = copy.deepcopy(data)
    for _ in range(source.randint(1, 3)):
        every = list(places(data))
        *way, key = source.choice(every)
        owner, kind = at(data, way), source.randrange(6)
        if kind == 0:
            owner[key] = source.choice(NUMBERS)
        elif kind == 1:
            owner[key] = source.choice(WORDS)
        elif kind == 2 and isinstance(owner[key], int):
            owner[key] += source.choice((-2, -1, 1, 2))
        elif kind == 3:
            owner[key] = copy.deepcopy(at(data, source.choice(every)))
        elif kind == 4:
            del owner[key]
        elif isinstance(owner, list):
            owner.insert(key, copy.deepcopy(owner[source.randrange(len(owner))]))
    return data


def survives(data):
    """Whether data are read as a program, which is then run; False if they are refused."""
    try:
        program = StoredProgram.from_json(data).program if "layer" in data else Program.from_json(data)
    except ProgramError:
        return False
    widths = [program.input_size, *program.state, *(value.width for value in program.values)]
    weights = sum(int(np.prod(shape)) for _, shape in program.weights)
    if sum(widths) + weights < SMALL:
        run(program)
    return True


def run(program):
    """One step and its gradients."""
    generator = np.random.default_rng(0)
    weights = [generator.normal(size=shape) for _, shape in program.weights]
    state = [generator.normal(size=(2, width)) for width in program.state]
    x = generator.normal(size=(2, 1, program.input_size))
    with np.errstate(all="ignore"):
        scan = Scan(program, weights, x, np.array([1, 1]), state)
        gradients = scan.backward(differentiate(program), np.ones_like(scan.y), scan.state)
    run_natively(program, weights, x, state, scan)
    assert scan.y.shape == (2, 1, program.output_size)
    assert [leaf.shape for leaf in scan.state] == [leaf.shape for leaf in gradients.state]


def run_natively(program, weights, x, state, scan):
    """The same step on the native library, if it runs the program; compared where float32 can hold the numbers."""
    try:
        lowered = library and library.Program(list(lower(program).numbers))
    except Exception:  # no step of ours is like it
        lowered = None
    if lowered is None:
        return
    weights, state, x = [contiguous(w) for w in weights], [contiguous(leaf) for leaf in state], contiguous(x)
    packed = library.ProgramWeights(lowered, addresses(*weights))
    lengths, y, ends = np.array([1, 1]), np.empty(scan.y.shape, np.float32), [np.empty_like(leaf) for leaf in state]
    places = address(x), address(lengths), 2, 1, [addresses(*state)], address(y), [addresses(*ends)]
    library.program_forward([packed], [False], *places, False, 1)
    largest = max((float(np.abs(value).max()) for value in scan.known(0)), default=0.0)
    if largest < LARGE:
        np.testing.assert_allclose(y, scan.y, rtol=0, atol=1e-3 * max(1.0, largest))


def examples():
    """Programs of several cells, in plain data."""
    from program_cells import Exponential, Heads, Leaky, NormedLSTM

    from stepscan.programs.tracing.tracer import trace

    return [
        json.loads(json.dumps(trace(cls(3, 4)).program.to_json())) for cls in (Leaky, NormedLSTM, Heads, Exponential)
    ]


def main(count, seed):
    source, known = random.Random(seed), examples()
    survived = sum(survives(mutated(source.choice(known), source)) for _ in range(count))
    return survived


if __name__ == "__main__":
    number, chosen = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    print(
        f"{number:,} mutations, seed {chosen}: {main(number, chosen):,} were programs, the others were refused in words"
    )
