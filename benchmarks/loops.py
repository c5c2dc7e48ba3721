"""Whole training loops of three default models, compared with plain PyTorch scripts of the same models.

    python benchmarks/loops.py classify derived.sst2.phrases.train.tsv.gz [--batches 20] [--rounds 5] [--threads 2]
    python benchmarks/loops.py generate input.txt.gz
    python benchmarks/loops.py translate train.de.gz train.en.gz

The time of a batch includes collating ids (texts are tokenised beforehand), forward, backward, gradient clipping and
the optimiser's step. Ours is the loop that `fit` runs, including its checks and the seeding of dropout; theirs is in
`plain_models.py`. Both have the same sizes, the same examples in each batch and the same optimiser. They alternate in
each round; medians and ratios are printed. `tagger.py` does the same for the tagger.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from loop_timing import OURS, add_options, show, time_loops, train_plain
from plain_models import PlainClassifier, PlainLanguageModel, PlainTranslator
from torch import nn

from stepscan import Classifier, LanguageModel, Translator
from stepscan.data.batching import TrainingBatch, bptt_windows, bucket_by_length
from stepscan.data.lines import read_text
from stepscan.data.readers import read_labelled, read_parallel
from stepscan.estimators.language_model import _batches
from stepscan.estimators.training_data import Buckets
from stepscan.options import TrainingOptions
from stepscan.training.loop import Task, Trainer
from stepscan.training.progress import NullReporter


class Comparison(NamedTuple):
    """Two models and how each makes the same batches."""

    settings: TrainingOptions
    ours: nn.Module
    our_batches: Callable[[], Iterable[TrainingBatch]]
    plain: Any
    plain_batches: Callable[[], Iterable[Any]]


def classify(arguments: argparse.Namespace) -> Comparison:
    """A file of texts without a header: text TAB class."""
    examples = read_labelled(arguments.data[0], format="tsv", text_column=1, label_column=2)
    texts, labels = zip(*examples, strict=True)
    classifier = Classifier()
    settings = classifier._settings()
    classifier.labels_ = sorted(set(labels))
    ours = classifier._model(classifier._embedding(texts))
    targets = torch.as_tensor(classifier.problem.targets(labels, classifier.labels_))
    buckets = classifier._batches(texts, targets, settings)
    chosen = first(buckets, arguments.batches)
    tokenizer = classifier.tokenizers_["tokenizer"]
    plain = PlainClassifier(classifier, len(tokenizer), len(classifier.labels_))
    rows = [torch.tensor(ids) for ids in tokenizer.encode_batch(texts)]
    return Comparison(
        settings, ours, lambda: map(buckets.collate, chosen), plain, lambda: plain.batches(rows, targets, chosen)
    )


def generate(arguments: argparse.Namespace) -> Comparison:
    """A text file."""
    text = read_text(arguments.data[0])
    language_model = LanguageModel()
    settings = language_model._settings()
    tokenizer = language_model._train_tokenizer(text)
    language_model.tokenizers_ = {"tokenizer": tokenizer}
    ours = language_model._model()
    ids = np.array([tokenizer.begin, *language_model.encode(text)])
    windows = bptt_windows(ids, settings.batch_size, language_model.bptt)[: arguments.batches]
    plain = PlainLanguageModel(language_model, len(tokenizer))
    columns = (len(ids) - 1) // settings.batch_size
    plain_columns = [
        torch.from_numpy(ids[start : start + settings.batch_size * columns]).view(settings.batch_size, columns)
        for start in (0, 1)
    ]
    return Comparison(
        settings, ours, lambda: _batches(windows), plain, lambda: plain.batches(*plain_columns, len(windows))
    )


def translate(arguments: argparse.Namespace) -> Comparison:
    """Two files, source and target, one sentence per line."""
    pairs = [(source, target) for source, target in read_parallel(arguments.data)]
    translator = Translator()
    settings = translator._settings()
    translator.tokenizers_ = translator._tokenizers(pairs)
    ours = translator._model()
    buckets = translator._batches(pairs, settings)
    chosen = first(buckets, arguments.batches)
    tokenizer = translator.tokenizers_["tokenizer"]
    plain = PlainTranslator(translator, len(tokenizer))
    source_ids, target_ids = (translator._encode(texts, tokenizer) for texts in zip(*pairs, strict=True))
    sources = [torch.tensor(ids) for ids in source_ids]
    targets = [torch.tensor([tokenizer.begin, *ids]) for ids in target_ids]
    return Comparison(
        settings, ours, lambda: map(buckets.collate, chosen), plain, lambda: plain.batches(sources, targets, chosen)
    )


def first(buckets: Buckets, count: int) -> list[np.ndarray]:
    """Indices of the examples of the first batches of the first epoch."""
    return bucket_by_length(buckets.lengths, buckets.settings.batch_size, seed=buckets.settings.seed, epoch=0)[:count]


def our_loop(comparison: Comparison, count: int, epochs: int) -> Callable[[], None]:
    """An epoch of `fit`, without the evaluation at its end."""
    settings = dataclasses.replace(comparison.settings, epochs=epochs)
    task = Task(comparison.ours, lambda epoch: comparison.our_batches(), count, dict, False)
    trainer = Trainer(task, settings, NullReporter())

    def run() -> None:
        trainer._begin_epoch(0)
        trainer._run_epoch()

    return run


def plain_loop(comparison: Comparison) -> Callable[[], None]:
    """An epoch of the plain script."""
    model = comparison.plain.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=comparison.settings.learning_rate, fused=True)
    return lambda: train_plain(model, optimiser, model.loss, comparison.plain_batches())


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(required=True, metavar="TASK")
    for task, files in ((classify, ["FILE"]), (generate, ["FILE"]), (translate, ["SOURCE", "TARGET"])):
        subparser = tasks.add_parser(task.__name__, help=task.__doc__, description=task.__doc__)
        for file in files:
            subparser.add_argument("data", action="append", metavar=file)
        add_options(subparser, batches=20, rounds=5)
        subparser.set_defaults(task=task)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    comparison: Comparison = arguments.task(arguments)
    batches = list(comparison.our_batches())
    tokens = sum(batch.tokens for batch in batches)
    print(f"{len(batches)} batches of {comparison.settings.batch_size}, {tokens:,} tokens, {arguments.threads} threads")
    print(f"parameters: stepscan {parameters(comparison.ours):,}, plain {parameters(comparison.plain):,}")
    loops = {OURS: our_loop(comparison, len(batches), arguments.rounds + 1), "plain": plain_loop(comparison)}
    show(time_loops(loops, arguments.rounds), len(batches), tokens)


if __name__ == "__main__":
    main()
