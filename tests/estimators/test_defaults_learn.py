"""Each task on few examples, with nothing but the data given: well above the yardstick.

What is learned is easy; what is asked is that nobody has to know how long to train, how fast, or how large to build.
"""

from __future__ import annotations

import numpy as np
import pytest
from toy_tasks import neighbours, ordered

import stepscan as ss
from stepscan.estimators.yardsticks import best_scores


def against(model):
    """The best validation score, and the yardstick's."""
    [(name, trivial)] = list(model.yardstick_["scores"].items())[:1]
    return best_scores(model.history_)[name], trivial


def test_classify():
    """Which of two words comes first: words alone do not say."""
    model = ss.Classifier().fit(*ordered(200, 1))
    score, trivial = against(model)
    assert trivial < 0.6
    assert score > 0.95
    assert model.score(*ordered(200, 2)) > 0.95


def test_classify_sequences_of_letters():
    """What stands at the place where the sequence is cut: neither words nor n-grams of letters say it."""
    draw = np.random.default_rng(0)

    def sequences(count):
        rows, labels = draw.choice(list("ACGT"), (count, 20)), np.array(["cut", "whole"] * (count // 2))
        rows[:, 9:11], rows[:, 3:5] = list("GT"), list("TG")
        rows[labels == "whole", 9:11], rows[labels == "whole", 3:5] = list("TG"), list("GT")
        return ["".join(row) for row in rows], labels.tolist()

    model = ss.Classifier(max_updates=400).fit(*sequences(200))
    assert model.chosen_["tokenizer"] == "character"
    assert model.score(*sequences(200)) > 0.9


def test_classify_series():
    """Whether a bump comes before a dip, wherever they are."""
    draw = np.random.default_rng(0)

    def series(count):
        result, labels = [], []
        for n in range(count):
            one, first = draw.normal(0, 0.3, 20), int(draw.integers(1, 7))
            second = int(draw.integers(10, 17))
            one[first : first + 3] += 2 if n % 2 else -2
            one[second : second + 3] -= 2 if n % 2 else -2
            result.append(one)
            labels.append("up first" if n % 2 else "down first")
        return result, labels

    model = ss.Classifier().fit(*series(50))
    assert against(model)[1] <= 0.5
    assert model.score(*series(100)) > 0.95


def test_tag():
    """The next word decides, too: more than the most frequent tag of each word can know."""
    model = ss.Tagger().fit(*neighbours(150, 1))
    score, trivial = against(model)
    assert trivial < 0.65
    assert score > 0.9
    assert model.score(*neighbours(100, 2)) > 0.9


def test_generate():
    """200 lines of sums: which number follows is in the line."""
    draw = np.random.default_rng(0)
    pairs = draw.integers(1, 5, (200, 2))
    model = ss.LanguageModel(size="small").fit("".join(f"{a} and {b} is {a + b}\n" for a, b in pairs))
    score, trivial = against(model)
    assert trivial > 2
    assert score < 0.4  # the two numbers alone are 2 ln 4 nats in 13 symbols: 0.21
    rests = draw.integers(1, 5, (40, 2))
    unseen = "".join(f"{a} and {b} is {a + b}\n" for a, b in rests)
    assert -model.score(unseen) < 0.4


def test_forecast():
    """A wave without a fixed period, which the last value does not foretell."""
    wave = [0.0, 0.0]
    for noise in np.random.default_rng(0).normal(size=300):
        wave.append(1.9 * np.cos(0.8) * wave[-1] - 0.9025 * wave[-2] + noise)
    model = ss.Forecaster(size="small").fit(wave)
    assert model.chosen_["seasonal_period"] == 0
    assert model.yardstick_["scores"]["mae"] > 1.6
    assert best_scores(model.history_)["mae"] < 1.2  # the noise's own is 0.8


@pytest.mark.parametrize("season", [0, 12])
def test_forecast_what_grows(season):
    """Twice as far from what training has seen as a network that knows only values can go."""
    steps = np.arange(180.0)
    series = 3 * steps + np.random.default_rng(0).normal(size=180)
    series += 20 * np.sin(2 * np.pi * steps / season) if season else 0
    model = ss.Forecaster(size="small").fit(series[:156])
    assert model.chosen_["seasonal_period"] == (season or 1)
    error = np.abs(model.forecast(series[:156], 24).median[:, 0] - series[156:]).mean()
    assert error < 0.25 * np.abs(series[156:] - series[155]).mean()


def test_translate():
    """Numbers written out: words for digits, one by one."""
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    draw = np.random.default_rng(0)
    digits = draw.integers(0, 10, (200, 4))
    sources = [" ".join(words[d] for d in row) for row in digits]
    targets = [" ".join(map(str, row)) for row in digits]
    model = ss.Translator(size="small", max_updates=600).fit(sources, targets)  # it would learn on, for minutes
    score, trivial = against(model)
    assert score < 0.5 * trivial
    right = [result == target for result, target in zip(model.predict(sources[:30]), targets[:30], strict=True)]
    assert np.mean(right) > 0.9


def test_translate_words_that_never_come_again():
    """The plural of words of which each is new."""
    draw = np.random.default_rng(0)

    def pairs(count):
        stems = [
            "".join(draw.choice(list("bdklmn"), 1).tolist() + draw.choice(list("aeou"), 3).tolist())
            for _ in range(count)
        ]
        endings = draw.choice(["y", "t"], count).tolist()
        plural = {"y": "ies", "t": "ts"}
        words = zip(stems, endings, strict=True)
        return zip(*[(stem + end, stem + plural[end]) for stem, end in words], strict=True)

    model = ss.Translator(size="small", max_updates=600).fit(*pairs(200))
    assert model.chosen_["tokenizer"] == "character"
    sources, targets = pairs(40)
    right = [result == target for result, target in zip(model.predict(sources), targets, strict=True)]
    assert np.mean(right) > 0.8


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_dial(size):
    model = ss.Classifier(size=size, max_updates=2).fit(*ordered(20, 1))
    assert model.chosen_["hidden_size"] == {"small": 64, "large": 256}[size]
    assert model.model_.layer.forward_layer.hidden_size == model.chosen_["hidden_size"]
