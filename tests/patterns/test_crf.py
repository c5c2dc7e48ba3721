"""The conditional random field against the sum over, and the best of, all paths one by one."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

import stepscan as ss
from models import IDS, with_padding

LENGTHS = [4, 1, 0, 3]
TAGS = 3
FORBIDDEN = [[-1, 2], [0, 2], [1, 1], [1, -1]]
PATHS = ss.Sequences.pad([[0, 1, 2, 2], [0], [], [1, 0, 0]])


def field(forbidden=(), seed: int = 0) -> ss.CRF:
    torch.manual_seed(seed)
    crf = ss.CRF(TAGS, forbidden).double()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_(std=2)
    return crf


def scores(filler: float = 0.0, extra: int = 0, seed: int = 1) -> ss.Sequences:
    data = torch.randn(4, 4, TAGS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2
    data = torch.nn.functional.pad(data, (0, 0, 0, extra))
    padded = ss.Sequences(data, LENGTHS)
    return ss.Sequences(torch.where(padded.mask[..., None], data, filler), LENGTHS)


def every_path(crf: ss.CRF, items: torch.Tensor, forbidden) -> dict[tuple[int, ...], float]:
    """Score of each path that is not forbidden, by the equation."""
    found = {}
    for path in itertools.product(range(TAGS), repeat=len(items)):
        if any([before, after] in forbidden for before, after in itertools.pairwise((-1, *path, -1))):
            continue
        total = crf.start[path[0]] + crf.end[path[-1]] if path else torch.tensor(0.0)
        total = total + sum(items[t, tag] for t, tag in enumerate(path))
        total = total + sum(crf.transitions[pair] for pair in itertools.pairwise(path))
        found[path] = total.item()
    return found


def log_sum(values) -> float:
    return math.log(sum(map(math.exp, values)))


@pytest.mark.parametrize("forbidden", [(), FORBIDDEN], ids=["free", "constrained"])
def test_against_all_paths(forbidden) -> None:
    crf, given = field(forbidden), scores()
    likelihood = crf.log_likelihood(given, PATHS)
    shares, best = crf.marginals(given), crf.best_paths(given)
    for row, length in enumerate(LENGTHS):
        paths = every_path(crf, given.data[row, :length], forbidden)
        whole = log_sum(paths.values())
        true = tuple(PATHS.data[row, :length].tolist())
        assert likelihood[row].item() == pytest.approx(paths[true] - whole, abs=1e-12)
        assert crf.log_partition(given)[row].item() == pytest.approx(whole, abs=1e-12)
        assert tuple(best.data[row, :length].tolist()) == max(paths, key=paths.__getitem__)
        for t in range(length):
            expected = [sum(math.exp(s - whole) for p, s in paths.items() if p[t] == tag) for tag in range(TAGS)]
            assert shares.data[row, t].tolist() == pytest.approx(expected, abs=1e-12)
    assert (shares.data[~given.mask] == 0).all()
    assert (best.data[~given.mask] == 0).all()
    assert likelihood[2] == 0


def test_probabilities_of_all_paths_add_up_to_one() -> None:
    crf, given = field(FORBIDDEN), scores().select([0])
    allowed = every_path(crf, given.data[0], FORBIDDEN)
    assert 0 < len(allowed) < TAGS**4
    total = sum(crf.log_likelihood(given, ss.Sequences.pad([path])).exp().item() for path in allowed)
    assert total == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_forbidden_has_probability_zero(dtype) -> None:
    """However much the scores speak for it; and without a forbidden pair they win."""
    crf, free = ss.CRF(2, [[-1, 1], [0, 1]]).to(dtype), ss.CRF(2).to(dtype)
    given = ss.Sequences.pad([[[0.0, 1e4], [0.0, 1e4]]]).to(dtype)
    assert crf.marginals(given).data[0].tolist() == [[1, 0], [1, 0]]
    assert crf.best_paths(given).data[0].tolist() == [0, 0]
    assert crf.log_likelihood(given, ss.Sequences.pad([[0, 0]])).item() == 0
    assert free.best_paths(given).data[0].tolist() == [1, 1]


def test_a_forbidden_path_is_an_error() -> None:
    crf = field(FORBIDDEN)
    with pytest.raises(ValueError, match="got a forbidden one in row 1 at step 0"):
        crf.log_likelihood(scores(), ss.Sequences.pad([[0, 1, 2, 2], [2], [], [1, 0, 0]]))
    with pytest.raises(ValueError, match="got a forbidden one in row 3 at step 2"):
        crf.log_likelihood(scores(), ss.Sequences.pad([[0, 1, 2, 2], [0], [], [1, 0, 2]]))
    with pytest.raises(ValueError, match="got a forbidden one in row 3 at step 2"):  # the last tag
        crf.log_likelihood(scores(), ss.Sequences.pad([[0, 1, 2, 2], [0], [], [1, 0, 1]]))


@pytest.mark.parametrize("filler", [7.0, float("nan"), float("inf")])
def test_padding_changes_nothing(filler) -> None:
    crf, clean, dirty = field(FORBIDDEN), scores(), scores(filler, extra=2)
    path = with_padding(PATHS, 2)
    weights = list(crf.parameters())
    expected = crf.log_likelihood(clean, PATHS)
    found = crf.log_likelihood(dirty, path)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for left, right in zip(
        torch.autograd.grad(found.sum(), weights), torch.autograd.grad(expected.sum(), weights), strict=True
    ):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-12)
    torch.testing.assert_close(crf.marginals(dirty).items(), crf.marginals(clean).items(), rtol=0, atol=1e-12)
    assert torch.equal(crf.best_paths(dirty).items(), crf.best_paths(clean).items())
    alone = crf.log_likelihood(clean.select([3]), PATHS.select([3]))
    torch.testing.assert_close(alone, expected[3:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("forbidden", [(), FORBIDDEN], ids=["free", "constrained"])
def test_gradients(forbidden) -> None:
    crf, given = field(forbidden), scores()
    data = given.data.clone().requires_grad_()
    parameters = [data, *crf.parameters()]

    def likelihood(data, *_):
        return crf.log_likelihood(given.replace(data), PATHS)

    assert torch.autograd.gradcheck(likelihood, parameters)
    # The gradient of the log of the sum over all paths is the marginals.
    (gradient,) = torch.autograd.grad(crf.log_partition(given.replace(data)).sum(), data)
    torch.testing.assert_close(gradient, crf.marginals(given).data, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("forbidden", "words"),
    [
        ([[0, 3]], r"forbidden: expected pairs of tags 0 … 2, or -1 and a tag, got \[0, 3\]"),
        ([[-2, 0]], r"got \[-2, 0\]"),
        ([[-1, 0], [-1, 1], [-1, 2]], "expected a first tag"),
        ([[1, 0], [1, 1], [1, 2]], "a follower of each tag"),
        ([[0, -1], [1, -1], [2, -1]], "a last tag"),
        ([[-1, -1]], r"got \[-1, -1\]"),
    ],
)
def test_wrong_constraints(forbidden, words) -> None:
    with pytest.raises(ValueError, match=words):
        ss.CRF(3, forbidden)


def transducer() -> ss.CRFTransducer:
    torch.manual_seed(0)
    model = ss.CRFTransducer(ss.Embedding(7, 3), ss.GRU(3, 4), TAGS, forbidden=FORBIDDEN).double()
    with torch.no_grad():
        for parameter in model.crf.parameters():
            parameter.normal_()
    return model


def test_the_transducer_asks_its_crf() -> None:
    model = transducer()
    found, _ = model(IDS)
    loss = model.loss(IDS, PATHS)
    torch.testing.assert_close(loss.total, -model.crf.log_likelihood(found, PATHS).sum())
    assert loss.items == 8
    assert torch.equal(model.predict(found).data, model.crf.best_paths(found).data)
    assert torch.equal(model.probabilities(found).data, model.crf.marginals(found).data)


def test_nothing_to_tag() -> None:
    model, nothing = transducer(), ss.Sequences.pad([[], []])
    loss = model.loss(nothing, nothing)
    assert (loss.total.item(), loss.items) == (0.0, 0)
    found, _ = model(nothing)
    assert model.predict(found).data.shape == (2, 0)
    assert model.probabilities(found).data.shape == (2, 0, TAGS)


def test_described_and_built() -> None:
    model = transducer()
    again = ss.build(ss.describe(model)).double()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.crf.allowed, model.crf.allowed)
    assert again.crf.may_start.tolist() == [True, True, False]
    assert again.crf.may_end.tolist() == [True, False, True]
    torch.testing.assert_close(again.loss(IDS, PATHS).total, model.loss(IDS, PATHS).total)


def naive_partition(crf: ss.CRF, given: ss.Sequences) -> torch.Tensor:
    """The forward algorithm with all `[B, K, K]` terms at once, in logarithms."""
    transitions, start, end = crf.weights()
    reached = [start + given.data[:, 0]]
    for t in range(1, given.steps):
        reached.append(torch.logsumexp(reached[-1][:, :, None] + transitions, dim=1) + given.data[:, t])
    return torch.logsumexp(torch.stack(reached, 1)[torch.arange(len(given)), given.lengths - 1] + end, dim=1)


@pytest.mark.parametrize("spread", [1, 50, 2000], ids=["usual", "wide", "past what exponentials can say"])
@pytest.mark.parametrize("forbidden", [(), FORBIDDEN], ids=["free", "constrained"])
def test_sums_and_gradients_are_those_of_logarithms(forbidden, spread) -> None:
    crf, random = field(forbidden), torch.Generator().manual_seed(3)
    data = torch.randn(5, 6, TAGS, generator=random, dtype=torch.float64) * spread
    given = ss.Sequences(data.requires_grad_(), [6, 1, 4, 6, 2])
    found, expected = crf.log_partition(given), naive_partition(crf, given)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weight = torch.arange(1.0, 6, dtype=torch.float64)
    parts = [given.data, *crf.parameters()]
    for left, right in zip(*(torch.autograd.grad((z * weight).sum(), parts) for z in (found, expected)), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


def test_what_only_unlikely_tags_lead_to() -> None:
    """The likely tag before is forbidden: its score says nothing of the one that is allowed, however low that is."""
    crf = ss.CRF(2, [[0, 1]]).double()
    given = ss.Sequences(torch.tensor([[[0.0, -5000.0], [-9000.0, 0.0]]], dtype=torch.float64).requires_grad_(), [2])
    found = crf.log_partition(given)
    assert found.item() == pytest.approx(-5000, abs=1e-9)
    assert torch.autograd.grad(found.sum(), given.data)[0].tolist() == [[[0, 1], [0, 1]]]


def test_what_is_kept_for_the_gradient_grows_with_tags_not_with_their_pairs() -> None:
    crf, kept = ss.CRF(200), {}
    given = ss.Sequences(torch.randn(4, 25, 200).requires_grad_(), [25] * 4)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.setdefault(tensor.untyped_storage().data_ptr(), tensor), lambda tensor: tensor
    ):
        total = crf.log_partition(given).sum()
    assert sum(tensor.numel() for tensor in kept.values()) < 8 * 4 * 25 * 200 + 4 * 200**2  # of pairs: 4,000,000
    total.backward()
    assert crf.transitions.grad.sum().item() == pytest.approx(4 * 24, rel=1e-4)


def test_a_batch_of_empty_sentences_trains_nothing() -> None:
    model = ss.CRFTransducer(ss.Embedding(5, 3), ss.GRU(3, 4), 3)
    empty = ss.Sequences.pad([[], []])
    loss = model.loss(empty, empty)
    loss.total.backward()
    assert (loss.total.item(), loss.items) == (0, 0)
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
