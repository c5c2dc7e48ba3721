"""The examples that estimators learn from: split into training and validation, and batched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

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
