"""Splits examples into training and validation data: hold-out or cross-validation, grouped and stratified."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from stepscan.errors import SettingsError
from stepscan.training.defaults import FOLDS
from stepscan.training.progress import ProgressBar

Item = TypeVar("Item")

logger = logging.getLogger(__name__)
_ANY = object()  # a label that every example has, so that at least one stays in training


def same_input(example: tuple[Any, Any]) -> Hashable:
    """A key that is equal for two examples (input, target) with the same input: a text without surrounding white space,
    or a hash, which takes less memory, of the tokens of a sentence or the bytes of a series."""
    value = example[0]
    if isinstance(value, str):
        return value.strip()
    return hash((value.shape, value.tobytes()) if isinstance(value, np.ndarray) else tuple(value))


def hold_out(
    examples: list[Item],
    validation: list[Item] | None,
    *,
    verbose: bool,
    labels: Callable[[Item], Iterable[Any]] = lambda _: (),
    stratified: Callable[[Item], Any] | None = None,
    groups: Callable[[Item], Hashable] | None = None,
) -> tuple[list[Item], list[Item]]:
    """Training and validation examples; without `validation`, a tenth is held out at random.

    The examples are shuffled and, to be stratified, sorted; then one is drawn out of each ten in turn. So every class
    gives its share, however the file is sorted. The draw is the same for every training seed, so that models of
    several seeds are validated on the same data, have the same vocabulary, and can be joined.

    A group of examples counts as one and is held out as a whole or not at all. One that is more than a tenth of the
    data stays in training, unless there is no other. Where no group can be held out, because each class is copies of
    one text, single examples are, and a warning is logged.

    Args:
        examples: the data to split.
        validation: validation data, if any; a warning counts the examples that are in `examples` too.
        verbose: whether to report what is held out.
        labels: labels of an example; the last example with a label is never held out.
        stratified: sort key of the examples, such as the class.
        groups: a key that is equal for examples that must be on the same side, such as `same_input`; None: each
            example is its own group.

    Raises:
        SettingsError: there is one example only, or every example is the only one with its label.
    """
    if validation is not None:
        _warn_of_overlap(examples, validation, groups)
        return examples, validation
    split = _Split(examples, labels, stratified, groups)
    held_out = split.by_group_or_example(split.tenth)
    if verbose:
        split.report(len(held_out))
    return split.divide(held_out)


def folds(
    examples: list[Item],
    k: int,
    *,
    labels: Callable[[Item], Iterable[Any]] = lambda _: (),
    stratified: Callable[[Item], Any] | None = None,
    groups: Callable[[Item], Hashable] | None = None,
) -> list[tuple[list[Item], list[Item]]]:
    """Training and validation examples of a cross-validation with `k` folds, or as many as there are groups.

    The rules and arguments are those of `hold_out`. Each example is held out once, except those without which a label
    would vanish from training; a fold in which nothing can be held out is omitted.

    Raises:
        SettingsError: `k` is below 2; or as `hold_out`.
    """
    if k < 2:
        raise SettingsError(f"folds: expected 2 or more, got {k}")
    split = _Split(examples, labels, stratified, groups)
    return [split.divide(held_out) for held_out in split.by_group_or_example(lambda: split.folds(k))]


def split_data(
    examples: list[Item], validation: list[Item] | None, *, cross_validate: bool, verbose: bool, **rules: Any
) -> list[tuple[list[Item], list[Item]]]:
    """One pair of training and validation examples or, if asked for and possible, the folds of a cross-validation.

    `rules` are the other arguments of `hold_out`.
    """
    pairs = folds(examples, FOLDS, **rules) if cross_validate and validation is None else []
    return pairs if len(pairs) == FOLDS else [hold_out(examples, validation, verbose=verbose, **rules)]


class _Split:
    """Examples to be divided: their groups, the order in which groups are drawn, and which may be held out.

    A group is a number, in the order of the first example of each. Indices are those of examples.
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
        self.label_counts = self._count_labels(range(len(examples)))
        self._order_groups(groups)

    def tenth(self) -> set[int]:
        """Indices of one group out of each ten; if all are large, of one of the smallest."""
        remaining, max_size = Counter(self.label_counts), max(1, len(self.examples) // 10)
        held_out: set[int] = set()
        for chunk in _sections(self.order, max(1, len(self.order) // 10)):
            candidates = (group for group in self.random.permutation(chunk) if self._size(group) <= max_size)
            held_out |= self._first_removable(candidates, remaining)
        return held_out or self._first_removable(sorted(self.order, key=self._size), remaining)

    def folds(self, k: int) -> list[set[int]]:
        """Indices of the groups of each of `k` folds, dealt out in turn, without empty folds."""
        result = []
        for first in range(k):
            remaining = Counter(self.label_counts)
            groups = map(self._indices, self.order[first::k])
            result.append({index for indices in groups if self._remove(indices, remaining) for index in indices})
        return [fold for fold in result if fold]

    def by_group_or_example(self, draw: Callable[[], Any]) -> Any:
        """The result of drawing groups or, if that is empty, single examples."""
        group_count = len(self.order)
        if (drawn := draw()) or group_count == len(self.examples):
            return drawn or self._refuse()
        self._order_groups(None)
        drawn = draw() or self._refuse()
        logger.warning(
            f"the {len(self.examples):,} examples have only {group_count:,} different inputs, so the held-out data has "
            "copies in the training data: validation scores measure memorisation, not generalisation; give more "
            "examples, or validation data (--valid)"
        )
        return drawn

    def divide(self, held_out: set[int]) -> tuple[list[Any], list[Any]]:
        """Training and validation examples."""
        train = [example for index, example in enumerate(self.examples) if index not in held_out]
        return train, [self.examples[index] for index in sorted(held_out)]

    def report(self, held_out: int) -> None:
        """Print how many examples are held out."""
        how = "at random" if self.stratified is None else "at random, stratified"
        total, groups = len(self.examples), len(self.order)
        amount = f"a tenth ({held_out:,} of {total:,})"
        if groups < total:
            amount = f"a tenth of the {groups:,} different ones ({held_out:,} of {total:,} examples)"
        ProgressBar().note(f"no validation data given: {amount}, drawn {how}, is held out")

    def _order_groups(self, groups: Callable[[Any], Hashable] | None) -> None:
        """Number the groups, and put them into the order in which they are drawn."""
        numbers = np.arange(len(self.examples)) if groups is None else _numbered(_hashes(self.examples, groups))
        self.by_group = np.argsort(numbers, kind="stable")  # indices of examples
        self.starts = np.concatenate([[0], np.bincount(numbers).cumsum()])  # of each group in `by_group`
        self.random = np.random.default_rng(0)
        self.order = self.random.permutation(len(self.starts) - 1)
        if self.stratified is not None:
            firsts = self.by_group[self.starts[:-1]][self.order]
            self.order = self.order[_ranks(self.stratified(self.examples[i]) for i in firsts).argsort(kind="stable")]

    def _indices(self, group: int) -> list[int]:
        return self.by_group[self.starts[group] : self.starts[group + 1]].tolist()

    def _size(self, group: int) -> int:
        return int(self.starts[group + 1] - self.starts[group])

    def _first_removable(self, groups: Iterable[int], remaining: Counter[Any]) -> set[int]:
        return next((set(indices) for indices in map(self._indices, groups) if self._remove(indices, remaining)), set())

    def _remove(self, indices: list[int], remaining: Counter[Any]) -> bool:
        """Subtract the labels of these examples from `remaining` if that leaves some of each; return whether it did."""
        counts = self._count_labels(indices)
        if any(remaining[label] <= count for label, count in counts.items()):
            return False
        remaining.subtract(counts)
        return True

    def _count_labels(self, indices: Iterable[int]) -> Counter[Any]:
        """The number of examples with each label."""
        return Counter(label for index in indices for label in {_ANY, *self.labels(self.examples[index])})

    def _refuse(self) -> Any:
        raise SettingsError(
            f"none of the {len(self.examples)} examples can be held out for validation: each is the only one with its "
            "label; give more examples, or validation data"
        )


def _warn_of_overlap(
    examples: Sequence[Item], validation: Sequence[Item], groups: Callable[[Item], Hashable] | None
) -> None:
    if groups is None:
        return
    if overlap := int(np.isin(_hashes(validation, groups), _hashes(examples, groups)).sum()):
        logger.warning(
            f"{overlap:,} of the {len(validation):,} validation examples are in the training data, too: for them the "
            "validation scores measure memorisation, not generalisation"
        )


# Of millions of examples, a dictionary of texts would take more memory than the texts; arrays of numbers take 8 bytes
# each. Two of 5 million texts have the same hash of 64 bits with a probability of 10⁻⁶, and are then on the same side.


def _hashes(examples: Sequence[Item], groups: Callable[[Item], Hashable]) -> np.ndarray:
    """A hash of the group of each example."""
    return np.fromiter((hash(groups(example)) for example in examples), dtype=np.int64, count=len(examples))


def _numbered(keys: np.ndarray) -> np.ndarray:
    """For each of the keys `[N]`, the number of distinct ones that occur before its first occurrence."""
    _, firsts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    numbers = np.empty(len(firsts), dtype=np.int64)
    numbers[firsts.argsort()] = np.arange(len(firsts))
    return numbers[inverse]


def _ranks(values: Iterable[Any]) -> np.ndarray:
    """The place of each value among the distinct ones, in order."""
    number: dict[Any, int] = {}
    numbers = np.fromiter((number.setdefault(value, len(number)) for value in values), dtype=np.int64)
    places = np.empty(len(number), dtype=np.int64)
    places[[number[value] for value in sorted(number)]] = np.arange(len(number))
    return places[numbers]


def _sections(order: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """The array in `count` sections of equal length; the first ones may have one more."""
    length, longer = divmod(len(order), count)
    for start in range(count):
        first = start * length + min(start, longer)
        yield order[first : first + length + (start < longer)]
