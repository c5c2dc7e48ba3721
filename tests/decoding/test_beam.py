from __future__ import annotations

import numpy as np
import pytest
from history_model import START, History, HistoryModel, history, scores_after
from hypothesis import given, settings
from hypothesis import strategies as st

import stepscan.decoding.beam as beam_module
from stepscan.decoding import Hypothesis, StepFunction, beam_search, log_softmax
from stepscan.errors import SettingsError, StepscanError

STOP = 1


def exhaustive(model: int, vocabulary: int, maximum_length: int, length_penalty: float) -> list[Hypothesis]:
    """Every possible hypothesis, best first."""
    found = []

    def visit(tokens: list[int], log_probability: float) -> None:
        length = len(tokens)
        penalty = ((5 + length) / 6) ** length_penalty
        if tokens[-1:] == [STOP]:
            found.append(Hypothesis(tokens[:-1], log_probability, log_probability / penalty, True))
        elif length == maximum_length:
            found.append(Hypothesis(tokens, log_probability, log_probability / penalty, False))
        else:
            following = log_softmax(scores_after(model, [START, *tokens], vocabulary)[None])[0]
            for token in range(vocabulary):
                visit([*tokens, token], log_probability + float(following[token]))

    visit([], 0.0)
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def naive_beam(model: int, vocabulary: int, maximum_length: int, width: int, length_penalty: float) -> list[Hypothesis]:
    """One row in plain Python, which never ends early; every hypothesis that it completes, best first."""
    alive: list[tuple[list[int], float]] = [([], 0.0)]
    found = []
    for length in range(1, maximum_length + 1):
        penalty = ((5 + length) / 6) ** length_penalty
        candidates = []
        for tokens, log_probability in alive:
            following = log_softmax(scores_after(model, [START, *tokens], vocabulary)[None])[0]
            candidates += [([*tokens, t], log_probability + float(following[t])) for t in range(vocabulary)]
        candidates.sort(key=lambda candidate: -candidate[1])
        found += [Hypothesis(c[0][:-1], c[1], c[1] / penalty, True) for c in candidates[:width] if c[0][-1] == STOP]
        alive = [candidate for candidate in candidates if candidate[0][-1] != STOP][:width]
    found += [Hypothesis(tokens, total, total / penalty, False) for tokens, total in alive]
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def assert_same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [(h.tokens, h.finished) for h in found] == [(h.tokens, h.finished) for h in expected]
    for place in ("log_probability", "score"):
        actual = [getattr(hypothesis, place) for hypothesis in found]
        np.testing.assert_allclose(actual, [getattr(h, place) for h in expected], rtol=1e-12)


@given(
    seed=st.integers(0, 10**6),
    vocabulary=st.integers(3, 4),
    maximum_lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    length_penalty=st.sampled_from([0.0, 0.6, 1.0, 3.0]),
    n_best=st.sampled_from([1, 2, 7, 200]),
)
@settings(max_examples=40)
def test_a_beam_wide_enough_finds_what_exhaustive_search_finds(
    seed: int, vocabulary: int, maximum_lengths: list[int], length_penalty: float, n_best: int
) -> None:
    models = [seed + row for row in range(len(maximum_lengths))]
    found = beam_search(
        HistoryModel(vocabulary),
        history(*models),
        [START] * len(models),
        width=vocabulary**4,
        stop=STOP,
        maximum_length=maximum_lengths,
        length_penalty=length_penalty,
        n_best=min(n_best, vocabulary**4),
    )
    for model, maximum_length, hypotheses in zip(models, maximum_lengths, found, strict=True):
        assert_same(hypotheses, exhaustive(model, vocabulary, maximum_length, length_penalty)[:n_best])


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6), st.sampled_from([0.0, 1.0]))
@settings(max_examples=60)
def test_a_narrow_beam_matches_the_naive_one(seed: int, width: int, maximum_length: int, length_penalty: float) -> None:
    expected = naive_beam(seed, 4, maximum_length, width, length_penalty)
    for n_best in {1, width}:
        found = beam_search(
            HistoryModel(4),
            history(seed),
            [START],
            width=width,
            stop=STOP,
            maximum_length=maximum_length,
            length_penalty=length_penalty,
            n_best=n_best,
        )
        assert_same(found[0], expected[:n_best])


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_batch_is_each_row_alone(length_penalty: float) -> None:
    models, maximum_lengths = [3, 14, 15, 9, 26], [5, 1, 8, 3, 6]

    def search(models: list[int], maximum_length: list[int] | int) -> list[list[Hypothesis]]:
        return beam_search(
            HistoryModel(5),
            history(*models),
            [START] * len(models),
            width=3,
            stop=STOP,
            maximum_length=maximum_length,
            length_penalty=length_penalty,
            n_best=3,
        )

    together = search(models, maximum_lengths)
    assert together == [search([m], length)[0] for m, length in zip(models, maximum_lengths, strict=True)]
    assert all(len(h.tokens) + h.finished <= n for n, row in zip(maximum_lengths, together, strict=True) for h in row)
    assert all(len(row) == 3 for row in together)


def test_states_follow_their_hypotheses() -> None:
    """Every row of the state must have read exactly the tokens of the hypothesis that it is asked to continue."""
    seen: set[tuple[int, ...]] = set()

    class Witness(HistoryModel):
        def __call__(self, tokens: np.ndarray, state: History) -> tuple[np.ndarray, History]:
            assert STOP not in tokens
            scores, state = super().__call__(tokens, state)
            seen.update((int(m), *read) for m, read in zip(state.model, state.tokens.tolist(), strict=True))
            return scores, state

    found = beam_search(
        Witness(3), history(*range(6)), [START] * 6, width=4, stop=STOP, maximum_length=7, length_penalty=1.0, n_best=4
    )
    for model, row in enumerate(found):
        for hypothesis in row:
            read = hypothesis.tokens if hypothesis.finished else hypothesis.tokens[:-1]
            assert (model, START, *read) in seen
            tokens = [START, *hypothesis.tokens, *([STOP] if hypothesis.finished else [])]
            parts = [log_softmax(scores_after(model, tokens[:t], 3)[None])[0, tokens[t]] for t in range(1, len(tokens))]
            assert hypothesis.log_probability == pytest.approx(sum(parts), rel=1e-12)
            assert hypothesis.score == pytest.approx(sum(parts) / ((5 + len(parts)) / 6), rel=1e-12)


def constant_step(probabilities: list[float]) -> StepFunction:
    """A model without memory."""
    with np.errstate(divide="ignore"):
        scores = np.log(probabilities)

    def step(tokens: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.tile(scores, (len(tokens), 1)), state

    return step


def test_rows_leave_early_once_nothing_can_beat_their_best() -> None:
    model = HistoryModel(4)
    beam_search(model, history(*range(10)), [START] * 10, width=2, stop=STOP, maximum_length=50)
    assert model.batch_sizes[0] == 10
    assert model.batch_sizes[1] <= 20
    assert len(model.batch_sizes) < 50
    assert model.batch_sizes[-1] < 20


def test_the_length_penalty_makes_longer_hypotheses_win() -> None:
    step = constant_step([0.5, 0.5])

    def tokens(length_penalty: float) -> list[int]:
        found = beam_search(
            step, np.zeros((1, 1)), [0], width=4, stop=STOP, maximum_length=4, length_penalty=length_penalty
        )
        return found[0][0].tokens

    assert tokens(0.0) == []
    assert tokens(2.0) == []  # n even guesses score -n log 2 / ((5 + n) / 6)^2: still best at n = 1
    assert tokens(8.0) == [0, 0, 0]  # and a stop; [0, 0, 0, 0] is as good, but unfinished


def test_ties_go_to_the_better_beam_and_the_lower_id() -> None:
    found = beam_search(constant_step([0.25] * 4), np.zeros((1, 1)), [0], width=3, stop=3, maximum_length=2, n_best=3)
    assert [h.tokens for h in found[0]] == [[0, 0], [0, 1], [0, 2]]


def test_forbidden_tokens_are_never_chosen_and_empty_places_stay_empty() -> None:
    step = constant_step([0.0, 0.4, 0.0, 0.6])  # only 3 can go on, so one beam of four is alive
    found = beam_search(step, np.zeros((2, 1)), [0, 0], width=4, stop=STOP, maximum_length=[3, 1], n_best=4)
    assert [(h.tokens, h.finished) for h in found[0]] == [([], True), ([3], True), ([3, 3, 3], False), ([3, 3], True)]
    np.testing.assert_allclose(np.exp([h.score for h in found[0]]), [0.4, 0.24, 0.216, 0.144])
    assert [(h.tokens, h.finished) for h in found[1]] == [([3], False), ([], True)]


def test_a_vocabulary_smaller_than_the_beam() -> None:
    found = beam_search(constant_step([0.0, 1.0]), np.zeros((1, 1)), [0], width=5, stop=STOP, maximum_length=9)
    assert found == [[Hypothesis([], 0.0, 0.0, True)]]
    found = beam_search(constant_step([1.0]), np.zeros((1, 1)), [0], width=5, stop=STOP, maximum_length=3)
    assert found == [[Hypothesis([0, 0, 0], 0.0, 0.0, False)]]


def test_the_state_is_copied_only_when_its_rows_move(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[int] = []

    def counted(state: object, rows: np.ndarray) -> object:
        if isinstance(state, History):
            copies.append(len(rows))
        return original(state, rows)

    original = beam_module.select
    monkeypatch.setattr(beam_module, "select", counted)
    model = HistoryModel(5)
    beam_search(model, history(1, 2), [START] * 2, width=1, stop=-1, maximum_length=[4, 6])
    assert copies == [1, 0]  # when the first row ends and when the second does
    copies.clear()
    beam_search(model, history(1, 2), [START] * 2, width=3, stop=STOP, maximum_length=6)
    assert len(copies) <= 6


def test_width_1_takes_the_best_token_at_every_step() -> None:
    beams = beam_search(HistoryModel(4), history(*range(12)), [START] * 12, width=1, stop=STOP, maximum_length=4)
    found = [hypothesis for (hypothesis,) in beams]
    for model, hypothesis in enumerate(found):
        tokens, log_probability = [START], 0.0
        while len(tokens) <= 4 and tokens[-1] != STOP:
            scores = scores_after(model, tokens, 4)
            log_probability += float(log_softmax(scores[None]).max())
            tokens.append(int(scores.argmax()))
        assert hypothesis.finished == (tokens[-1] == STOP)
        assert hypothesis.tokens == tokens[1 : -1 if hypothesis.finished else None]
        assert hypothesis.log_probability == hypothesis.score == pytest.approx(log_probability, rel=1e-12)
    assert {hypothesis.finished for hypothesis in found} == {True, False}


def test_width_1_breaks_ties_by_the_lower_id() -> None:
    def step(tokens: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.array([[1.0, 0.0, 2.0, 2.0]] * len(tokens)), state

    def tokens(stop: int) -> list[int]:
        return beam_search(step, np.zeros((1, 1)), [START], width=1, stop=stop, maximum_length=3)[0][0].tokens

    assert (tokens(0), tokens(3), tokens(2)) == ([2, 2, 2], [2, 2, 2], [])


def test_no_rows() -> None:
    assert beam_search(HistoryModel(3), history(), [], width=2, stop=STOP, maximum_length=3) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0}, "expected 1 <= n_best <= width, got n_best 1 and width 0"),
        ({"n_best": 3}, "expected 1 <= n_best <= width, got n_best 3 and width 2"),
        ({"n_best": 0}, "expected 1 <= n_best <= width, got n_best 0 and width 2"),
        ({"maximum_length": 0}, "maximum_length: expected whole numbers, 1 or more, got 0"),
        ({"maximum_length": [3, 0]}, r"maximum_length: expected whole numbers, 1 or more, got \[3 0\]"),
        ({"maximum_length": 2.5}, "maximum_length: expected whole numbers, 1 or more, got 2.5"),
        ({"maximum_length": [3, 3, 3]}, r"expected one number, or one for each of 2 rows, got \(3,\)"),
        ({"length_penalty": float("nan")}, "length_penalty: expected a finite number, 0 or more, got nan"),
        ({"length_penalty": 10**400}, "length_penalty: expected a finite number, 0 or more, got 1000"),
        ({"length_penalty": -0.5}, "length_penalty: expected a finite number, 0 or more, got -0.5"),
    ],
)
def test_wrong_settings_are_named(wrong: dict, message: str) -> None:
    settings = {"width": 2, "stop": STOP, "maximum_length": 3} | wrong
    with pytest.raises(SettingsError, match=message):
        beam_search(HistoryModel(3), history(1, 2), [START] * 2, **settings)


def test_scores_that_are_no_scores() -> None:
    with pytest.raises(StepscanError, match=r"got NaN or \+inf in row 0"):
        beam_search(constant_step([0.5, np.nan]), np.zeros((1, 1)), [0], width=2, stop=STOP, maximum_length=3)
