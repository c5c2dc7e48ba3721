from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepscan.decoding import Sampler, log_softmax
from stepscan.errors import SettingsError, StepscanError

# Few distinct values, so that ties are common; -inf forbids.
rows_of_scores = st.lists(st.sampled_from([-np.inf, -3.0, -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=8).filter(
    lambda row: max(row) > -np.inf
)


def naive_probabilities(row: list[float], temperature: float, top_k: int, top_p: float, min_p: float) -> list[float]:
    """The settings as they are told in words, one token at a time."""
    weights = [float(np.exp(score / temperature)) for score in row]
    ranked = sorted(range(len(row)), key=lambda token: (-weights[token], token))
    kept = ranked[:top_k] if top_k else ranked
    if top_p < 1:
        total, mass, nucleus = sum(weights[token] for token in kept), 0.0, []
        for token in kept:
            if mass >= top_p * total:
                break
            nucleus.append(token)
            mass += weights[token]
        kept = nucleus
    kept = [token for token in kept if weights[token] >= min_p * weights[ranked[0]]]
    total = sum(weights[token] for token in kept)
    return [weights[token] / total if token in kept else 0.0 for token in range(len(row))]


def test_log_softmax_is_right_and_does_not_overflow() -> None:
    scores = np.log([[1.0, 2.0, 5.0], [2.0, 2.0, 4.0]])
    expected = np.log([[0.125, 0.25, 0.625], [0.25, 0.25, 0.5]])
    np.testing.assert_allclose(log_softmax(scores), expected, rtol=1e-14)
    np.testing.assert_allclose(log_softmax(scores + 1e4), expected, rtol=1e-11)
    np.testing.assert_array_equal(log_softmax([[1e4, -np.inf]]), [[0.0, -np.inf]])
    assert log_softmax(np.zeros((1, 3), dtype=np.float32)).dtype == np.float64


@given(
    rows_of_scores,
    st.sampled_from([0.5, 1.0, 2.0]),
    st.integers(0, 10),
    st.sampled_from([0.05, 0.33, 0.7, 0.95, 1.0]),
    st.sampled_from([0.0, 0.11, 0.6, 1.0]),
)
@settings(max_examples=200)
def test_probabilities_match_the_naive_definition(
    row: list[float], temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    sampler = Sampler(temperature, top_k, top_p, min_p)
    other = list(reversed(row))  # a second row, so that rows cannot mix unnoticed
    expected = [naive_probabilities(r, temperature, top_k, top_p, min_p) for r in (row, other)]
    np.testing.assert_allclose(sampler.probabilities([row, other]), expected, rtol=1e-12)


def test_truncations_by_hand() -> None:
    scores = np.log([[0.1, 0.4, 0.2, 0.3]])
    np.testing.assert_allclose(Sampler(top_k=2).probabilities(scores), [[0, 4 / 7, 0, 3 / 7]])
    np.testing.assert_allclose(Sampler(top_p=0.6).probabilities(scores), [[0, 4 / 7, 0, 3 / 7]])
    np.testing.assert_allclose(Sampler(top_p=1e-9).probabilities(scores), [[0, 1, 0, 0]])
    np.testing.assert_allclose(Sampler(min_p=0.4).probabilities(scores), [[0, 4 / 9, 2 / 9, 3 / 9]])
    np.testing.assert_allclose(Sampler(top_k=3, top_p=0.5).probabilities(scores), [[0, 4 / 7, 0, 3 / 7]])
    np.testing.assert_array_equal(Sampler(top_k=2).probabilities([[1.0, 1.0, 1.0]]), [[0.5, 0.5, 0]])


def test_temperature_goes_to_greedy_and_to_uniform() -> None:
    scores = np.array([[0.3, 1.1, 1.0, -2.0], [5.0, 4.9, -np.inf, 5.0]])
    np.testing.assert_array_equal(Sampler(temperature=0).probabilities(scores), [[0, 1, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_allclose(
        Sampler(temperature=1e-3).probabilities(scores), [[0, 1, 0, 0], [0.5, 0, 0, 0.5]], atol=1e-40
    )
    flat = Sampler(temperature=1e9).probabilities(scores)
    np.testing.assert_allclose(flat, [[0.25] * 4, [1 / 3, 1 / 3, 0, 1 / 3]], atol=1e-8)


def test_frequencies_match_probabilities() -> None:
    draws, sampler = 20_000, Sampler(temperature=0.8, top_k=4)
    scores = np.array([0.1, -np.inf, 1.5, 0.7, -0.4, -3.0])
    expected = draws * sampler.probabilities(scores[None])[0]
    tokens = sampler(np.tile(scores, (draws, 1)), np.random.default_rng(0))
    counts = np.bincount(tokens, minlength=6)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    chi_square = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    assert chi_square < 16.3  # 3 degrees of freedom: one in a thousand seeds is above


def test_pick_inverts_the_cumulative_distribution() -> None:
    scores = np.tile(np.log([[0.25, 0.0001, 0.5, 0.25]]), (5, 1))
    scores[:, 1] = -np.inf
    uniforms = np.array([0.0, 0.2499, 0.25, 0.7499, np.nextafter(1, 0)])
    assert Sampler().pick(scores, uniforms).tolist() == [0, 0, 2, 2, 3]
    forbidden_ends = np.array([[-np.inf, 0.0, -np.inf]] * 2)
    assert Sampler().pick(forbidden_ends, np.array([0.0, np.nextafter(1, 0)])).tolist() == [1, 1]


def test_a_call_takes_one_number_a_row_and_repeats_from_its_seed() -> None:
    scores = np.random.default_rng(1).normal(size=(7, 30))
    used, expected = np.random.default_rng(5), np.random.default_rng(5)
    tokens = Sampler(top_p=0.9)(scores, used)
    np.testing.assert_array_equal(tokens, Sampler(top_p=0.9).pick(scores, expected.random(7)))
    assert used.random() == expected.random()


def test_a_row_does_not_depend_on_the_batch() -> None:
    scores = np.random.default_rng(2).normal(size=(9, 301)).astype(np.float32)
    sampler = Sampler(temperature=0.7, top_k=50, top_p=0.9)
    together = sampler.probabilities(scores)
    alone = np.concatenate([sampler.probabilities(row[None]) for row in scores])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(sampler.probabilities(np.asfortranarray(scores)), together)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", 10**400),
        ("top_k", -1),
        ("top_k", 2.5),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("min_p", -0.2),
        ("min_p", 2.0),
    ],
)
def test_wrong_settings_are_named(setting: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"^{setting}: expected .*, got {value}$"):
        Sampler(**{setting: value})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_no_scores(bad: float) -> None:
    for use in (log_softmax, Sampler().probabilities, Sampler(temperature=0).probabilities):
        with pytest.raises(StepscanError, match=r"got NaN or \+inf in row 1"):
            use([[0.0, 1.0], [0.0, bad]])
        with pytest.raises(StepscanError, match="got only -inf in row 0: every token is forbidden"):
            use([[-np.inf, -np.inf], [0.0, 1.0]])
