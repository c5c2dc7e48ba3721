// A program's weights, packed for the products, its vectors and constants, and what is known of its stages.
#pragma once
#include "program_stage.h"

namespace stepscan {
namespace ISA {

// Blocks of a panel: as many as fit, and a block-diagonal matrix's in one block of it where that is wide enough.
INLINE long panel_blocks(const ProgramMatrix& m) {
  const long outputs = m.back ? m.inputs : m.width, blocks = blocks_of(outputs), most = outputs / m.heads / LANES;
  const long many = m.back ? 1 : m.parts;
  if (many > 2) return 1;
  if (m.heads == 1) return many == 1 ? best_width(blocks) : blocks % 2 ? 1 : 2;
  long unit = 1;
  for (long u = 2; u * many <= MAX_WIDTH && u <= most; u++)
    if (most % u == 0) unit = u;
  return unit;
}

struct Band {  // what a panel of a block-diagonal matrix reads: inputs, or blocks of gradients
  long first, count;
};
INLINE Band band(const ProgramMatrix& m, long unit, long panel) {
  const long outputs = m.back ? m.inputs : m.width, inputs = m.back ? m.width : m.inputs;
  const long out = outputs / m.heads, in = inputs / m.heads;
  const long last = (panel + 1) * unit * LANES < outputs ? (panel + 1) * unit * LANES : outputs;
  const long first_head = panel * unit * LANES / out, end_head = (last - 1) / out + 1;
  long from = first_head * in, to = end_head * in;
  if (m.back) from = from / LANES, to = (to + LANES - 1) / LANES;
  return {from, to - from};
}

static void lay_out_matrix(const ProgramMatrix& m, PackedMatrix* w, Format format, ArenaLayout* arena) {
  const long outputs = m.back ? m.inputs : m.width, inputs = m.back ? m.width : m.inputs, all = m.back ? blocks_of(inputs) : inputs;
  w->unit = panel_blocks(m), w->count = (blocks_of(outputs) + w->unit - 1) / w->unit, w->first = nullptr;
  long reads = all;
  if (m.heads > 1) {
    reads = 0;
    for (long p = 0; p < w->count; p++)
      if (band(m, w->unit, p).count > reads) reads = band(m, w->unit, p).count;
    long* first = (long*)arena->allocate(2 * w->count);
    for (long p = 0; arena->base && p < w->count; p++) first[p] = band(m, w->unit, p).first < all - reads ? band(m, w->unit, p).first : all - reads;
    w->first = arena->base ? first : nullptr;
  }
  w->chunks = reads;
  if (m.back) w->back = arena->allocate(w->count * reads * m.parts * LANES * w->unit * LANES);
  else {
    w->panels = {effective_format(format, reads), (int)(w->unit * m.parts), reads, w->count, nullptr, nullptr, nullptr, nullptr};
    allocate(&w->panels, *arena);
    bool contiguous = m.heads == 1;
    for (int k = 0; k < m.parts; k++) contiguous = contiguous && m.part[k].ld == m.inputs;
    w->few = contiguous ? nullptr : arena->allocate(LANES * reads);
  }
}

INLINE long common_multiple(long a, long b) {
  long x = a, y = b;
  while (y) {
    long rest = x % y;
    x = y, y = rest;
  }
  return a / x * b;
}

INLINE PackedOperand packed_operand(const ProgramData& data, const Operand& o) { return {o.array, data.array[o.array].kind, o.shift, (long)o.slot * LANES}; }

static bool lie_as_tiles(const ProgramData& data, const Stage& s, const Product& p, long unit) {
  const int array = s.operand[p.output[0]].array;
  bool same = unit == 1 && s.width > 1 && !data.array[array].row_major && data.array[array].slots == p.outputs;
  for (int k = 0; k < p.outputs; k++) same = same && s.operand[p.output[k]].array == array && s.operand[p.output[k]].slot == k;
  return same;
}

struct OperandUse {
  bool read, written, reduced, largest;
};
static OperandUse use_of(const Stage& s, int operand) {
  OperandUse use{};
  for (int k = 0; k < s.operations; k++) {
    const Operation& o = s.operation[k];
    if (o.to == operand) use.written = true, use.reduced = use.reduced || is_reduction(o.code), use.largest = use.largest || o.code == CODE_largest;
    use.read = use.read || o.a == operand || o.b == operand || o.c == operand || o.d == operand;
  }
  for (int k = 0; k < s.products; k++)
    for (int q = 0; q < s.product[k].outputs; q++) use.written = use.written || s.product[k].output[q] == operand;
  return use;
}

INLINE bool moves(int kind) { return kind == KEPT || kind == GRADIENT || kind == STATE || kind == CARRY; }

// Sums of the other slots of an array are added to that of the first one
static void join_sums(const Stage& s, PackedSum* sums, int count) {
  for (int i = 0; i < count; i++)
    for (int k = 0; k < count; k++) {
      const Operand &from = s.operand[sums[i].operand], &to = s.operand[sums[k].operand];
      if (from.slot && !to.slot && to.array == from.array) sums[i].first = k;
    }
}

static void lay_out_stage(const ProgramData& data, const PackedMatrix* matrices, const Stage& s, PackedStage* to, ArenaLayout* arena) {
  *to = {blocks_of(s.width), 1, !s.operations && s.products, 0, 0, nullptr, nullptr, 0, 0, 0, 0, 0, 0, nullptr, nullptr, nullptr, nullptr, nullptr};
  auto* operands = (PackedOperand*)arena->allocate(s.operands * (long)(sizeof(PackedOperand) / sizeof(float)));
  auto* products = (PackedProduct*)arena->allocate(s.products * (long)(sizeof(PackedProduct) / sizeof(float)));
  auto* sums = (PackedSum*)arena->allocate(s.operands * (long)(sizeof(PackedSum) / sizeof(float)));
  int* lists = (int*)arena->allocate(4 * s.operands);
  for (int i = 0; i < s.products; i++) {
    const Product& p = s.product[i];
    const long unit = matrices[p.matrix].unit;
    to->unit = common_multiple(to->unit, unit);
    for (int k = 0; k < p.outputs; k++)
      if (data.array[s.operand[p.output[k]].array].kind == TEMPORARY) to->bare = false;
    if (arena->base) products[i] = {packed_operand(data, p.in), data.array[p.in.array].kind == ITEMS, lie_as_tiles(data, s, p, unit)};
  }
  if (!arena->base) return;
  int *temporary = lists, *keep = lists + s.operands, *clear = lists + 2 * s.operands, *move = lists + 3 * s.operands;
  for (int i = 0; i < s.operands; i++) {
    const OperandUse use = use_of(s, i);
    operands[i] = packed_operand(data, s.operand[i]);
    if (operands[i].kind == TEMPORARY) temporary[to->temporaries++] = i;
    if (moves(operands[i].kind)) move[to->moving++] = i;
    if (use.reduced) sums[to->sums++] = {i, -1, use.largest};
    if (operands[i].kind == KEPT && use.read && s.products && s.width > 1) keep[to->kept++] = i;
    if (operands[i].kind == GRADIENT && use.written && !use.reduced) clear[to->cleared++] = i;
  }
  join_sums(s, sums, to->sums);
  to->operand = operands, to->product = products, to->sum = sums;
  to->move = move, to->temporary = temporary, to->keep = keep, to->clear = clear;
}

// Consecutive stages without products take a few rows through all of them
static void join_stages(const StageList& list, PackedStage* packed) {
  for (int i = 0; i < list.count; i++) {
    PackedStage& first = packed[i];
    long widest = 1;
    for (first.end = i; first.end < list.count && !list.stage[first.end].products; first.end++)
      if (packed[first.end].blocks > widest) widest = packed[first.end].blocks;
    const long few = TILE_VECTORS / widest;
    first.together = first.end <= i + 1 ? 0 : few < 1 ? 1 : few > TILE_ROWS ? TILE_ROWS : few;
  }
}

// Arrays whose places are the same in all scans
static void lay_out_arrays(PackedProgram* p, ArenaLayout* arena) {
  const ProgramData& data = *p->data;
  long most = TILE_VECTORS, views = 0;
  for (int k = 0; k < PROGRAMS; k++)
    for (int i = 0; i < data.program[k].count; views += data.program[k].stage[i++].operands) {
      p->stage[k][i].views = views;
      if (tile_capacity(p->stage[k][i].unit) > most) most = tile_capacity(p->stage[k][i].unit);
    }
  ArenaLayout tiles{nullptr};
  tiles.allocate(views * (long)(sizeof(View) / sizeof(float)));
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    const bool single = a.kind == CONSTANT || a.width == 1, tile = a.kind == TEMPORARY || a.kind == SUM;
    if (!tile && a.kind != VECTOR && a.kind != CONSTANT) continue;
    ArenaLayout& memory = tile ? tiles : *arena;
    p->place[i] = {tile ? TILE_MEMORY : WEIGHT_MEMORY, (long)memory.used, a.kind == TEMPORARY ? a.slots * (long)LANES : 0, a.kind == SUM || !single ? LANES : 0};
    memory.allocate(a.kind == TEMPORARY ? most * a.slots * LANES : single ? LANES : blocks_of(a.width) * LANES);
  }
  p->tile_floats = tiles.used;
}

static void find_states(PackedProgram* p, ArenaLayout* arena) {
  const ProgramData& data = *p->data;
  auto* states = (PackedState*)arena->allocate(data.arrays * (long)(sizeof(PackedState) / sizeof(float)));
  p->state = states, p->states = 0;
  for (int i = 0; arena->base && i < data.arrays; i++) {
    if (data.array[i].kind != STATE) continue;
    long first = data.array[i].offset;
    for (int k = 0; k < data.array[i].of; k++) first += data.leaf_width[k];
    states[p->states++] = {i, first};
  }
}

static void lay_out_weights(PackedProgram* p, Format format, ArenaLayout* arena) {
  const ProgramData& data = *p->data;
  p->memory = arena->base;
  for (int i = 0; i < data.matrices; i++) lay_out_matrix(data.matrix[i], p->matrix + i, format, arena);
  for (int k = 0; k < PROGRAMS; k++) {
    for (int i = 0; i < data.program[k].count; i++) lay_out_stage(data, p->matrix, data.program[k].stage[i], p->stage[k] + i, arena);
    join_stages(data.program[k], p->stage[k]);
  }
  lay_out_arrays(p, arena);
  find_states(p, arena);
}

// Up to LANES rows of a part, [LANES][K] with zeros where there is nothing: rows `row …` and inputs `first … first + K`
static void gather_rows(const ProgramMatrix& m, const WeightPart& part, const float* W, long row, long first, long K, float* to) {
  const long out = m.width / m.heads, in = m.inputs / m.heads;
  for (long i = 0; i < LANES; i++)
    for (long k = 0; k < K; k++) {
      const long r = row + i, column = first + k - r / out * in;
      to[i * K + k] = r < m.width && column >= 0 && column < in ? W[part.offset + r * part.ld + column] : 0;
    }
}

static void pack_panels(const ProgramMatrix& m, const PackedMatrix& w, const float* const* weights, const Group& group) {
  for (long q = 0; q < w.count; q++)
    for (long u = 0; u < w.unit; u++)
      for (int k = 0; k < m.parts; k++) {
        const WeightPart& part = m.part[k];
        const long row = (q * w.unit + u) * LANES;
        const int count = in_block(m.width, q * w.unit + u), v = (int)(u * m.parts + k);
        const float* bias = part.bias < 0 || !count ? nullptr : weights[part.bias] + part.bias_offset + row;
        if (part.ld == m.inputs && m.heads == 1) {
          if (q % group.members == group.member) pack_vector(w.panels, q, v, weights[part.weight] + part.offset + row * part.ld, 0, count, bias);
        } else if (!group.member) {
          gather_rows(m, part, weights[part.weight], row, w.first ? w.first[q] : 0, w.panels.K, w.few);
          pack_vector(w.panels, q, v, w.few, 0, count, bias);
        }
      }
}

// Vectors of the transposed weights: for each block of gradients, each part and each of its lanes, a row of the part
static void pack_back(const ProgramMatrix& m, const PackedMatrix& w, const float* const* weights, const Group& group) {
  const long out = m.width / m.heads, in = m.inputs / m.heads, vectors = w.unit;
  for (long q = group.member; q < w.count; q += group.members) {
    float* to = w.back + q * w.chunks * m.parts * LANES * vectors * LANES;
    for (long c = 0; c < w.chunks; c++)
      for (int k = 0; k < m.parts; k++)
        for (int lane = 0; lane < LANES; lane++, to += vectors * LANES) {
          const long row = ((w.first ? w.first[q] : 0) + c) * LANES + lane, head = row / out * in;
          const float* from = weights[m.part[k].weight] + m.part[k].offset + row * m.part[k].ld - head;
          for (long u = 0; u < vectors; u++) {
            const long column = (q * vectors + u) * LANES;
            if (row >= m.width || column >= head + in || column + LANES <= head) store(to + u * LANES, zero());
            else if (column >= head && column + LANES <= head + in) store(to + u * LANES, load(from + column));
            else
              for (long i = 0; i < LANES; i++) to[u * LANES + i] = column + i >= head && column + i < head + in ? from[column + i] : 0;
          }
        }
  }
}

static void pack(const PackedProgram* p, const float* const* weights, const Group& group) {
  const ProgramData& data = *p->data;
  for (int i = 0; i < data.matrices; i++) {
    if (data.matrix[i].back) pack_back(data.matrix[i], p->matrix[i], weights, group);
    else pack_panels(data.matrix[i], p->matrix[i], weights, group);
  }
  for (int i = 0; i < data.arrays && !group.member; i++) {
    const ProgramArray& a = data.array[i];
    float* to = p->memory + p->place[i].first;
    if (a.kind == CONSTANT) {
      const int32_t bits = (int32_t)a.of;
      float value;
      __builtin_memcpy(&value, &bits, 4);
      store(to, set1(value));
    }
    if (a.kind == VECTOR && a.width == 1) store(to, set1(weights[a.of][a.offset]));
    else if (a.kind == VECTOR)
      for (long j = 0; j < blocks_of(a.width); j++) store(to + j * LANES, load_part(weights[a.of] + a.offset + j * LANES, in_block(a.width, j)));
  }
}

}  // namespace ISA
}  // namespace stepscan
