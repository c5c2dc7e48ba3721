// Runs a stage: matrix products into a tile, then operations on it, for rows and blocks of a thread.
#pragma once
#include "program_products.h"

namespace stepscan {
namespace ISA {

constexpr long TILE_VECTORS = 64;  // of an operation; half and one and a half as many were no faster
constexpr long TILE_ROWS = 48, TILE_ROWS_WIDE = 24;  // multiples of what one product's tile is high

INLINE long tile_rows(long unit) { return unit == 1 ? TILE_ROWS : TILE_ROWS_WIDE; }
INLINE long tile_blocks(long unit, long rows) {
  long many = TILE_VECTORS / (rows * unit);
  return unit * (many > 1 ? many : 1);
}
INLINE long tile_capacity(long unit) {  // the most vectors of a tile
  long tall = tile_rows(unit) * unit;
  return tall > TILE_VECTORS ? tall : TILE_VECTORS;
}

static void run_operations(StageRun& s, long row, long rows, long block, long blocks) {
  const Extent e = extent(rows, blocks);
  const bool last = block + blocks == s.packed.blocks;
  const int tail = last ? in_block(s.stage.width, s.packed.blocks - 1) : LANES;
  const int64_t* item = s.shard.shard->item + s.now.item + row;
  for (int i = 0; i < s.stage.operations; i++) {
    const Operation& o = s.stage.operation[i];
    if (is_elementwise(o.code)) LOOPS[o.code](s.view, o, e);
    else if (is_reduction(o.code)) reduce(o, s.view, rows, blocks, tail);
    else if (o.code == CODE_accumulate) accumulate(s.view[o.to], s.view[o.a], rows, blocks);
    else if (o.code == CODE_load) {
      const View& from = s.first[o.a];
      load_items(s.view[o.to], from.at + block * LANES, from.row, item, rows, blocks, tail, s.stage.width == 1);
    } else {
      const View& to = s.first[o.to];
      store_items(to.at + block * LANES, to.row, s.view[o.a], item, rows, blocks, tail);
    }
  }
  if (tail < LANES && s.stage.width > 1)
    for (int i = 0; i < s.packed.cleared; i++)
      for (long r = 0; r < rows; r++) {
        const View& v = s.view[s.packed.clear[i]];
        float* at = v.at + r * v.row + (blocks - 1) * v.block;
        store(at, first_lanes_of(load(at), tail));
      }
}

INLINE bool is_largest(const StageRun& s, int operand) {
  for (int k = 0; k < s.stage.operations; k++)
    if (s.stage.operation[k].to == operand) return s.stage.operation[k].code == CODE_largest;
  return false;
}
static void begin_reductions(StageRun& s, long row, long rows) {
  for (int i = 0; i < s.packed.sums; i++) {
    const View& v = s.first[s.packed.sum[i]];
    const Vec none = is_largest(s, s.packed.sum[i]) ? zero() - infinity() : zero();
    for (long r = row; r < row + rows; r++) store(v.at + r * v.row, none);
  }
}
// A row's total, over its lanes and then over the slots of its array: an order that no cut of blocks changes
static void end_reductions(StageRun& s, long row, long rows) {
  for (int i = 0; i < s.packed.sums; i++) {
    const View& v = s.first[s.packed.sum[i]];
    const bool largest = is_largest(s, s.packed.sum[i]);
    for (long r = row; r < row + rows; r++) {
      alignas(64) float lane[LANES];
      store(lane, load(v.at + r * v.row));
      float total = lane[0];
      for (int k = 1; k < LANES; k++) total = !largest ? total + lane[k] : lane[k] > total || lane[k] != lane[k] ? lane[k] : total;
      store(v.at + r * v.row, set1(total));
    }
  }
  for (int i = 0; i < s.packed.sums; i++)
    for (int k = 0; k < s.packed.sums; k++) {
      const Operand &to = s.stage.operand[s.packed.sum[i]], &from = s.stage.operand[s.packed.sum[k]];
      if (to.slot || !from.slot || to.array != from.array) continue;
      const View &a = s.first[s.packed.sum[i]], &b = s.first[s.packed.sum[k]];
      for (long r = row; r < row + rows; r++) store(a.at + r * a.row, load(a.at + r * a.row) + load(b.at + r * b.row));
    }
}

// Blocks `from … to` of rows `row … row + rows`; the whole row where the stage reduces rows
static void run_stage(const ProgramShard& shard, const ProgramScratch& scratch, const Stage& stage, const PackedStage& packed,
                      const Moment& now, long from, long to, long row, long rows) {
  if (rows <= 0 || from >= to) return;
  StageRun s(shard, scratch, stage, packed, now);
  find_views(s);
  if (packed.sums) begin_reductions(s, row, rows);
  const long tall = packed.bare ? rows : tile_rows(packed.unit), height = rows < tall ? rows : tall, wide = tile_blocks(packed.unit, height);
  for (long j = from; j < to; j += wide)
    for (long r = row; r < row + rows; r += tall) {
      const long R = row + rows - r < tall ? row + rows - r : tall, blocks = to - j < wide ? to - j : wide;
      place_tile(s, r, j, R);
      run_products(s, r, R, j, blocks);
      run_operations(s, r, R, j, blocks);
    }
  if (packed.sums) end_reductions(s, row, rows);
}

// Consecutive stages without products take a few rows through all of them, which stay near.
static int stages_together(const StageList& list, int first, const PackedStage* packed, long* widest) {
  int end = first;
  for (*widest = 1; end < list.count && !list.stage[end].products; end++)
    if (packed[end].blocks > *widest) *widest = packed[end].blocks;
  return end;
}

INLINE void thread_blocks(const PackedStage& stage, const Group& group, long* from, long* to) {
  long units = (stage.blocks + stage.unit - 1) / stage.unit, last = units * (group.member + 1) / group.members * stage.unit;
  *from = units * group.member / group.members * stage.unit;
  *to = last < stage.blocks ? last : stage.blocks;
}

static void run_program(const ProgramShard& shard, const ProgramScratch& scratch, int program, const Moment& now, const Group& group,
                        bool x = true) {
  const PackedProgram& packed = *shard.call->packed;
  const StageList& list = packed.data->program[program];
  const PackedStage* stages = packed.stage[program];
  for (int i = 0; i < list.count;) {
    if (!x && list.stage[i].only_x) {
      i++;
      continue;
    }
    if (list.stage[i].products || group.members > 1) {
      long from, to;
      thread_blocks(stages[i], group, &from, &to);
      run_stage(shard, scratch, list.stage[i], stages[i], now, from, to, 0, now.rows);
      group.wait();
      i++;
      continue;
    }
    long widest;
    const int end = stages_together(list, i, stages, &widest);
    long few = end == i + 1 ? now.rows : TILE_VECTORS / widest;
    few = few < 1 ? 1 : few > TILE_ROWS ? TILE_ROWS : few;
    if (end == i + 1) few = now.rows;
    for (long r = 0; r < now.rows; r += few)
      for (int k = i; k < end; k++)
        if (x || !list.stage[k].only_x)
          run_stage(shard, scratch, list.stage[k], stages[k], now, 0, stages[k].blocks, r, now.rows - r < few ? now.rows - r : few);
    i = end;
  }
}

}  // namespace ISA
}  // namespace stepscan
