"""From the step of a cell in PyTorch to a program."""

from stepscan.programs.tracing.traced import Traced, traced, why_not_traced

__all__ = ["Traced", "traced", "why_not_traced"]
