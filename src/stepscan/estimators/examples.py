"""The examples that estimators learn from: split into training and validation, and batched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from stepscan.data.batching import Batch, bucketed
from stepscan.errors import SettingsError
from stepscan.training.loop import Task
from stepscan.training.progress import Bar
from stepscan.training.settings import TrainingSettings

Item = TypeVar("Item")


def hold_out(
    examples: list[Item],
    validation: list[Item] | None,
    *,
    verbose: bool,
    labels: Callable[[Item], Iterable[Any]] = lambda _: (),
    stratified: Callable[[Item], Any] | None = None,
) -> tuple[list[Item], list[Item]]:
    """Training and validation examples; without the latter, a tenth is held out at random, and it says so.

    The examples are shuffled and, to be stratified, sorted; then one is drawn out of each ten in turn. So every class
    gives its share, however the file is sorted. The draw is the same for every seed of training, so that models of
    several seeds are judged on the same data, know the same symbols, and can be joined.

    Args:
        examples: what there is to learn from.
        validation: what was given to validate on, if anything.
        verbose: whether to report what is held out.
        labels: of an example; the last example with a label is never held out.
        stratified: what the examples are sorted by, such as the class.

    Raises:
        SettingsError: there is one example only, or every one is the only one with its label.
    """
    if validation is not None:
        return examples, validation
    if len(examples) < 2:
        raise SettingsError(
            "one example (1 sample) cannot be split into training and validation data; give more, or validation data"
        )
    random = np.random.default_rng(0)
    order = random.permutation(len(examples)).tolist()
    if stratified is not None:
        order.sort(key=lambda place: stratified(examples[place]))
    left = Counter(label for example in examples for label in set(labels(example)))
    chosen: set[int] = set()
    for part in np.array_split(order, max(1, len(examples) // 10)):
        for place in random.permutation(part).tolist():
            own = set(labels(examples[place]))
            if all(left[label] > 1 for label in own):
                chosen.add(place)
                left.subtract(own)
                break
    if not chosen:
        raise SettingsError(
            f"none of the {len(examples)} examples can be held out for validation: each is the only one with its "
            "label; give more examples, or validation data"
        )
    if verbose:
        how = "at random" if stratified is None else "at random, stratified"
        Bar().note(
            f"no validation data given: a tenth ({len(chosen):,} of {len(examples):,}), drawn {how}, is held out"
        )
    train = [example for place, example in enumerate(examples) if place not in chosen]
    return train, [examples[place] for place in sorted(chosen)]


@dataclass
class Buckets:
    """The `batches` of a `Task`, of like lengths together.

    Args:
        lengths: of the examples.
        settings: batch size and seed.
        collate: makes a batch of examples' indices.
        sizes: how many places each example takes in a batch, if that is not its length.
    """

    lengths: Sequence[int]
    settings: TrainingSettings
    collate: Callable[[np.ndarray], Batch]
    sizes: Sequence[int] = ()

    def __call__(self, epoch: int) -> Iterator[Batch]:
        for chosen in bucketed(self.lengths, self.settings.batch_size, seed=self.settings.seed, epoch=epoch):
            yield self.collate(chosen)

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self.lengths) // self.settings.batch_size)

    @property
    def items(self) -> float:
        """A batch, on average, without padding."""
        return sum(self.sizes or self.lengths) / max(1, len(self))

    @property
    def places(self) -> int:
        """At most so many are in a batch, padding included: where the longest examples meet."""
        longest = sorted(self.sizes or self.lengths)[-self.settings.batch_size :]
        return max(longest, default=0) * len(longest)


def task_of(
    model: Any,
    batches: Buckets,
    evaluate: Callable[[], dict[str, float]] | None,
    held_out: int,
    greater_is_better: bool,
) -> Task:
    """The task of training on batches; an evaluation is of `held_out` examples, each at a third of the cost of one in
    training, and all evaluations together take a tenth of the time."""
    cost = max(1, round(held_out / 3 / batches.settings.batch_size / 0.1))
    return Task(model, batches, len(batches), evaluate, greater_is_better, batches.items, cost)
