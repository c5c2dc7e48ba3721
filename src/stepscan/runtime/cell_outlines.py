"""Outlines of the cells; see `stepscan.runtime.outline`."""

from __future__ import annotations

from typing import Any

from stepscan.cells.initialisation import Initialisation, check_elman
from stepscan.fields import check_probability
from stepscan.runtime.outline import (
    LayerOutline,
    Tensor,
    Tensors,
    check_flag,
    check_size,
    linear,
    outlines,
    shown,
    within,
)

_GATED = ("orthogonal", "chrono")  # initialisations of a cell with a forget gate


def _cell(name: str, gates: int, input_size: Any, hidden_size: Any, bias: Any, leaves: int = 1) -> LayerOutline:
    check_size(input_size=input_size, hidden_size=hidden_size)
    check_flag(bias=bias)
    rows = gates * hidden_size
    tensors = {"weight_ih": Tensor("F32", (rows, input_size)), "weight_hh": Tensor("F32", (rows, hidden_size))}
    if bias:
        tensors |= {"bias_ih": Tensor("F32", (rows,)), "bias_hh": Tensor("F32", (rows,))}
    return LayerOutline(name, tensors, input_size, hidden_size, condition_size=leaves * hidden_size)


@outlines("elman")
def _elman(
    input_size: Any, hidden_size: Any, nonlinearity: Any = "tanh", bias: Any = True, initialisation: Any = "orthogonal"
) -> LayerOutline:
    check_elman(nonlinearity, Initialisation(initialisation))
    return _cell("elman", 1, input_size, hidden_size, bias)


@outlines("gru")
def _gru(
    input_size: Any, hidden_size: Any, bias: Any = True, initialisation: Any = "orthogonal", t_max: Any = None
) -> LayerOutline:
    Initialisation(initialisation, t_max).check("gru", _GATED, bias)
    return _cell("gru", 3, input_size, hidden_size, bias)


@outlines("lstm")
def _lstm(
    input_size: Any,
    hidden_size: Any,
    bias: Any = True,
    initialisation: Any = "orthogonal",
    t_max: Any = None,
    forget_bias: Any = None,
) -> LayerOutline:
    Initialisation(initialisation, t_max, forget_bias).check("lstm", _GATED, bias)
    return _cell("lstm", 4, input_size, hidden_size, bias, leaves=2)


@outlines("layer_norm_lstm")
def _layer_norm_lstm(
    input_size: Any, hidden_size: Any, initialisation: Any = "orthogonal", t_max: Any = None, forget_bias: Any = None
) -> LayerOutline:
    Initialisation(initialisation, t_max, forget_bias).check("layer_norm_lstm", _GATED)
    cell = _cell("layer_norm_lstm", 4, input_size, hidden_size, False, leaves=2)
    wide, narrow = Tensor("F32", (4 * hidden_size,)), Tensor("F32", (hidden_size,))
    cell.tensors.update(gain_ih=wide, gain_hh=wide, bias=wide, gain_c=narrow, bias_c=narrow)
    return cell


def _block(input_size: Any, hidden_size: Any, heads: Any, dropout: Any) -> Tensors:
    check_size(input_size=input_size, hidden_size=hidden_size)
    check_probability(dropout=dropout)
    check_heads(hidden_size, heads)
    return {
        **(linear("into", input_size, hidden_size) if input_size != hidden_size else {}),
        **norm("attention_norm", hidden_size),
        **norm("forward_norm", hidden_size),
        **linear("projection", hidden_size, 3 * hidden_size),
        **linear("output", hidden_size, hidden_size),
        **linear("up", hidden_size, 4 * hidden_size),
        **linear("down", 4 * hidden_size, hidden_size),
    }


@outlines("bidirectional_transformer")
def _bidirectional_transformer(input_size: Any, hidden_size: Any, heads: Any = 0, dropout: Any = 0.0) -> LayerOutline:
    tensors = _block(input_size, hidden_size, heads, dropout)
    return LayerOutline("bidirectional_transformer", tensors, input_size, hidden_size, causal=False)


@outlines("transformer")
def _transformer(
    input_size: Any, hidden_size: Any, heads: Any = 0, context: Any = 512, dropout: Any = 0.0
) -> LayerOutline:
    tensors = _block(input_size, hidden_size, heads, dropout)
    check_size(context=context)
    return LayerOutline("transformer", tensors, input_size, hidden_size, condition_size=input_size, caches=True)


def norm(prefix: str, size: int) -> Tensors:
    """The tensors of a layer normalisation of this size."""
    return within(prefix, {"weight": Tensor("F32", (size,)), "bias": Tensor("F32", (size,))})


def check_heads(size: int, heads: Any) -> None:
    """Check a number of attention heads; 0 leaves it open.

    Raises:
        ValueError: it does not divide the size.
    """
    if type(heads) is not int or heads < 0 or (heads and size % heads):
        raise ValueError(f"heads: expected a divisor of the hidden size {size}, got {shown(heads)}")
