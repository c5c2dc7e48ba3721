"""Every layer, and whatever combinators make of layers, keeps every law; and what the law suite itself promises."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from layers import LAWFUL, RunningMean, nestings

import stepscan as ss
from zoo import STEPS

# Where sums are long, float32's rounding is more than the default allows: at most 2.1e-5 was seen, with AVX-512.
TOLERANCES = {"stack of transformers": 5e-5}


@pytest.mark.parametrize("name", LAWFUL)
def test_lawful(name: str) -> None:
    torch.manual_seed(0)
    layer = LAWFUL[name]()
    simple = not any(isinstance(part, ss.Layer) for part in layer.children())
    ss.laws.check(layer, examples=15 if simple and name not in STEPS else 5, tolerance=TOLERANCES.get(name))


NATIVE = ["elman", "elman, relu", "elman, no bias", "lstm", "lstm, no bias", "gru", "gru, no bias", "layer_norm_lstm"]


@pytest.mark.skipif(ss.kernels.native.library is None, reason="no native library was built")
@pytest.mark.parametrize("name", NATIVE)
def test_lawful_to_the_bit_on_native_kernels(name: str) -> None:
    torch.manual_seed(0)
    library = ss.kernels.native.library
    best = library.instruction_set()
    try:
        for isa in library.instruction_sets():
            library.use_instruction_set(isa)
            for layer in (
                LAWFUL[name](),
                ss.Stack([LAWFUL[name](), ss.Linear(LAWFUL[name]().output_size, 5), ss.GRU(5, 4)]),
            ):
                ss.laws.check(layer, examples=10, to_the_bit=True)
            ss.laws.check(ss.Bidirectional(LAWFUL[name](), LAWFUL[name]()), examples=10, to_the_bit=True)
    finally:
        library.use_instruction_set(best)


def test_to_the_bit_sees_one_bit() -> None:
    class Rounds(RunningMean):
        def scan(self, inputs, state=None):  # type: ignore[no-untyped-def]
            outputs, final = super().scan(inputs, state)
            return outputs.replace(outputs.data * (1 + 2**-23)).zeroed(), final

    ss.laws.check(Rounds(2), examples=5, laws=(1,), to_the_bit=False)
    with pytest.raises(ss.laws.LawBroken, match="scan's output"):
        ss.laws.check(Rounds(2), examples=5, to_the_bit=True)


@settings(
    max_examples=6,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.generate,),  # a nesting that fails is told as it is; its case is made small by `check`
    suppress_health_check=list(HealthCheck),
)
@given(layer=nestings())
def test_any_nesting_is_lawful(layer: ss.Layer) -> None:
    ss.laws.check(layer, examples=4)


def test_frozen_parameters_are_lawful() -> None:
    layer = ss.Elman(2, 2)
    layer.weight_hh.requires_grad_(False)
    ss.laws.check(layer, examples=4, laws=(1, 3, 8))


def test_users_cell_has_condition_and_readout_for_free() -> None:
    cell = RunningMean(3)
    vector = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert cell.condition_size == 3
    state = cell.condition(vector)
    assert torch.equal(state, vector)
    assert torch.equal(cell.readout(state), vector)
    y, after = cell.step(torch.zeros(2, 3), state)
    assert torch.allclose(y, 0.6 * vector)
    assert torch.equal(cell.readout(after), y)


def test_users_cell_scans_for_free() -> None:
    rows = ss.Sequences(torch.tensor([[[1.0], [2.0]], [[10.0], [99.0]], [[99.0], [99.0]]]), [2, 1, 0])
    outputs, state = RunningMean(1).scan(rows)
    torch.testing.assert_close(outputs.data[:, :, 0], torch.tensor([[0.4, 1.04], [4.0, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(state[:, 0], torch.tensor([1.04, 4.0, 0.0]))


def test_check_leaves_layer_and_random_numbers_as_they_were() -> None:
    layer = ss.Stack([ss.GRU(2, 2), ss.VariationalDropout(2, 0.5)])
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    ss.laws.check(layer, examples=3)
    assert torch.equal(torch.rand(4), expected)
    assert layer.training
    assert all(parameter.dtype == torch.float32 and parameter.grad is None for parameter in layer.parameters())
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_check_tries_only_the_laws_asked_for_and_those_that_are_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    recorded = tuple(
        law._replace(check=lambda context, number=law.number: tried.append(number)) for law in ss.laws.LAWS
    )
    monkeypatch.setattr(ss.laws, "LAWS", recorded)
    ss.laws.check(ss.GRU(2, 2), examples=1)
    ss.laws.check(ss.GRU(2, 2), examples=1, laws=(2, 7))
    ss.laws.check(ss.Bidirectional(ss.GRU(2, 2), ss.GRU(2, 2)), examples=1)
    ss.laws.check(ss.Bidirectional(ss.GRU(2, 2), ss.GRU(2, 2)), examples=1, laws=(3, 8))
    assert tried == [*range(1, 10), 2, 7, *range(3, 10), 3, 8]


def test_tolerance_can_be_set() -> None:
    class Rounds(RunningMean):
        """A scan that is off by a hundredth."""

        def scan(self, inputs, state=None):  # type: ignore[no-untyped-def]
            outputs, final = super().scan(inputs, state)
            return outputs.replace(outputs.data + 0.01).zeroed(), final

    ss.laws.check(Rounds(1), examples=5, laws=(1,), tolerance=0.05)
    with pytest.raises(ss.laws.LawBroken, match="scan's output"):
        ss.laws.check(Rounds(1), examples=5, laws=(1,))


def test_laws_that_are_not_owed_are_an_error():
    bidirectional = ss.Bidirectional(ss.LSTM(2, 2), ss.LSTM(2, 2))
    expected = r"laws: expected numbers of laws that Bidirectional\(2 → 4\) owes \(3, 4, 5, 6, 7, 8, 9\), got \(1, 2\)"
    with pytest.raises(ValueError, match=expected):
        ss.laws.check(bidirectional, laws=(1, 2))
    with pytest.raises(ValueError, match=r"LSTM\(2 → 2\) owes \(1, 2, 4\), got \[8\]"):
        ss.laws.check(ss.LSTM(2, 2), laws=[8], to_the_bit=True)
    with pytest.raises(ValueError, match=r"got \(\)"):
        ss.laws.check(ss.LSTM(2, 2), laws=())


@pytest.mark.parametrize("laws", ["148", 1])
def test_laws_that_are_not_a_collection_of_numbers_are_an_error(laws: object) -> None:
    with pytest.raises(ValueError, match=f"laws: expected numbers such as \\(1, 4, 8\\), got {laws!r}"):
        ss.laws.check(ss.LSTM(2, 2), laws=laws)  # type: ignore[arg-type]


def test_every_law_has_a_number_and_a_statement():
    assert [law.number for law in ss.laws.LAWS] == list(range(1, 10))
    assert ss.laws.LAWS[3].title == "4: a row alone ≡ the row in a batch"
