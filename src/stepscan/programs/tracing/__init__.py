"""From the step of a cell in PyTorch to a program."""
