"""What a program may be: every value can be computed, of earlier ones and within bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from stepscan.errors import ProgramError, nearest, shown
from stepscan.programs.operations import BY_NAME, ELEMENTWISE, PRODUCT, ROW

if TYPE_CHECKING:
    from stepscan.programs.program import Program, Value

MOST_VALUES = 4096
MOST_WEIGHTS = 1024
MOST_LEAVES = 256
MOST_WIDTH = 2**24  # of all values together, and of a state
MOST_ELEMENTS = 2**31 - 1  # of a weight
LARGEST = float.fromhex("0x1.fffffep+127")  # number of float32


def check_program(program: Program) -> None:
    """See `Program.check`."""
    _check_sizes(program)
    total = 0
    for index, value in enumerate(program.values):
        where = f"value {index} ({shown(value.op)[1:-1]})"
        _check_value(program, index, value, where)
        total += value.width
        if total > MOST_WIDTH:
            fail(f"{where}: expected at most {MOST_WIDTH:,} numbers in all values of a row, got more")
    for index, value in enumerate(program.values):
        if BY_NAME[value.op].kind == PRODUCT and program.depends[value.args[0]] == "weights":
            fail(f"value {index} ({value.op}): expected a product with x or the state, got one of weights alone")
    _check_pieces(program, program.output, "output", None)
    if len(program.next_state) != len(program.state):
        fail(f"next_state: expected {len(program.state)} leaves, as in the state, got {len(program.next_state)}")
    for leaf, (pieces, width) in enumerate(zip(program.next_state, program.state, strict=True)):
        _check_pieces(program, pieces, f"next_state, leaf {leaf}", width)


def _check_sizes(program: Program) -> None:
    _between(program.input_size, 1, MOST_WIDTH, "input_size")
    for leaf, width in enumerate(program.state):
        _between(width, 1, MOST_WIDTH, f"state, leaf {leaf}")
    _between(len(program.state), 1, MOST_LEAVES, "number of the state's leaves")
    _between(sum(program.state), 1, MOST_WIDTH, "numbers in a row's state")
    _between(len(program.values), 1, MOST_VALUES, "number of values")
    _between(len(program.weights), 0, MOST_WEIGHTS, "number of weights")
    if len({name for name, _ in program.weights}) < len(program.weights):
        fail("weights: expected each name once, got one twice")
    for name, shape in program.weights:
        where = f"weight {shown(name)}"
        _between(len(shape), 1, 3, f"{where}, dimensions")
        for size in shape:
            _between(size, 1, MOST_ELEMENTS, f"{where}, size")
        _between(math.prod(shape), 1, MOST_ELEMENTS, f"{where}, elements")


def _check_value(program: Program, index: int, value: Value, where: str) -> None:
    operation = BY_NAME.get(value.op)
    checker = _CHECKERS.get(value.op)
    if operation is None or (checker is None and operation.kind not in (ROW, ELEMENTWISE)):
        known = [name for name, op in BY_NAME.items() if op.kind in (ROW, ELEMENTWISE) or name in _CHECKERS]
        fail(f"{where}: expected an operation of a step.{nearest(value.op, known)}")
    if len(value.args) != operation.arity:
        fail(f"{where}: expected {operation.arity} arguments, got {len(value.args)}")
    if len(value.attribute) != operation.attribute:
        fail(f"{where}: expected an attribute of {operation.attribute} numbers, got {len(value.attribute)}")
    for argument in value.args:
        if not 0 <= argument < index:
            fail(f"{where}: expected arguments before it, from 0 to {index - 1}, got {argument}")
    _between(value.width, 1, MOST_WIDTH, f"{where}, width")
    if checker is None:
        checker = _check_row if operation.kind == ROW else _check_elements
    if value.op != "constant" and not all(is_whole(number) for number in value.attribute):
        fail(f"{where}: expected an attribute of whole numbers, got {shown(list(value.attribute))}")
    checker(program, value, where)


def _check_source(program: Program, value: Value, where: str) -> None:
    *which, start, stop = value.attribute
    size = program.input_size
    if value.op == "leaf":
        _between(which[0], 0, len(program.state) - 1, f"{where}, leaf")
        size = program.state[which[0]]
    elif value.op == "vector":
        size = math.prod(_weight(program, which[0], where, None))
    _range(start, stop, size, where)
    _width(value, stop - start, where)


def _check_constant(program: Program, value: Value, where: str) -> None:
    if not is_finite(value.attribute[0]):
        fail(f"{where}: expected a finite number of float32, got {shown(value.attribute[0])}")
    _width(value, 1, where)


def _check_product(program: Program, value: Value, where: str) -> None:
    weight, row0, row1, col0, col1, bias = value.attribute
    rows, columns = _weight(program, weight, where, 2)
    _range(row0, row1, rows, f"{where}, rows")
    _range(col0, col1, columns, f"{where}, columns")
    if bias != -1:
        _range(row0, row1, math.prod(_weight(program, bias, f"{where}, bias", 1)), f"{where}, bias")
    _argument(program, value, 0, col1 - col0, where)
    _width(value, row1 - row0, where)


def _check_blocks(program: Program, value: Value, where: str) -> None:
    weight, first, last = value.attribute
    blocks, rows, columns = _weight(program, weight, where, 3)
    _range(first, last, blocks, f"{where}, blocks")
    _argument(program, value, 0, (last - first) * columns, where)
    _width(value, (last - first) * rows, where)


def _check_row(program: Program, value: Value, where: str) -> None:
    first = program.values[value.args[0]].width
    for position in range(1, len(value.args)):
        _argument(program, value, position, 1 if value.op == "squares" else first, where)
    _width(value, 1, where)


def _check_elements(program: Program, value: Value, where: str) -> None:
    widths = [program.values[argument].width for argument in value.args]
    if value.op == "spread":
        _argument(program, value, 0, 1, where)
    elif value.op == "normal":
        for position in (1, 2):
            _argument(program, value, position, 1, where)
        _width(value, widths[0], where)
    else:
        _width(value, max(widths), where)
    for width in widths:
        if width not in (1, value.width):
            fail(f"{where}: expected arguments of the width 1 or {value.width}, got {width}")


_CHECKERS: dict[str, Callable[[Program, Value, str], None]] = {
    **dict.fromkeys(("x", "leaf", "vector"), _check_source),
    "constant": _check_constant,
    "product": _check_product,
    "blocks": _check_blocks,
}


def _check_pieces(program: Program, pieces: tuple[int, ...], where: str, width: int | None) -> None:
    _between(len(pieces), 1, MOST_VALUES, f"{where}, number of values")
    for index in pieces:
        _between(index, 0, len(program.values) - 1, f"{where}, value")
    total = sum(program.values[index].width for index in pieces)
    if width is None:
        _between(total, 1, MOST_WIDTH, f"{where}, width")
    elif total != width:
        fail(f"{where}: expected values of {width} numbers, got {total}")


def _weight(program: Program, index: int, where: str, dimensions: int | None) -> tuple[int, ...]:
    _between(index, 0, len(program.weights) - 1, f"{where}, weight")
    shape = program.weights[index].shape
    if dimensions is not None and len(shape) != dimensions:
        fail(f"{where}: expected a weight of {dimensions} dimensions, got one of the shape {list(shape)}")
    return shape


def _argument(program: Program, value: Value, position: int, width: int, where: str) -> None:
    found = program.values[value.args[position]].width
    if found != width:
        fail(f"{where}, argument {position}: expected the width {width}, got {found}")


def _width(value: Value, width: int, where: str) -> None:
    if value.width != width:
        fail(f"{where}: expected the width {width}, got {value.width}")


def _range(start: int, stop: int, size: int, where: str) -> None:
    if not 0 <= start < stop <= size:
        fail(f"{where}: expected a range within 0 … {size}, got {start} … {stop}")


def _between(value: int, least: int, most: int, where: str) -> None:
    if not least <= value <= most:
        fail(f"{where}: expected {least:,} … {most:,}, got {shown(value)}")


def fail(reason: str) -> NoReturn:
    """Raise a `ProgramError`.

    Raises:
        ProgramError: always.
    """
    raise ProgramError(f"program: {reason}")


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number that is not too large."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST_ELEMENTS


def is_finite(value: Any) -> bool:
    """Whether a value is a number that float32 can hold. A whole number of a file may be too large for any float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
