// Runs a stage: matrix products into a tile, then operations on it, for rows and blocks of a thread.
#pragma once
#include "matrix.h"
#include "program_operations.h"
#include "team.h"

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

struct StageRun {
  const ProgramShard& shard;
  const ProgramScratch& scratch;
  const Stage& stage;
  const PackedStage& packed;
  const Moment& now;
  View first[MAX_STAGE_OPERANDS], view[MAX_STAGE_OPERANDS];  // of the whole stage, and of a tile
  StageRun(const ProgramShard& memory, const ProgramScratch& of_thread, const Stage& what, const PackedStage& sizes, const Moment& when)
      : shard(memory), scratch(of_thread), stage(what), packed(sizes), now(when) {}
  const ProgramData& data() const { return *shard.call->packed->data; }
  const ProgramArray& array(int operand) const { return data().array[stage.operand[operand].array]; }
};

// The view of an operand from row 0 and block 0 on; of a temporary, without the distance of its blocks
INLINE View whole_view(const ProgramShard& shard, const ProgramScratch& scratch, const Operand& o, const Moment& now) {
  const ProgramArray& a = shard.call->packed->data->array[o.array];
  const long slot = (long)o.slot * LANES;
  if (a.kind == TEMPORARY) return {scratch.temporary[o.array] + slot, a.slots * LANES, 0};
  if (a.kind == SUM) return {scratch.temporary[o.array], 0, LANES};
  const Place& p = a.kind == VECTOR || a.kind == CONSTANT ? shard.call->packed->fixed[o.array] : shard.place[o.array];
  return {p.base + now.index[a.kind][o.shift] * p.row + slot, p.row, p.block};
}

INLINE void find_views(StageRun& s) {
  for (int i = 0; i < s.stage.operands; i++) s.first[i] = whole_view(s.shard, s.scratch, s.stage.operand[i], s.now);
}

INLINE void place_tile(StageRun& s, long row, long block, long rows) {
  const ProgramArray* arrays = s.data().array;
  for (int i = 0; i < s.stage.operands; i++) {
    const View& f = s.first[i];
    const ProgramArray& a = arrays[s.stage.operand[i].array];
    if (a.kind == TEMPORARY) s.view[i] = {f.at, f.row, a.width == 1 ? 0 : rows * f.row};
    else s.view[i] = {f.at + row * f.row + block * f.block, f.row, f.block};
  }
}

INLINE void put(const StageRun& s, int operand, long row, long block, Vec v) {  // row and block of the tile
  const View& to = s.view[operand];
  store(to.at + row * to.row + block * to.block, v);
}
INLINE Vec in_all_lanes(Vec v) {
  alignas(64) float lane[LANES];
  store(lane, v);
  return set1(lane[0]);
}

// What rows that end here have in place of a late product's result
static void end_gradients(StageRun& s, const Product& p, long row, long from, long rows, long block, long blocks) {
  const ProgramData& data = s.data();
  const float* d = p.leaf_part < 0 ? nullptr : s.shard.call->d_end[data.array[p.leaf_part].of];
  for (long r = from; r < rows; r++)
    for (long j = 0; j < blocks; j++) {
      Vec v = zero();
      if (d) {
        const ProgramArray& part = data.array[p.leaf_part];
        const float* at = d + s.shard.shard->row[row + r] * data.leaf_width[part.of] + part.offset + (block + j) * LANES;
        v = part.width == 1 ? set1(*at) : load_part(at, in_block(part.width, block + j));
      }
      put(s, p.output[0], r, j, v);
    }
}

// A row of a product's input, in the caller's memory or in an array of ours
struct InputRows {
  const float* base;
  long stride;
  const int64_t* item;
  const float* at(long row) const { return base + (item ? item[row] : row) * stride; }
};
INLINE InputRows input_rows(const StageRun& s, const Product& p) {
  const ProgramArray& a = s.data().array[p.in.array];
  const View v = whole_view(s.shard, s.scratch, p.in, s.now);
  return {v.at, v.row, a.kind == ITEMS ? s.shard.shard->item + s.now.item : nullptr};
}

static void multiply_back(StageRun& s, const Product& p, const PackedMatrix& w, long row, long rows, long block, long blocks) {
  const ProgramMatrix& m = s.data().matrix[p.matrix];
  const View in = whole_view(s.shard, s.scratch, p.in, s.now);
  const int width = (int)w.unit;
  const long K = w.chunks * m.parts * LANES;
  for (long q = block / w.unit; q * w.unit < block + blocks; q++) {
    const float* B = w.back + q * K * width * LANES;
    const float* from = in.at + (w.first ? w.first[q] * in.block : 0);
    for_tiles(row, row + rows, width, [&](long r, int count, int tile) {
      const float* input[MAX_ROWS];
      alignas(64) float out[TILE_FLOATS];
      for (int i = 0; i < count; i++) input[i] = from + (r + i) * in.row;
      for (int k = 0; k < s.packed.kept; k++) {
        const View& v = s.view[s.packed.keep[k]];
        for (int i = 0; i < count; i++) __builtin_prefetch(v.at + (r - row + i) * v.row + (q * w.unit - block) * v.block, 1);
      }
      TILES[width - 1][count - 1](input, w.chunks, m.parts * LANES, in.block, B, nullptr, out, fetch_ahead(B, K, width, q, w.count, tile));
      for (int i = 0; i < count; i++)
        for (int u = 0; u < width && q * w.unit + u < s.packed.blocks; u++) {
          Vec v = load(out + (i * width + u) * LANES);
          put(s, p.output[0], r - row + i, q * w.unit + u - block, s.stage.width == 1 ? in_all_lanes(v) : v);
        }
    });
  }
}

static void multiply_forward(StageRun& s, const Product& p, const PackedMatrix& w, long row, long rows, long block, long blocks) {
  const int parts = s.data().matrix[p.matrix].parts;
  const InputRows in = input_rows(s, p);
  auto use = [&](long q, long r, int count, const float* out) {
    for (long u = 0; u < w.unit && q * w.unit + u < s.packed.blocks; u++)
      for (int part = 0; part < parts; part++) {
        const View& to = s.view[p.output[part]];
        float* at = to.at + (r - row) * to.row + (q * w.unit + u - block) * to.block;
        const float* from = out + (u * parts + part) * LANES;
        if (s.stage.width == 1) for (int i = 0; i < count; i++) store(at + i * to.row, in_all_lanes(load(from + i * w.panels.width * LANES)));
        else for (int i = 0; i < count; i++) store(at + i * to.row, load(from + i * w.panels.width * LANES));
      }
  };
  auto fetch = [&](long q, long r, int count) {
    for (int k = 0; k < s.packed.kept; k++) {
      const View& v = s.view[s.packed.keep[k]];
      for (int i = 0; i < count; i++) __builtin_prefetch(v.at + (r - row + i) * v.row + (q * w.unit - block) * v.block, 1);
    }
  };
  const long from = block / w.unit, to = (block + blocks + w.unit - 1) / w.unit;
  if (!w.first) return multiply(w.panels, row, row + rows, from, to, [&](long r) { return in.at(r); }, fetch, use);
  for (long q = from; q < to; q++)
    multiply(w.panels, row, row + rows, q, q + 1, [&](long r) { return in.at(r) + w.first[q]; }, fetch, use);
}

static void run_products(StageRun& s, long row, long rows, long block, long blocks) {
  for (int i = 0; i < s.stage.products; i++) {
    const Product& p = s.stage.product[i];
    const PackedMatrix& w = s.shard.call->packed->matrix[p.matrix];
    const bool back = s.data().matrix[p.matrix].back;
    if (!back) {
      multiply_forward(s, p, w, row, rows, block, blocks);
      continue;
    }
    long count = !p.late ? rows : s.now.fresh - row < 0 ? 0 : s.now.fresh - row < rows ? s.now.fresh - row : rows;
    if (count) multiply_back(s, p, w, row, count, block, blocks);
    if (count < rows) end_gradients(s, p, row, count, rows, block, blocks);
  }
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
