// The gradients of a program's weights: sums over items, in work items that write to different numbers.
#pragma once
#include "program_stage.h"

namespace stepscan {
namespace ISA {

constexpr long BACK_ITEMS = 96;       // items whose gradients by x are made at a time
constexpr long GRADIENT_DEPTH = 128;  // items per block of a sum
constexpr long GRADIENT_GROUP = 128;  // rows of a weight's gradient per work item, so that d is read once from L3

// ------------------------------------------------------------------------------------------------------- work items

INLINE long blocks_of_work(const WeightGradient& g) {
  const long group = GRADIENT_GROUP / (g.parts * LANES);
  return group < 1 ? 1 : group;
}
static long gradient_works(const ProgramData* data, GradientWork* works) {
  long count = 0;
  for (int round = 0; round < data->rounds; round++)
    for (int i = 0; i < data->gradients; i++) {
      const WeightGradient& g = data->gradient[i];
      if (g.round != round) continue;
      const int width = best_width(blocks_of(g.inputs));
      const long blocks = blocks_of(g.width), panels = (blocks_of(g.inputs) + width - 1) / width;
      const long group = blocks_of_work(g);
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
  const GradientInputs& inputs;
  float* const* to;
};

static void shape_inputs(GradientInputs* inputs) {
  inputs->width = best_width(blocks_of(inputs->of->inputs)), inputs->line = inputs->width * LANES;
  inputs->panels = (blocks_of(inputs->of->inputs) + inputs->width - 1) / inputs->width;
  inputs->shared = blocks_of_work(*inputs->of) < blocks_of(inputs->of->width);
}
// Panel `q` of items `from` … `to` → [to − from][line]
static void gather_panel(const ProgramShard& s, const GradientInputs& inputs, long q, long from, long to, float* out) {
  const WeightGradient& of = *inputs.of;
  const Shard& shard = *s.shard;
  const ThreadMemory memory(s, nullptr);
  const ProgramArray& a = memory.data().array[of.in.array];
  const long begin = shard.offset[inputs.first], column = q * inputs.line, columns = of.inputs - column;
  long step = inputs.first;
  for (long n = from; n < to; n++, out += inputs.line) {
    const long k = begin + n;
    while (k >= shard.offset[step + 1]) step++;
    long row = k;
    if (a.kind == ITEMS) row = shard.item[k];
    if (a.kind == STATE) row = of.in.shift ? (step ? shard.rows + shard.offset[step - 1] : 0) + k - shard.offset[step] : shard.rows + k;
    const float* in = memory.at(of.in.array, row, 0) + column;
    long left = columns;
    for (int v = 0; v < inputs.width; v++, in += LANES, left -= LANES)
      store(out + v * LANES, left >= LANES ? load(in) : left > 0 ? load_part(in, (int)left) : zero());
  }
}
static void gather_inputs(const ProgramShard* s, const GradientInputs* inputs, long from, long to) {
  for (long q = 0; q < inputs->panels; q++) gather_panel(*s, *inputs, q, from, to, inputs->memory + (q * inputs->items + from) * inputs->line);
}

// Adds what items from `n` on give for a part, from row `row` (in block `j`) and for columns `first … first + here`
// (a head's columns may begin later than the panel's, and then so does what is read)
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

static void gradient_of_shard(const GradientRun& g, long first, int here) {
  const WeightGradient& of = *g.work.of;
  const ThreadMemory memory(g.shard, nullptr);
  const long items = g.inputs.items, d_row = g.shard.place[of.gradient].row;
  for (long n = 0; n < items; n += GRADIENT_DEPTH) {
    const long depth = items - n < GRADIENT_DEPTH ? items - n : GRADIENT_DEPTH;
    float* block = g.inputs.memory + (g.work.panel * items + (g.inputs.shared ? n : 0)) * g.inputs.line;
    if (!g.inputs.shared) gather_panel(g.shard, g.inputs, g.work.panel, n, n + depth, block);
    for (long j = g.work.from; j < g.work.to; j++)
      for (int k = 0; k < of.parts; k++) {
        const float* from = memory.at(of.gradient, g.shard.shard->rows + n, j) + (of.slot + k) * LANES;
        if (g.to[of.part[k].weight]) add_outer(g, of.part[k], from, d_row, j, depth, block, first, here);
        if (!g.work.panel && of.part[k].bias >= 0 && g.to[of.part[k].bias]) add_bias(g, of.part[k], from, d_row, j, depth);
      }
  }
}

// What the items of each shard add, whose inputs are packed
static void gradient(const ProgramShard* shards, long count, const GradientWork* work, const GradientInputs* inputs, float* const* to) {
  const WeightGradient& of = *work->of;
  const ProgramData& data = *shards->call->packed->data;
  const long column = work->panel * work->width * LANES, left = of.inputs - column;
  const int here = (int)(left < work->width * LANES ? left : work->width * LANES);
  for (int k = 0; work->clear && k < of.parts; k++)
    if (data.covered[of.part[k].weight] && to[of.part[k].weight]) clear_part({shards[0], *work, data, inputs[0], to}, of.part[k], column, here);
  for (long i = 0; i < count; i++) gradient_of_shard({shards[i], *work, data, inputs[i], to}, column, here);
}

// --------------------------------------------------------------------------------------------------- of vectors

static void clear_sums(const PackedProgram* p, float* tiles) {
  for (int i = 0; i < p->data->arrays; i++) {
    const ProgramArray& a = p->data->array[i];
    if (a.kind == SUM) __builtin_memset(tiles + p->place[i].first, 0, (size_t)(blocks_of(a.width) * LANES * 4));
  }
}
static void add_sums(const PackedProgram* p, const float* tiles, float* const* to) {
  for (int i = 0; i < p->data->arrays; i++) {
    const ProgramArray& a = p->data->array[i];
    if (a.kind != SUM || !to[a.of]) continue;
    for (long k = 0; k < a.width; k++) to[a.of][a.offset + k] += tiles[p->place[i].first + k];
  }
}

}  // namespace ISA
}  // namespace stepscan
