// What the kernels of every instruction set share: weights, the order of a batch's rows, and the calls.
#pragma once
#include <cstddef>
#include <cstdint>

namespace stepscan {

constexpr int MOST_EXTRAS = 5;  // arrays of numbers that a cell has beside its four weights

// A cell's weights as PyTorch lays them out. Null biases are zeros.
struct Parameters {
  const float *in, *rec;            // [gates · H, I], [gates · H, H]
  const float *bias_in, *bias_rec;  // [gates · H]
  const float* extra[MOST_EXTRAS];  // as the cell's header says
};
struct Gradients {  // the same, all written; `bias_in` and `bias_rec` may be null
  float *in, *rec, *bias_in, *bias_rec;
  float* extra[MOST_EXTRAS];
};

// The same weights in panels (see gemm.h): P panels of `units` blocks of LANES hidden units, each block with its gates.
struct Packed {
  long input, hidden;
  int units, in_width, hidden_width;    // blocks a panel; panel widths of what multiplies from the right in backward
  long panels, in_panels, hidden_panels;
  float *in, *rec;                      // [panels][I or H][units · gates][LANES]
  float *bias_in, *bias_rec;            // [panels][units · gates][LANES]
  float *in_back, *rec_back;            // [in_panels or hidden_panels][panels · units · gates · LANES][width][LANES], or null
  float* extra[MOST_EXTRAS];            // as the cell's header says
};

// Rows of one batch that a thread (or a group of threads, each with its own hidden units) takes through time together.
struct Part {
  long rows, steps, tokens;
  const int64_t* row;     // [rows] which row of the batch, longest first
  const int64_t* length;  // [rows]
  const int64_t* active;  // [steps + 1] how many rows have an item at this step; 0 at the end
  const int64_t* offset;  // [steps + 1] items of the steps before
  const int64_t* item;    // [tokens] place in [B · T] of item offset[t] + r
};

// One direction over a batch. Outputs of a row are `y_stride` apart in time; null states are zeros.
struct Scan {
  const Packed* weights;
  const float* x;        // [B, T, I]
  const float *h0, *c0;  // [B, H]
  float* y;              // [B, T, y_stride]; padding is set to zero
  long y_stride, steps;  // T
  float *h_end, *c_end;  // [B, H], or null
};
struct ScanBack {
  const float* dy;              // [B, T, y_stride]
  const float *dh_end, *dc_end; // [B, H], or null for zeros
  float* dx;                    // [B, T, I], or null
  bool add;                     // to what stands in dx
  float *dh0, *dc0;             // [B, H], or null
  Gradients to;
};

struct Group;   // team.h

// One cell on one instruction set.
struct CellKernels {
  const char* name;
  int gates, leaves, extras;
  bool whole_rows;  // a step needs all of a row's units at once, so that threads share rows, never units
  void (*shape)(Packed*);                                                // fills in the sizes from input and hidden
  size_t (*weight_floats)(const Packed*, bool backward);
  void (*pack)(Packed*, const Parameters*, float* memory, bool backward);
  size_t (*saved_floats)(const Packed*, const Part*);                    // of a forward pass that saves
  size_t (*scratch_floats)(const Packed*, const Part*, bool save);       // of a forward pass
  size_t (*back_floats)(const Packed*, const Part*);                     // of a backward pass
  void (*forward)(const Scan*, const Part*, float* saved, float* scratch, const Group&);
  void (*backward)(const Scan*, const ScanBack*, const Part*, const float* saved, float* back, const Group&);
  long (*items)(const Packed*, const Part*, long parts, int phase);      // pieces of work of a phase after backward
  void (*item)(const Scan*, const ScanBack*, const Part*, long parts, const float* const* saved, float* const* back,
               int phase, long number);                                  // phase 0: dx; phase 1: gradients of weights
};

struct Kernels {
  const char* isa;
  int lanes;
  const CellKernels* const* cells;
  int cell_count;
  size_t (*linear_floats)(long inputs, long outputs);
  void (*linear_pack)(const float* W, const float* bias, long inputs, long outputs, float* packed);
  void (*linear)(const float* packed, const float* x, long from, long to, long inputs, long outputs, float* y);
  void (*softmax)(const float* x, long from, long to, long size, float* y);
  void (*attend)(const float* query, const float* keys, const float* memory, const int64_t* length, const float* score,
                 long from, long to, long queries, long items, long width, long memory_width, float* context,
                 float* weights);
  double (*peak)(long rounds);  // multiply-adds in registers: flops done
};

}  // namespace stepscan
