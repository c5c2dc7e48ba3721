"""Recipes: TOML files that reproduce a row of a published table, from data files to a score.

They are in `recipes/` of the repository and of the installed package.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import stepscan
from stepscan.data.task_data import ReadOptions
from stepscan.data.toml import read_toml
from stepscan.data.vectors import VECTOR_NAMES
from stepscan.errors import DataError, SettingsError, nearest, shown
from stepscan.estimators.files import make_estimator
from stepscan.storage.settings import check_no_run_settings


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DataPart(_Table):
    """Training, validation or test data: files in the data folder, or a slice of one text."""

    files: list[str] = Field(min_length=1)
    slice: list[float] | None = None  # from, to: shares of the text's characters

    @model_validator(mode="after")
    def _check(self) -> DataPart:
        for file in self.files:
            if Path(file).is_absolute() or ".." in Path(file).parts:
                raise ValueError(f"expected a path within the data folder, got {file!r}")
        if self.slice is not None:
            if len(self.slice) != 2 or not 0 <= self.slice[0] < self.slice[1] <= 1:
                raise ValueError(f"expected two shares of the text, such as [0.0, 0.9], got {self.slice}")
            if len(self.files) > 1:
                raise ValueError(f"expected one file for a slice, got {len(self.files)}")
        return self


class Metric(_Table):
    """The metric of the estimator that is compared, and its target."""

    name: str  # in the output of `stepscan evaluate`
    label: str  # with its unit
    factor: float = 1.0  # from the metric to the published unit: 100 for per cent
    greater_is_better: bool = True
    target: float | None = None  # in the published unit
    minutes: float | None = None  # maximum time to reach the target
    horizon: int = 0  # steps forecast at once, for a forecaster
    dynamic: float = 0.0  # learning rate of dynamic evaluation, for a language model


class Published(_Table):
    """A figure that others published on the same test data."""

    figure: float
    what: str
    source: str
    read: bool  # whether it was read in the source; if not, to be checked before quoting it in print


class Recipe(_Table):
    """A row of a published table: data, settings, metric, and published figures."""

    name: str
    title: str
    task: str
    data: str  # where the data come from
    metric: Metric
    train: DataPart
    valid: DataPart
    test: DataPart
    reading: dict[str, str] = {}
    settings: dict[str, Any] = {}
    vectors: str | None = None  # published word vectors, by name only: see `read_vectors`
    published: list[Published] = []

    def read_options(self) -> ReadOptions:
        """The options for reading the recipe's files.

        Raises:
            SettingsError: there is no such option.
        """
        for name in self.reading:
            if name not in ReadOptions._fields:
                raise SettingsError(
                    f"recipe {self.name}: unknown reading option {name!r}.{nearest(name, ReadOptions._fields)}"
                )
        return ReadOptions(**self.reading)  # type: ignore[arg-type]  # all of them strings

    def check(self) -> None:
        """Raise a `SettingsError` unless the task exists and has these settings, with valid values. Word vectors are
        only looked for when they are read."""
        self.read_options()
        if self.vectors is not None and self.vectors not in VECTOR_NAMES:
            names = ", ".join(VECTOR_NAMES)
            raise SettingsError(
                f"recipe {self.name}: vectors: expected one of {names}, got {self.vectors!r}."
                f"{nearest(self.vectors, VECTOR_NAMES)}"
            )
        try:
            check_no_run_settings(self.settings, self.task, "a recipe")
            make_estimator(self.task, self.settings)
        except SettingsError as error:
            raise SettingsError(f"recipe {self.name}: {error}") from None

    def all_settings(self) -> dict[str, Any]:
        """The estimator's settings, word vectors included."""
        return self.settings if self.vectors is None else {**self.settings, "embeddings": self.vectors}

    def parts(self) -> Mapping[str, DataPart]:
        """`train`, `valid` and `test`."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


def recipes_folder() -> Path:
    """The folder with the recipes: in the installed package, or in the repository that it runs from."""
    package = Path(stepscan.__file__).parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parents[1] / "recipes"


def recipe_names() -> list[str]:
    """The recipes that `read_recipe` finds by name."""
    return sorted(path.stem for path in recipes_folder().glob("*.toml"))


def list_recipes() -> list[Recipe]:
    """All recipes, by name."""
    return [read_recipe(name) for name in recipe_names()]


def read_recipe(name: str | Path) -> Recipe:
    """Read a recipe by name, or from a user's `.toml` file.

    Raises:
        SettingsError: there is no such recipe, or something in it is wrong.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in recipe_names():
            raise SettingsError(f"unknown recipe {str(name)!r}.{nearest(str(name), recipe_names())}")
        path = recipes_folder() / f"{name}.toml"
    table = read_toml(path)
    if "name" in table:
        raise SettingsError(f"{path}: a recipe's name is its file's; remove 'name'")
    try:
        recipe = Recipe(name=path.stem, **table)
    except ValidationError as error:
        raise SettingsError(f"{path}: {'; '.join(map(_error_text, error.errors()))}") from None
    recipe.check()
    return recipe


def _error_text(error: Any) -> str:
    """An error of pydantic in the style of this project."""
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}.{nearest(key, Recipe.model_fields)}"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, got {shown(error['input'])}"


def data_folder(path: str | Path | None = None) -> Path:
    """The folder with the published data: `path`, or the environment's `STEPSCAN_DATA`, or `../shared/data`."""
    return Path(path or os.environ.get("STEPSCAN_DATA") or Path("..") / "shared" / "data")


def check_data(recipe: Recipe, folder: Path) -> None:
    """Raise unless all files of the recipe are in the data folder.

    Raises:
        DataError: names the missing files, the folder, and where the data come from.
    """
    files = sorted({file for part in recipe.parts().values() for file in part.files})
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise DataError(
            f"recipe {recipe.name} needs {', '.join(missing)} in the data folder {str(folder)!r}"
            f"{'' if folder.is_dir() else ', which does not exist'}.",
            hint=f"Name the folder with --data, or set STEPSCAN_DATA. The data: {recipe.data}.",
        )
