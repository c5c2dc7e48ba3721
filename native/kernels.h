// What the kernels of all instruction sets share: packed weights, the layout of a batch, and the table of functions.
#pragma once
#include <cstddef>
#include <cstdint>

namespace stepscan {

// Storage format of weights. Activations and sums are float32 in all formats; see matrix.h.
enum Format { FLOAT32, BFLOAT16, INT8 };

// The weights of one matrix product with K inputs, in panels of `width` vectors of LANES outputs, padded with zeros.
struct Matrix {
  Format format;
  int width;
  long K, panels;
  void* B;         // float32, bfloat16: [panels][K][width][LANES]; int8: [panels][⌈K / 4⌉][width][LANES][4]
  float* bias;     // [panels][width][LANES]: initial value of each sum
  float* scale;    // int8: [panels][width][LANES], value of a code of 1
  int32_t* start;  // int8: [panels][width][LANES], −128 · Σ codes
};

// Rows of a batch that one thread, or a group of threads that split the hidden units, processes over time.
struct Shard {
  long rows, steps, tokens;
  const int64_t* row;     // [rows] indices in the batch, longest row first
  const int64_t* length;  // [rows]
  const int64_t* active;  // [steps + 1] number of rows that have an item at this step; 0 at the end
  const int64_t* offset;  // [steps + 1] number of items in all earlier steps
  const int64_t* item;    // [tokens] index in [B · T] of item offset[t] + r
};

struct Group;  // team.h

// Addresses of rows: pointers, or one pointer and a stride, in floats.
struct RowView {
  float* const* base;
  float* first;
  long stride, offset;
  float* at(long row) const { return (base ? base[row] : first + row * stride) + offset; }
  RowView offset_by(long floats) const { return {base, first, stride, offset + floats}; }
  static RowView strided(const float* first, long stride) { return {nullptr, const_cast<float*>(first), stride, 0}; }
};
// The backward pass of attention, from gradients of the context and of the weights; the latter may be null, and so may `score`.
struct AttendBackwardArgs {
  const float *query, *keys, *memory;  // [B, queries, width], [B, items, width], [B, items, memory_width]
  const int64_t* length;               // [B]
  const float *score, *weights;        // [width]; [B, queries, items]
  const float *dcontext, *dweights;    // [B, queries, memory_width]; the shape of the weights
  long queries, items, width, memory_width;
  float *dquery, *dkeys, *dmemory, *dscore;  // the last one [B, width]: per row, to be summed
  float* scratch;                            // [B, items]
};

// The gradients of a linear map, or of some of its rows; see linear_back.h.
struct LinearBackArgs {
  const float* dy;  // [rows, outputs], `dy_stride` floats apart
  long dy_stride, rows, inputs, outputs;
  const float *weights, *x;  // packed columns of W [outputs, inputs] and of x [rows, inputs]
  float *dx, *dW, *db;       // [rows, inputs], [outputs, inputs], [outputs]; the last two are added to
};

// Self-attention of one head of one row, over queries at consecutive positions; see attention.h.
struct HeadAttention {
  long size, context;   // numbers of a head; items that a query sees, itself included, or 0: all items, later ones too
  long first, items;    // the position of the first query, and how many there are
  const float *q, *k, *v;  // [items, size], each item `stride` floats after the one before
  long stride;
  const float *old_k, *old_v;  // what the row's cache holds: [places, size], position p in place p % context, `old_stride` apart
  long old_stride;
  float* out;  // [items, size], `out_stride` apart; may be q
  long out_stride;
};

struct ProgramKernels;  // program_run.h

struct Kernels {
  const char* isa;
  int lanes;
  size_t (*linear_floats)(Format format, long inputs, long outputs);
  void (*linear_pack)(Matrix* to, Format format, const float* W, const float* bias, long inputs, long outputs, float* memory);
  // rows `from … to`; each thread of the group computes its panels of outputs
  void (*linear)(const Matrix* weights, RowView x, long from, long to, long outputs, RowView y, const Group&);
  void (*layer_norm)(const float* x, long from, long to, long size, const float* gain, const float* bias, float* y);
  void (*tanh)(const float* x, long from, long to, float* y);
  // e^((score − max) / temperature) in double precision; false if the maximum is not finite
  bool (*softmax_numerators)(const float* scores, long size, double temperature, double* y);
  void (*softmax)(const float* x, long from, long to, long size, float* y);
  void (*attend)(const float* query, const float* keys, const float* memory, const int64_t* length, const float* score,
                 long from, long to, long queries, long items, long width, long memory_width, float* context,
                 float* weights);
  void (*attend_back)(const AttendBackwardArgs& a, long from, long to);  // batch rows `from … to`
  // self-attention: the floats of scratch that a scan takes; a scan; and a step of heads side by side, whose item is in the cache
  size_t (*head_floats)(const HeadAttention& a);
  void (*head_scan)(const HeadAttention& a, float* scratch);
  void (*heads_step)(const HeadAttention& a, long heads);
  // turns each pair x[i], x[i + half] of a head by an angle with this cosine and sine, and scales all
  void (*rotate)(float* x, long size, const float* cosine, const float* sine, float scale);
  void (*gelu)(float* x, long size);  // in place
  // replaces scores [rows, size] by the gradient of their loss, which is Σ rest + log(sum)
  void (*cross_entropy)(float* scores, const int64_t* target, long from, long to, long size, float smoothing, float* rest, float* sum);
  void (*dropout)(const float* x, long size, uint64_t seed, uint32_t threshold, float scale, float* y);  // of one chunk
  // gradients of linear maps: packing rows `from … to` of a matrix by columns, and the floats that it takes; then dx of rows
  // `from … to`, and dW and db of outputs `from … to`
  size_t (*column_floats)(long rows, long columns);
  void (*pack_columns)(const float* matrix, long rows, long columns, long from, long to, float* out);
  void (*linear_back_inputs)(const LinearBackArgs& a, long from, long to);
  void (*linear_back_weights)(const LinearBackArgs& a, long from, long to);
  const ProgramKernels* programs;
  double (*peak)(long rounds);  // runs multiply-adds in registers; returns the number of floating-point operations
};

}  // namespace stepscan
