// Runs a stage: matrix products into a tile, then operations on it, for rows and blocks of a thread.
#pragma once
#include "program_products.h"

namespace stepscan {
namespace ISA {

constexpr long TILE_VECTORS = 64;  // of an operation; half and one and a half as many were no faster
constexpr long TILE_ROWS = 48, TILE_ROWS_WIDE = 24;  // multiples of what one product's tile is high

INLINE long tile_rows(long unit) { return unit == 1 ? TILE_ROWS : TILE_ROWS_WIDE; }
INLINE long tile_blocks(long unit, long rows) {
  long many = (unsigned)TILE_VECTORS / (unsigned)(rows * unit);  // a short division, at every step
  return unit * (many > 1 ? many : 1);
}
INLINE long tile_capacity(long unit) {  // the most vectors of a tile
  long tall = tile_rows(unit) * unit;
  return tall > TILE_VECTORS ? tall : TILE_VECTORS;
}

static void load_or_store(const StageRun& s, const Operation& o, long row, long rows, long block, long blocks, int tail) {
  const int64_t* item = s.shard.shard->item + s.now.item + row;
  if (o.code == CODE_load) {
    const View& from = s.whole[o.a];
    load_items(s.view[o.to], from.at + block * LANES, from.row, item, rows, blocks, tail, s.stage.width == 1);
  } else {
    const View& to = s.whole[o.to];
    store_items(to.at + block * LANES, to.row, s.view[o.a], item, rows, blocks, tail);
  }
}
static void clear_tail(const StageRun& s, long rows, long blocks, int tail) {
  for (int i = 0; i < s.packed.cleared; i++)
    for (long r = 0; r < rows; r++) {
      const View& v = s.view[s.packed.clear[i]];
      float* at = v.at + r * v.row + (blocks - 1) * v.block;
      store(at, first_lanes_of(load(at), tail));
    }
}
static void run_operations(StageRun& s, long row, long rows, long block, long blocks) {
  const Extent e = extent(rows, blocks);
  const int tail = block + blocks == s.packed.blocks ? in_block(s.stage.width, s.packed.blocks - 1) : LANES;
  for (int i = 0; i < s.stage.operations; i++) {
    const Operation& o = s.stage.operation[i];
    if (is_elementwise(o.code)) LOOPS[o.code](s.view, o, e);
    else if (is_reduction(o.code)) i += reduce(&o, s.stage.operations - i, s.view, rows, blocks, tail) - 1;
    else if (o.code == CODE_accumulate) accumulate(s.view[o.to], s.view[o.a], rows, blocks);
    else load_or_store(s, o, row, rows, block, blocks, tail);
  }
  if (tail < LANES && s.stage.width > 1) clear_tail(s, rows, blocks, tail);
}

static void begin_reductions(StageRun& s, long row, long rows) {
  for (int i = 0; i < s.packed.sums; i++) {
    const View& v = s.whole[s.packed.sum[i].operand];
    const Vec none = s.packed.sum[i].largest ? zero() - infinity() : zero();
    for (long r = row; r < row + rows; r++) store(v.at + r * v.row, none);
  }
}
// The sum of LANES numbers or vectors, by halves, which is a short chain of additions; it is left in the first one
template <class Number>
INLINE void add_halves(Number* lane) {
  for (int half = LANES / 2; half; half /= 2)
    for (int k = 0; k < half; k++) lane[k] = lane[k] + lane[k + half];
}
INLINE float largest_lane(Vec v) {  // NaN if there is one
  alignas(64) float lane[LANES];
  store(lane, v);
  float total = lane[0];
  for (int k = 1; k < LANES; k++) total = lane[k] > total || lane[k] != lane[k] ? lane[k] : total;
  return total;
}
INLINE const float* sum_at(const StageRun& s, int sum, long row) {
  const View& v = s.whole[s.packed.sum[sum].operand];
  return v.at + row * v.row;
}
// The sums of a row, each over the slots of its array
INLINE void add_slots(const StageRun& s, long row, Vec* sum) {
  for (int i = 0; i < s.packed.totals; i++) sum[i] = load(sum_at(s, i, row));
  for (int i = s.packed.totals; i < s.packed.sums; i++) sum[s.packed.sum[i].first] = sum[s.packed.sum[i].first] + load(sum_at(s, i, row));
}
// Of some rows, [rows][totals]; many are turned, so that one addition serves all: the order of each is that of its lanes in either case
static void find_totals(const StageRun& s, long row, long rows, float* total) {
  const int totals = s.packed.totals;
  bool turned = rows * totals >= LANES / 4 && rows * totals <= LANES;
  for (int i = 0; i < totals; i++) turned = turned && !s.packed.sum[i].largest;
  Vec sum[MAX_STAGE_OPERANDS < LANES ? LANES : MAX_STAGE_OPERANDS];
  if (turned) {
    for (int k = 0; k < LANES; k++) sum[k] = zero();
    for (long r = 0; r < rows; r++) add_slots(s, row + r, sum + r * totals);
    transpose(*(Vec(*)[LANES])sum);
    add_halves(sum);
    store(total, sum[0]);
    return;
  }
  for (long r = 0; r < rows; r++, total += totals) {
    add_slots(s, row + r, sum);
    for (int i = 0; i < totals; i++) {
      alignas(64) float lane[LANES];
      store(lane, sum[i]);
      if (!s.packed.sum[i].largest) add_halves(lane);
      total[i] = s.packed.sum[i].largest ? largest_lane(sum[i]) : lane[0];
    }
  }
}
// A row's total, over the slots of its array and then over its lanes: an order that no cut of blocks changes
static void end_reductions(StageRun& s, long row, long rows) {
  const int totals = s.packed.totals;
  const long few = totals < LANES ? LANES / totals : 1;
  float total[MAX_STAGE_OPERANDS + LANES];
  for (long first = row; first < row + rows; first += few) {
    const long count = row + rows - first < few ? row + rows - first : few;
    find_totals(s, first, count, total);
    const float* of_row = total;
    for (long r = first; r < first + count; r++, of_row += totals)
      for (int i = 0; i < totals; i++) {
        const View& v = s.whole[s.packed.sum[i].operand];
        store(v.at + r * v.row, set1(of_row[i]));
      }
  }
}

// Blocks `from … to` of rows `row … row + rows`; the whole row where the stage reduces rows
static void run_stage(const ThreadMemory& memory, const Stage& stage, const PackedStage& packed, const Moment& now, long from, long to,
                      long row, long rows) {
  if (rows <= 0 || from >= to) return;
  StageRun s(memory, stage, packed, now);
  const long tall = packed.bare ? rows : tile_rows(packed.unit), height = rows < tall ? rows : tall, wide = tile_blocks(packed.unit, height);
  const bool one_tile = !row && !from && rows <= tall && to <= wide, reverse = now.reverse && !packed.sums;  // sums have one order
  move_views(s, height);
  if (packed.sums) begin_reductions(s, row, rows);
  const long last = one_tile || !reverse ? from : from + (to - from - 1) / wide * wide;
  for (long k = from; k < to; k += wide) {
    const long j = reverse ? last - (k - from) : k, blocks = to - j < wide ? to - j : wide;
    for (long r = row; r < row + rows; r += tall) {
      const long R = row + rows - r < tall ? row + rows - r : tall;
      if (!one_tile) place_tile(s, r, j, R);
      run_products(s, r, R, j, blocks);
      run_operations(s, r, R, j, blocks);
    }
  }
  if (packed.sums) end_reductions(s, row, rows);
}

INLINE void thread_blocks(const PackedStage& stage, const Group& group, long* from, long* to) {
  long units = (stage.blocks + stage.unit - 1) / stage.unit, last = units * (group.member + 1) / group.members * stage.unit;
  *from = units * group.member / group.members * stage.unit;
  *to = last < stage.blocks ? last : stage.blocks;
}

static void run_program(const ThreadMemory& memory, int program, const Moment& now, const Group& group, bool x = true) {
  const PackedProgram& packed = *memory.shard.call->packed;
  const StageList& list = packed.data->program[program];
  const PackedStage* stages = packed.stage[program];
  for (int i = 0; i < list.count;) {
    if (!x && list.stage[i].only_x) {
      i++;
      continue;
    }
    if (list.stage[i].products || group.members > 1) {
      long from = 0, to = stages[i].blocks;
      if (group.members > 1) thread_blocks(stages[i], group, &from, &to);
      run_stage(memory, list.stage[i], stages[i], now, from, to, 0, now.rows);
      group.wait();
      i++;
      continue;
    }
    const long few = stages[i].together ? stages[i].together : now.rows;
    for (long r = 0; r < now.rows; r += few)
      for (int k = i; k < stages[i].end; k++)
        if (x || !list.stage[k].only_x) run_stage(memory, list.stage[k], stages[k], now, 0, stages[k].blocks, r, now.rows - r < few ? now.rows - r : few);
    i = stages[i].end;
  }
}

}  // namespace ISA
}  // namespace stepscan
