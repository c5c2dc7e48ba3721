"""ONNX Runtime's recurrent kernels with a cell's own weights, to race against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from stepscan.cells.cell import Cell
from stepscan.sequences import Sequences

_OPERATORS = {"lstm": "LSTM", "gru": "GRU", "elman_tanh": "RNN"}
_GATES = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}  # i o f c; z r h


def runner(cell: Cell, inputs: Sequences, threads: int) -> Callable[[], Any] | None:
    """A call that scans `inputs` from zeros; None where ONNX Runtime or such an operator is not there."""
    try:
        import onnx
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        return None
    operator = _OPERATORS.get(cell.kernel)
    if operator is None:
        return None
    hidden, order = cell.hidden_size, _GATES[operator]

    def reordered(weight: torch.Tensor) -> np.ndarray:
        blocks = weight.detach().numpy().reshape(len(order), hidden, -1)
        return np.ascontiguousarray(blocks[order].reshape(len(order) * hidden, -1))

    bias = np.concatenate([reordered(cell.bias_ih)[:, 0], reordered(cell.bias_hh)[:, 0]])  # type: ignore[arg-type]
    arrays = {"W": reordered(cell.weight_ih)[None], "R": reordered(cell.weight_hh)[None], "B": bias[None]}
    attributes: dict[str, Any] = {"hidden_size": hidden} | ({"linear_before_reset": 1} if operator == "GRU" else {})
    node = helper.make_node(operator, ["x", "W", "R", "B", "lengths"], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "scan",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["T", "B", cell.input_size]),
            helper.make_tensor_value_info("lengths", TensorProto.INT32, ["B"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["T", 1, "B", hidden])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")  # else it holds the other core in our turns
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = {
        "x": np.ascontiguousarray(inputs.zeroed().data.detach().numpy().swapaxes(0, 1)),
        "lengths": inputs.lengths.numpy().astype(np.int32),
    }
    return lambda: session.run(None, given)[0]
