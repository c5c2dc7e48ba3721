"""The data of a fit, and the batches of a training task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stepscan.data.batching import NO_ROWS, TrainingBatch, bucket_by_length
from stepscan.options import TrainingOptions
from stepscan.processes.dealing import deal
from stepscan.processes.team import Team
from stepscan.training.loop import Task


class TrainingData(NamedTuple):
    """Checked and split data of a `fit`."""

    parts: Sequence[tuple[Any, Any]]  # training and validation data: one pair, or the folds of a cross-validation
    has_validation: bool  # whether the user gave the validation data
    size: int  # examples, or symbols of one text
    together: Callable[[], Any]  # all of it


@dataclass
class Buckets:
    """The `batches` of a `Task`: examples of similar lengths together.

    Args:
        lengths: of the examples.
        settings: batch size and seed.
        collate: indices of examples → batch.
        sizes: items that each example has in a batch, if that is not its length.
    """

    lengths: Sequence[int]
    settings: TrainingOptions
    collate: Callable[[np.ndarray], TrainingBatch]
    sizes: Sequence[int] = ()

    def __call__(self, epoch: int) -> Iterator[TrainingBatch]:
        yield from map(self.collate, self.indices(epoch))

    def share(self, epoch: int, team: Team) -> Iterator[TrainingBatch]:
        """The same batches, of each the rows that are dealt to this process; it may have none."""
        for indices in self.indices(epoch):
            mine = indices[deal(self._sizes(indices), team.size)[team.rank]]
            yield self.collate(mine) if len(mine) else NO_ROWS

    def _sizes(self, indices: np.ndarray) -> Sequence[int]:
        sizes = self.sizes or self.lengths
        return [sizes[i] for i in indices]

    def indices(self, epoch: int) -> Iterable[np.ndarray]:
        """The indices of the examples of each batch."""
        return bucket_by_length(self.lengths, self.settings.batch_size, seed=self.settings.seed, epoch=epoch)

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-len(self.lengths) // self.settings.batch_size)

    @property
    def items(self) -> float:
        """Mean items per batch, without padding."""
        return sum(self.sizes or self.lengths) / max(1, len(self))

    @property
    def max_padded_items(self) -> int:
        """Upper bound of the items of a batch, padding included: where the longest examples meet."""
        longest = sorted(self.sizes or self.lengths)[-self.settings.batch_size :]
        return max(longest, default=0) * len(longest)


def make_task(
    model: Any,
    batches: Buckets,
    evaluate: Callable[[], dict[str, float]] | None,
    held_out: int,
    greater_is_better: bool,
) -> Task:
    """A training task on batches; an evaluation is of `held_out` examples."""
    cost = evaluation_cost(held_out, batches.settings.batch_size)
    return Task(model, batches, len(batches), evaluate, greater_is_better, batches.items, cost, batches.share)


def evaluation_cost(held_out: float, batch: float) -> int:
    """Minimum updates between two evaluations, so that all evaluations together take a tenth of the time.

    Evaluating an example costs about a third of training on it. `held_out` and `batch` are in the same unit.
    """
    return max(1, round(held_out / 3 / batch / 0.1))
