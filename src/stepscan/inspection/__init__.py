"""Inspection: see the gradient vanish, in any model and layer, and what its gates and units do.

    from stepscan.inspection import flow, report

    flow(ss.LSTM(8, 16), inputs).fields["c"].median     # how much of the gradient is left, lag by lag
    report("elman,lstm,gru", "report.html")             # everything, as one page

Every function gives numbers, NumPy arrays in named tuples; pictures are made from them by `report` alone.
"""

from stepscan.inspection.attention import Attention, attention
from stepscan.inspection.examination import Examination, as_json
from stepscan.inspection.gates import GateFigures, GateStatistics, gates
from stepscan.inspection.gradient_flow import FieldFlow, GradientFlow, flow
from stepscan.inspection.horizon import Horizon, elman_bound, horizon, lyapunov
from stepscan.inspection.parts import Part, parts
from stepscan.inspection.report import report, summary
from stepscan.inspection.saliency import Saliency, saliency
from stepscan.inspection.subject import of_cells, of_estimator, of_layer
from stepscan.inspection.units import (
    Tracking,
    hidden_states,
    inside_quotes,
    nesting_depth,
    position_in_line,
    properties,
    tracking,
)

__all__ = [
    "Attention",
    "Examination",
    "FieldFlow",
    "GateFigures",
    "GateStatistics",
    "GradientFlow",
    "Horizon",
    "Part",
    "Saliency",
    "Tracking",
    "as_json",
    "attention",
    "elman_bound",
    "flow",
    "gates",
    "hidden_states",
    "horizon",
    "inside_quotes",
    "lyapunov",
    "nesting_depth",
    "of_cells",
    "of_estimator",
    "of_layer",
    "parts",
    "position_in_line",
    "properties",
    "report",
    "saliency",
    "summary",
    "tracking",
]
