// A stage at work on a tile: where its operands lie, and its matrix products.
#pragma once
#include "matrix.h"
#include "program_operations.h"
#include "team.h"

namespace stepscan {
namespace ISA {

// A shard's memory and a thread's own
struct ThreadMemory {
  const ProgramShard& shard;
  float* region[REGIONS];
  ThreadMemory(const ProgramShard& s, float* tiles) : shard(s) {
    const ProgramCall& call = *s.call;
    region[SCAN_MEMORY] = s.memory, region[BACK_MEMORY] = s.back_memory, region[TILE_MEMORY] = tiles, region[WEIGHT_MEMORY] = call.packed->memory;
    region[CALLERS_MEMORY + X] = const_cast<float*>(call.x), region[CALLERS_MEMORY + Y] = call.y;
    region[CALLERS_MEMORY + Y_GRADIENT] = const_cast<float*>(call.dy), region[CALLERS_MEMORY + X_GRADIENT] = call.dx;
  }
  const ProgramData& data() const { return *shard.call->packed->data; }
  View* views() const { return (View*)region[TILE_MEMORY]; }
  float* at(int array, long row, long block) const {
    const Place& p = shard.place[array];
    return region[p.region] + p.first + row * p.row + block * p.block;
  }
};

struct StageRun {
  const ThreadMemory& memory;
  const ProgramShard& shard;
  const Stage& stage;
  const PackedStage& packed;
  const Moment& now;
  View* whole;       // of the stage, kept from moment to moment
  const View* view;  // of a tile: these, or those of a part of the stage
  View part[MAX_STAGE_OPERANDS];
  StageRun(const ThreadMemory& of, const Stage& what, const PackedStage& found, const Moment& when)
      : memory(of), shard(of.shard), stage(what), packed(found), now(when), whole(of.views() + found.views), view(whole) {}
  const ProgramData& data() const { return memory.data(); }
};

// The view of an operand from row 0 and block 0 on; of a temporary, without the distance of its blocks
INLINE View whole_view(const ThreadMemory& memory, const PackedOperand& o, const Moment& now) {
  const Place& p = memory.shard.place[o.array];
  return {memory.region[p.region] + p.first + o.slot + now.index[o.kind][o.shift] * p.row, p.row, p.block};
}

// Views of a program's stages that are the same at all moments
static void find_views(const ThreadMemory& memory, int program) {
  const PackedProgram& packed = *memory.shard.call->packed;
  const Moment none{};
  for (int k = 0; k < packed.data->program[program].count; k++) {
    const PackedStage& stage = packed.stage[program][k];
    for (int i = 0; i < packed.data->program[program].stage[k].operands; i++) memory.views()[stage.views + i] = whole_view(memory, stage.operand[i], none);
  }
}
// The others, at this moment, and those of temporaries of a tile of so many rows
INLINE void move_views(StageRun& s, long rows) {
  for (int i = 0; i < s.packed.moving; i++) s.whole[s.packed.move[i]] = whole_view(s.memory, s.packed.operand[s.packed.move[i]], s.now);
  for (int i = 0; i < s.packed.temporaries; i++) {
    View& v = s.whole[s.packed.temporary[i]];
    v.block = rows * v.row;
  }
}
// Views of one of several tiles
INLINE void place_tile(StageRun& s, long row, long block, long rows) {
  for (int i = 0; i < s.stage.operands; i++) {
    const View& v = s.whole[i];
    s.part[i] = {v.at + row * v.row + block * v.block, v.row, v.block};
  }
  for (int i = 0; i < s.packed.temporaries; i++) {
    const View& v = s.whole[s.packed.temporary[i]];
    s.part[s.packed.temporary[i]] = {v.at, v.row, rows * v.row};
  }
  s.view = s.part;
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
INLINE InputRows input_rows(const StageRun& s, const PackedProduct& p) {
  const View v = whole_view(s.memory, p.in, s.now);
  return {v.at, v.row, p.in_items ? s.shard.shard->item + s.now.item : nullptr};
}

// What operations after a product read of a block was kept long ago
INLINE void fetch_kept(const StageRun& s, long row, int rows, long block) {
  for (int k = 0; k < s.packed.kept; k++) {
    const View& v = s.view[s.packed.keep[k]];
    for (int i = 0; i < rows; i++) __builtin_prefetch(v.at + (row + i) * v.row + block * v.block, 1);
  }
}

static void multiply_back(StageRun& s, const Product& p, const PackedProduct& packed, const PackedMatrix& w, long row, long rows, long block, long blocks) {
  const ProgramMatrix& m = s.data().matrix[p.matrix];
  const View in = whole_view(s.memory, packed.in, s.now);
  const int width = (int)w.unit;
  const long K = w.chunks * m.parts * LANES;
  const long first = block / w.unit, end = (block + blocks + w.unit - 1) / w.unit;
  for (long k = first; k < end; k++) {
    const long q = s.now.reverse ? end - 1 - (k - first) : k, next = s.now.reverse ? q - 1 : q + 1;
    const float* B = w.back + q * K * width * LANES;
    const float* from = in.at + (w.first ? w.first[q] * in.block : 0);
    for_tiles(row, row + rows, width, [&](long r, int count, int tile) {
      const float* input[MAX_ROWS];
      alignas(64) float out[TILE_FLOATS];
      for (int i = 0; i < count; i++) input[i] = from + (r + i) * in.row;
      fetch_kept(s, r - row, count, q * w.unit - block);
      TILES[width - 1][count - 1](input, w.chunks, m.parts * LANES, in.block, B, nullptr, out, fetch_ahead(B, K, width, q, next, w.count, tile));
      for (int i = 0; i < count; i++)
        for (int u = 0; u < width && q * w.unit + u < s.packed.blocks; u++) {
          Vec v = load(out + (i * width + u) * LANES);
          put(s, p.output[0], r - row + i, q * w.unit + u - block, s.stage.width == 1 ? in_all_lanes(v) : v);
        }
    });
  }
}

static void multiply_forward(StageRun& s, const Product& p, const PackedProduct& packed, const PackedMatrix& w, long row, long rows, long block, long blocks) {
  const int parts = s.data().matrix[p.matrix].parts;
  const InputRows in = input_rows(s, packed);
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
  const bool direct = packed.as_tiles || (packed.row_as_tiles && rows == 1);
  auto place = [&](long q, long r, int count) -> float* {
    fetch_kept(s, r - row, count, q * w.unit - block);
    return direct ? first.at + (r - row) * first.row + (q * w.unit - block) * first.block : nullptr;
  };
  const long from = block / w.unit, to = (block + blocks + w.unit - 1) / w.unit;
  if (!w.first) return multiply_into(w.panels, row, row + rows, from, to, s.now.reverse, [&](long r) { return in.at(r); }, place, use);
  for (long q = from; q < to; q++)
    multiply_into(w.panels, row, row + rows, q, q + 1, false, [&](long r) { return in.at(r) + w.first[q]; }, place, use);
}

static void run_products(StageRun& s, long row, long rows, long block, long blocks) {
  for (int i = 0; i < s.stage.products; i++) {
    const Product& p = s.stage.product[i];
    const PackedProduct& packed = s.packed.product[i];
    const PackedMatrix& w = s.shard.call->packed->matrix[p.matrix];
    if (!s.data().matrix[p.matrix].back) {
      multiply_forward(s, p, packed, w, row, rows, block, blocks);
      continue;
    }
    long count = !p.late ? rows : s.now.fresh - row < 0 ? 0 : s.now.fresh - row < rows ? s.now.fresh - row : rows;
    if (count) multiply_back(s, p, packed, w, row, count, block, blocks);
    if (count < rows) end_gradients(s, p, row, count, rows, block, blocks);
  }
}

}  // namespace ISA
}  // namespace stepscan
