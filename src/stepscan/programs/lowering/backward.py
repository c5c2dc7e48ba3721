"""What a step back computes: a derivative in which what flows to the step before through products is left to that step,
so that its product and its operations are one stage."""

from __future__ import annotations

from dataclasses import dataclass, field

from stepscan.programs.derivative import Derivative
from stepscan.programs.lowering import codes
from stepscan.programs.lowering.arrays import Arrays, Home
from stepscan.programs.lowering.definitions import Code, Definition, Definitions, fuse
from stepscan.programs.lowering.gradients import Arrangement, Run, arrange, parts_of
from stepscan.programs.lowering.stages import Late, Sink

__all__ = ["BackwardPlan", "StatePart", "plan_backward"]


@dataclass(frozen=True)
class StatePart:
    """Values of a leaf side by side.

    Attributes:
        leaf, offset, width: where it is.
        value: of the next state.
        source: the value `leaf` that is the same part before a step; None if no step reads it.
        array: of the state.
    """

    leaf: int
    offset: int
    width: int
    value: int
    source: int | None
    array: int


@dataclass
class BackwardPlan:
    """The definitions of what runs from the last step to the first, and then for many items at once.

    Attributes:
        arrangement: of the gradients of products' results.
        runs: for each value `product_back`, the gradients it multiplies.
        lates: for each value `late`.
        carries: for each part of the state, its array of what is carried and the whole gradient after a step.
        step, items: definitions.
        sinks: of the step: where gradients go besides their homes.
        needed: values of the items for which the gradients of weights are needed.
        read: values of the program that are read.
    """

    arrangement: Arrangement
    runs: dict[int, Run] = field(default_factory=dict)
    lates: dict[int, Late] = field(default_factory=dict)
    carries: list[tuple[int, int]] = field(default_factory=list)
    step: Code = field(default_factory=dict)
    items: Code = field(default_factory=dict)
    sinks: list[Sink] = field(default_factory=list)
    needed: set[int] = field(default_factory=set)
    read: set[int] = field(default_factory=set)


def plan_backward(
    derivative: Derivative, definitions: Definitions, arrays: Arrays, parts: list[StatePart], there: set[int]
) -> BackwardPlan:
    """See `BackwardPlan`; `there` are the values of the program that are kept."""
    plan = BackwardPlan(arrange(derivative, definitions))
    _split_products(derivative, definitions, plan)
    gradients = dict(derivative.leaves)
    seeds = {v.attribute: index for index, v in enumerate(derivative.values) if v.op == "state_gradient"}
    places: dict[int, int] = {}
    for part in parts:
        piece = places[part.leaf] = places.get(part.leaf, -1) + 1
        _carry(definitions, arrays, plan, part, gradients.get(part.source) if part.source is not None else None)
        seed = seeds.get((part.leaf, piece))
        if seed is not None:
            whole = plan.carries[-1][1]
            definitions.values[seed] = definitions[whole]
            if whole in plan.lates:
                plan.lates[seed] = plan.lates[whole]
    _make_codes(derivative, definitions, arrays, plan, there)
    return plan


def _split_products(derivative: Derivative, definitions: Definitions, plan: BackwardPlan) -> None:
    """Every product of gradients reads gradients side by side: where they are not, it is a sum of such products."""
    for value in range(len(derivative.values)):
        definition = definitions[value]
        if definition.op not in ("product_back", "blocks_back"):
            continue
        found = parts_of(derivative.program, definition.op, definition.attribute)
        runs = plan.arrangement.runs(definition.args, *found)
        if len(runs) == 1:
            plan.runs[value] = runs[0]
            continue
        terms = []
        for run in runs:
            terms.append(definitions.add(definition.op, run.gradients, definition.width, ("run",)))
            plan.runs[terms[-1]] = run
        total = terms[0]
        for term in terms[1:-1]:
            total = definitions.add("add", (total, term), definition.width)
        definitions.values[value] = Definition("add", (total, terms[-1]), definition.width)


def _terms(definitions: Definitions, value: int) -> list[int]:
    if definitions[value].op != "add" or any(
        definitions[a].width != definitions[value].width for a in definitions[value].args
    ):
        return [value]
    return [term for arg in definitions[value].args for term in _terms(definitions, arg)]


def _total(definitions: Definitions, values: list[int]) -> int:
    total = values[0]
    for value in values[1:]:
        total = definitions.add("add", (total, value), definitions[value].width)
    return total


def _carry(definitions: Definitions, arrays: Arrays, plan: BackwardPlan, part: StatePart, gradient: int | None) -> None:
    terms = [] if gradient is None else _terms(definitions, gradient)
    late = [term for term in terms if term in plan.runs]
    rest = [term for term in terms if term not in plan.runs]
    carry = arrays.add(codes.CARRY, 1, part.width, of=part.leaf, offset=part.offset, from_end=int(not late))
    parts = []
    for number, term in enumerate(late):
        parts.append(definitions.add("late", (), part.width, (part.array, number)))
        plan.lates[parts[-1]] = Late(plan.runs[term], part.array if number == 0 else -1)
    if rest or not late:
        parts.append(definitions.add("carry", (), part.width, (carry,)))
        value = _total(definitions, rest) if rest else definitions.add("constant", (), 1, (0.0,))
        plan.sinks.append(Sink("copy", value, Home(carry, 0, 1)))
    plan.carries.append((carry, _total(definitions, parts)))


def _make_codes(
    derivative: Derivative, definitions: Definitions, arrays: Arrays, plan: BackwardPlan, there: set[int]
) -> None:
    slots = plan.arrangement.slots
    for vector, d in derivative.vectors:
        plan.sinks.append(Sink("accumulate", d, Home(arrays.once(codes.SUM, *_vector(definitions[vector])))))
    roots = [sink.value for sink in plan.sinks]
    roots += [d for _, d in (*derivative.products, *derivative.boundary)]
    order = definitions.order(roots, lambda value: value in there)
    made = set(order)
    late = {d for found in plan.lates.values() for d in found.run.gradients}
    items_roots = [d for _, d in (*derivative.x_vectors, *derivative.x_products)]
    all_roots = [*items_roots, *(d for _, d in derivative.x)]
    items_order = definitions.order(all_roots, lambda value: value in there or value in made)
    wanted = {arg for value in items_order for arg in definitions[value].args} | set(all_roots)
    between = {value for value in wanted if value in made or definitions[value].op == "carry"}
    products = {d for _, d in derivative.products} | {arg for run in plan.runs.values() for arg in run.gradients}
    keep = {value for value in (*roots, *between, *products, *late) if value in made}
    plan.step = fuse(definitions, order, keep)
    plan.needed = set(definitions.order(items_roots, lambda value: value in there or value in made))
    items_made = set(items_order)
    plan.items = fuse(definitions, items_order, {v for v in (*all_roots, *products) if v in items_made})
    plan.read = {arg for code in (plan.step, plan.items) for d in code.values() for arg in d.args if arg in there}
    plan.read |= {root for root in (*roots, *all_roots) if root in there}
    plan.read |= {definitions[product].args[0] for product, _ in (*derivative.products, *derivative.x_products)}
    for d in sorted(between - slots.keys()):
        plan.arrangement.add(d)
    for d in sorted(slots.keys() - made - items_made):  # gradients that are sources or kept: they are copied
        plan.sinks.append(Sink("copy", d, Home(-1, d)))


def _vector(definition: Definition) -> tuple[int, int, int]:
    weight, start, _ = definition.attribute
    return definition.width, weight, start
