"""Recipes: all that ship are whole, and what is wrong in one of your own is said in words."""

from __future__ import annotations

from pathlib import Path

import pytest

import stepscan as ss
from stepscan.estimators.files import ESTIMATORS, ReadOptions
from stepscan.estimators.recipe import check_data, data_folder, list_recipes, read_recipe, recipe_names, recipes_folder

RECIPE = """
title = "Reversed"
task = "translate"
data = "made here"
metric = {name = "bleu", label = "BLEU"}
train = {files = ["a.tsv"]}
valid = {files = ["a.tsv"]}
test = {files = ["a.tsv"]}
"""


def test_the_recipes():
    assert recipe_names() == [
        "airline",
        "ewt-upos",
        "g2p-dutch",
        "g2p-french",
        "g2p-hungarian",
        "italy-power-demand",
        "japanese-vowels",
        "multi30k-de-en",
        "shakespeare",
        "sst2",
        "sst2-glove",
        "sst5",
        "sst5-glove",
        "wikitext2",
        "wnut17",
        "wnut17-glove",
    ]
    assert [recipe.name for recipe in list_recipes()] == recipe_names()


@pytest.mark.parametrize("name", recipe_names())
def test_each_is_whole(name):
    """Its settings are the estimator's, nothing that is tested on was seen, and it says what it is compared with."""
    recipe = read_recipe(name)
    ESTIMATORS[recipe.task](**recipe.settings)
    assert recipe.published
    assert all(one.what and one.source for one in recipe.published)
    places = {name: {(file, str(part.slice)) for file in part.files} for name, part in recipe.parts().items()}
    assert not places["test"] & (places["train"] | places["valid"])
    if recipe.test.slice:
        assert all(part.slice and part.slice[1] <= recipe.test.slice[0] for part in (recipe.train, recipe.valid))


def test_a_forecast_is_of_months_that_training_never_saw():
    recipe = read_recipe("airline")
    assert recipe.valid.slice == recipe.train.slice == [0.0, 0.83334]
    assert int(0.83334 * 144) == 144 - recipe.metric.horizon == 120


def test_what_a_recipe_says():
    recipe = read_recipe("sst2")
    assert (recipe.name, recipe.task, recipe.metric.target, recipe.metric.factor) == ("sst2", "classify", 86.5, 100)
    assert recipe.read_options() == ReadOptions(text_column="1", label_column="2")
    assert [one.figure for one in recipe.published if one.read] == [83.5]
    assert read_recipe("shakespeare").test.slice == [0.9, 1.0]


def test_every_file_ships_with_the_package():
    """The wheel takes the folder that the repository has."""
    root = Path(ss.__file__).parents[2]
    if not (root / "pyproject.toml").is_file():
        pytest.skip("no repository here: the package is installed")
    assert '"stepscan/recipes" = "recipes"' in (root / "pyproject.toml").read_text()
    assert recipes_folder() == root / "recipes"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "[[broken", "mine.toml: expected TOML, got an error"),
        ('task = "translate"', 'task = "translat"', "recipe mine: unknown task 'translat'. Did you mean 'translate'"),
        ('task = "translate"', "", "task: field required"),
        ('data = "made here"', 'dta = "made here"', "unknown key 'dta'. Did you mean 'data'"),
        ('data = "made here"', "data = 3", "data: input should be a valid string, got 3"),
        ('name = "bleu", ', "", "metric.name: field required"),
        ('test = {files = ["a.tsv"]}', "test = {files = []}", "test.files: list should have at least 1 item"),
        ('["a.tsv"]', '["/a.tsv"]', "expected a path within the data folder, got '/a.tsv'"),
        ('["a.tsv"]', '["../a.tsv"]', "expected a path within the data folder, got '../a.tsv'"),
        ('["a.tsv"]}', '["a.tsv"], slice = [0.5, 0.2]}', r"expected two shares of the text.*\[0.5, 0.2\]"),
        ('["a.tsv"]}', '["a.tsv", "b.tsv"], slice = [0.5, 0.9]}', "expected one file for a slice, got 2"),
        (
            "title",
            "settings = {hiden_size = 3}\ntitle",
            "mine: unknown setting 'hiden_size'. Did you mean 'hid",
        ),
        (
            "title",
            'settings = {pooling = "max"}\ntitle',
            "mine: unknown setting 'pooling'. It is an option of classify",
        ),
        (
            "title",
            "settings = {hidden_size = 0}\ntitle",
            "mine: hidden_size: expected a whole number from 1 to",
        ),
        (
            "title",
            'settings = {checkpoints = "/home"}\ntitle',
            "mine: .* got checkpoints: '/home', .* and a recipe must",
        ),
        (
            "title",
            'vectors = "glov"\ntitle',
            "mine: vectors: expected one of glove, .*, got 'glov'. Did you mean 'glove'",
        ),
        ("title", "settings = {resume = true}\ntitle", "mine: .* got resume: True, .* and a recipe must"),
        ("title", 'settings = {init_from = "/home"}\ntitle', "mine: .* got init_from: '/home'"),
        ("title", 'reading = {feild = "xpos"}\ntitle', "mine: unknown reading option 'feild'. Did you mean 'field'"),
        ("title", 'name = "other"\ntitle', "a recipe's name is its file's"),
    ],
)
def test_wrong_recipes(tmp_path, old, new, message):
    assert old in RECIPE
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE.replace(old, new, 1) if old else new)
    with pytest.raises(ss.SettingsError, match=message):
        read_recipe(path)


def test_no_such_recipe(tmp_path):
    with pytest.raises(ss.SettingsError, match=r"unknown recipe 'sst-2'. Did you mean 'sst2'\?"):
        read_recipe("sst-2")
    with pytest.raises(ss.DataError, match="no such file"):
        read_recipe(tmp_path / "none.toml")


def test_where_the_data_are(monkeypatch):
    monkeypatch.delenv("STEPSCAN_DATA", raising=False)
    assert data_folder() == Path("../shared/data")
    monkeypatch.setenv("STEPSCAN_DATA", "/of/the/environment")
    assert data_folder() == Path("/of/the/environment")
    assert data_folder("given") == Path("given")


def test_missing_data(tmp_path):
    recipe = read_recipe("g2p-dutch")
    with pytest.raises(ss.DataError, match=r"needs .*dut_dev.tsv, .*dut_test.tsv, .*dut_train.tsv in the data folder"):
        check_data(recipe, tmp_path)
    with pytest.raises(
        ss.DataError, match=r"'nowhere', which does not exist. Name the folder with --data, or set STEP"
    ):
        check_data(recipe, Path("nowhere"))
    for part in recipe.parts().values():
        (tmp_path / part.files[0]).parent.mkdir(exist_ok=True)
        (tmp_path / part.files[0]).write_text("a\tb\n")
    check_data(recipe, tmp_path)
    (tmp_path / recipe.test.files[0]).unlink()
    with pytest.raises(
        ss.DataError, match=r"needs sigmorphon2021_g2p/dut_test.tsv in the data folder .* The data: sig"
    ):
        check_data(recipe, tmp_path)
