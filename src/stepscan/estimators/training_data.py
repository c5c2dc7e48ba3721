"""The data of a fit, and the batches of a training task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stepscan.data.batching import NO_ROWS, TrainingBatch, bucket_by_length
from stepscan.data.ragged_rows import Lengths, largest, total
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
        scratch: a folder for what is as large as the data; None: it is in memory.
    """

    lengths: Lengths
    settings: TrainingOptions
    collate: Callable[[np.ndarray], TrainingBatch]
    sizes: Lengths | None = None
    scratch: Path | None = None

    def __call__(self, epoch: int) -> Iterator[TrainingBatch]:
        yield from map(self.collate, self.indices(epoch))

    def share(self, epoch: int, team: Team) -> Iterator[TrainingBatch]:
        """The same batches, of each the rows that are dealt to this process; it may have none."""
        for indices in self.indices(epoch):
            mine = indices[deal(self.item_counts[indices].tolist(), team.size)[team.rank]]
            yield self.collate(mine) if len(mine) else NO_ROWS

    @property
    def item_counts(self) -> Lengths:
        """The items that each example has in a batch."""
        return self.lengths if self.sizes is None else self.sizes

    def indices(self, epoch: int) -> Iterator[np.ndarray]:
        """The indices of the examples of each batch."""
        size, seed = self.settings.batch_size, self.settings.seed
        return bucket_by_length(self.lengths, size, seed=seed, epoch=epoch, scratch=self.scratch)

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-len(self.lengths) // self.settings.batch_size)

    @property
    def items(self) -> float:
        """Mean items per batch, without padding."""
        return total(self.item_counts) / max(1, len(self))

    @property
    def max_padded_items(self) -> int:
        """Upper bound of the items of a batch, padding included: where the longest examples meet."""
        return largest(self.item_counts) * min(len(self.lengths), self.settings.batch_size)


def make_task(
    model: Any,
    batches: Buckets,
    evaluate: Callable[[], dict[str, float]] | None,
    held_out: int,
    greater_is_better: bool,
    fingerprint: str = "",
) -> Task:
    """A training task on batches; an evaluation is of `held_out` examples, `fingerprint` is as in `Task`."""
    cost = evaluation_cost(held_out, batches.settings.batch_size)
    return Task(
        *(model, batches, len(batches), evaluate, greater_is_better, batches.items, cost, batches.share, fingerprint)
    )


def evaluation_cost(held_out: float, batch: float) -> int:
    """Minimum updates between two evaluations, so that all evaluations together take a tenth of the time.

    Evaluating an example costs about a third of training on it. `held_out` and `batch` are in the same unit.
    """
    return max(1, round(held_out / 3 / batch / 0.1))
