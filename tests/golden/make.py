"""Writes the golden model folders of this version, `VERSION/TASK`, with what each said when written (`expected.json`).

Run once a version: `python tests/golden/make.py`. Never run for a version that was released.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

import stepscan as ss

HERE = Path(__file__).parent
WAVE = np.exp(np.sin(np.arange(30) * 0.7))
SMALL: dict[str, Any] = {"hidden_size": 6, "embedding_size": 4, "epochs": 2, "batch_size": 8, "learning_rate": 0.02}


def answers(model: Any) -> dict[str, Any]:
    """What a model of any task says of fixed inputs; the numbers too."""
    if isinstance(model, ss.Classifier) and not model.tokenizers_:
        return {"predict": "", "numbers": np.asarray(model.predict([WAVE, WAVE[:3]])).tolist()}
    if isinstance(model, ss.Classifier):
        texts = ["a good film", "bad , bad film", "never seen", ""]
        if model.problem_type == "multilabel":
            return {"predict": model.predict(texts), "numbers": model.predict_proba(texts).tolist()}
        return {"predict": model.predict(texts).tolist(), "numbers": model.predict_proba(texts).tolist()}
    if isinstance(model, ss.Tagger):
        sentences = [["ab", "cd"], ["new", "ab", "ba"], []]
        shares = np.concatenate(model.predict_proba(sentences))
        return {"predict": model.predict(sentences), "numbers": shares.ravel().tolist()}
    if isinstance(model, ss.Forecaster):
        return {"predict": "", "numbers": np.stack(model.forecast(WAVE, 3, num_samples=20)).ravel().tolist()}
    if isinstance(model, ss.LanguageModel):
        said = model.generate("ab", length=12, temperature=0)
        return {"predict": said, "numbers": [model.score("abc abd abc"), *model.predict_proba(["ab"])[0].tolist()]}
    found = model.translate(["abc", "cca"])
    return {"predict": [one[0].text for one in found], "numbers": [one[0].score for one in found]}


def make(folder: Path) -> None:
    draw = random.Random(0)
    reviews = [(f"a {word} film , {draw.choice('xyz')}", label) for word, label in [("good", "p"), ("bad", "n")] * 20]
    sentences = [draw.choices(["ab", "ba", "cd"], k=draw.randint(1, 4)) for _ in range(40)]
    pairs = [(s, s[::-1]) for s in ("".join(draw.choices("abc", k=3)) for _ in range(40))]
    models = {
        "classify": ss.Classifier(**SMALL).fit(*zip(*reviews, strict=True)),
        "tag": ss.Tagger(**SMALL, cell="gru", char_embedding_size=4, char_hidden_size=4).fit(
            sentences, [[word[0].upper() for word in words] for words in sentences]
        ),
        "generate": ss.LanguageModel(**SMALL, cell="transformer", bptt=16).fit("abc abd\n" * 100),
        "translate": ss.Translator(**SMALL, tokenizer="character", cell="elman").fit(*zip(*pairs, strict=True)),
        "classify-labels": ss.Classifier(**SMALL, problem_type="multilabel").fit(
            [text for text, _ in reviews], [[*text.split()[1:2]] for text, _ in reviews]
        ),
        "classify-series": ss.Classifier(**SMALL, problem_type="regression", cell="gru").fit(
            [WAVE[i : i + 8] for i in range(20)], WAVE[8:28]
        ),
        "tag-crf": ss.Tagger(**SMALL, crf=True, char_embedding_size=0).fit(
            sentences, [["O" if word == "cd" else f"B-{word}" for word in words] for words in sentences]
        ),
        "forecast": ss.Forecaster(**SMALL, head="quantile", seasonal_period=2, log_transform=True, bptt=8).fit(WAVE),
    }
    for task, model in models.items():
        if (folder / task).exists():
            print(f"{folder / task} is there already, and stays as it is")
            continue
        model.save(folder / task)
        (folder / task / "expected.json").write_text(json.dumps(answers(model), indent=1) + "\n")


if __name__ == "__main__":
    target = HERE / ss.__version__
    target.mkdir(exist_ok=True)
    make(target)
