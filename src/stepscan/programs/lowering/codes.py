"""The numbers that the native library knows arrays and operations by: see `native/program.h`."""

from __future__ import annotations

__all__ = ["CODES", "FORMAT", "MOST_OPERANDS", "MOST_PARTS", "REDUCTIONS"]

FORMAT = 1  # of the numbers; another one is another layout
MOST_OPERANDS = 512  # of a stage
MOST_PARTS = 4  # of a matrix that is not transposed

# kinds of arrays
TEMPORARY, KEPT, GRADIENT, STATE, ROWS, CARRY, ITEMS, VECTOR, CONSTANT, SUM = range(10)
X, Y, Y_GRADIENT, X_GRADIENT = range(4)  # what an array of ITEMS is

OPERATIONS = (
    *("copy", "negate", "sigmoid", "tanh", "relu", "exp", "expm1", "log", "log1p", "softplus", "sqrt", "rsqrt"),
    *("reciprocal", "sin", "cos", "erf", "add", "subtract", "multiply", "divide", "maximum", "minimum", "greater"),
    *("sigmoid_slope", "tanh_slope", "relu_slope", "sigmoid_add", "tanh_add", "multiply_rest", "where", "normal"),
    *("share", "fma", "subtract_product", "product_less", "sigmoid_slope_product", "tanh_slope_product"),
    *("sigmoid_fma", "tanh_fma", "blend", "two_products", "sum", "largest", "squares", "dot"),
    *("accumulate", "load", "store"),
)
CODES = {name: code for code, name in enumerate(OPERATIONS)}
REDUCTIONS = frozenset(("sum", "largest", "squares", "dot"))
PRODUCTS = frozenset(("product", "blocks", "product_back", "blocks_back"))
SOURCES = frozenset(("x", "leaf", "vector", "constant", "output_gradient", "state_gradient", "carry"))
# what a program calls by another name: a row of width 1 is spread by every operation
SAME = {"spread": "copy", "hold": "copy"}
