// The gradients of a program's weights: sums over items, in work items that write to different numbers.
#pragma once
#include "program_stage.h"

namespace stepscan {
namespace ISA {

constexpr long BACK_ITEMS = 96;       // items whose gradients by x are made at a time
constexpr long GRADIENT_DEPTH = 128;  // items per block of a sum
constexpr long GRADIENT_GROUP = 128;  // rows of a weight's gradient per work item, so that d is read once from L3

// ------------------------------------------------------------------------------------------------------- work items

static long gradient_works(const ProgramData* data, GradientWork* works) {
  long count = 0;
  for (int round = 0; round < data->rounds; round++)
    for (int i = 0; i < data->gradients; i++) {
      const WeightGradient& g = data->gradient[i];
      if (g.round != round) continue;
      const int width = best_width(blocks_of(g.inputs));
      const long blocks = blocks_of(g.width), panels = (blocks_of(g.inputs) + width - 1) / width;
      long group = GRADIENT_GROUP / (g.parts * LANES);
      if (group < 1) group = 1;
      for (long from = 0; from < blocks; from += group)
        for (long q = 0; q < panels; q++, count++)
          if (works) works[count] = {&g, q, from, from + group < blocks ? from + group : blocks, width, false};
    }
  return count;
}

struct GradientRun {
  const ProgramShard& shard;
  const GradientWork& work;
  const ProgramData& data;
  float* const* to;
  long first_step;
};

// Rows of the input, [depth][width][LANES], from item `n` on
static void gather_inputs(const GradientRun& g, long n, long depth, long first, int here, long* step, float* block) {
  const WeightGradient& of = *g.work.of;
  const Shard& shard = *g.shard.shard;
  const ProgramArray& a = g.data.array[of.in.array];
  const Place& p = g.shard.place[of.in.array];
  for (long k = n; k < n + depth; k++) {
    while (k >= shard.offset[*step + 1]) ++*step;
    long row = k;
    if (a.kind == ITEMS) row = shard.item[k];
    if (a.kind == STATE) row = of.in.shift ? (*step ? shard.rows + shard.offset[*step - 1] : 0) + k - shard.offset[*step] : shard.rows + k;
    const float* from = p.base + row * p.row + first;
    float* line = block + (k - n) * g.work.width * LANES;
    for (int v = 0; v < g.work.width; v++) {
      const int left = here - v * LANES;
      store(line + v * LANES, left >= LANES ? load(from + v * LANES) : left > 0 ? load_part(from + v * LANES, left) : zero());
    }
  }
}

// Adds what items from `n` on give for a part, from row `row` (in block `j`) and for columns `first … first + here`
static void add_outer(const GradientRun& g, const WeightPart& part, const float* d, long d_row, long j, long depth, const float* block,
                      long first, int here) {
  const WeightGradient& of = *g.work.of;
  const long out = of.width / of.heads, in = of.inputs / of.heads;
  const int rows = in_block(of.width, j);
  for (long r = 0; r < rows;) {
    const long head = (j * LANES + r) / out, next = (head + 1) * out - j * LANES, end = next < rows ? next : rows;
    long low = head * in - first, high = (head + 1) * in - first;  // of the block's columns
    low = low < 0 ? 0 : low, high = high > here ? here : high;
    if (low < high) {
      float* C = g.to[part.weight] + part.offset + j * LANES * part.ld + first - head * in;
      for_tiles(r, end, g.work.width, [&](long m, int tall, int) {
        OUTERS[g.work.width - 1][tall - 1](d + m, d_row, depth, block + low, C + m * part.ld + low, part.ld, (int)(high - low));
      });
    }
    r = end;
  }
}

static void add_bias(const GradientRun& g, const WeightPart& part, const float* d, long d_row, long j, long depth) {
  Vec sum = zero();
  for (long k = 0; k < depth; k++) sum = sum + load(d + k * d_row);
  float* to = g.to[part.bias] + part.bias_offset + j * LANES;
  const int wide = in_block(g.work.of->width, j);
  store_part(to, wide, load_part(to, wide) + sum);
}

static void clear_part(const GradientRun& g, const WeightPart& part, long first, int here) {
  const WeightGradient& of = *g.work.of;
  const long to = g.work.to * LANES < of.width ? g.work.to * LANES : of.width;
  for (long r = g.work.from * LANES; r < to; r++) __builtin_memset(g.to[part.weight] + part.offset + r * part.ld + first, 0, (size_t)here * 4);
}

static void gradient_of_shard(const GradientRun& g, long items, long first, int here) {
  alignas(64) float block[(GRADIENT_DEPTH + 1) * MAX_WIDTH * LANES];  // one more: a head's columns may begin later than the block's
  const WeightGradient& of = *g.work.of;
  const ProgramShard& s = g.shard;
  const Place& d = s.place[of.gradient];
  const long begin = s.shard->offset[g.first_step];
  long step = g.first_step;
  for (long n = 0; n < items; n += GRADIENT_DEPTH) {
    const long depth = items - n < GRADIENT_DEPTH ? items - n : GRADIENT_DEPTH;
    gather_inputs(g, begin + n, depth, first, here, &step, block);
    for (long j = g.work.from; j < g.work.to; j++)
      for (int k = 0; k < of.parts; k++) {
        const float* from = d.base + (s.shard->rows + n) * d.row + j * d.block + (of.slot + k) * LANES;
        if (g.to[of.part[k].weight]) add_outer(g, of.part[k], from, d.row, j, depth, block, first, here);
        if (!g.work.panel && of.part[k].bias >= 0 && g.to[of.part[k].bias]) add_bias(g, of.part[k], from, d.row, j, depth);
      }
  }
}

// What the items of steps `first … last` of each shard add
static void gradient(const ProgramShard* shards, long count, const long* first, const long* last, const GradientWork* work, float* const* to) {
  const WeightGradient& of = *work->of;
  const ProgramData& data = *shards->call->packed->data;
  const long column = work->panel * work->width * LANES, left = of.inputs - column;
  const int here = (int)(left < work->width * LANES ? left : work->width * LANES);
  for (int k = 0; work->clear && k < of.parts; k++)
    if (data.covered[of.part[k].weight] && to[of.part[k].weight]) clear_part({shards[0], *work, data, to, 0}, of.part[k], column, here);
  for (long i = 0; i < count; i++) {
    const Shard& shard = *shards[i].shard;
    gradient_of_shard({shards[i], *work, data, to, first[i]}, shard.offset[last[i]] - shard.offset[first[i]], column, here);
  }
}

// --------------------------------------------------------------------------------------------------- of vectors

static void clear_sums(const ProgramData* data, const ProgramScratch& scratch) {
  for (int i = 0; i < data->arrays; i++)
    if (data->array[i].kind == SUM) __builtin_memset(scratch.temporary[i], 0, (size_t)(blocks_of(data->array[i].width) * LANES * 4));
}
static void add_sums(const ProgramData* data, const ProgramScratch& scratch, float* const* to) {
  for (int i = 0; i < data->arrays; i++) {
    const ProgramArray& a = data->array[i];
    if (a.kind != SUM || !to[a.of]) continue;
    for (long k = 0; k < a.width; k++) to[a.of][a.offset + k] += scratch.temporary[i][k];
  }
}

}  // namespace ISA
}  // namespace stepscan
