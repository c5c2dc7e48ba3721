"""Writes `programs.h`: the numbers of some cells' programs, for tests without Python. Run it when lowering changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import stepscan as ss
from stepscan.programs.derivative import differentiate
from stepscan.programs.lowering import lower
from stepscan.programs.tracing.tracer import trace

CELLS = {
    "LSTM 5 → 19": lambda: ss.LSTM(5, 19),
    "GRU 16 → 16": lambda: ss.GRU(16, 16),
    "layer-norm LSTM 3 → 7": lambda: ss.LayerNormLSTM(3, 7),
    "reset-before GRU 4 → 33": lambda: ss.ResetBeforeGRU(4, 33),
    "projected LSTM 6 → 5": lambda: ss.ProjectedLSTM(6, 5),
    "sLSTM 3 → 12, 3 heads": lambda: ss.SLSTM(3, 12, heads=3),
    "RG-LRU 8 → 8, 2 heads": lambda: ss.RGLRU(8, 8, heads=2),
    "SRU 1 → 1": lambda: ss.SRU(1, 1),
}
# for layers in inference: by the names of constants
LAYERS = {
    "SMALL": [(cell, 17, size) for cell in (ss.Elman, ss.GRU, ss.LSTM, ss.LayerNormLSTM) for size in (1, 16, 33)],
    "NARROW": [(ss.LSTM, 9, 9), (ss.GRU, 9, 9)],
    "WIDE": [(ss.LSTM, 9, 20), (ss.GRU, 9, 20)],
    "OF_GENERATORS": [(ss.LSTM, 20, 65), (ss.GRU, 65, 65)],
}


def main() -> None:
    """Write the file beside this one."""
    torch.manual_seed(0)
    head = (
        *("// Written by programs.py: the programs of some cells, for training; the first one also for inference.",),
        *("#pragma once", "#include <cstdint>", "#include <vector>", ""),
        "static const std::vector<std::vector<int64_t>> PROGRAMS_OF_CELLS = {",
    )
    lines = list(head)
    for number, (name, make) in enumerate(CELLS.items()):
        program = trace(make()).program
        for of in (differentiate(program), program)[: 2 if number == 0 else 1]:
            lines += [f"    // {name}", f"    {{{', '.join(map(str, lower(of).numbers))}}},"]
    for name, cells in LAYERS.items():
        lines += ["};", f"static const std::vector<std::vector<int64_t>> {name} = {{"]
        for make, inputs, size in cells:
            cell: Any = make(inputs, size)
            numbers = lower(cell.stored_program().program).numbers
            lines += [f"    // {cell.signature}", f"    {{{', '.join(map(str, numbers))}}},"]
    Path(__file__).with_name("programs.h").write_text("\n".join([*lines, "};", ""]), "utf-8")


if __name__ == "__main__":
    main()
