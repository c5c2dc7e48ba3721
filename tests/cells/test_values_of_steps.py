"""The cells that are a step and nothing else: values, from other libraries or from the equations of papers in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stepscan.state import leaves, map_state
from zoo import STEPS

I, H, B, T = 3, 4, 5, 6  # noqa: E741


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def thirds(weight: Any) -> Any:
    return np.split(weight, 3)


def of_x(cell: Any, x: Any, products: int) -> list[Any]:
    """`W x + b` of each gate."""
    total = x @ cell.weight_ih.detach().numpy().T
    bias = cell.bias.detach().numpy()
    return np.split(total + np.pad(bias, (0, total.shape[1] - len(bias))), products, axis=1)


def heads_matrix(blocks: Any) -> Any:
    """A block-diagonal matrix of `[heads, O, I]`."""
    heads, rows, columns = blocks.shape
    whole = np.zeros((heads * rows, heads * columns))
    for k, block in enumerate(blocks):
        whole[k * rows : (k + 1) * rows, k * columns : (k + 1) * columns] = block
    return whole


# The papers' equations: (cell, x [B, I], state) → the next state, h first --------------------------------------------


def reset_before_gru(cell: Any, x: Any, h: Any) -> Any:
    (r, z, n), (u_r, u_z, u_n) = of_x(cell, x, 3), thirds(cell.weight_hh.detach().numpy())
    r, z = sigmoid(r + h @ u_r.T), sigmoid(z + h @ u_z.T)
    return (z * h + (1 - z) * np.tanh(n + (r * h) @ u_n.T),)


def mingru(cell: Any, x: Any, h: Any) -> Any:
    z, n = of_x(cell, x, 2)
    return (h + sigmoid(z) * (n - h),)


def minlstm(cell: Any, x: Any, h: Any) -> Any:
    f, i, n = of_x(cell, x, 3)
    f, i = sigmoid(f), sigmoid(i)
    return (f / (f + i) * h + i / (f + i) * n,)


def sru(cell: Any, x: Any, _: Any, c: Any) -> Any:
    weights = np.split(cell.weight_ih.detach().numpy(), 3 if cell.input_size == H else 4)
    (v_f, v_r), (b_f, b_r) = np.split(cell.weight_ch.detach().numpy(), 2), np.split(cell.bias.detach().numpy(), 2)
    f, r = sigmoid(x @ weights[1].T + v_f * c + b_f), sigmoid(x @ weights[2].T + v_r * c + b_r)
    c = f * c + (1 - f) * (x @ weights[0].T)
    highway = x if cell.input_size == H else x @ weights[3].T
    return r * c + (1 - r) * 3**0.5 * highway, c


def rglru(cell: Any, x: Any, h: Any) -> Any:
    u = x if cell.weight_in is None else x @ cell.weight_in.detach().numpy().T
    w_a, w_x = map(heads_matrix, cell.gate_weights.detach().numpy())
    b_a, b_x = np.split(cell.gate_bias.detach().numpy(), 2)
    a = sigmoid(-cell.rate.detach().numpy()) ** (8 * sigmoid(u @ w_a.T + b_a))
    return (a * h + np.sqrt(1 - a**2) * sigmoid(u @ w_x.T + b_x) * u,)


def slstm(cell: Any, x: Any, h: Any, c: Any, n: Any, m: Any) -> Any:
    """Without a stabiliser: c and n are what they stand for."""
    c, n = c * np.exp(m), n * np.exp(m)
    back = [h @ heads_matrix(blocks).T for blocks in cell.weight_hh.detach().numpy()]
    z, i, f, o = (a + b for a, b in zip(of_x(cell, x, 4), back, strict=True))
    log_f = np.log(sigmoid(f))
    c, n = np.exp(log_f) * c + np.exp(i) * np.tanh(z), np.exp(log_f) * n + np.exp(i)
    after = np.maximum(log_f + m, i)
    return sigmoid(o) * c / n, c / np.exp(after), n / np.exp(after), after


def paragru(cell: Any, x: Any, h: Any) -> Any:
    (z, r, n), (a_z, a_r, a_n) = of_x(cell, x, 3), thirds(cell.weight_self.detach().numpy())
    z, r = sigmoid(z + h @ np.diag(a_z)), sigmoid(r + h @ np.diag(a_r))
    return ((1 - z) * h + z * np.tanh(n + (r * h) @ np.diag(a_n)),)


def paralstm(cell: Any, x: Any, h: Any, c: Any) -> Any:
    (f, g, o), (a_f, a_g, a_o) = of_x(cell, x, 3), thirds(cell.weight_self.detach().numpy())
    p_f, p_o = np.split(cell.peepholes.detach().numpy(), 2)
    f = sigmoid(f + a_f * h + p_f * c)
    c = f * c + (1 - f) * np.tanh(g + a_g * h)
    return sigmoid(o + a_o * h + p_o * c) * np.tanh(c), c


EQUATIONS = {one.__name__: one for one in (reset_before_gru, mingru, minlstm, sru, rglru, slstm, paragru, paralstm)}


# Other libraries: a function of (cell) that makes the same recurrence there -----------------------------------------


def other_cell(name: str, **arguments: Any) -> Any:
    """A cell of `torchrecurrent` with the weights of ours."""

    def make(cell: Any) -> Any:
        library = pytest.importorskip("torchrecurrent")
        other = getattr(library, name)(I, H, recurrent_bias=False, dtype=torch.float64, **arguments)
        renamed = {"weight_ph": "peepholes", "bias_ih": "bias", "vector_u": "weight_self"}
        with torch.no_grad():
            for n, parameter in other.named_parameters():
                if n != "beta":
                    parameter.copy_(getattr(cell, renamed.get(n, n)))

        def run(x: Any, *state: Any) -> Any:
            two = (state * 2)[:2]  # theirs of JANET has a c, which is its h
            after = other(torch.from_numpy(x), two if name in ("JANETCell", "PeepholeLSTMCell") else state[0])
            return after[: len(state)] if isinstance(after, tuple) else (after,)

        return run

    return make


def coupled(cell: Any) -> Any:
    """An LSTM whose input gate has the weights of the forget gate, negated: σ(−a) = 1 − σ(a)."""
    other = nn.LSTMCell(I, H, dtype=torch.float64)
    with torch.no_grad():
        other.bias_hh.zero_()
        for own, theirs in (("weight_ih", "weight_ih"), ("weight_hh", "weight_hh"), ("bias", "bias_ih")):
            f, g, o = getattr(cell, own).chunk(3)
            getattr(other, theirs).copy_(torch.cat([-f, f, g, o]))
    return lambda x, h, c: other(torch.from_numpy(x), (h, c))


def projected(cell: Any) -> Any:
    other = nn.LSTM(I, cell.inner_size, proj_size=H, dtype=torch.float64)
    with torch.no_grad():
        own = (cell.weight_ih, cell.weight_hh, cell.bias, torch.zeros_like(cell.bias), cell.weight_hr)
        for theirs, one in zip(other.parameters(), own, strict=True):
            theirs.copy_(one)
    return lambda x, h, c: [leaf[0] for leaf in other(torch.from_numpy(x)[None], (h[None], c[None]))[1]]


OTHERS = {
    "mgu": other_cell("MGUCell"),
    "janet": other_cell("JANETCell"),
    "peephole_lstm": other_cell("PeepholeLSTMCell"),
    "indrnn": other_cell("IndRNNCell", nonlinearity="relu"),
    "coupled_lstm": coupled,
    "projected_lstm": projected,
}


def random_cell(name: str, **arguments: Any) -> Any:
    torch.manual_seed(0)
    cell = STEPS[name](arguments.pop("input_size", I), H, **arguments).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter, std=0.7)
    return cell


def random_state(cell: Any) -> Any:
    """Not zero; positive, as a normaliser has to be."""
    return map_state(lambda leaf: torch.rand_like(leaf) + 0.1, cell.initial_state(B))


def assert_steps(cell: Any, reference: Any, start: Any) -> None:
    """`reference(x, *leaves)` → the leaves after it, h first."""
    random, state, expected = np.random.default_rng(0), start, tuple(leaves(start))
    for _ in range(T):
        x = random.normal(size=(B, cell.input_size))
        y, state = cell.step(torch.from_numpy(x), state)
        expected = reference(x, *expected)
        torch.testing.assert_close(y, torch.as_tensor(expected[0]), rtol=1e-9, atol=1e-12)
        for leaf, one in zip(leaves(state), expected, strict=True):
            torch.testing.assert_close(leaf, torch.as_tensor(one), rtol=1e-9, atol=1e-12)


VARIANTS = [*((name, {}) for name in EQUATIONS), ("sru", {"input_size": H}), ("rglru", {"input_size": H, "heads": 2})]
VARIANTS += [("slstm", {"heads": 2})]


@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_a_step_is_its_equations(name, arguments):
    cell, equations = random_cell(name, **arguments), EQUATIONS[name]
    with torch.no_grad():
        assert_steps(cell, lambda x, *state: equations(cell, x, *map(np.asarray, state)), random_state(cell))


@pytest.mark.parametrize("name", OTHERS)
def test_a_step_is_that_of_another_library(name):
    cell = random_cell(name)
    if name == "indrnn":
        cell.bound = 10.0  # theirs has none
    with torch.no_grad():
        assert_steps(cell, OTHERS[name](cell), random_state(cell))


def test_every_cell_is_compared():
    assert sorted([*EQUATIONS, *OTHERS]) == sorted(STEPS)
