// What the kernels of programs share: where arrays lie in memory, and where a scan is in time.
#pragma once
#include "buffer.h"
#include "kernels.h"
#include "program.h"

namespace stepscan {

constexpr int MAX_STAGE_OPERANDS = 512;

// Memory that arrays lie in. Places count from the beginning of one, so that they are found once, whatever memory a call has.
enum Region { SCAN_MEMORY, BACK_MEMORY, TILE_MEMORY, WEIGHT_MEMORY, CALLERS_MEMORY, REGIONS = CALLERS_MEMORY + X_GRADIENT + 1 };
struct Place {  // of an array: row i, block j of slot s begins at first + i · row + j · block + s · LANES of its region
  int region;
  long first, row, block;
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
// What steps need to know of a stage, found when weights are packed
struct PackedOperand {
  int array, kind, shift;
  long slot;  // floats from the first slot to this one
};
struct PackedProduct {
  PackedOperand in;
  bool in_items;      // the input is in the caller's memory
  // results lie as they are made, slots side by side: [rows][parts][LANES], a block to a panel; or those of one row do
  bool as_tiles, row_as_tiles;
};
struct PackedSum {  // a row's total
  int operand, first;  // first: the sum of the first slot, which this one is added to; −1 for itself
  bool largest;
};
struct PackedStage {
  long blocks, unit;  // threads and tiles divide its blocks by multiples of `unit`
  bool bare;          // products into arrays outside the tile, and nothing else
  int end;            // the first stage from this one on that has products …
  long together;      // … and rows that go through those before it together, so that they stay near; 0 for all
  const PackedOperand* operand;
  const PackedProduct* product;
  long views;         // its first in a thread's memory
  // operands: reduced into, first those that stand for an array; that lie elsewhere at another moment; of the tile; KEPT, fetched early;
  // with zeros past the width
  int sums, totals, moving, temporaries, kept, cleared;
  const PackedSum* sum;
  const int *move, *temporary, *keep, *clear;
};
struct PackedState {  // an array of the state
  int array;
  long first;  // its first number, of those of all leaves side by side
};
struct PackedProgram {
  const ProgramData* data;
  PackedMatrix* matrix;
  Place* place;  // of each array in TILE_MEMORY and WEIGHT_MEMORY
  PackedStage* stage[PROGRAMS];
  int states, tabulated;
  const PackedState* state;
  const int* table;    // the arrays that steps read of what x alone makes …
  long table_floats;   // … and their numbers for one item; 0 if steps read x, too
  float* memory;       // of weights
  size_t tile_floats;  // of a thread's TILE_MEMORY, which begins with the views of all stages
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
  const Place* place;  // of each array
  bool save;     // whether all items are kept
  long chunk;    // items that `items` makes at a time
  float *memory, *back_memory;
};
struct Moment {
  long rows;   // of this step; or items
  long fresh;  // rows that have a later step too
  long item;   // index in shard.item of the first
  bool reverse;  // whether blocks go from the last one to the first: what a step has read last, the one after it finds in the cache
  long index[ARRAY_KINDS][2];  // row of each kind of array, by shift
};

struct GradientInputs {  // of the gradient of weights, for a part of a shard's items: [panels][items][width][LANES]
  const WeightGradient* of;
  long shard, first, items, panels, line;  // first: the step that the part begins with; line: floats of an item in a panel
  int width;                               // its vectors
  bool shared;  // whether several works read a panel, so that all of it is packed before; else the work packs it, as it goes
  float* memory;
};
struct GradientWork {  // one work item of the gradient of weights
  const WeightGradient* of;
  long panel, from, to;  // of the inputs' blocks; blocks of its outputs
  int width;             // vectors of a panel
  bool clear;            // whether nothing is there yet
};

// The kernels of programs, for one instruction set. All memory is the caller's; nothing is allocated. `tiles` is a thread's.
struct ProgramKernels {
  void (*lay_out_weights)(PackedProgram*, Format, ArenaLayout*);  // sets sizes and, if the arena has memory, pointers
  void (*pack)(const PackedProgram*, const float* const* weights, const Group&);
  // find the place of each array, and return how many floats of `memory` and of `back_memory` these take; the latter for so many
  // items at a time, after the former
  size_t (*lay_out_forward)(ProgramShard*, Place*);
  size_t (*lay_out_backward)(ProgramShard*, Place*, long items);
  void (*forward)(const ProgramShard*, float* tiles, const Group&);
  // steps from `last` − 1 down to `first`
  void (*backward)(const ProgramShard*, float* tiles, long first, long last, const Group&);
  // items `from` … `to` of the steps from `first` on, all stages; `x` says whether the gradient of x is wanted
  void (*items_back)(const ProgramShard*, float* tiles, long first, long from, long to, bool x);
  long (*gradient_works)(const ProgramData*, GradientWork*);  // their number; written where not null
  void (*shape_inputs)(GradientInputs*);  // sets panels, width and `shared`
  // packs all panels of items `from` … `to`
  void (*gather_inputs)(const ProgramShard*, const GradientInputs*, long from, long to);
  // `inputs` of each shard
  void (*gradient)(const ProgramShard*, long shards, const GradientWork*, const GradientInputs* inputs, float* const* to);
  void (*add_sums)(const PackedProgram*, const float* tiles, float* const* to);
  void (*clear_sums)(const PackedProgram*, float* tiles);
  // one step of rows of length 1; `given`: whether their tables (see `read_table`) have been read, so that x is not
  void (*step)(const ProgramShard*, bool given, float* tiles, const Group&);
  void (*items)(const ProgramShard*, float* tiles, const Group&);  // what such a step makes of x alone
  void (*read_table)(const ProgramShard*, long row, const float* table);  // that of a row, as numbers side by side
  void (*write_table)(const ProgramShard*, long row, float* table);
  void (*read_state)(const ProgramShard*, long row, const float* state);  // leaves side by side, before a step
  void (*write_state)(const ProgramShard*, long row, float* state);       // after it
};

}  // namespace stepscan
