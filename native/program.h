// A step of a recurrence, and its derivative, as data: the flat form of `stepscan.programs.lowering`, decoded and checked.
//
// Four programs run over a batch: `items`, what x alone makes, for many items at once; `step`; `step_back`, from the last step
// to the first; `items_back`. Each is a list of stages: matrix products, then operations on a tile of rows × blocks of LANES
// numbers, which stays in the first cache. A program for inference has the first two.
//
// The structures are plain: the kernels, which are compiled for each instruction set, use nothing of the standard library.
#pragma once
#include <cstddef>
#include <cstdint>

namespace stepscan {

// Where numbers are. In all but ITEMS, an array of width 1 holds each number in all lanes.
enum ArrayKind {
  TEMPORARY,  // of one tile
  KEPT,       // one row for each item, made by `items` or `step`
  GRADIENT,   // the same, made going back, for a part of the items at a time; lanes past the width are zeros
  STATE,      // part of a leaf of the state, before (shift 1) and after (shift 0) a step
  ROWS,       // one row for each row of a step, from one stage to a later one of the same program
  CARRY,      // gradient of a part of a leaf, besides what flows through products: shift 0 read, shift 1 written
  ITEMS,      // part of x, y, or their gradients, in the caller's memory
  VECTOR,     // part of a weight, the same in all rows
  CONSTANT,
  SUM,        // gradient of a vector, summed over rows and steps
  ARRAY_KINDS
};
enum Caller { X, Y, Y_GRADIENT, X_GRADIENT };

struct ProgramArray {
  int kind, slots;  // values side by side in a block
  long width;
  bool row_major;   // rows are contiguous: the input of products; one slot
  long of, offset;  // STATE, CARRY: leaf, first number; ITEMS: which, first; VECTOR, SUM: weight, first; CONSTANT: bits, 0
  bool from_end;    // CARRY: begins as the gradient of the final state; otherwise zeros
};
struct Operand {
  int array, slot, shift;
};

// A part of a weight: element (row, column) is `offset + row · ld + column` of it; a bias for each row, or none (−1).
struct WeightPart {
  int weight;
  long offset, ld;
  int bias;
  long bias_offset;
};
// Outputs `width` of each of `parts` from `inputs` numbers. With `heads` h, block-diagonal: row r of a part multiplies inputs of
// block r / (width / h) alone, and columns are counted from that block's first input. Transposed (`back`): the parts' inputs from
// gradients of their outputs, as one sum.
struct ProgramMatrix {
  bool back;
  long width, inputs;  // outputs and inputs of a part, as the weight stands; both are multiples of `heads`
  long heads;
  int parts;
  const WeightPart* part;
};
struct Product {
  int matrix;
  Operand in;
  int outputs;        // one for each part; one if transposed
  const int* output;  // operands of the stage
  bool late;          // of the step after this one: rows that end here have the gradient of the final state, or zeros, instead
  int leaf_part;      // a STATE array, whose gradient that is; −1 for zeros
};
struct Operation {
  int code, to, a, b, c, d;  // operands of the stage, −1 for none
};
struct Stage {
  long width;
  bool only_x;  // serves the gradient of x alone
  int products, operands, operations;
  const Product* product;
  const Operand* operand;
  const Operation* operation;
};
struct StageList {
  int count;
  const Stage* stage;
};
// The gradient of parts of weights: Σ d ⊗ input over all items; of their biases: Σ d.
struct WeightGradient {
  Operand in;
  int gradient, slot;  // array, and its slot for the first part
  long width, inputs, heads;
  int parts;
  const WeightPart* part;
  int round;  // those of one round write to different numbers
};

enum ProgramName { ITEMS_FORWARD, STEP, STEP_BACK, ITEMS_BACK, LAST_BACK, PROGRAMS };

struct ProgramData {
  long input, output;
  int leaves, weights, arrays, matrices, gradients, rounds;
  const long *leaf_width, *weight_size;
  const bool* covered;  // weights all of whose numbers one product's gradient writes
  const ProgramArray* array;
  const ProgramMatrix* matrix;
  StageList program[PROGRAMS];  // LAST_BACK: from the gradients of the first step to those of the initial state
  const WeightGradient* gradient;
  bool trains, whole_rows;  // whole_rows: a stage reduces rows, so that threads never split a row
  long widest;              // leaf
};

#define STEPSCAN_OPERATIONS(one)                                                                                              \
  one(copy, 1) one(negate, 1) one(sigmoid, 1) one(tanh, 1) one(relu, 1) one(exp, 1) one(expm1, 1) one(log, 1) one(log1p, 1)   \
  one(softplus, 1) one(sqrt, 1) one(rsqrt, 1) one(reciprocal, 1) one(sin, 1) one(cos, 1) one(erf, 1)                          \
  one(add, 2) one(subtract, 2) one(multiply, 2) one(divide, 2) one(maximum, 2) one(minimum, 2) one(greater, 2)                \
  one(sigmoid_slope, 2) one(tanh_slope, 2) one(relu_slope, 2) one(sigmoid_add, 2) one(tanh_add, 2) one(multiply_rest, 2)      \
  one(where, 3) one(normal, 3) one(share, 3) one(fma, 3) one(subtract_product, 3) one(product_less, 3)                        \
  one(sigmoid_slope_product, 3) one(tanh_slope_product, 3) one(sigmoid_fma, 3) one(tanh_fma, 3) one(blend, 3)                 \
  one(two_products, 4)                                                                                                        \
  one(sum, 1) one(largest, 1) one(squares, 2) one(dot, 2) one(accumulate, 1) one(load, 1) one(store, 1)
#define STEPSCAN_CODE(name, arity) CODE_##name,
enum Code { STEPSCAN_OPERATIONS(STEPSCAN_CODE) CODES };
#undef STEPSCAN_CODE
inline constexpr bool is_elementwise(int code) { return code < CODE_sum; }
inline constexpr bool is_reduction(int code) { return code >= CODE_sum && code <= CODE_dot; }

}  // namespace stepscan
