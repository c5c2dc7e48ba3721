// A stage at work on a tile: where its operands lie, and its matrix products.
#pragma once
#include "matrix.h"
#include "program_operations.h"
#include "team.h"

namespace stepscan {
namespace ISA {

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

// Whether a product's results, slots side by side, lie in memory as its tiles do: [rows][parts][LANES], a block to a panel
INLINE bool lies_as_tiles(const StageRun& s, const Product& p, const PackedMatrix& w) {
  const View& first = s.view[p.output[0]];
  bool same = w.unit == 1 && s.stage.width > 1 && first.row == p.outputs * LANES;
  for (int k = 1; k < p.outputs; k++) {
    const View& v = s.view[p.output[k]];
    same = same && v.at == first.at + k * LANES && v.row == first.row && v.block == first.block;
  }
  return same;
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
  const View& first = s.view[p.output[0]];
  const bool direct = lies_as_tiles(s, p, w);
  auto place = [&](long q, long r, int count) -> float* {
    for (int k = 0; k < s.packed.kept; k++) {
      const View& v = s.view[s.packed.keep[k]];
      for (int i = 0; i < count; i++) __builtin_prefetch(v.at + (r - row + i) * v.row + (q * w.unit - block) * v.block, 1);
    }
    return direct ? first.at + (r - row) * first.row + (q - block) * first.block : nullptr;
  };
  const long from = block / w.unit, to = (block + blocks + w.unit - 1) / w.unit;
  if (!w.first) return multiply_into(w.panels, row, row + rows, from, to, [&](long r) { return in.at(r); }, place, use);
  for (long q = from; q < to; q++)
    multiply_into(w.panels, row, row + rows, q, q + 1, [&](long r) { return in.at(r) + w.first[q]; }, place, use);
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

}  // namespace ISA
}  // namespace stepscan
