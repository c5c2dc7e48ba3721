"""From a step as data to what the native library runs: arrays, matrices and programs of stages, all whole numbers."""

from __future__ import annotations

from collections.abc import Callable

from stepscan.programs.derivative import Derivative
from stepscan.programs.lowering import codes
from stepscan.programs.lowering.arrays import Arrays, Home
from stepscan.programs.lowering.backward import BackwardPlan, plan_backward
from stepscan.programs.lowering.codes import PRODUCTS
from stepscan.programs.lowering.definitions import Code, Definition, Definitions, load_single
from stepscan.programs.lowering.encoding import Lowered, WeightGradient, encode
from stepscan.programs.lowering.gradients import parts_of
from stepscan.programs.lowering.homes import KeptHomes, Unsupported, state_parts
from stepscan.programs.lowering.keeping import keep_for_derivative, plan_forward
from stepscan.programs.lowering.matrices import Matrices
from stepscan.programs.lowering.stages import Region, Sink, Stage, StageBuilder, regions
from stepscan.programs.program import Program

__all__ = ["lower"]


def lower(program: Program | Derivative) -> Lowered:
    """What the library runs: for a program, inference; for a derivative, training.

    Raises:
        Unsupported: it has something that the library does not.
    """
    return _Lowering(program).run()


class _Lowering:
    def __init__(self, of: Program | Derivative) -> None:
        self.derivative = of if isinstance(of, Derivative) else None
        self.program = of.program if isinstance(of, Derivative) else of
        self.definitions = Definitions.of(of.values)
        self.arrays = Arrays(self.definitions)
        self.matrices = Matrices(self.program, self.definitions)
        self.plan = plan_forward(self.program, self.definitions)
        self.kept = (
            keep_for_derivative(self.derivative, self.definitions, self.plan) if self.derivative else self.plan.kept
        )
        self.homes: dict[int, Home] = {}
        self.gradients: dict[int, Home] = {}
        self.parts = state_parts(self.program, self.plan, self.definitions, self.arrays)
        self.sources = {part.source: Home(part.array, 0, 1) for part in self.parts if part.source is not None}

    def run(self) -> Lowered:
        states: dict[int, Home] = {}
        for part in self.parts:
            if part.value in self.plan.states:
                states.setdefault(part.value, Home(part.array))
        back = None
        if self.derivative:
            back = plan_backward(self.derivative, self.definitions, self.arrays, self.parts, self.kept | set(states))
        homes = KeptHomes(self.program, self.plan, self.definitions, self.arrays, self.matrices, states)
        self.homes = homes.place(self.kept, back.read if back else set())
        programs = [self._stages(self.plan.items, []), self._stages(self.plan.step, self._step_sinks())]
        if back is None:
            return encode(self.program, self.arrays, self.matrices, [*programs, [], [], []], [])
        self._place_gradients(back)
        programs += self._backward_stages(back)
        return encode(self.program, self.arrays, self.matrices, programs, self._weight_gradients(back))

    # ----------------------------------------------------------------------------------------------------------- memory

    def _place_gradients(self, back: BackwardPlan) -> None:
        for members in back.arrangement.arrays:
            array = self.arrays.add(codes.GRADIENT, len(members), self.definitions[members[0]].width)
            self.gradients.update({value: Home(array, slot) for slot, value in enumerate(members)})

    # --------------------------------------------------------------------------------------------------------- programs

    def _step_sinks(self) -> list[Sink]:
        offset = 0
        elsewhere = [part for part in self.parts if self.homes.get(part.value) != Home(part.array)]
        sinks = [Sink("copy", part.value, Home(part.array)) for part in elsewhere]
        for value in self.program.output:
            width = self.definitions[value].width
            sinks.append(Sink("store", value, Home(self.arrays.once(codes.ITEMS, width, codes.Y, offset))))
            offset += width
        return sinks

    def _backward_stages(self, back: BackwardPlan) -> list[list[Stage]]:
        sinks = [sink if sink.to.array >= 0 else sink._replace(to=self.gradients[sink.value]) for sink in back.sinks]
        step = self._stages(back.step, sinks, back, self.gradients)
        sinks = self._item_sinks(back)
        items = self._stages(back.items, sinks, back, self.gradients, lambda value: value not in back.needed, True)
        whole = [value for _, value in back.carries]
        order = self.definitions.order(whole, lambda value: False)
        code = {value: self.definitions[value] for value in order}
        sinks = [Sink("copy", value, Home(carry, 0, 1)) for carry, value in back.carries]
        return [step, items, self._stages(code, sinks, back, self.gradients)]

    def _item_sinks(self, back: BackwardPlan) -> list[Sink]:
        assert self.derivative is not None
        sinks = [Sink("accumulate", d, self._sum_of(v)) for v, d in self.derivative.x_vectors]
        at, zero = 0, self.definitions.add("constant", (), 1, (0.0,))
        parts = sorted((*self.definitions[v].attribute, d) for v, d in self.derivative.x)
        for start, stop, d in (*parts, (self.program.input_size, self.program.input_size, -1)):
            if start < at:
                raise Unsupported(f"x is read from {start} and up to {at} at once")
            if start > at:
                sinks.append(Sink("store", zero, Home(self.arrays.once(codes.ITEMS, start - at, codes.X_GRADIENT, at))))
            if d >= 0:
                sinks.append(
                    Sink("store", d, Home(self.arrays.once(codes.ITEMS, stop - start, codes.X_GRADIENT, start)))
                )
            at = stop
        return sinks

    def _sum_of(self, vector: int) -> Home:
        weight, start, _ = self.definitions[vector].attribute
        return Home(self.arrays.once(codes.SUM, self.definitions[vector].width, weight, start))

    def _weight_gradients(self, back: BackwardPlan) -> list[WeightGradient]:
        assert self.derivative is not None
        groups: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for product, d in (*self.derivative.products, *self.derivative.x_products):
            definition = self.definitions[product]
            groups.setdefault((definition.args[0], *self.matrices.shape(definition)), []).append((product, d))
        found = []
        for (arg, rows, columns, heads), pairs in groups.items():
            parts = [
                part
                for v, _ in pairs
                for part in parts_of(self.program, self.definitions[v].op, self.definitions[v].attribute)[0]
            ]
            for run in back.arrangement.runs(tuple(d for _, d in pairs), parts, rows, columns, heads):
                source = self._home_of_input(arg)
                found.append(WeightGradient(source, self.gradients[run.gradients[0]], run))
        return found

    def _home_of_input(self, value: int) -> Home:
        home = self.homes.get(value) or self.sources.get(value) or self.arrays.of_source(self.definitions[value])
        if home is None or self.arrays.kind(home) in (codes.VECTOR, codes.CONSTANT):
            raise Unsupported("a product of weights alone")
        return home

    # ----------------------------------------------------------------------------------------------------------- stages

    def _definition_of(self, code: Code) -> Callable[[int], Definition]:
        return lambda value: code[value] if value in code else self.definitions[value]

    def _stages(
        self,
        code: Code,
        sinks: list[Sink],
        back: BackwardPlan | None = None,
        gradients: dict[int, Home] | None = None,
        only_x: Callable[[int], bool] = lambda value: False,
        items: bool = False,
    ) -> list[Stage]:
        code = load_single(self.definitions, code)
        of = self._definition_of(code)
        where = regions(code, of, only_x)
        local = self._local_homes(code, where, sinks, gradients or {})

        def home(value: int) -> Home | None:
            definition = self.definitions[value]
            if definition.op == "carry" and not items:
                return Home(definition.attribute[0])
            for known in (local, gradients or {}, self.homes, self.sources):
                if value in known:
                    return known[value]
            if value in code:
                return None
            if definition.op == "output_gradient":
                return self._output_gradient(definition)
            return self.arrays.of_source(definition)

        placed: dict[Region, list[Sink]] = {}
        for sink in sinks:
            if local.get(sink.value) != sink.to:
                placed.setdefault(self._region_of(sink, code, where, only_x), []).append(sink)
        values: dict[Region, list[int]] = {}
        for value, region in where.items():
            values.setdefault(region, []).append(value)
        stages = []
        for region in sorted(values.keys() | placed.keys()):
            builder = StageBuilder(self.arrays, self.matrices, region.width, of, home)
            stage = builder.build(
                values.get(region, []), placed.get(region, []), back.lates if back else {}, back.runs if back else {}
            )
            stage.only_x = region.only_x
            if len(stage.operands) > codes.MOST_OPERANDS:
                raise Unsupported(f"a stage of {len(stage.operands)} operands; at most {codes.MOST_OPERANDS}")
            stages.append(stage)
        return stages

    def _output_gradient(self, definition: Definition) -> Home:
        (piece,) = definition.attribute
        offset = sum(self.definitions[value].width for value in self.program.output[:piece])
        return Home(self.arrays.once(codes.ITEMS, definition.width, codes.Y_GRADIENT, offset))

    def _local_homes(
        self, code: Code, where: dict[int, Region], sinks: list[Sink], gradients: dict[int, Home]
    ) -> dict[int, Home]:
        """Places between the stages of a program, of one row of a step each; and sinks that no one else reads."""
        local: dict[int, Home] = {}
        products: dict[tuple[int, ...], set[int]] = {}
        readers: dict[int, int] = {}
        for definition in code.values():
            for arg in definition.args:
                readers[arg] = readers.get(arg, 0) + 1
        for sink in sinks:
            readers[sink.value] = readers.get(sink.value, 0) + 1
        for sink in sinks:
            kind = self.arrays.kind(sink.to)
            direct = (
                sink.value in code
                and not code[sink.value].is_reduction
                and code[sink.value].op not in (*PRODUCTS, "late")
            )
            if kind == codes.CARRY and direct and readers[sink.value] == 1 and sink.value not in gradients | self.homes:
                local[sink.value] = sink.to
        for value, definition in code.items():
            for arg in (*definition.args, value):
                if arg not in code or arg in local or arg in gradients or arg in self.homes:
                    continue
                apart = where[arg] != where[value] or (definition.op in PRODUCTS and arg != value)
                if code[arg].op in ("product", "blocks") and apart and arg not in self.plan.inputs:
                    products.setdefault((code[arg].args[0], *self.matrices.shape(code[arg])), set()).add(arg)
                elif code[arg].is_reduction or apart:
                    slots = len(code[arg].attribute) if code[arg].is_reduction else 1
                    local[arg] = Home(
                        self.arrays.add(codes.ROWS, slots, code[arg].width, arg in self.plan.inputs and slots == 1)
                    )
        return local | self.arrays.side_by_side(codes.ROWS, products.values())

    def _region_of(self, sink: Sink, code: Code, where: dict[int, Region], only_x: Callable[[int], bool]) -> Region:
        width = self.arrays.all[sink.to.array].width
        alone = int(
            self.arrays.all[sink.to.array][:1] == (codes.ITEMS,)
            and self.arrays.all[sink.to.array].of == codes.X_GRADIENT
        )
        if sink.value not in code:
            return Region(0, alone, width)
        region = where[sink.value]
        if code[sink.value].is_reduction or region.width != width:
            return Region(region.level + 1, region.only_x | alone, width)
        return (
            Region(region.level, region.only_x, width)
            if region.only_x == alone or not alone
            else Region(region.level + 1, alone, width)
        )
