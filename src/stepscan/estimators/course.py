"""What a curve tells of the trainings behind a model: of a search or of folds, and of one on all data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]


class Course(NamedTuple):
    """The rows of each training, in the order of time."""

    folds: list[list[Row]]  # of a cross-validation
    search: list[Row]  # judged on validation data; of folds, the row of the model as a whole
    everything: list[Row]  # of the training on all data, which nothing is left to judge

    @classmethod
    def of(cls, history: Sequence[Row]) -> Course:
        """The trainings that a curve is of."""
        folds: dict[int, list[Row]] = {}
        for row in history:
            if "fold" in row:
                folds.setdefault(row["fold"], []).append(row)
        others = [row for row in history if "fold" not in row]
        return cls(
            list(folds.values()),
            [row for row in others if _is_judged(row)],
            [row for row in others if not _is_judged(row)],
        )

    @property
    def _trainings(self) -> list[list[Row]]:
        return [rows for rows in [*(self.folds or [self.search]), self.everything] if rows]

    @property
    def seconds(self) -> float:
        """Of all trainings together."""
        return sum(max(row["seconds"] for row in rows) for rows in self._trainings)

    @property
    def updates(self) -> int:
        """Of the training that the model is from; those included that were given up again."""
        return max((_updates(row) for row in self._trainings[-1]), default=0) if self._trainings else 0

    @property
    def epochs(self) -> int:
        """Passes of that training, the last perhaps in part."""
        return max((row["epoch"] for row in self._trainings[-1]), default=0) if self._trainings else 0

    def described(self) -> str:
        """Sentences for a model card."""
        found = []
        if self.folds:
            found.append(f"Cross-validation in {len(self.folds)} parts found how long to train.")
        elif self.search:
            best = [row for row in self.search if row["best"]][-1]
            found.append(
                f"{_updates(max(self.search, key=_updates)):,} updates were judged on validation data; "
                f"the best weights are those after {_updates(best):,}."
            )
        if self.everything:
            found.append(f"Then it was trained once more, on all data, for {self.updates:,} updates.")
        return " ".join(found)


def _updates(row: Row) -> int:
    return int(row.get("updates", row["step"]))  # curves of early versions have no updates


def _is_judged(row: Row) -> bool:
    return any(name.startswith("valid_") for name in row)
