"""Inspection: see the gradient vanish, in any model and layer, and what its gates and units do.

    from stepscan.inspection import gradient_flow, report

    gradient_flow(ss.LSTM(8, 16), inputs).fields["c"].median     # how much of the gradient is left, by lag
    report("elman,lstm,gru", "report.html")                      # everything, as one page

The functions return numbers, as NumPy arrays in named tuples; `report` makes a page with plots of them.
"""

from stepscan.dynamics.gates import CellStatistics, GateStatistics, gate_statistics
from stepscan.dynamics.memory_horizon import MemoryHorizon, memory_horizon
from stepscan.dynamics.recurrences import RecurrenceCall, recurrences
from stepscan.inspection.attention_map import AttentionMap, attention_map
from stepscan.inspection.gradient_flow import FieldFlow, GradientFlow, gradient_flow
from stepscan.inspection.measurement import CorrelatedUnit, RecurrenceReport, Report, as_json
from stepscan.inspection.report import report
from stepscan.inspection.saliency import Saliency, saliency
from stepscan.inspection.stability import elman_bound, lyapunov_exponent
from stepscan.inspection.summary import summary
from stepscan.inspection.target import InspectionTarget
from stepscan.inspection.units import (
    UnitCorrelation,
    hidden_states,
    inside_quotes,
    nesting_depth,
    position_in_line,
    text_property,
    unit_correlations,
)

__all__ = [
    "AttentionMap",
    "CellStatistics",
    "CorrelatedUnit",
    "FieldFlow",
    "GateStatistics",
    "GradientFlow",
    "InspectionTarget",
    "MemoryHorizon",
    "RecurrenceCall",
    "RecurrenceReport",
    "Report",
    "Saliency",
    "UnitCorrelation",
    "as_json",
    "attention_map",
    "elman_bound",
    "gate_statistics",
    "gradient_flow",
    "hidden_states",
    "inside_quotes",
    "lyapunov_exponent",
    "memory_horizon",
    "nesting_depth",
    "position_in_line",
    "recurrences",
    "report",
    "saliency",
    "summary",
    "text_property",
    "unit_correlations",
]
