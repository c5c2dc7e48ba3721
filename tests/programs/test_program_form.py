"""The data form of a program: what it writes, what it refuses and in which words."""

from __future__ import annotations

import json

import pytest

from stepscan.errors import ProgramError
from stepscan.programs.operations import CODES, OPERATIONS
from stepscan.programs.program import Program, Value, WeightShape

# h = 0.9 h + tanh(W [x; h] + b) with x of 2 and h of 3 numbers
LEAKY = Program(
    2,
    (3,),
    (WeightShape("weight", (3, 5)), WeightShape("bias", (3,))),
    (
        Value("x", (), 2, (0, 2)),
        Value("leaf", (), 3, (0, 0, 3)),
        Value("product", (0,), 3, (0, 0, 3, 0, 2, 1)),
        Value("product", (1,), 3, (0, 0, 3, 2, 5, -1)),
        Value("add", (2, 3), 3),
        Value("tanh", (4,), 3),
        Value("constant", (), 1, (0.9,)),
        Value("multiply", (6, 1), 3),
        Value("add", (7, 5), 3),
    ),
    (8,),
    ((8,),),
)


def changed(path, value):
    data = json.loads(json.dumps(LEAKY.to_json()))
    *way, last = path
    at = data
    for key in way:
        at = at[key]
    at[last] = value
    return data


def test_comes_back_from_json():
    again = Program.from_json(json.loads(json.dumps(LEAKY.to_json())))
    assert again == LEAKY
    assert again.output_size == 3
    assert again.depends == ("x", "state", "x", "state", "state", "state", "weights", "state", "state")


def test_codes_are_positions():
    assert [CODES[operation.name] for operation in OPERATIONS] == list(range(len(OPERATIONS)))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["version"], 2, "version: expected 1, got 2"),
        (["values", 5, 0], "tan", "value 5 (tan): expected an operation of a step. Did you mean 'tanh'?"),
        (["values", 5, 0], "state_gradient", "expected an operation of a step"),
        (["values", 5, 1], [5], "value 5 (tanh): expected arguments before it, from 0 to 4, got 5"),
        (["values", 5, 1], [-1], "from 0 to 4, got -1"),
        (["values", 5, 1], [4, 4], "expected 1 arguments, got 2"),
        (["values", 5, 2], 4, "expected the width 3, got 4"),
        (["values", 4, 1], [0, 3], "expected arguments of the width 1 or 3, got 2"),
        (["values", 2, 3], [0, 0, 3, 0, 2], "expected an attribute of 6 numbers, got 5"),
        (["values", 2, 3], [0, 0, 3, 0, 2, 0], "bias: expected a weight of 1 dimensions, got one of the shape [3, 5]"),
        (["values", 2, 3], [0, 0, 4, 0, 2, 1], "rows: expected a range within 0 … 3, got 0 … 4"),
        (["values", 2, 3], [2, 0, 3, 0, 2, 1], "weight: expected 0 … 1, got 2"),
        (["values", 2, 3], [0.5, 0, 3, 0, 2, 1], "expected an attribute of whole numbers"),
        (["values", 0, 3], [0, 3], "expected a range within 0 … 2, got 0 … 3"),
        (["values", 1, 3], [1, 0, 3], "leaf: expected 0 … 0, got 1"),
        (["values", 6, 3], [1e400], "expected a finite number of float32, got inf"),
        (["values", 6, 3], [10**400], "expected a finite number of float32, got 1000"),
        (["values", 0], ["vector", [], 2, [1, 0, 2]], "value 2 (product): expected a product with x or the state"),
        (["weights", 0, 1], [3, 2**40], "item 0: expected a name and a list of sizes"),
        (["weights", 0, 1], [2**20, 2**20], "elements: expected 1 … 2,147,483,647"),
        (["weights", 1, 0], "weight", "expected each name once"),
        (["state"], [2**24 + 1], "state, leaf 0: expected 1 … 16,777,216"),
        (["state"], [], "number of the state's leaves: expected 1 … 256, got 0"),
        (["state"], [True], "state, item 0: expected a whole number, got True"),
        (["input_size"], 10**30, "input_size: expected a whole number"),
        (["output"], [9], "output, value: expected 0 … 8, got 9"),
        (["output"], [], "output, number of values: expected 1"),
        (["next_state"], [], "next_state: expected 1 leaves, as in the state, got 0"),
        (["next_state"], [[0]], "next_state, leaf 0: expected values of 3 numbers, got 2"),
        (["nextstate"], [[0]], "expected no key 'nextstate'. Did you mean 'next_state'?"),
        (["values"], [["x", [], 2]], "item 0: expected an operation, arguments, a width and an attribute"),
    ],
)
def test_refuses(path, value, words):
    with pytest.raises(ProgramError) as caught:
        Program.from_json(changed(path, value))
    assert words in str(caught.value)


def test_refuses_what_is_too_large():
    values = [["leaf", [], 2**23, [0, 0, 2**23]]] * 3
    data = changed(["values"], values) | {"state": [2**23], "output": [0], "next_state": [[0]]}
    with pytest.raises(ProgramError, match="at most 16,777,216 numbers in all values of a row"):
        Program.from_json(data)
    with pytest.raises(ProgramError, match="values: expected at most 4,096, got 5,000"):
        Program.from_json(changed(["values"], values[:1] * 5000))
    with pytest.raises(ProgramError, match="expected an object"):
        Program.from_json([])
