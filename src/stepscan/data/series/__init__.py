"""Numeric series: files of numbers, with or without times, to arrays `[T, D]`."""
