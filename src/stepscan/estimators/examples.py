"""The examples that users pass to estimators: checked, split into training and validation, and batched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from stepscan.data.batching import Batch, bucketed
from stepscan.errors import SettingsError
from stepscan.training.progress import Bar
from stepscan.training.settings import TrainingSettings

Item = TypeVar("Item")


def hold_out(examples: list[Item], validation: list[Item] | None, verbose: bool) -> tuple[list[Item], list[Item]]:
    """Training and validation examples; without the latter, the last tenth is held out, and it says so."""
    if validation is not None:
        return examples, validation
    if len(examples) < 2:
        raise SettingsError(
            "one example (1 sample) cannot be split into training and validation data; give more, or validation data"
        )
    cut = len(examples) - max(1, len(examples) // 10)
    if verbose:
        Bar().note(
            f"no validation data given: the last tenth ({len(examples) - cut:,} of {len(examples):,}) is held out"
        )
    return examples[:cut], examples[cut:]


def listed(examples: Iterable[Any]) -> list[Any]:
    """The examples as a list; a text by itself would be taken for a list of its characters."""
    if hasattr(examples, "toarray"):
        raise SettingsError("sparse data are not supported: a sequence is texts or a dense array; give X.toarray()")
    if hasattr(examples, "__array__"):
        examples = np.asarray(examples)
    if isinstance(examples, str):
        raise SettingsError(f"a list is needed, got one text, {examples[:40]!r}; put it into a list")
    return list(examples)


def checked_texts(values: Iterable[Any], what: str = "text") -> list[str]:
    """The values as a list of strings that can be written as UTF-8, or an error that names the one that is not."""
    found = listed(values)
    for number, value in enumerate(found, start=1):
        if not isinstance(value, str):
            raise SettingsError(f"{what} {number} is {value!r}, not a string")
        try:
            value.isascii() or value.encode()
        except UnicodeEncodeError:
            raise SettingsError(f"{what} {number} is not valid Unicode (half a surrogate pair): {value!r}") from None
    return found


def paired(first: Iterable[Any], second: Iterable[Any], names: tuple[str, str]) -> list[tuple[Any, Any]]:
    """The pairs of two collections of equal length, at least one."""
    left, right = listed(first), listed(second)
    if len(left) != len(right):
        raise SettingsError(f"as many {names[0]} as {names[1]} are needed, got {len(left):,} and {len(right):,}")
    if not left:
        raise SettingsError(f"there are no {names[0]}")
    return list(zip(left, right, strict=True))


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
    def places(self) -> int:
        """At most so many are in a batch, padding included: where the longest examples meet."""
        longest = sorted(self.sizes or self.lengths)[-self.settings.batch_size :]
        return max(longest, default=0) * len(longest)
