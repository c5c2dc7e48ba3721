"""The examples that estimators learn from: split into training and validation, and batched."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from stepscan.data.batching import TrainingBatch, bucket_by_length
from stepscan.errors import SettingsError
from stepscan.options import TrainingOptions
from stepscan.training.defaults import FOLDS
from stepscan.training.loop import Task
from stepscan.training.progress import ProgressBar

Item = TypeVar("Item")

logger = logging.getLogger(__name__)
_ANY = object()  # a label that every example has, so that one at least stays in training


def same_input(example: tuple[Any, Any]) -> Hashable:
    """Equal for two examples (input, answer) with the same input: a text but for white space around it, the tokens of a
    sentence, the bytes of a series. Of the last two it is a hash, which takes less memory."""
    given = example[0]
    if isinstance(given, str):
        return given.strip()
    return hash((given.shape, given.tobytes()) if isinstance(given, np.ndarray) else tuple(given))


def hold_out(
    examples: list[Item],
    validation: list[Item] | None,
    *,
    verbose: bool,
    labels: Callable[[Item], Iterable[Any]] = lambda _: (),
    stratified: Callable[[Item], Any] | None = None,
    groups: Callable[[Item], Hashable] | None = None,
) -> tuple[list[Item], list[Item]]:
    """Training and validation examples; without the latter, a tenth is held out at random, and it says so.

    The examples are shuffled and, to be stratified, sorted; then one is drawn out of each ten in turn. So every class
    gives its share, however the file is sorted. The draw is the same for every seed of training, so that models of
    several seeds are judged on the same data, know the same symbols, and can be joined.

    A group of examples counts as one and is held out as a whole or not at all. One that is more than a tenth of the
    data stays in training, unless there is no other. Where no group can be held out, because each class is copies of
    one text, single examples are, and a warning says so.

    Args:
        examples: what there is to learn from.
        validation: what was given to validate on, if anything; a warning counts what `examples` have, too.
        verbose: whether to report what is held out.
        labels: of an example; the last example with a label is never held out.
        stratified: what the examples are sorted by, such as the class.
        groups: equal for examples that must be on one side, such as `same_input`; None: each is a group of its own.

    Raises:
        SettingsError: there is one example only, or every one is the only one with its label.
    """
    if validation is not None:
        _warn_of_repeats(examples, validation, groups)
        return examples, validation
    split = _Split(examples, labels, stratified, groups)
    chosen = split.either(split.tenth)
    if verbose:
        split.say(len(chosen))
    return split.parted(chosen)


def folds(
    examples: list[Item],
    k: int,
    *,
    labels: Callable[[Item], Iterable[Any]] = lambda _: (),
    stratified: Callable[[Item], Any] | None = None,
    groups: Callable[[Item], Hashable] | None = None,
) -> list[tuple[list[Item], list[Item]]]:
    """Training and validation examples of a cross-validation in `k` parts, or as many as there are groups.

    The rules and arguments are those of `hold_out`. Each example is held out once, except those without which a label
    would vanish from training; a part in which nothing can be held out is omitted.

    Raises:
        SettingsError: `k` is below 2; or as of `hold_out`.
    """
    if k < 2:
        raise SettingsError(f"folds: expected 2 or more, got {k}")
    split = _Split(examples, labels, stratified, groups)
    return [split.parted(chosen) for chosen in split.either(lambda: split.dealt(k))]


def parts(
    examples: list[Item], validation: list[Item] | None, *, are_few: bool, verbose: bool, **rules: Any
) -> list[tuple[list[Item], list[Item]]]:
    """Training and validation examples; of few, the folds of a cross-validation. The rules are those of `hold_out`."""
    found = folds(examples, FOLDS, **rules) if are_few and validation is None else []
    return found if len(found) == FOLDS else [hold_out(examples, validation, verbose=verbose, **rules)]


class _Split:
    """Examples on their way to two sides: which of them belong together, in which order groups are drawn, which may go.

    A group is a number, in the order of the first example of each.
    """

    def __init__(
        self,
        examples: list[Any],
        labels: Callable[[Any], Iterable[Any]],
        stratified: Callable[[Any], Any] | None,
        groups: Callable[[Any], Hashable] | None,
    ) -> None:
        if len(examples) < 2:
            raise SettingsError(
                "one example (1 sample) cannot be split into training and validation data; give more, or validation "
                "data"
            )
        self.examples, self.labels, self.stratified = examples, labels, stratified
        self.all_labels = self._labels_of(range(len(examples)))
        self._arrange(groups)

    def tenth(self) -> set[int]:
        """One group out of each ten; if all are large, one of the smallest."""
        left, largest = Counter(self.all_labels), max(1, len(self.examples) // 10)
        chosen: set[int] = set()
        for part in np.array_split(self.order, max(1, len(self.order) // 10)):
            drawn = (group for group in self.random.permutation(part) if self._size(group) <= largest)
            chosen |= self._first_that_may_go(drawn, left)
        return chosen or self._first_that_may_go(sorted(self.order, key=self._size), left)

    def dealt(self, k: int) -> list[set[int]]:
        """The groups dealt out in turn to so many hands, without those that stay empty."""
        hands = []
        for first in range(k):
            left = Counter(self.all_labels)
            several = map(self._places, self.order[first::k])
            hands.append({place for places in several if self._goes(places, left) for place in places})
        return [hand for hand in hands if hand]

    def either(self, draw: Callable[[], Any]) -> Any:
        """What is drawn of groups or, if that is nothing, of single examples."""
        count = len(self.order)
        if (found := draw()) or count == len(self.examples):
            return found or self._refuse()
        self._arrange(None)
        found = draw() or self._refuse()
        logger.warning(
            f"the {len(self.examples):,} examples have only {count:,} different inputs, so copies of what is held out "
            "stay in training: the validation scores say what is remembered, not what is learned; give more examples, "
            "or validation data (--valid)"
        )
        return found

    def parted(self, chosen: set[int]) -> tuple[list[Any], list[Any]]:
        train = [example for place, example in enumerate(self.examples) if place not in chosen]
        return train, [self.examples[place] for place in sorted(chosen)]

    def say(self, held_out: int) -> None:
        how = "at random" if self.stratified is None else "at random, stratified"
        total, groups = len(self.examples), len(self.order)
        what = f"a tenth ({held_out:,} of {total:,})"
        if groups < total:
            what = f"a tenth of the {groups:,} different ones ({held_out:,} of {total:,} examples)"
        ProgressBar().note(f"no validation data given: {what}, drawn {how}, is held out")

    def _arrange(self, groups: Callable[[Any], Hashable] | None) -> None:
        """Number the groups, and put them into the order in which they are drawn."""
        number: dict[Hashable, int] = {}
        keys = range(len(self.examples)) if groups is None else map(groups, self.examples)
        numbers = np.array([number.setdefault(key, len(number)) for key in keys])
        self.by_group = np.argsort(numbers, kind="stable")  # places of examples
        self.starts = np.concatenate([[0], np.bincount(numbers).cumsum()])  # in `by_group`, of each group
        self.random = np.random.default_rng(0)
        self.order = self.random.permutation(len(number)).tolist()
        if (stratified := self.stratified) is not None:
            self.order.sort(key=lambda group: stratified(self.examples[self.by_group[self.starts[group]]]))

    def _places(self, group: int) -> list[int]:
        return self.by_group[self.starts[group] : self.starts[group + 1]].tolist()

    def _size(self, group: int) -> int:
        return int(self.starts[group + 1] - self.starts[group])

    def _first_that_may_go(self, groups: Iterable[int], left: Counter[Any]) -> set[int]:
        return next((set(places) for places in map(self._places, groups) if self._goes(places, left)), set())

    def _goes(self, places: list[int], left: Counter[Any]) -> bool:
        """Whether each of their labels is left without them; they are then counted no longer."""
        own = self._labels_of(places)
        if any(left[label] <= count for label, count in own.items()):
            return False
        left.subtract(own)
        return True

    def _labels_of(self, places: Iterable[int]) -> Counter[Any]:
        """How many examples with each label there are."""
        return Counter(label for place in places for label in {_ANY, *self.labels(self.examples[place])})

    def _refuse(self) -> Any:
        raise SettingsError(
            f"none of the {len(self.examples)} examples can be held out for validation: each is the only one with its "
            "label; give more examples, or validation data"
        )


def _warn_of_repeats(
    examples: Sequence[Item], validation: Sequence[Item], groups: Callable[[Item], Hashable] | None
) -> None:
    if groups is None:
        return
    known = set(map(groups, examples))
    if repeated := sum(groups(example) in known for example in validation):
        logger.warning(
            f"{repeated:,} of the {len(validation):,} validation examples are in the training data, too: for them the "
            "validation scores say what is remembered, not what is learned"
        )


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
    settings: TrainingOptions
    collate: Callable[[np.ndarray], TrainingBatch]
    sizes: Sequence[int] = ()

    def __call__(self, epoch: int) -> Iterator[TrainingBatch]:
        for chosen in bucket_by_length(self.lengths, self.settings.batch_size, seed=self.settings.seed, epoch=epoch):
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
    """The task of training on batches; an evaluation is of `held_out` examples."""
    cost = evaluation_cost(held_out, batches.settings.batch_size)
    return Task(model, batches, len(batches), evaluate, greater_is_better, batches.items, cost)


def evaluation_cost(held_out: float, batch: float) -> int:
    """Updates between two evaluations, at least, that all of them together take a tenth of the time: what is held out
    costs a third of what it would cost in training. Both are counted in the same unit."""
    return max(1, round(held_out / 3 / batch / 0.1))
