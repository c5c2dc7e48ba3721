"""Which values of a step are made for many items at once, which are kept for the derivative, and which made again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from stepscan.programs.derivative import Derivative
from stepscan.programs.lowering.codes import PRODUCTS, SOURCES
from stepscan.programs.lowering.definitions import Code, Definitions, fuse
from stepscan.programs.program import ITEMS, STEPS, WEIGHTS, Program

__all__ = ["ForwardPlan", "keep_for_derivative", "plan_forward"]

# What costs less to compute again than its memory does
CHEAP = frozenset(("copy", "negate", "relu", "add", "subtract", "multiply", "maximum", "minimum", "greater", "where"))


@dataclass
class ForwardPlan:
    """How a step is computed.

    Attributes:
        items: definitions of values that x alone makes, for many items at once.
        step: definitions of the others.
        kept: values that have a place for each item.
        inputs: arguments of products, whose rows are contiguous.
        states: values of the next state that depend on the state: the derivative reads them there.
    """

    items: Code
    step: Code
    kept: set[int]
    inputs: set[int]
    states: set[int] = field(default_factory=set)


def plan_forward(program: Program, definitions: Definitions) -> ForwardPlan:
    """The same whether the step is going to be differentiated or not, so that it has the same bits."""
    depends = program.depends
    roots = [*program.output, *(value for pieces in program.next_state for value in pieces)]
    read = set(roots)
    for value in definitions.order(roots, lambda value: depends[value] != STEPS):
        read.update(definitions[value].args)
    boundary = [value for value in sorted(read) if depends[value] == ITEMS and definitions[value].op not in SOURCES]
    at_once: set[int] = set()
    for value in boundary:
        at_once |= _at_once(definitions, depends, value)
    items = fuse(definitions, definitions.order(sorted(at_once), lambda value: False), at_once)
    step_roots = {root for root in roots if definitions[root].op not in SOURCES and root not in at_once}
    order = definitions.order(roots, lambda value: value in at_once)
    step = fuse(definitions, order, step_roots)
    code = items | step
    inputs = {arg for definition in code.values() if definition.op in PRODUCTS for arg in definition.args}
    states = {value for pieces in program.next_state for value in pieces if depends[value] == STEPS and value in step}
    return ForwardPlan(items, step, at_once, inputs, states)


def _at_once(definitions: Definitions, depends: tuple[str, ...], value: int) -> set[int]:
    """Values that are made for many items at once so that a step has `value`: the steps themselves compute what is
    cheap, unless more than one value would have to be kept for it."""
    if depends[value] == WEIGHTS or definitions[value].op in SOURCES:
        return set()
    if definitions[value].op in CHEAP:
        needed: set[int] = set()
        for arg in definitions[value].args:
            needed |= _at_once(definitions, depends, arg)
        if len(needed) <= 1:
            return needed
    return {value}


def keep_for_derivative(derivative: Derivative, definitions: Definitions, plan: ForwardPlan) -> set[int]:
    """The values to keep so that the derivative can be computed: all that it reads and that cannot be made again from
    others at little cost."""
    own, depends = len(derivative.program.values), derivative.program.depends
    realised = plan.items.keys() | plan.step.keys()
    kept = set(plan.kept) | {value for value in plan.inputs if value in realised and value not in plan.states}
    again: set[int] = set()

    def free(value: int) -> bool:
        return definitions[value].op in SOURCES or depends[value] == WEIGHTS or value in plan.states

    def has(value: int) -> bool:
        if free(value) or value in kept:
            return True
        return _is_cheap(definitions, plan, value) and all(has(arg) for arg in definitions[value].args)

    def need(value: int) -> None:
        if free(value) or value in kept or value in again:
            return
        again.add(value)
        if value not in realised or (_is_cheap(definitions, plan, value) and all(map(has, definitions[value].args))):
            for arg in definitions[value].args:
                need(arg)
        else:
            again.discard(value)
            kept.add(value)

    direct = sorted(_read_by_derivative(derivative, own))
    for value in direct:  # first what must be kept anyhow: more of the rest can then be made again
        if value in realised and not free(value) and not _is_cheap(definitions, plan, value):
            kept.add(value)
    for value in direct:
        need(value)
    return kept


def _is_cheap(definitions: Definitions, plan: ForwardPlan, value: int) -> bool:
    op, args = definitions[value].op, definitions[value].args
    return op in CHEAP or (op in ("tanh", "sigmoid") and args[0] in plan.states)


def _read_by_derivative(derivative: Derivative, own: int) -> Iterable[int]:
    for value in derivative.values[own:]:
        yield from (arg for arg in value.args if arg < own)
    pairs = (derivative.leaves, derivative.vectors, derivative.products, derivative.boundary, derivative.x)
    for found in (*pairs, derivative.x_vectors, derivative.x_products):
        yield from (gradient for _, gradient in found if gradient < own)
