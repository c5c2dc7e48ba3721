"""The training curve of a model, divided into its trainings: a search or folds, and a refit on all data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]


class TrainingHistory(NamedTuple):
    """The rows of each training, in order of time."""

    folds: list[list[Row]]  # of a cross-validation
    search: list[Row]  # evaluated on validation data; after folds, the row of the model as a whole
    refit: list[Row]  # of the training on all data, which has no validation data

    @classmethod
    def from_rows(cls, history: Sequence[Row]) -> TrainingHistory:
        """Divide the rows of a curve (`history_`, metrics.jsonl)."""
        folds: dict[int, list[Row]] = {}
        for row in history:
            if "fold" in row:
                folds.setdefault(row["fold"], []).append(row)
        others = [row for row in history if "fold" not in row]
        return cls(
            list(folds.values()),
            [row for row in others if _has_validation_score(row)],
            [row for row in others if not _has_validation_score(row)],
        )

    @property
    def _trainings(self) -> list[list[Row]]:
        return [rows for rows in [*(self.folds or [self.search]), self.refit] if rows]

    @property
    def seconds(self) -> float:
        """Of all trainings together."""
        return sum(max(row["seconds"] for row in rows) for rows in self._trainings)

    @property
    def updates(self) -> int:
        """Updates of the training that the model is from, discarded ones included."""
        return max((_updates(row) for row in self._trainings[-1]), default=0) if self._trainings else 0

    @property
    def epochs(self) -> int:
        """Epochs of that training; the last may be incomplete."""
        return max((row["epoch"] for row in self._trainings[-1]), default=0) if self._trainings else 0

    def summary(self) -> str:
        """Sentences for a model card."""
        sentences = []
        if self.folds:
            sentences.append(f"Cross-validation with {len(self.folds)} folds chose how long to train.")
        elif self.search:
            best = [row for row in self.search if row["best"]][-1]
            sentences.append(
                f"{_updates(max(self.search, key=_updates)):,} updates were evaluated on validation data; "
                f"the best weights are those after {_updates(best):,}."
            )
        if self.refit:
            sentences.append(f"Then it was trained once more, on all data, for {self.updates:,} updates.")
        return " ".join(sentences)


def _updates(row: Row) -> int:
    return int(row.get("updates", row["step"]))  # curves of early versions have no updates


def _has_validation_score(row: Row) -> bool:
    return any(name.startswith("valid_") for name in row)
