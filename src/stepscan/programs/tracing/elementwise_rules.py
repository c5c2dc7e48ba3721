"""PyTorch's element-wise operations as those of programs."""

from __future__ import annotations

import math
from typing import Any

import torch

from stepscan.programs.rows import Refusal, Row
from stepscan.programs.tracing.translation import Rule, Rules, Translation

__all__ = ["ELEMENTWISE_RULES"]

_A = torch.ops.aten
T = Translation
_UNARY = {
    **{_A.sigmoid: "sigmoid", _A.tanh: "tanh", _A.relu: "relu", _A.exp: "exp", _A.expm1: "expm1", _A.log: "log"},
    **{_A.log1p: "log1p", _A.sqrt: "sqrt", _A.rsqrt: "rsqrt", _A.reciprocal: "reciprocal", _A.sin: "sin"},
    **{_A.cos: "cos", _A.erf: "erf", _A.neg: "negate", _A.detach: "hold", _A.special_expit: "sigmoid"},
}
_BINARY = {_A.mul: "multiply", _A.maximum: "maximum", _A.minimum: "minimum", _A.multiply: "multiply"}
_SAME = (_A.clone, _A.contiguous, _A.alias, _A.lift_fresh_copy, _A.lift_fresh, _A.positive)


def _named(op: str) -> Rule:
    def rule(t: T, *operands: Any, **_: Any) -> Row:
        return t.elements(op, *operands)

    return rule


def _same(t: T, row: Row, *_: Any, **__: Any) -> Row:
    return row


def _cast(t: T, row: Row, *args: Any, **kwargs: Any) -> Row:
    for dtype in (*args, *kwargs.values()):
        if isinstance(dtype, torch.dtype) and not dtype.is_floating_point:
            raise Refusal(f"rounds or counts (to {dtype}): a program computes with floating-point numbers")
    return row


def _add(t: T, a: Any, b: Any, *, alpha: float = 1) -> Row:
    return t.elements("add", a, b if alpha == 1 else _times(t, b, alpha))


def _subtract(t: T, a: Any, b: Any, *, alpha: float = 1) -> Row:
    return t.elements("subtract", a, b if alpha == 1 else _times(t, b, alpha))


def _subtract_from(t: T, a: Any, b: Any, alpha: float = 1) -> Row:
    return _subtract(t, b, a, alpha=alpha)


def _times(t: T, value: Any, factor: float) -> Any:
    if isinstance(value, Row):
        return t.elements("multiply", value, factor)
    return value * factor if isinstance(value, int | float) else t.tape.record(_A.mul.Scalar, value, factor)


def _divide(t: T, a: Any, b: Any, *, rounding_mode: str | None = None) -> Row:
    if rounding_mode is not None:
        raise Refusal("rounds a quotient: a program cannot")
    return t.elements("divide", a, b)


def _power(t: T, base: Any, exponent: Any) -> Row:
    if isinstance(base, int | float) and base > 0:
        return t.elements("exp", t.elements("multiply", exponent, math.log(base)))
    if exponent in (0.5, -0.5):
        return t.elements("sqrt" if exponent > 0 else "rsqrt", base)
    if not isinstance(exponent, int | float) or exponent != int(exponent) or not 0 < abs(exponent) <= 16:
        raise Refusal("raises to a power that is neither ½ nor whole, from 1 to 16: write exp(p · log(x)) for x > 0")
    result = base
    for _ in range(abs(int(exponent)) - 1):
        result = t.elements("multiply", result, base)
    return result if exponent > 0 else t.elements("reciprocal", result)


def _absolute(t: T, a: Row) -> Row:
    return t.elements("maximum", a, t.elements("negate", a))


def _sign(t: T, a: Row) -> Row:
    return t.elements("subtract", t.elements("greater", a, 0.0), t.elements("greater", 0.0, a))


def _silu(t: T, a: Row) -> Row:
    return t.elements("multiply", a, t.elements("sigmoid", a))


def _gelu(t: T, a: Row, *, approximate: str = "none") -> Row:
    half = t.elements("multiply", a, 0.5)
    if approximate == "tanh":
        cube = t.elements("multiply", t.elements("multiply", a, t.elements("multiply", a, a)), 0.044715)
        inner = t.elements("tanh", t.elements("multiply", t.elements("add", a, cube), math.sqrt(2 / math.pi)))
    else:
        inner = t.elements("erf", t.elements("multiply", a, math.sqrt(0.5)))
    return t.elements("multiply", half, t.elements("add", inner, 1.0))


def _softplus(t: T, a: Row, beta: float = 1, threshold: float = 20) -> Row:
    if beta == 1:
        return t.elements("softplus", a)
    return t.elements("multiply", t.elements("softplus", t.elements("multiply", a, beta)), 1 / beta)


def _log_sigmoid(t: T, a: Row) -> Row:
    return t.elements("negate", t.elements("softplus", t.elements("negate", a)))


def _log_add_exp(t: T, a: Any, b: Any) -> Row:
    return t.elements("add", a, t.elements("softplus", t.elements("subtract", b, a)))


def _greater(t: T, a: Any, b: Any) -> Row:
    return t.elements("greater", a, b)


def _less(t: T, a: Any, b: Any) -> Row:
    return t.elements("greater", b, a)


def _not(t: T, a: Any) -> Row:
    return t.elements("subtract", 1.0, a)


def _at_least(t: T, a: Any, b: Any) -> Row:
    """a ≥ b, which is false where one of them is NaN: `share` is 1 for a > b, ½ for equal ones, else 0."""
    return t.elements("greater", t.elements("share", 1.0, a, b), 0.25)


def _at_most(t: T, a: Any, b: Any) -> Row:
    return _at_least(t, b, a)


def _equal(t: T, a: Any, b: Any) -> Row:
    return t.elements("subtract", _at_least(t, a, b), _greater(t, a, b))


def _differs(t: T, a: Any, b: Any) -> Row:
    return _not(t, _equal(t, a, b))


def _where(t: T, condition: Any, a: Any, b: Any) -> Row:
    return t.elements("where", condition, a, b)


def _masked_fill(t: T, a: Any, mask: Any, value: Any) -> Row:
    return t.elements("where", mask, value, a)


def _clamp(t: T, a: Any, least: Any = None, most: Any = None) -> Row:
    """With PyTorch's gradient: that of `a` where it is not beyond the bounds."""
    if least is not None:
        a = t.elements("where", _less(t, a, least), least, a)
    return a if most is None else t.elements("where", _greater(t, a, most), most, a)


def _clamp_most(t: T, a: Any, most: Any) -> Row:
    return _clamp(t, a, None, most)


def _hard_tanh(t: T, a: Row, least: float = -1, most: float = 1) -> Row:
    return _clamp(t, a, least, most)


def _hard_sigmoid(t: T, a: Row) -> Row:
    return _clamp(t, t.elements("add", t.elements("multiply", a, 1 / 6), 0.5), 0, 1)


def _leaky_relu(t: T, a: Row, slope: float = 0.01) -> Row:
    return t.elements("where", _greater(t, a, 0.0), a, t.elements("multiply", a, slope))


def _elu(t: T, a: Row, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Row:
    below = t.elements("multiply", t.elements("expm1", t.elements("multiply", a, input_scale)), alpha)
    return t.elements("multiply", t.elements("where", _greater(t, a, 0.0), a, below), scale)


def _lerp(t: T, a: Any, b: Any, weight: Any) -> Row:
    return t.elements("add", a, t.elements("multiply", weight, t.elements("subtract", b, a)))


def _add_product(t: T, a: Any, b: Any, c: Any, *, value: float = 1) -> Row:
    return t.elements("add", a, t.elements("multiply", _times(t, b, value) if value != 1 else b, c))


def _add_quotient(t: T, a: Any, b: Any, c: Any, *, value: float = 1) -> Row:
    return t.elements("add", a, t.elements("divide", _times(t, b, value) if value != 1 else b, c))


def _square(t: T, a: Row) -> Row:
    return t.elements("multiply", a, a)


def _filled(number: float) -> Rule:
    def rule(t: T, *_: Any, **__: Any) -> Row:
        return t.graph.constant_row(number, t.made_shape)

    return rule


def _full(t: T, row: Row, *args: Any, **_: Any) -> Row:
    number = args[-1]
    return t.graph.constant_row(float(number), t.made_shape)


ELEMENTWISE_RULES: Rules = {
    **{packet: _named(op) for packet, op in {**_UNARY, **_BINARY}.items()},
    **dict.fromkeys(_SAME, _same),
    **{_A.dropout: _same, _A._to_copy: _cast, _A.to: _cast, _A.type_as: _same},
    **{_A.add: _add, _A.sub: _subtract, _A.subtract: _subtract, _A.rsub: _subtract_from},
    **{_A.div: _divide, _A.true_divide: _divide, _A.divide: _divide, _A.pow: _power, _A.square: _square},
    **{_A.abs: _absolute, _A.absolute: _absolute, _A.sign: _sign, _A.silu: _silu, _A.gelu: _gelu},
    **{_A.softplus: _softplus, _A.log_sigmoid: _log_sigmoid, _A.logaddexp: _log_add_exp, _A.elu: _elu},
    **{_A.gt: _greater, _A.lt: _less, _A.greater: _greater, _A.less: _less, _A.ne: _differs},
    **{_A.ge: _at_least, _A.le: _at_most, _A.eq: _equal},
    _A.isnan: lambda t, a: _differs(t, a, a),
    **dict.fromkeys((_A.logical_and, _A.bitwise_and, _A.__and__), _named("multiply")),
    **dict.fromkeys((_A.logical_or, _A.bitwise_or, _A.__or__), _named("maximum")),
    **dict.fromkeys((_A.logical_not, _A.bitwise_not), _not),
    **{_A.where: _where, _A.masked_fill: _masked_fill, _A.clamp: _clamp, _A.clip: _clamp},
    **{
        _A.clamp_min: _clamp,
        _A.clamp_max: _clamp_most,
        _A.hardtanh: _hard_tanh,
        _A.relu6: lambda t, a: _clamp(t, a, 0, 6),
    },
    **{_A.hardsigmoid: _hard_sigmoid, _A.leaky_relu: _leaky_relu, _A.lerp: _lerp},
    **{_A.addcmul: _add_product, _A.addcdiv: _add_quotient},
    **{_A.zeros_like: _filled(0.0), _A.new_zeros: _filled(0.0), _A.ones_like: _filled(1.0)},
    **{_A.new_ones: _filled(1.0), _A.full_like: _full, _A.new_full: _full},
}
