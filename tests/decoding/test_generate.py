from __future__ import annotations

import subprocess
import sys
from itertools import islice

import numpy as np
import pytest
from history_model import START, HistoryModel, history, scores_after

from stepscan.decoding import Sampler, generate, row_generators, stream
from stepscan.errors import SettingsError

STOP = 0


def naive_generate(model: int, place: int, length: int, sampler: Sampler, seed: int, stop: int | None) -> list[int]:
    """One row, one token at a time, without a state."""
    random = np.random.default_rng(np.random.SeedSequence(seed).spawn(place + 1)[place])
    tokens = [START]
    while len(tokens) <= length:
        token = int(sampler(scores_after(model, tokens, 5)[None], random)[0])
        if token == stop:
            break
        tokens.append(token)
    return tokens[1:]


@pytest.mark.parametrize("stop", [STOP, None])
@pytest.mark.parametrize("sampler", [Sampler(), Sampler(0.7, top_k=3), Sampler(temperature=0)])
def test_generate_is_each_row_alone(sampler: Sampler, stop: int | None) -> None:
    models = range(8)
    together = generate(HistoryModel(5), history(*models), [START] * 8, length=6, sampler=sampler, seed=3, stop=stop)
    assert together == [naive_generate(model, model, 6, sampler, 3, stop) for model in models]
    assert len({tuple(text) for text in together}) > 4


def test_a_row_keeps_its_text_whatever_the_other_rows_are() -> None:
    def texts(*models: int, length: int = 6) -> list[list[int]]:
        start = [START] * len(models)
        return generate(HistoryModel(5), history(*models), start, length=length, sampler=Sampler(), seed=1, stop=STOP)

    reference = texts(1, 2, 3, 4)
    assert texts(1) == reference[:1]
    assert texts(9, 2, 0)[1] == reference[1]
    assert [text[:2] for text in reference] == texts(1, 2, 3, 4, length=2)
    same_prompt = texts(2, 2, 2, 2)
    assert same_prompt[1] == reference[1]
    assert len({tuple(text) for text in same_prompt}) > 1


def test_finished_rows_leave_the_batch() -> None:
    model = HistoryModel(3)
    texts = generate(model, history(*range(6)), [START] * 6, length=5, sampler=Sampler(), seed=0, stop=STOP)
    assert model.batch_sizes == [sum(len(text) >= t for text in texts) for t in range(len(model.batch_sizes))]
    assert model.batch_sizes[-1] < 6


def test_generate_without_rows_or_without_length() -> None:
    assert generate(HistoryModel(3), history(), [], length=5, sampler=Sampler()) == []
    assert generate(HistoryModel(3), history(1, 2), [START] * 2, length=0, sampler=Sampler()) == [[], []]
    with pytest.raises(SettingsError, match="length: expected a whole number, 0 or more, got -1"):
        generate(HistoryModel(3), history(1), [START], length=-1, sampler=Sampler())


def test_stream_yields_the_state_that_has_read_all_but_its_tokens() -> None:
    steps = stream(
        HistoryModel(3), history(*range(6)), [START] * 6, sampler=Sampler(), random=row_generators(0, 6), stop=STOP
    )
    model, read = np.arange(6), np.full((6, 1), START)
    for tokens, state in steps:
        np.testing.assert_array_equal(state.model, model)
        np.testing.assert_array_equal(state.tokens, read)
        going = tokens != STOP
        model, read = model[going], np.concatenate([read, tokens[:, None]], axis=1)[going]
    assert len(model) == 0


def test_a_second_stream_takes_over_from_the_first() -> None:
    random = row_generators(7, 2)
    first = list(islice(stream(HistoryModel(4), history(1, 2), [START] * 2, sampler=Sampler(), random=random), 3))
    second = list(islice(stream(HistoryModel(4), first[-1][1], first[-1][0], sampler=Sampler(), random=random), 3))
    whole = generate(HistoryModel(4), history(1, 2), [START] * 2, length=6, sampler=Sampler(), seed=7)
    assert np.stack([tokens for tokens, _ in first + second], axis=1).tolist() == whole


def test_stream_needs_a_generator_per_row() -> None:
    with pytest.raises(SettingsError, match="one random number generator for each of 2 rows, got 3"):
        next(stream(HistoryModel(4), history(1, 2), [START] * 2, sampler=Sampler(), random=row_generators(0, 3)))


def test_decoding_never_imports_torch() -> None:
    check = "import sys, stepscan.decoding; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
