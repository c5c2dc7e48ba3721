"""Recipes: each a row of a published table, from data files to a score, as plain TOML.

They lie in `recipes/` of the repository, and in the installed package beside this one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import stepscan
from stepscan.data.task_data import ReadOptions
from stepscan.data.toml import read_toml
from stepscan.errors import DataError, SettingsError, nearest
from stepscan.estimators.files import make_estimator
from stepscan.runtime.outline import shown
from stepscan.runtime.settings import check_no_run_settings


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Part(_Table):
    """Training, validation or test data: files under the data folder, or a slice of one text."""

    files: list[str] = Field(min_length=1)
    slice: list[float] | None = None  # from, to: shares of the text's characters

    @model_validator(mode="after")
    def _check(self) -> Part:
        for file in self.files:
            if Path(file).is_absolute() or ".." in Path(file).parts:
                raise ValueError(f"files are named under the data folder, but here is {file!r}")
        if self.slice is not None:
            if len(self.slice) != 2 or not 0 <= self.slice[0] < self.slice[1] <= 1:
                raise ValueError(f"a slice is two shares of the text, such as [0.0, 0.9], but here is {self.slice}")
            if len(self.files) > 1:
                raise ValueError("a slice is of one text, but here are several files")
        return self


class Metric(_Table):
    """Which of the estimator's metrics is compared, and with what."""

    name: str  # as `stepscan evaluate` calls it
    label: str  # with its unit
    factor: float = 1.0  # from the metric to the published unit: 100 for per cent
    greater_is_better: bool = True
    target: float | None = None  # our aim, in the published unit
    minutes: float | None = None  # and the time it may take
    horizon: int = 0  # steps forecast at once, of numbers
    dynamic: float = 0.0  # learning rate of dynamic evaluation, of a language model


class Published(_Table):
    """A figure that others published on the same test data."""

    figure: float
    what: str
    source: str
    read: bool  # in the source itself, or else from memory: to be checked before quoting it in print


class Recipe(_Table):
    """A row of a published table: data, settings, metric, and what others got."""

    name: str
    title: str
    task: str
    data: str  # where the data come from
    metric: Metric
    train: Part
    valid: Part
    test: Part
    reading: dict[str, str] = {}
    settings: dict[str, Any] = {}
    vectors: Literal["glove", "wordllama"] | None = None  # published word vectors, by name alone: see `read_vectors`
    published: list[Published] = []

    def how_to_read(self) -> ReadOptions:
        """The recipe's reading options."""
        for name in self.reading:
            if name not in ReadOptions._fields:
                raise SettingsError(
                    f"recipe {self.name}: unknown reading option {name!r}.{nearest(name, ReadOptions._fields)}"
                )
        return ReadOptions(**self.reading)  # type: ignore[arg-type]  # all of them strings

    def check(self) -> None:
        """Raise unless the task exists and has these settings, with values that it takes. Whether vectors are installed
        is asked when they are read."""
        self.how_to_read()
        try:
            check_no_run_settings(self.settings, self.task, "a recipe")
            make_estimator(self.task, self.settings)
        except SettingsError as error:
            raise SettingsError(f"recipe {self.name}: {error}") from None

    def all_settings(self) -> dict[str, Any]:
        """The estimator's."""
        return self.settings if self.vectors is None else {**self.settings, "embeddings": self.vectors}

    def parts(self) -> Mapping[str, Part]:
        """`train`, `valid` and `test`."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


def recipes_folder() -> Path:
    """Where the recipes are: in the installed package, or in the repository that it runs from."""
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
    """A recipe by its name, or from a `.toml` file of one's own.

    Raises:
        SettingsError: no such recipe, or something in it is wrong.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in recipe_names():
            raise SettingsError(f"unknown recipe {str(name)!r}.{nearest(str(name), recipe_names())}")
        path = recipes_folder() / f"{name}.toml"
    found = read_toml(path)
    if "name" in found:
        raise SettingsError(f"{path}: a recipe's name is its file's; take out 'name'")
    try:
        recipe = Recipe(name=path.stem, **found)
    except ValidationError as error:
        raise SettingsError(f"{path}: {'; '.join(map(_in_words, error.errors()))}") from None
    recipe.check()
    return recipe


def _in_words(error: Any) -> str:
    """An error of pydantic's, as this project says it."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"unknown key {place!r}.{nearest(place, Recipe.model_fields)}"
    return f"{place}: {error['msg'][0].lower()}{error['msg'][1:]}, got {shown(error['input'])}"


def data_folder(given: str | Path | None = None) -> Path:
    """The folder with the published data: as given, or `STEPSCAN_DATA` of the environment, or `../shared/data`."""
    return Path(given or os.environ.get("STEPSCAN_DATA") or Path("..") / "shared" / "data")


def check_data(recipe: Recipe, folder: Path) -> None:
    """Raise unless all files of the recipe are in the data folder.

    Raises:
        DataError: names what is missing, where it was looked for, and where it comes from.
    """
    wanted = sorted({file for part in recipe.parts().values() for file in part.files})
    missing = [file for file in wanted if not (folder / file).is_file()]
    if missing:
        raise DataError(
            f"recipe {recipe.name} needs {', '.join(missing)} in the data folder {str(folder)!r}"
            f"{'' if folder.is_dir() else ', which does not exist'}.",
            hint=f"Name the folder with --data, or set STEPSCAN_DATA. The data: {recipe.data}.",
        )
