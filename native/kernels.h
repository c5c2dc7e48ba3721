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

// How weights are kept. Activations and sums are float32 in all of them; see matrix.h.
enum Format { FLOAT32, BFLOAT16, INT8 };

// The weights of one product, K numbers in, in panels of `width` vectors of LANES outputs. Outputs past the last are zeros.
struct Matrix {
  Format format;
  int width;
  long K, panels;
  void* B;         // float32, bfloat16: [panels][K][width][LANES]; int8: [panels][⌈K / 4⌉][width][LANES][4]
  float* bias;     // [panels][width][LANES]: where each sum starts
  float* scale;    // int8: [panels][width][LANES], what a code of 1 is worth
  int32_t* start;  // int8: [panels][width][LANES], −128 · Σ codes
};

// The same weights in panels: each holds `units` blocks of LANES hidden units, each block with its gates.
struct Packed {
  long input, hidden;
  Format format;
  int units, in_width, hidden_width;    // blocks a panel; panel widths of what multiplies from the right in backward
  long panels, in_panels, hidden_panels;
  Matrix in, rec;
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

// Where each row's numbers are: in places of their own, or `stride` apart.
struct Places {
  float* const* base;
  float* first;
  long stride, offset;
  float* at(long row) const { return (base ? base[row] : first + row * stride) + offset; }
  Places after(long more) const { return {base, first, stride, offset + more}; }
  static Places flat(const float* first, long stride) { return {nullptr, const_cast<float*>(first), stride, 0}; }
};
// One item of each of `count` rows.
struct Rows {
  long count;
  Places x, h, c;         // [I], [H], [H]
  Places h_next, c_next;  // [H]; h_next are other places than h, c_next may be those of c
  bool multiplied;        // x holds input products already, as `products` makes them
};

// Attention on the way back. Gradients of the context and of the weights come in; the latter may be null, and so may the score.
struct AttendBack {
  const float *query, *keys, *memory;  // [B, queries, width], [B, items, width], [B, items, memory_width]
  const int64_t* length;               // [B]
  const float *score, *weights;        // [width]; [B, queries, items]
  const float *dcontext, *dweights;    // [B, queries, memory_width]; as the weights
  long queries, items, width, memory_width;
  float *dquery, *dkeys, *dmemory, *dscore;  // the last [B, width]: each row's share
  float* spare;                              // [B, items]
};

// One cell on one instruction set.
struct CellKernels {
  const char* name;
  int gates, leaves, extras;
  bool whole_rows;  // a step needs all of a row's units at once, so that threads share rows, never units
  void (*shape)(Packed*);                                                // fills in the sizes from input and hidden
  size_t (*weight_floats)(const Packed*, bool backward);
  void (*lay_out)(Packed*, float* memory, bool backward);                  // where the weights will be
  void (*pack)(const Packed*, const Parameters*, const Group&);            // each thread its own panels
  void (*step)(const Packed*, const Rows*, float* scratch, const Group&);  // one item of each row
  size_t (*step_floats)(const Packed*, long rows);                         // scratch of `step`
  size_t (*product_floats)(const Packed*);                                 // of one row's input products
  void (*products)(const Packed*, const float* x, float* to);              // one row
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
  size_t (*linear_floats)(Format format, long inputs, long outputs);
  void (*linear_pack)(Matrix* to, Format format, const float* W, const float* bias, long inputs, long outputs, float* memory);
  // rows `from … to`, and of their outputs the panels of one thread of a group
  void (*linear)(const Matrix* weights, Places x, long from, long to, long outputs, Places y, const Group&);
  void (*layer_norm)(const float* x, long from, long to, long size, const float* gain, const float* bias, float* y);
  void (*tanh)(const float* x, long from, long to, float* y);
  // e^((score − the greatest) / temperature) in double precision; false where the greatest is no finite number
  bool (*chances)(const float* scores, long size, double temperature, double* y);
  void (*softmax)(const float* x, long from, long to, long size, float* y);
  void (*attend)(const float* query, const float* keys, const float* memory, const int64_t* length, const float* score,
                 long from, long to, long queries, long items, long width, long memory_width, float* context,
                 float* weights);
  void (*attend_back)(const AttendBack& a, long from, long to);  // batch rows `from … to`
  // scores [rows, size] become the gradient of their loss, which is Σ rest + log(sum)
  void (*cross_entropy)(float* scores, const int64_t* target, long from, long to, long size, float smoothing, float* rest, float* sum);
  void (*dropout)(const float* x, long size, uint64_t seed, uint32_t least, float scale, float* y);  // one piece
  double (*peak)(long rounds);  // multiply-adds in registers: flops done
};

}  // namespace stepscan
