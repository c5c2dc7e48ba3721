"""The threads that run a kernel: limits, forks, concurrent callers. Tests that could hang run in a subprocess."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

import stepscan as ss
from stepscan.backends.weights import Weights
from stepscan.cells.cell import Cell
from stepscan.definitions.definition import specify
from stepscan.kernels import native
from stepscan.registry import describe

pytestmark = pytest.mark.skipif(native.library is None, reason="the native library was not built")

PROGRAM = """
import torch, stepscan as ss
torch.manual_seed(0)
torch.set_num_threads(2)
cell, x = ss.LSTM(40, 256), ss.Sequences(torch.randn(4, 20, 40), [5, 20, 11, 16])
def train():
    y, _ = cell.scan(x)
    cell.zero_grad()
    y.data.sum().backward()
    # few elements at a time: torch's own threads hang in a forked child
    return y.data.sum().item(), cell.weight_hh.grad[:64, :64].sum().item()
"""


def run(program: str, **environment: str) -> str:
    """The output of a Python process that runs PROGRAM and these lines; an error if it fails or hangs."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fewer_threads_than_asked_for() -> None:
    report = "train(); print(ss.kernels.native.library.team_size(2))"
    assert run(report, OMP_NUM_THREADS="2").split() == ["2"]
    assert run(report, OMP_THREAD_LIMIT="1").split() == ["1"]


def test_in_a_nested_parallel_region() -> None:
    program = """
import ctypes, glob, os
path = glob.glob(os.path.join(os.path.dirname(torch.__file__), "lib", "libgomp*"))[0]
gomp, seen = ctypes.CDLL(path), []
@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def region(_):
    if gomp.omp_get_thread_num() == 0:
        seen.append((ss.kernels.native.library.team_size(2), train()))
gomp.GOMP_parallel(region, None, 2, 0)
print(seen[0][0], seen[0][1] == train())
"""
    assert run(program, OMP_NUM_THREADS="2").split()[0] == "1"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_runs_on_one_thread() -> None:
    program = """
import os
expected = train()
child = os.fork()
if child == 0:
    same = train()[0] == expected[0] and ss.kernels.native.library.team_size(2) == 1
    os._exit(0 if same else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(program).split() == ["0"]


def test_own_pool_where_torch_has_no_openmp() -> None:
    program = """
from stepscan.kernels.native import library
expected = train()
library.use_openmp(0, 0, 0)
import threading
print(library.team_size(2), all(train() == expected for _ in range(20)))
wrong = []
def work():
    for _ in range(20):
        with torch.no_grad():
            if cell.scan(x)[0].data.sum().item() != expected[0]: wrong.append(1)
threads = [threading.Thread(target=work) for _ in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(wrong))
"""
    assert run(program).split() == ["2", "True", "0"]


def test_two_python_threads_at_once() -> None:
    torch.manual_seed(0)
    cells = [ss.LSTM(20, 256), ss.GRU(20, 64)]
    inputs = ss.Sequences(torch.randn(8, 30, 20), [30, 3, 8, 30, 22, 1, 0, 30])
    with torch.no_grad():
        expected = [cell.scan(inputs)[0].data for cell in cells]
    wrong: list[int] = []

    def work(number: int) -> None:
        for i in range(40):
            which = (number + i) % 2
            with torch.no_grad():
                if not torch.equal(cells[which].scan(inputs)[0].data, expected[which]):
                    wrong.append(i)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_kernels_release_the_interpreter_lock() -> None:
    cell, inputs = ss.LSTM(256, 512), ss.Sequences(torch.randn(32, 200, 256), [200] * 32)
    done, counted = threading.Event(), 0

    def scan() -> None:
        with torch.no_grad():
            cell.scan(inputs)
        done.set()

    with torch.no_grad():
        cell.scan(ss.Sequences(inputs.data[:1, :1], [1]))  # packs the weights
    threading.Thread(target=scan).start()
    while not done.is_set():
        counted += 1
    assert counted > 1000


@pytest.mark.parametrize("isa", [] if native.library is None else native.library.instruction_sets())
def test_environment_names_the_instruction_set(isa: str) -> None:
    assert run("print(ss.kernels.native.library.instruction_set())", STEPSCAN_ISA=isa).split() == [isa]


def test_an_unknown_instruction_set_is_an_error() -> None:
    with pytest.raises(
        AssertionError, match=r"expected STEPSCAN_ISA to be an instruction set of this processor .*got 'avx3'"
    ):
        run("train()", STEPSCAN_ISA="avx3")


@pytest.mark.parametrize("cell", [ss.LSTM, ss.GRU])
def test_zoneout_has_the_same_bits_on_two_threads(cell: type[Cell]) -> None:
    """The old state is copied before any thread writes the new one."""
    torch.manual_seed(0)
    layer = ss.Zoneout(cell(16, 64), 0.3)
    tensors = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    tree = specify(describe(layer)).bind(Weights(tensors)).native
    x, y = np.random.default_rng(0).standard_normal((400, 16)).astype(np.float32), np.empty((100, 400, 64), np.float32)
    for i, outputs in enumerate(y):
        assert native.library.Stream(tree).push(x, outputs, 1 if i == 0 else 2)
    assert (y == y[0]).all()
