"""Whole training loops of four default models, compared with plain PyTorch scripts of the same models.

    python benchmarks/loops.py classify derived.sst2.phrases.train.tsv.gz [--batches 20] [--rounds 5] [--threads 2]
    python benchmarks/loops.py tag en_ewt-ud-train.conllu.gz
    python benchmarks/loops.py generate input.txt.gz
    python benchmarks/loops.py translate train.de.gz train.en.gz

The time of a batch includes collating ids (texts are tokenised beforehand), forward, backward, gradient clipping, the
optimiser's step and the moving average of the weights. Ours is the loop that `fit` runs, including its checks and the
seeding of dropout; theirs is in `plain_models.py`. Both have the same sizes, examples in each batch, optimiser and
moving average. They alternate in each round; medians and ratios are printed. The plain tagger has two variants: its
character LSTM reads every word of a batch, or each distinct word once, as ours does.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable
from typing import Any

import torch
from comparisons import TASKS, Comparison
from loop_timing import OURS, PlainLoop, show, time_loops
from plain_models import PlainTagger
from torch import nn

from stepscan.data.lines import read_text
from stepscan.data.readers import read_labelled, read_parallel, read_tagged
from stepscan.training.loop import Trainer
from stepscan.training.progress import NullReporter

_NEVER = 2**31 - 1  # updates


def read(task: str, paths: list[str]) -> tuple[Any, ...]:
    """The arguments of the task's `fit`."""
    if task == "generate":
        return (read_text(paths[0]),)
    if task == "classify":
        pairs: Any = read_labelled(paths[0], format="tsv", text_column=1, label_column=2)
    elif task == "tag":
        pairs = read_tagged(paths[0])
    else:
        pairs = read_parallel(paths)
    inputs, targets, *_ = zip(*pairs, strict=True)
    return list(inputs), list(targets)


def our_loop(comparison: Comparison, chosen: list[Any]) -> Callable[[], None]:
    """Train on the chosen batches as `fit` does, without evaluations."""
    task = dataclasses.replace(
        comparison.stage.task,
        batches=lambda epoch: map(comparison.our_batch, chosen),
        batches_per_epoch=len(chosen),
        evaluate=None,
        evaluation_cost=_NEVER,
    )
    return Trainer(task, dataclasses.replace(comparison.stage.settings, epochs=None), NullReporter()).run_epoch


def plain_loops(comparison: Comparison, chosen: list[Any]) -> dict[str, Callable[[], None]]:
    """Train the plain script on the chosen batches; of the tagger, two variants."""
    plain, models = comparison.plain, {"plain": comparison.plain}
    if isinstance(plain, PlainTagger):
        every_word = PlainTagger(comparison.stage.task.model, distinct=False)
        models = {"plain, every word": every_word, "plain, distinct words": plain}

    def run(loop: PlainLoop) -> None:
        for batch in map(comparison.plain_batch, chosen):
            loop.update(batch)

    settings = comparison.stage.settings
    return {name: functools.partial(run, PlainLoop(model, settings)) for name, model in models.items()}


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("data", nargs="+", metavar="FILE", help="the training file; to translate, source and target")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor-time", action="store_true", help="measure it in place of time on the clock")
    return parser


def main() -> None:
    arguments = options().parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    comparison = TASKS[arguments.task](read(arguments.task, arguments.data), None, {"refit": False})
    chosen = list(itertools.islice(comparison.batches(0), arguments.batches))
    tokens = sum(batch.tokens for batch in map(comparison.our_batch, chosen))
    sizes = f"stepscan {parameters(comparison.stage.task.model):,}, plain {parameters(comparison.plain):,}"
    print(f"{len(chosen)} batches, {tokens:,} tokens, {arguments.threads} threads; parameters: {sizes}")
    loops = {OURS: our_loop(comparison, chosen), **plain_loops(comparison, chosen)}
    clock = time.process_time if arguments.processor_time else time.perf_counter
    show(time_loops(loops, arguments.rounds, clock), len(chosen), tokens)


if __name__ == "__main__":
    main()
