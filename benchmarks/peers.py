"""What a user would have done instead of training a model of ours: the peers that `defaults.py` sets beside it.

    echo '{"set": "sst2", "size": 50, "peer": "TF-IDF, words"}' | python benchmarks/peers.py DATA

A peer learns from the examples of a set and answers the test. Libraries are imported where they are used, so that one
that is missing costs its own peers alone:

    pip install aeon==1.6.0 scikit-learn==1.9.1 sklearn-crfsuite==0.5.0
"""

from __future__ import annotations

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
    """The class of the nearest series by dynamic time warping, within a band of a tenth of the shorter series; aeon
    compares unequal lengths as they are."""
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
    """MiniRocket takes series of one length: shorter ones end in zeros, those longer than all in training are cut."""
    length = max(len(series[0]) for series in train.inputs)
    padded = [[[*row[:length], *[0.0] * (length - len(row))] for row in series] for series in (*train.inputs, *inputs)]
    known, asked = padded[: len(train.inputs)], padded[len(train.inputs) :]
    return model.fit(*_arrays(known, train.targets)).predict(*_arrays(asked)).tolist()


def _arrays(inputs: Sequence[Any], *targets: list[Any]) -> Iterator[Any]:
    """Series as aeon takes them, one array where they are of one length, and what belongs to them."""
    import numpy as np

    series = [np.array(one) for one in inputs]
    yield np.stack(series) if len({one.shape for one in series}) == 1 else series
    yield from map(np.array, targets)


def crf(train: Examples, inputs: list[list[str]]) -> list[list[str]]:
    """A linear-chain conditional random field on spellings."""
    from sklearn_crfsuite import CRF

    model = CRF(algorithm="lbfgs", c1=0.1, c2=0.1, max_iterations=100)
    model.fit([features(tokens) for tokens in train.inputs], train.targets)
    return [list(tags) for tags in model.predict([features(tokens) for tokens in inputs])]


def features(tokens: Sequence[str]) -> list[list[str]]:
    """What a conditional random field sees of each word: itself, its beginnings and ends, its shape, its neighbours."""
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
    """A for upper case, a for lower, 0 for digits, the rest as it is; of a run of the same only one: Ab-30 → Aa-0."""
    kinds = ["A" if c.isupper() else "a" if c.islower() else "0" if c.isdigit() else c for c in token]
    return "".join(kind for kind, before in zip(kinds, ["", *kinds], strict=False) if kind != before)


def tag_per_word(train: Examples, inputs: list[list[str]]) -> list[list[str]]:
    """The most frequent tag of each word, of one that is new the most frequent of all."""
    return _most_frequent(train, inputs, longest_suffix=0)


def tag_per_word_or_suffix(train: Examples, inputs: list[list[str]]) -> list[list[str]]:
    """The most frequent tag of each word, of one that is new that of its longest suffix which training has."""
    return _most_frequent(train, inputs, longest_suffix=_LONGEST_SUFFIX)


def _most_frequent(train: Examples, inputs: list[list[str]], longest_suffix: int) -> list[list[str]]:
    words, suffixes = defaultdict[str, Counter[str]](Counter), defaultdict[str, Counter[str]](Counter)
    for tokens, tags in zip(*train, strict=True):
        for token, tag in zip(tokens, tags, strict=True):
            words[token][tag] += 1
            for n in range(min(longest_suffix, len(token)) + 1):
                suffixes[token[len(token) - n :]][tag] += 1

    def known(token: str) -> Counter[str]:
        ends = (token[len(token) - n :] for n in range(min(longest_suffix, len(token)), -1, -1))
        return words.get(token) or next(suffixes[end] for end in ends if end in suffixes)

    return [[known(token).most_common(1)[0][0] for token in tokens] for tokens in inputs]


def most_frequent_class(train: Examples, inputs: list[Any]) -> list[str]:
    return [Counter(train.targets).most_common(1)[0][0]] * len(inputs)


def train_mean(train: Examples, inputs: list[Any]) -> list[float]:
    return [sum(train.targets) / len(train.targets)] * len(inputs)


class Peer(NamedTuple):
    name: str
    answers: Callable[[Examples, list[Any]], list[Any]]


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
    """The yardstick and the peers of a kind of set; of some none."""
    return [*([YARDSTICKS[kind]] if kind in YARDSTICKS else []), *PEERS.get(kind, [])]


def answered(data: Path, given: Published, size: int | None, peer: Peer) -> dict[str, Any]:
    """The answers of a peer to the test of a set, after so many examples, or why there are none; and the seconds."""
    train, test = given.examples(data, size)
    started = time.perf_counter()
    said: dict[str, Any]
    try:
        said = {"answers": peer.answers(train, test.inputs)}
    except ModuleNotFoundError as error:
        return {"missing": error.name}
    except Exception as error:  # the others go on
        said = {"failure": f"{type(error).__name__}: {error}"}
    return {"seconds": round(time.perf_counter() - started, 2), "versions": _versions(), **said}


def _versions() -> str:
    """Of the packages that answered so far."""
    return ", ".join(f"{package} {version(package)}" for package, name in PACKAGES.items() if name in sys.modules)


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        given = next(each for each in SETS if each.name == asked["set"])
        peer = next(each for each in peers_of(given.kind) if each.name == asked["peer"])
        print(json.dumps(answered(Path(sys.argv[1]), given, asked["size"], peer)), flush=True)


if __name__ == "__main__":
    main()
