"""What no machine can hold is refused in words before it is tried; what turns out not to fit is told in words too."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from stepscan import memory
from stepscan.errors import NotEnoughMemory, SettingsError, StepscanError

GIGABYTE = 2**30
TRAIN = {"classify": "reviews.csv", "generate": "text.txt", "translate": "pairs.tsv", "tag": "spans.txt"}
MOST = "expected at most"


@pytest.mark.parametrize("task", TRAIN)
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--layers 100000", f"layers: {MOST} 1,000, got 100000"),
        ("--hidden-size 1000000000", f"hidden_size: {MOST} 1,048,576, got 1000000000"),
        ("--embedding-size 99999999999", f"embedding_size: {MOST} 1,048,576, got 99999999999"),
        ("--batch-size 99999999999999999999", f"batch_size: {MOST} 2,147,483,647, got 99999999999999999999"),
        ("--epochs 99999999999999999999", f"epochs: {MOST} 2,147,483,647"),
        ("--gradient-accumulation-steps 99999999999", f"gradient_accumulation_steps: {MOST} 2,147,483,647"),
        ("--vocabulary-size 99999999999", f"vocabulary_size: {MOST} 2,147,483,647"),
        ("--seed 99999999999999999999", f"seed: {MOST} {2**63 - 1:,}, got 99999999999999999999"),
    ],
)
def test_settings_of_training(workplace, refuses, task, option, said):
    (workplace / "spans.txt").write_text("a X\nb Y\n\nc X\n\n" * 4)
    (workplace / "series.csv").write_text("x\n1\n2\n3\n")
    refuses(workplace, 1, [said], "train", task, "--train", TRAIN[task], "--out", "out", "--quiet", *option.split())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("generate --train text.txt --bptt 99999999999", f"bptt: {MOST} 2,147,483,647"),
        ("forecast --train series.csv --seasonal-period 99999999999", f"seasonal_period: {MOST} 2,147,483,647"),
        ("tag --train spans.txt --char-hidden-size 99999999999", f"char_hidden_size: {MOST} 1,048,576"),
        ("tag --train spans.txt --char-embedding-size 99999999999", f"char_embedding_size: {MOST} 1,048,576"),
    ],
)
def test_settings_of_one_task(workplace, refuses, command, said):
    (workplace / "spans.txt").write_text("a X\nb Y\n\nc X\n\n" * 4)
    (workplace / "series.csv").write_text("x\n1\n2\n3\n")
    refuses(workplace, 1, [said], "train", *command.split(), "--out", "out", "--quiet")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("generate generate --length 10000000000000", "10,000,000,000,000 symbols would take 160 TB, but only"),
        (
            "generate generate --top-k 9223372036854775808",
            "top_k: expected a whole number, 0 (off) or more, below 2**63",
        ),
        ("predict translate abc --n-best 99999999999", f"n_best: {MOST} 1,000"),
        ("predict translate abc --beam-width 99999999999", f"beam_width: {MOST} 1,000"),
        ("predict translate abc --minimum-length 10000000000000", "10,000,000,000,000 symbols would take"),
    ],
)
def test_use(models, workplace, refuses, monkeypatch, command, said):
    monkeypatch.setattr(memory, "available_memory", lambda: 10 * GIGABYTE)
    what, model, *rest = command.split()
    refuses(workplace, 1, [said], what, models[model], *rest)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("--cell gru --length 100000000", 1, "100,000,000 steps of 8 sequences of size 64 would take 1.23 TB"),
        ("--cell gru --hidden-size 1000000", 1, "the weights of a cell of 1,000,000 units would take 16 TB"),
        ("--cell gru --length 0", 1, "got length 0, hidden size 64"),
        ("--cell gru --hidden-size 0", 1, "got length 200, hidden size 0"),
        ("--cell gru --seed -1", 2, "-1 is not in the range"),
        ("--cell gru --seed 99999999999999999999", 2, "99999999999999999999 is not in the range"),
    ],
)
def test_inspect(workplace, refuses, monkeypatch, command, code, said):
    monkeypatch.setattr("stepscan.memory.available_memory", lambda: 10 * GIGABYTE)
    refuses(workplace, code, [said], "inspect", *command.split())


def test_a_crf_of_too_many_tags(workplace, refuses, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: GIGABYTE)
    (workplace / "many.txt").write_text("".join(f"a t{i}\n" for i in range(10_000)) + "\na t1\n")
    said = "the transitions between 10,000 tags that a CRF learns would take 1.6 GB, but only 1.07 GB are free"
    refuses(workplace, 1, [said], *["train", "tag", "--crf", "--train", "many.txt", "--out", "out", "--quiet"])


def test_no_memory_is_an_error_in_words(models, workplace, refuses, monkeypatch):
    """Wherever it is noticed: NumPy's, torch's, and the kernels'."""
    from stepscan.definitions.encoder import Encoder

    def full(*_: object) -> None:
        np.empty((2**25, 2**25))

    monkeypatch.setattr(Encoder, "scores", full)
    said = "there is not enough memory for one text of 2 items: split long texts into shorter ones, or free memory"
    refuses(workplace, 1, [said], "predict", models["classify"], "two words")


def test_no_memory_in_training(workplace, refuses, monkeypatch):
    from stepscan.patterns.encoder import Encoder

    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you tried to")

    monkeypatch.setattr(Encoder, "loss", full)
    said = "there is not enough memory for a batch of 15 sequences, 180 items with padding: take a smaller batch_size"
    refuses(workplace, 1, [said], *["train", "classify", "--train", "reviews.csv", "--out", "out", "--quiet"])


def test_what_memory_errors_are() -> None:
    for error in (MemoryError(), RuntimeError("CUDA out of memory. Tried to"), ValueError("array is too big; `arr`")):
        with pytest.raises(NotEnoughMemory, match="for that: do this") as told, memory.enough_memory("that", "do this"):
            raise error
        assert isinstance(told.value, StepscanError)
        assert isinstance(told.value, MemoryError)
    with pytest.raises(ValueError, match="another"), memory.enough_memory("that", "do this"):
        raise ValueError("another")
    with (
        pytest.raises(NotEnoughMemory, match="for the inner: a"),
        memory.enough_memory("the outer", "b"),
        memory.enough_memory("the inner", "a"),
    ):
        raise MemoryError


def test_what_fits(monkeypatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    memory.check_fits(1000, "this", "do that")
    with pytest.raises(SettingsError, match=r"this would take 1 KB, but only 1 KB are free: do that"):
        memory.check_fits(1001, "this", "do that")


def limited(code: str, limit: int, **options: object) -> subprocess.CompletedProcess[str]:
    """Python in a process that may take no more memory than that."""
    if not sys.platform.startswith("linux"):
        pytest.skip("limits of memory are Linux's")
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        **options,
    )


@pytest.mark.parametrize(
    ("task", "data"),
    [
        ("classify", "['a ' * 30_000] + ['a good film'] * 2_000"),
        ("tag", "[['ab'] * 30_000] + [['ab', 'cd']] * 2_000"),
        ("tag", "[['a' * 200_000]] + [[f'b{i}'] for i in range(2_000)]"),
        ("translate", "['ab' * 150] + ['ab'] * 100"),
    ],
    ids=["long-text", "long-sentence", "long-word", "long-source"],
)
def test_a_long_one_beside_many_short_ones_takes_its_own_memory(models, task, data):
    code = f"""
import resource
from stepscan import runtime
model, data = runtime.load({str(models[task])!r}), {data}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
alone, together = model.predict(data[:1]), model.predict(data)
assert list(alone) == list(together)[:1]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = limited(code, 2 * GIGABYTE)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 250  # megabytes


def test_an_interrupt_ends_native_writing_at_once(models):
    code = f"""
import time
from stepscan import runtime
model = runtime.load({str(models["generate"])!r})
print("loaded", flush=True)
model.generate("ab", length=500_000_000, seed=1)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "loaded\n"
            time.sleep(0.3)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert "KeyboardInterrupt" in err
    assert time.monotonic() - began < 5
