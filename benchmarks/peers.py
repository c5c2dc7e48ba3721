"""Peers: what a user would do instead of training one of our models, compared with ours by `defaults.py`.

    echo '{"set": "sst2", "size": 50, "peer": "TF-IDF, words"}' | python benchmarks/peers.py DATA

A peer is trained on the examples of a data set and predicts its test. Libraries are imported where they are used, so
that a missing one only disables its own peers:

    pip install aeon==1.6.0 scikit-learn==1.9.1 sklearn-crfsuite==0.5.0
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from published import REGRESSION, SERIES, SETS, SPANS, TAGS, TEXT, Examples, Published

PACKAGES = {"aeon": "aeon", "scikit-learn": "sklearn", "sklearn-crfsuite": "sklearn_crfsuite"}
_LONGEST_SUFFIX = 5


def tfidf(train: Examples, inputs: list[str], **how: Any) -> list[str]:
    """Logistic regression on TF-IDF."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(sublinear_tf=True, **how), LogisticRegression(C=20, max_iter=1000))
    return model.fit(*train).predict(inputs).tolist()


def tfidf_of_words(train: Examples, inputs: list[str]) -> list[str]:
    return tfidf(train, inputs, ngram_range=(1, 2))


def tfidf_of_letters(train: Examples, inputs: list[str]) -> list[str]:
    return tfidf(train, inputs, analyzer="char_wb", ngram_range=(1, 5))


def nearest_by_dtw(train: Examples, inputs: list[Any]) -> list[str]:
    """1-nearest-neighbour classification by dynamic time warping with a window of a tenth of the shorter series; series
    may differ in length."""
    from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

    model = KNeighborsTimeSeriesClassifier(n_neighbors=1, distance="dtw", distance_params={"window": 0.1})
    return model.fit(*_arrays(train.inputs, train.targets)).predict(*_arrays(inputs)).tolist()


def minirocket(train: Examples, inputs: list[Any]) -> list[Any]:
    """Ridge classification of MiniRocket's features (10,000 kernels)."""
    from aeon.classification.convolution_based import MiniRocketClassifier

    return _minirocket(MiniRocketClassifier(random_state=0), train, inputs)


def minirocket_regression(train: Examples, inputs: list[Any]) -> list[Any]:
    """Ridge regression on MiniRocket's features."""
    from aeon.regression.convolution_based import MiniRocketRegressor

    return _minirocket(MiniRocketRegressor(random_state=0), train, inputs)


def _minirocket(model: Any, train: Examples, inputs: list[Any]) -> list[Any]:
    """MiniRocket needs series of equal length: shorter ones are zero-padded, those longer than in training cut."""
    length = max(len(series[0]) for series in train.inputs)
    padded = [[[*row[:length], *[0.0] * (length - len(row))] for row in series] for series in (*train.inputs, *inputs)]
    fitted, tested = padded[: len(train.inputs)], padded[len(train.inputs) :]
    return model.fit(*_arrays(fitted, train.targets)).predict(*_arrays(tested)).tolist()


def _arrays(inputs: Sequence[Any], *targets: list[Any]) -> Iterator[Any]:
    """Series in aeon's format, one array if they have equal lengths; and their targets."""
    import numpy as np

    series = [np.array(values) for values in inputs]
    yield np.stack(series) if len({values.shape for values in series}) == 1 else series
    yield from map(np.array, targets)


def crf(train: Examples, inputs: list[list[str]]) -> list[list[str]]:
    """A linear-chain conditional random field on features of spelling."""
    from sklearn_crfsuite import CRF

    model = CRF(algorithm="lbfgs", c1=0.1, c2=0.1, max_iterations=100)
    model.fit([features(tokens) for tokens in train.inputs], train.targets)
    return [list(tags) for tags in model.predict([features(tokens) for tokens in inputs])]


def features(tokens: Sequence[str]) -> list[list[str]]:
    """Features of each word: the word, its prefixes and suffixes, its shape, and its neighbours."""
    lower = ["", "", *[token.lower() for token in tokens], "", ""]
    shapes = ["", *map(shape, tokens), ""]
    return [
        [
            "bias",
            f"word={token}",
            f"shape={shapes[t + 1]}",
            *(f"prefix={lower[t + 2][:n]}" for n in range(1, 5)),
            *(f"suffix={lower[t + 2][-n:]}" for n in range(1, 5)),
            *(f"lower{d:+}={lower[t + 2 + d]}" for d in (-2, -1, 0, 1, 2)),
            *(f"suffix{d:+}={lower[t + 2 + d][-3:]}" for d in (-1, 1)),
            *(f"shape{d:+}={shapes[t + 1 + d]}" for d in (-1, 1)),
        ]
        for t, token in enumerate(tokens)
    ]


def shape(token: str) -> str:
    """The word shape: A for upper case, a for lower case, 0 for digits, runs collapsed: Ab-30 → Aa-0."""
    kinds = ["A" if c.isupper() else "a" if c.islower() else "0" if c.isdigit() else c for c in token]
    return "".join(kind for kind, before in zip(kinds, ["", *kinds], strict=False) if kind != before)


def tag_per_word(train: Examples, inputs: list[list[str]]) -> list[list[str]]:
    """The most frequent tag of each word; for a new word, of all words."""
    return _most_frequent(train, inputs, longest_suffix=0)


def tag_per_word_or_suffix(train: Examples, inputs: list[list[str]]) -> list[list[str]]:
    """The most frequent tag of each word; for a new word, of its longest suffix in the training data."""
    return _most_frequent(train, inputs, longest_suffix=_LONGEST_SUFFIX)


def _most_frequent(train: Examples, inputs: list[list[str]], longest_suffix: int) -> list[list[str]]:
    words, suffixes = defaultdict[str, Counter[str]](Counter), defaultdict[str, Counter[str]](Counter)
    for tokens, tags in zip(*train, strict=True):
        for token, tag in zip(tokens, tags, strict=True):
            words[token][tag] += 1
            for n in range(min(longest_suffix, len(token)) + 1):
                suffixes[token[len(token) - n :]][tag] += 1

    def tag_counts(token: str) -> Counter[str]:
        ends = (token[len(token) - n :] for n in range(min(longest_suffix, len(token)), -1, -1))
        return words.get(token) or next(suffixes[end] for end in ends if end in suffixes)

    return [[tag_counts(token).most_common(1)[0][0] for token in tokens] for tokens in inputs]


def most_frequent_class(train: Examples, inputs: list[Any]) -> list[str]:
    return [Counter(train.targets).most_common(1)[0][0]] * len(inputs)


def train_mean(train: Examples, inputs: list[Any]) -> list[float]:
    return [sum(train.targets) / len(train.targets)] * len(inputs)


class Peer(NamedTuple):
    name: str
    predict: Callable[[Examples, list[Any]], list[Any]]  # training examples, test inputs → predictions


PEERS = {
    TEXT: [Peer("TF-IDF, words", tfidf_of_words), Peer("TF-IDF, letters", tfidf_of_letters)],
    SERIES: [Peer("1-NN, DTW", nearest_by_dtw), Peer("MiniRocket", minirocket)],
    REGRESSION: [Peer("MiniRocket", minirocket_regression)],
    TAGS: [Peer("tag per word or suffix", tag_per_word_or_suffix), Peer("CRF", crf)],
    SPANS: [Peer("tag per word or suffix", tag_per_word_or_suffix), Peer("CRF", crf)],
}
YARDSTICKS = {
    TEXT: Peer("majority class", most_frequent_class),
    SERIES: Peer("majority class", most_frequent_class),
    REGRESSION: Peer("train mean", train_mean),
    TAGS: Peer("tag per word", tag_per_word),
    SPANS: Peer("tag per word", tag_per_word),
}


def peers_of(kind: str) -> list[Peer]:
    """The yardstick and the peers of a kind of data set, if it has any."""
    return [*([YARDSTICKS[kind]] if kind in YARDSTICKS else []), *PEERS.get(kind, [])]


def evaluate(data: Path, published: Published, size: int | None, peer: Peer) -> dict[str, Any]:
    """A peer's predictions on the test of a data set, or why there are none, and the seconds that it took."""
    train, test = published.examples(data, size)
    started = time.perf_counter()
    result: dict[str, Any]
    try:
        result = {"predictions": peer.predict(train, test.inputs)}
    except ModuleNotFoundError as error:
        return {"missing": error.name}
    except Exception as error:  # a failure of one peer must not stop the others
        result = {"failure": f"{type(error).__name__}: {error}"}
    return {"seconds": round(time.perf_counter() - started, 2), "versions": _versions(), **result}


def _versions() -> str:
    """Versions of the packages that were used so far."""
    return ", ".join(f"{package} {version(package)}" for package, name in PACKAGES.items() if name in sys.modules)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the data sets")
    data = parser.parse_args().data
    for line in sys.stdin:
        request = json.loads(line)
        published = next(each for each in SETS if each.name == request["set"])
        peer = next(each for each in peers_of(published.kind) if each.name == request["peer"])
        print(json.dumps(evaluate(data, published, request["size"], peer)), flush=True)


if __name__ == "__main__":
    main()
