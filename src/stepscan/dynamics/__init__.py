"""Recurrences on data: the states they go through, the gradients that flow back, their gates and memory horizons.

Pure functions of layers and inputs, which training (`--monitor-gradients`) and `stepscan.inspection` share. They import
neither of them, and no estimator.
"""
