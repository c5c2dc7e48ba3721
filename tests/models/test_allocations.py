"""Blocks of a signal are processed without asking for memory, once the largest has been seen."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import stepscan as ss
from stepscan import kernels

COUNTER = r"""
#define _GNU_SOURCE
#include <stddef.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
static long count;
long allocations(void) { return __atomic_load_n(&count, __ATOMIC_RELAXED); }
static void note(void) { __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED); }
void *malloc(size_t n) { note(); return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { note(); return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { note(); return __libc_realloc(p, n); }
void *aligned_alloc(size_t a, size_t n) { note(); return __libc_memalign(a, n); }
"""
SCRIPT = """
import ctypes, sys
import numpy as np
from stepscan import runtime

allocations = ctypes.CDLL(None).allocations
session = runtime.load(sys.argv[1]).session()
signal, out = np.random.default_rng(0).normal(size=(64, 2)), np.empty((64, 2), np.float32)
blocks = [signal[:n] for n in (64, 1, 7, 64, 16)]
for block in blocks:
    session.push_block(block, out)
before = allocations()
for _ in range(50):
    for block in blocks:
        session.push_block(block, out)
print(allocations() - before)
np.zeros(100000)
print(allocations() - before)
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="counts glibc's malloc with a C compiler")
@pytest.mark.skipif(kernels.native.library is None, reason="the native kernels were not built")
def test_no_allocation_after_the_first_blocks(tmp_path: Path) -> None:
    import numpy as np

    random = np.random.default_rng(0)
    series = [random.normal(size=(9, 2)) for _ in range(8)]
    tags = [["up" if x > 0 else "down" for x, _ in one] for one in series]
    ss.Tagger(bidirectional=False, layers=2, hidden_size=9, epochs=1, batch_size=4).fit(series, tags).save(
        tmp_path / "model"
    )
    (tmp_path / "counter.c").write_text(COUNTER)
    compile_it = ["cc", "-shared", "-fPIC", "-O1", "-o", "counter.so", "counter.c"]
    subprocess.run(compile_it, cwd=tmp_path, check=True)
    environment = {"LD_PRELOAD": str(tmp_path / "counter.so"), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "model")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    in_blocks, afterwards = map(int, done.stdout.split())
    assert in_blocks == 0
    assert afterwards > 0  # the counter counts
