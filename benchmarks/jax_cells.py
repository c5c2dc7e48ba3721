"""Cells in JAX, with the parameters of the library's own, and `jax.lax.scan` over them: a peer of `programs.py`.

A cell is two functions: the products of its inputs, and one step with them. `jax` is needed to import this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Weights = dict[str, Any]
States = tuple[Any, ...]


class JaxCell(NamedTuple):
    """A cell; the first leaf of its state is its output."""

    project: Callable[[Weights, Any], Any]  # weights, x [..., I] → products [..., n]
    step: Callable[[Weights, Any, States], States]  # weights, products [B, n], states [B, H] → states


def _project(w: Weights, x: Any) -> Any:
    return x @ w["weight_ih"].T + (w["bias_ih"] if "bias_ih" in w else w["bias"])


def _leaky_project(w: Weights, x: Any) -> Any:
    return x @ w["into.weight"][:, : x.shape[-1]].T + w["into.bias"]


def _leaky(w: Weights, x: Any, states: States) -> States:
    (h,) = states
    recurrent = w["into.weight"][:, -h.shape[1] :]
    return (0.9 * h + 0.1 * jnp.tanh(x + h @ recurrent.T),)


def _gru(w: Weights, x: Any, states: States) -> States:
    (h,) = states
    x_r, x_z, x_n = jnp.split(x, 3, axis=1)
    h_r, h_z, h_n = jnp.split(h @ w["weight_hh"].T + w["bias_hh"], 3, axis=1)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    return ((1 - z) * jnp.tanh(x_n + r * h_n) + z * h,)


def _coupled_lstm(w: Weights, x: Any, states: States) -> States:
    h, c = states
    f, g, o = jnp.split(x + h @ w["weight_hh"].T, 3, axis=1)
    f = jax.nn.sigmoid(f)
    c = f * c + (1 - f) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _peephole_lstm(w: Weights, x: Any, states: States) -> States:
    h, c = states
    i, f, g, o = jnp.split(x + h @ w["weight_hh"].T, 4, axis=1)
    p_i, p_f, p_o = jnp.split(w["peepholes"], 3)
    c = jax.nn.sigmoid(f + p_f * c) * c + jax.nn.sigmoid(i + p_i * c) * jnp.tanh(g)
    return jax.nn.sigmoid(o + p_o * c) * jnp.tanh(c), c


def _mingru(w: Weights, x: Any, states: States) -> States:
    (h,) = states
    z, n = jnp.split(x, 2, axis=1)
    z = jax.nn.sigmoid(z)
    return ((1 - z) * h + z * n,)


JAX_CELLS = {
    "leaky": JaxCell(_leaky_project, _leaky),
    "gru": JaxCell(_project, _gru),
    "coupled_lstm": JaxCell(_project, _coupled_lstm),
    "peephole_lstm": JaxCell(_project, _peephole_lstm),
    "mingru": JaxCell(_project, _mingru),
}


def both_ways(cell: JaxCell, hoisted: bool) -> Callable[..., Any]:
    """A function of (x `[B, T, I]`, weights, the gradient `[B, T, H]` of the outputs, lengths `[B]`, states `[B, H]`)
    that returns the outputs and the gradients of x and weights.

    Args:
        cell: the cell.
        hoisted: whether the products of the inputs are computed for all steps at once, instead of in each step.
    """

    def scan(x: Any, weights: Weights, lengths: Any, states: States) -> Any:
        inputs = jnp.swapaxes(x, 0, 1)
        inputs = cell.project(weights, inputs) if hoisted else inputs

        def step(states: States, item: Any) -> tuple[States, Any]:
            t, x_t = item
            new = cell.step(weights, x_t if hoisted else cell.project(weights, x_t), states)
            rows = (t < lengths)[:, None]
            kept = tuple(jnp.where(rows, a, b) for a, b in zip(new, states, strict=True))
            return kept, jnp.where(rows, new[0], 0.0)

        _, outputs = jax.lax.scan(step, states, (jnp.arange(len(inputs)), inputs))
        return jnp.swapaxes(outputs, 0, 1)

    def run(x: Any, weights: Weights, dy: Any, lengths: Any, states: States) -> Any:
        outputs, pull = jax.vjp(lambda x, weights: scan(x, weights, lengths, states), x, weights)
        return outputs, pull(dy)

    return run
