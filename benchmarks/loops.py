"""Whole training loops of three default models beside plain PyTorch scripts of the same models.

    python benchmarks/loops.py classify derived.sst2.phrases.train.tsv.gz [--batches 20] [--rounds 5] [--threads 2]
    python benchmarks/loops.py generate input.txt.gz
    python benchmarks/loops.py translate train.de.gz train.en.gz

Measured is all that a batch costs: it is made out of ids (texts are tokenised beforehand), then forward, backward,
clipping and the optimiser's step. Ours is the loop that `fit` runs, its checks and its seeding of noise included;
theirs is what `plain_models.py` says. Same sizes, same examples in each batch, same optimiser. The two take turns,
round by round; medians and ratios are printed. `tagger.py` does the same for the tagger.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from plain_models import PlainClassifier, PlainLanguageModel, PlainTranslator
from torch import nn
from turns import OURS, add_options, show, take_turns, train_plainly

from stepscan import Classifier, LanguageModel, Translator
from stepscan.data.batching import TrainingBatch, bptt_windows, bucket_by_length
from stepscan.data.lines import read_text
from stepscan.data.readers import read_labelled, read_parallel
from stepscan.estimators.examples import Buckets
from stepscan.estimators.language_model import _batches
from stepscan.training.loop import Task, Trainer
from stepscan.training.progress import Silence
from stepscan.training.settings import TrainingSettings


class Contest(NamedTuple):
    """Two models and how each makes the same batches."""

    settings: TrainingSettings
    ours: nn.Module
    our_batches: Callable[[], Iterable[TrainingBatch]]
    plain: Any
    plain_batches: Callable[[], Iterable[Any]]


def classify(given: argparse.Namespace) -> Contest:
    """Texts without a header: text TAB class."""
    examples = read_labelled(given.data[0], format="tsv", text_column=1, label_column=2)
    texts, labels = zip(*examples, strict=True)
    classifier = Classifier()
    settings = classifier._settings()
    classifier.labels_ = sorted(set(labels))
    ours = classifier._model(classifier._embedding(texts))
    targets = torch.as_tensor(classifier._decision.targets(labels, classifier.labels_))
    buckets = classifier._batches(texts, targets, settings)
    chosen = first(buckets, given.batches)
    tokenizer = classifier.tokenizers_["tokenizer"]
    plain = PlainClassifier(classifier, len(tokenizer), len(classifier.labels_))
    rows = [torch.tensor(ids) for ids in tokenizer.encode_batch(texts)]
    return Contest(
        settings, ours, lambda: map(buckets.collate, chosen), plain, lambda: plain.batches(rows, targets, chosen)
    )


def generate(given: argparse.Namespace) -> Contest:
    """One text."""
    text = read_text(given.data[0])
    writer = LanguageModel()
    settings = writer._settings()
    tokenizer = writer._train_tokenizer(text)
    writer.tokenizers_ = {"tokenizer": tokenizer}
    ours = writer._model()
    ids = np.array([tokenizer.begin, *writer._encode(text)])
    windows = bptt_windows(ids, settings.batch_size, writer.window)[: given.batches]
    plain = PlainLanguageModel(writer, len(tokenizer))
    columns = (len(ids) - 1) // settings.batch_size
    of_plain = [
        torch.from_numpy(ids[start : start + settings.batch_size * columns]).view(settings.batch_size, columns)
        for start in (0, 1)
    ]
    return Contest(settings, ours, lambda: _batches(windows), plain, lambda: plain.batches(*of_plain, len(windows)))


def translate(given: argparse.Namespace) -> Contest:
    """Two files, source and target, a sentence a line."""
    pairs = [(source, target) for source, target in read_parallel(given.data)]
    translator = Translator()
    settings = translator._settings()
    translator.tokenizers_ = translator._tokenizers(pairs)
    ours = translator._model()
    buckets = translator._batches(pairs, settings)
    chosen = first(buckets, given.batches)
    tokenizer = translator.tokenizers_["tokenizer"]
    plain = PlainTranslator(translator, len(tokenizer))
    sources, targets = (translator._encode(texts, tokenizer) for texts in zip(*pairs, strict=True))
    read = [torch.tensor(ids) for ids in sources]
    written = [torch.tensor([tokenizer.begin, *ids]) for ids in targets]
    return Contest(
        settings, ours, lambda: map(buckets.collate, chosen), plain, lambda: plain.batches(read, written, chosen)
    )


def first(buckets: Buckets, count: int) -> list[np.ndarray]:
    """The examples of the first batches of the first epoch."""
    return bucket_by_length(buckets.lengths, buckets.settings.batch_size, seed=buckets.settings.seed, epoch=0)[:count]


def our_loop(contest: Contest, count: int, epochs: int) -> Callable[[], None]:
    """An epoch of `fit` without the evaluation at its end."""
    settings = contest.settings.model_copy(update={"epochs": epochs})
    task = Task(contest.ours, lambda epoch: contest.our_batches(), count, dict, False)
    trainer = Trainer(task, settings, Silence())

    def run() -> None:
        trainer._begin_epoch(0)
        trainer._run_epoch()

    return run


def plain_loop(contest: Contest) -> Callable[[], None]:
    """The same of the plain script."""
    model = contest.plain.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=contest.settings.learning_rate, fused=True)
    return lambda: train_plainly(model, optimiser, model.loss, contest.plain_batches())


def weights(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(required=True, metavar="TASK")
    for task, files in ((classify, ["FILE"]), (generate, ["FILE"]), (translate, ["SOURCE", "TARGET"])):
        own = tasks.add_parser(task.__name__, help=task.__doc__, description=task.__doc__)
        for file in files:
            own.add_argument("data", action="append", metavar=file)
        add_options(own, batches=20, rounds=5)
        own.set_defaults(task=task)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)

    contest: Contest = given.task(given)
    made = list(contest.our_batches())
    tokens = sum(batch.tokens for batch in made)
    print(f"{len(made)} batches of {contest.settings.batch_size}, {tokens:,} tokens, {given.threads} threads")
    print(f"weights: stepscan {weights(contest.ours):,}, plain {weights(contest.plain):,}")
    rivals = {OURS: our_loop(contest, len(made), given.rounds + 1), "plain": plain_loop(contest)}
    show(take_turns(rivals, given.rounds), len(made), tokens)


if __name__ == "__main__":
    main()
