// What the kernels of programs share: where arrays lie in memory, and where a scan is in time.
#pragma once
#include "buffer.h"
#include "kernels.h"
#include "program.h"

namespace stepscan {

constexpr int MAX_STAGE_OPERANDS = 512;

struct Place {  // of an array: row i, block j of slot s begins at base + i · row + j · block + s · LANES
  float* base;
  long row, block;
};
struct View {  // of an operand in one tile: the same, from the tile's first row and block
  float* at;
  long row, block;
};

struct PackedMatrix {  // weights of a ProgramMatrix, in panels of `unit` blocks of all its parts
  Matrix panels;       // not transposed
  float* few;          // memory for LANES rows, where those of the weights must be gathered first
  float* back;         // transposed: [panels][chunks · parts · LANES][width][LANES]
  long unit, count, chunks;  // blocks and number of panels; transposed: blocks of gradients that a panel reads
  const long* first;   // block-diagonal: for each panel, the first input, or block of gradients; null for 0
};
struct PackedStage {
  long blocks, unit;  // threads and tiles divide its blocks by multiples of `unit`
  bool bare;           // products into arrays outside the tile, and nothing else
  int sums, kept, cleared;  // operands: reduced into; KEPT, fetched early; whose lanes past the width are set to zero
  const int *sum, *keep, *clear;
};
struct PackedProgram {
  const ProgramData* data;
  PackedMatrix* matrix;
  Place* fixed;  // of each VECTOR and CONSTANT
  PackedStage* stage[PROGRAMS];
};

struct ProgramCall {  // the caller's memory
  const PackedProgram* packed;
  const float* x;  // [B, T, input], `x_stride` floats an item
  float* y;        // [B, T, output], the same
  const float* dy;
  float* dx;
  long x_stride, y_stride, steps;  // T
  const float *const *start, *const *d_end;  // of each leaf [B, width], or null for zeros
  float *const *end, *const *d_start;        // or null
};
struct ProgramShard {  // a shard's memory
  const ProgramCall* call;
  const Shard* shard;
  Place* place;  // of each array; those of TEMPORARY and SUM are in a thread's scratch memory
  bool save;     // whether all items are kept
  long chunk;    // items that `items` makes at a time
};
struct ProgramScratch {  // of a thread
  float* const* temporary;  // for each array that is TEMPORARY or SUM
};
struct Moment {
  long rows;   // of this step; or items
  long fresh;  // rows that have a later step too
  long item;   // index in shard.item of the first
  long index[ARRAY_KINDS][2];  // row of each kind of array, by shift
};

struct GradientInputs {  // of the gradient of weights, for a part of a shard's items: [panels][items][width][LANES]
  const WeightGradient* of;
  long shard, items, panels, line;  // line: floats of an item in a panel
  int width;                        // its vectors
  float* memory;
};
struct GradientWork {  // one work item of the gradient of weights
  const WeightGradient* of;
  long panel, from, to;  // of the inputs' blocks; blocks of its outputs
  int width;             // vectors of a panel
  bool clear;            // whether nothing is there yet
};

// The kernels of programs, for one instruction set. All memory is the caller's; nothing is allocated.
struct ProgramKernels {
  void (*lay_out_weights)(PackedProgram*, Format, ArenaLayout*);  // sets sizes and, if the arena has memory, pointers
  void (*pack)(const PackedProgram*, const float* const* weights, const Group&);
  void (*lay_out_forward)(ProgramShard*, ArenaLayout*);
  void (*lay_out_backward)(ProgramShard*, long items, ArenaLayout*);  // for so many items at a time
  void (*lay_out_scratch)(const PackedProgram*, float** temporary, ArenaLayout*);
  void (*forward)(const ProgramShard*, const ProgramScratch&, const Group&);
  // steps from `last` − 1 down to `first`
  void (*backward)(const ProgramShard*, const ProgramScratch&, long first, long last, const Group&);
  // items `from` … `to` of the steps from `first` on, all stages; `x` says whether the gradient of x is wanted
  void (*items_back)(const ProgramShard*, const ProgramScratch&, long first, long from, long to, bool x);
  long (*gradient_works)(const ProgramData*, GradientWork*);  // their number; written where not null
  void (*shape_inputs)(GradientInputs*);  // sets panels and width
  // packs those of items `from` … `to` of the steps from `first` on
  void (*gather_inputs)(const ProgramShard*, const GradientInputs*, long first, long from, long to);
  // `inputs` of each shard
  void (*gradient)(const ProgramShard*, long shards, const GradientWork*, const GradientInputs* inputs, float* const* to);
  void (*add_sums)(const ProgramData*, const ProgramScratch&, float* const* to);
  void (*clear_sums)(const ProgramData*, const ProgramScratch&);
  void (*step)(const ProgramShard*, const ProgramScratch&, const Group&);  // one step of rows of length 1
  void (*read_state)(const ProgramShard*, long row, const float* state);   // leaves side by side, before a step
  void (*write_state)(const ProgramShard*, long row, float* state);        // after it
};

}  // namespace stepscan
