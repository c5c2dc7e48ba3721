"""Writes `programs.h`: the numbers of some cells' programs, for tests without Python. Run it when lowering changes."""

from __future__ import annotations

from pathlib import Path

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
    Path(__file__).with_name("programs.h").write_text("\n".join([*lines, "};", ""]), "utf-8")


if __name__ == "__main__":
    main()
