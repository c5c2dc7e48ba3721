"""Toy tasks that a small model learns in seconds, and what tests of all estimators ask."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

# Everything that learning hangs on is said here or where it is used, so that new defaults break no test.
ALONE = {"wide": False}  # a network by itself
FAST = {
    **{"layers": 1, "dropout": 0.0, "learning_rate": 0.02, "warmup_ratio": 0.1, "weight_decay": 0.0, "patience": 50},
    **{"decay_ratio": 1.0, "ema_decay": 0.0, "refit": False},
}
TAGGER = {  # one that is made at once, without spelling
    **{"cell": "gru", "hidden_size": 8, "embedding_size": 8, "char_embedding_size": 0, "epochs": 1, "batch_size": 8},
    **FAST,
    **ALONE,
}
NETWORK = {**FAST, "input_noise": 0.0, "wide": False}  # of what has a wide part, too: the network alone


def ordered(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Texts and whether `a` comes before `b` in them: nothing that a bag of words could tell."""
    draw, texts, labels = random.Random(seed), [], []
    for _ in range(count):
        words = [*draw.choices("xyz", k=draw.randint(0, 4)), "a", "b"]
        draw.shuffle(words)
        texts.append(" ".join(words))
        labels.append("first a" if words.index("a") < words.index("b") else "first b")
    return texts, labels


def neighbours(count: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """Words, and as tags each word's last letter with the first letter of the next word (`.` at the end)."""
    draw, sentences = random.Random(seed), []
    for _ in range(count):
        sentences.append([draw.choice("ab") + "".join(draw.choices("mnop", k=2)) + draw.choice("yz") for _ in range(5)])
        sentences[-1] = sentences[-1][: draw.randint(1, 5)]
    return sentences, [[w[-1] + n[0] for w, n in zip(s, [*s[1:], "."], strict=True)] for s in sentences]


def reversals(count: int, seed: int) -> tuple[list[str], list[str]]:
    draw = random.Random(seed)
    sources = ["".join(draw.choices("abcd", k=draw.randint(1, 4))) for _ in range(count)]
    return sources, [source[::-1] for source in sources]


RHYME = "one two three\nfour five six\nseven eight\n" * 60


def weights_of(estimator) -> dict[str, torch.Tensor]:
    return estimator.model_.state_dict()


def equal_to_the_bit(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def history_is_whole(history: Sequence[dict], epochs: int, scores: Sequence[str]) -> bool:
    """Whether there is a row an epoch, of many an eighth more each time, with every figure that is promised."""
    judged = [0]
    for epoch in range(1, epochs + 1):
        judged += [epoch] if epoch - judged[-1] >= judged[-1] / 8 or epoch == epochs else []
    names = [
        "epoch",
        "step",
        "updates",
        "seconds",
        "train_loss",
        *scores,
        "sequences_per_second",
        "tokens_per_second",
        "padding",
    ]
    return (
        [row["epoch"] for row in history] == judged[1:]
        and all(list(row) == [*names, "learning_rate", "best"] for row in history)
        and any(row["best"] for row in history)
    )
