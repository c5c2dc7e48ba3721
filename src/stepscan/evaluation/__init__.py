"""Metrics of each task, what classifiers and spans of tags predict, and yardsticks to compare scores with."""
