"""ONNX Runtime's recurrent kernels with a cell's own weights, to race against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from stepscan.cells.cell import Cell
from stepscan.sequences import Sequences

_OPERATORS = {"lstm": "LSTM", "gru": "GRU", "elman_tanh": "RNN"}
_GATES = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}  # i o f c; z r h


class Graph:
    """An ONNX graph being written down: nodes, and the weights that they use."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, name: str, array: Any) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), **attributes))
        return next(name for name in outputs if name)

    def cell(self, cell: Cell, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> str:
        """A recurrent layer; `inputs` and `outputs` as ONNX's operator has them, without W, R and B."""
        operator, hidden = _OPERATORS[cell.kernel], cell.hidden_size
        order = _GATES[operator]

        def reordered(weight: torch.Tensor) -> np.ndarray:
            blocks = weight.detach().numpy().reshape(len(order), hidden, -1)
            return np.ascontiguousarray(blocks[order].reshape(len(order) * hidden, -1))

        bias = np.concatenate([reordered(cell.bias_ih)[:, 0], reordered(cell.bias_hh)[:, 0]])  # type: ignore[arg-type]
        arrays = {"W": reordered(cell.weight_ih)[None], "R": reordered(cell.weight_hh)[None], "B": bias[None]}
        own = [self.weight(f"{name}.{letter}", array) for letter, array in arrays.items()]
        attributes: dict[str, Any] = {"hidden_size": hidden} | ({"linear_before_reset": 1} if operator == "GRU" else {})
        return self.node(operator, [inputs[0], *own, *inputs[1:]], outputs, **attributes)

    def session(
        self, inputs: dict[str, tuple[Any, list[Any]]], outputs: dict[str, tuple[Any, list[Any]]], threads: int
    ) -> Any:
        """An inference session; inputs and outputs are `name: (type, shape)`."""
        import onnx
        import onnxruntime
        from onnx import helper

        into, out = ([helper.make_tensor_value_info(n, *of) for n, of in side.items()] for side in (inputs, outputs))
        graph = helper.make_graph(self.nodes, "rival", into, out, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry(
            "session.force_spinning_stop", "1"
        )  # else it holds the other core in our turns
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def is_there() -> bool:
    """Whether ONNX Runtime can be raced against."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        return False
    return True


def scanner(cell: Cell, inputs: Sequences, threads: int) -> Callable[[], Any] | None:
    """A call that scans `inputs` from zeros; None where ONNX Runtime or such an operator is not there."""
    if not is_there() or cell.kernel not in _OPERATORS:
        return None
    from onnx import TensorProto

    graph = Graph()
    graph.cell(cell, "cell", ["x", "lengths"], ["y"])
    session = graph.session(
        {"x": (TensorProto.FLOAT, ["T", "B", cell.input_size]), "lengths": (TensorProto.INT32, ["B"])},
        {"y": (TensorProto.FLOAT, ["T", 1, "B", cell.hidden_size])},
        threads,
    )
    given = {
        "x": np.ascontiguousarray(inputs.zeroed().data.detach().numpy().swapaxes(0, 1)),
        "lengths": inputs.lengths.numpy().astype(np.int32),
    }
    return lambda: session.run(None, given)[0]


def stepper(cell: Cell, threads: int) -> Callable[[], Any] | None:
    """A call that takes one step of one row and keeps the state for the next; None where that can't be."""
    if not is_there() or cell.kernel not in _OPERATORS:
        return None
    from onnx import TensorProto

    graph, hidden = Graph(), cell.hidden_size
    states = ["h", "c"] if cell.kernel == "lstm" else ["h"]
    graph.cell(cell, "cell", ["x", "", *states], ["", *(f"{name}_next" for name in states)])
    shape = (TensorProto.FLOAT, [1, 1, hidden])
    session = graph.session(
        {"x": (TensorProto.FLOAT, [1, 1, cell.input_size]), **dict.fromkeys(states, shape)},
        {f"{name}_next": shape for name in states},
        threads,
    )
    given = {"x": np.random.default_rng(0).standard_normal((1, 1, cell.input_size)).astype(np.float32)}
    given |= {name: np.zeros((1, 1, hidden), np.float32) for name in states}

    def step() -> None:
        for name, found in zip(states, session.run(None, given), strict=True):
            given[name] = found

    return step


def writer(
    embedding: Any, cells: Sequence[Cell], head: Any, temperature: float, threads: int
) -> Callable[[int], Any] | None:
    """A call that writes so many symbols: embedding, cells, head, softmax and the draw all in one graph a symbol.

    Args:
        embedding: `[V, E]`, cells: LSTMs one above the other, head: weight `[V, H]` and bias `[V]`.
    """
    if not is_there():
        return None
    from onnx import TensorProto

    graph = Graph()
    x = graph.node("Gather", [graph.weight("embedding", embedding), "symbol"], ["x0"])
    states: dict[str, tuple[Any, list[Any]]] = {}
    for number, cell in enumerate(cells):
        names = [f"h{number}", f"c{number}"]
        outputs = [f"y{number}", *(f"{name}_next" for name in names)]
        graph.cell(cell, f"cell{number}", [x, "", *names], outputs)
        x = graph.node("Squeeze", [f"y{number}", graph.weight(f"axes{number}", np.array([1]))], [f"x{number + 1}"])
        states |= dict.fromkeys(names, (TensorProto.FLOAT, [1, 1, cell.hidden_size]))
    flat = graph.node("Squeeze", [x, graph.weight("axis", np.array([0]))], ["flat"])
    graph.node("Gemm", [flat, graph.weight("W", head[0]), graph.weight("b", head[1])], ["scores"], transB=1)
    graph.node("Div", ["scores", graph.weight("temperature", np.float32(temperature))], ["cooler"])
    graph.node("Softmax", ["cooler"], ["shares"])
    graph.node("CumSum", ["shares", graph.weight("last", np.array(1))], ["sums"])
    graph.node("Greater", ["sums", "draw"], ["above"])
    graph.node("Cast", ["above"], ["numbers"], to=TensorProto.FLOAT)
    graph.node("ArgMax", ["numbers"], ["next"], axis=1, keepdims=1)
    session = graph.session(
        {"symbol": (TensorProto.INT64, [1, 1]), "draw": (TensorProto.FLOAT, [1, 1]), **states},
        {"next": (TensorProto.INT64, [1, 1]), **{f"{name}_next": of for name, of in states.items()}},
        threads,
    )
    given: dict[str, Any] = {name: np.zeros(of[1], np.float32) for name, of in states.items()}
    given["symbol"] = np.zeros((1, 1), np.int64)

    def write(length: int) -> None:
        for draw in np.random.default_rng(0).random(length, dtype=np.float32).reshape(-1, 1, 1):
            given["draw"] = draw
            given["symbol"], *found = session.run(None, given)
            given.update(zip(states, found, strict=True))

    return write
