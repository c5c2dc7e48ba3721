"""ONNX Runtime's recurrent kernels with the weights of our cells, as a baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from stepscan.cells.cell import Cell
from stepscan.sequences import Sequences

_OPERATORS = {"lstm": "LSTM", "gru": "GRU", "elman": "RNN"}
_GATES = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}  # in ONNX's order: i o f c; z r h


class Graph:
    """An ONNX graph under construction: nodes and their weights."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, name: str, array: Any) -> str:
        """Add a constant array; returns its name."""
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> str:
        """Add a node; returns the name of its first output."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), **attributes))
        return next(name for name in outputs if name)

    def cell(self, cell: Cell, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> str:
        """Add a recurrent layer; `inputs` and `outputs` are those of ONNX's operator, without W, R and B."""
        operator, hidden = _OPERATORS[cell.registered_name], cell.hidden_size
        order = _GATES[operator]

        def reordered(weight: torch.Tensor) -> np.ndarray:
            blocks = weight.detach().numpy().reshape(len(order), hidden, -1)
            return np.ascontiguousarray(blocks[order].reshape(len(order) * hidden, -1))

        bias = np.concatenate([reordered(cell.bias_ih)[:, 0], reordered(cell.bias_hh)[:, 0]])
        arrays = {"W": reordered(cell.weight_ih)[None], "R": reordered(cell.weight_hh)[None], "B": bias[None]}
        weights = [self.weight(f"{name}.{letter}", array) for letter, array in arrays.items()]
        attributes: dict[str, Any] = {"hidden_size": hidden} | ({"linear_before_reset": 1} if operator == "GRU" else {})
        return self.node(operator, [inputs[0], *weights, *inputs[1:]], outputs, **attributes)

    def session(
        self, inputs: dict[str, tuple[Any, list[Any]]], outputs: dict[str, tuple[Any, list[Any]]], threads: int
    ) -> Any:
        """An inference session of the graph; inputs and outputs are `name: (type, shape)`."""
        import onnx
        import onnxruntime
        from onnx import helper

        sources, results = (
            [helper.make_tensor_value_info(name, *kind) for name, kind in tensors.items()]
            for tensors in (inputs, outputs)
        )
        graph = helper.make_graph(self.nodes, "baseline", sources, results, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # otherwise its threads spin on the other core while ours are measured
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def is_available() -> bool:
    """Whether ONNX Runtime is installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        return False
    return True


def _has_operator(cell: Cell) -> bool:
    return cell.registered_name in _OPERATORS and getattr(cell, "nonlinearity", "tanh") == "tanh"


def scanner(cell: Cell, inputs: Sequences, threads: int) -> Callable[[], Any] | None:
    """A function that scans `inputs` from a zero state; None without ONNX Runtime or an operator for the cell."""
    if not is_available() or not _has_operator(cell):
        return None
    from onnx import TensorProto

    graph = Graph()
    graph.cell(cell, "cell", ["x", "lengths"], ["y"])
    session = graph.session(
        {"x": (TensorProto.FLOAT, ["T", "B", cell.input_size]), "lengths": (TensorProto.INT32, ["B"])},
        {"y": (TensorProto.FLOAT, ["T", 1, "B", cell.hidden_size])},
        threads,
    )
    feeds = {
        "x": np.ascontiguousarray(inputs.zeroed().data.detach().numpy().swapaxes(0, 1)),
        "lengths": inputs.lengths.numpy().astype(np.int32),
    }
    return lambda: session.run(None, feeds)[0]


def stepper(cell: Cell, threads: int) -> Callable[[], Any] | None:
    """A function that runs one step of one row and keeps the state; None without ONNX Runtime or an operator."""
    if not is_available() or not _has_operator(cell):
        return None
    from onnx import TensorProto

    graph, hidden = Graph(), cell.hidden_size
    states = ["h", "c"] if cell.registered_name == "lstm" else ["h"]
    graph.cell(cell, "cell", ["x", "", *states], ["", *(f"{name}_next" for name in states)])
    shape = (TensorProto.FLOAT, [1, 1, hidden])
    session = graph.session(
        {"x": (TensorProto.FLOAT, [1, 1, cell.input_size]), **dict.fromkeys(states, shape)},
        {f"{name}_next": shape for name in states},
        threads,
    )
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 1, cell.input_size)).astype(np.float32)}
    feeds |= {name: np.zeros((1, 1, hidden), np.float32) for name in states}

    def step() -> None:
        feeds.update(zip(states, session.run(None, feeds), strict=True))

    return step


def generator(
    embedding: Any, cells: Sequence[Cell], head: Any, temperature: float, threads: int
) -> Callable[[int], Any] | None:
    """A function that generates `length` symbols; one graph holds embedding, cells, head, softmax and the draw.

    Args:
        embedding: `[V, E]`.
        cells: stacked LSTMs.
        head: weight `[V, H]` and bias `[V]`.
        temperature: of the softmax.
        threads: of ONNX Runtime.

    Returns:
        None without ONNX Runtime.
    """
    if not is_available():
        return None
    from onnx import TensorProto

    graph = Graph()
    x = graph.node("Gather", [graph.weight("embedding", embedding), "symbol"], ["x0"])
    states: dict[str, tuple[Any, list[Any]]] = {}
    for i, cell in enumerate(cells):
        names = [f"h{i}", f"c{i}"]
        outputs = [f"y{i}", *(f"{name}_next" for name in names)]
        graph.cell(cell, f"cell{i}", [x, "", *names], outputs)
        x = graph.node("Squeeze", [f"y{i}", graph.weight(f"axes{i}", np.array([1]))], [f"x{i + 1}"])
        states |= dict.fromkeys(names, (TensorProto.FLOAT, [1, 1, cell.hidden_size]))
    flat = graph.node("Squeeze", [x, graph.weight("axis", np.array([0]))], ["flat"])
    graph.node("Gemm", [flat, graph.weight("W", head[0]), graph.weight("b", head[1])], ["scores"], transB=1)
    graph.node("Div", ["scores", graph.weight("temperature", np.float32(temperature))], ["logits"])
    graph.node("Softmax", ["logits"], ["probabilities"])
    graph.node("CumSum", ["probabilities", graph.weight("last", np.array(1))], ["sums"])
    graph.node("Greater", ["sums", "draw"], ["above"])
    graph.node("Cast", ["above"], ["numbers"], to=TensorProto.FLOAT)
    graph.node("ArgMax", ["numbers"], ["next"], axis=1, keepdims=1)
    session = graph.session(
        {"symbol": (TensorProto.INT64, [1, 1]), "draw": (TensorProto.FLOAT, [1, 1]), **states},
        {"next": (TensorProto.INT64, [1, 1]), **{f"{name}_next": kind for name, kind in states.items()}},
        threads,
    )
    feeds: dict[str, Any] = {name: np.zeros(shape, np.float32) for name, (_, shape) in states.items()}
    feeds["symbol"] = np.zeros((1, 1), np.int64)

    def generate(length: int) -> None:
        for draw in np.random.default_rng(0).random(length, dtype=np.float32).reshape(-1, 1, 1):
            feeds["draw"] = draw
            feeds["symbol"], *next_states = session.run(None, feeds)
            feeds.update(zip(states, next_states, strict=True))

    return generate
