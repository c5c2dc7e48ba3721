// What is known of a program's stages and arrays before it runs, found when its weights are packed.
#pragma once
#include "program_stage.h"

namespace stepscan {
namespace ISA {

INLINE long common_multiple(long a, long b) {
  long x = a, y = b;
  while (y) {
    long rest = x % y;
    x = y, y = rest;
  }
  return a / x * b;
}

INLINE PackedOperand packed_operand(const ProgramData& data, const Operand& o) { return {o.array, data.array[o.array].kind, o.shift, (long)o.slot * LANES}; }

// Whether a product's results are the slots of one array, in order
static bool in_order(const ProgramData& data, const Stage& s, const Product& p) {
  const int array = s.operand[p.output[0]].array;
  bool same = s.width > 1 && !data.array[array].row_major && data.array[array].slots == p.outputs;
  for (int k = 0; k < p.outputs; k++) same = same && s.operand[p.output[k]].array == array && s.operand[p.output[k]].slot == k;
  return same;
}

static PackedProduct packed_product(const ProgramData& data, const Stage& s, const Product& p, long unit) {
  const bool ordered = in_order(data, s, p), temporary = data.array[s.operand[p.output[0]].array].kind == TEMPORARY;
  return {packed_operand(data, p.in), data.array[p.in.array].kind == ITEMS, ordered && unit == 1, ordered && temporary};
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

// Sums of the other slots of an array, which are added to that of its first one, go behind those that stand for an array; returns
// how many these are
static int order_sums(const Stage& s, PackedSum* sums, int count) {
  auto is_part = [&](const PackedSum& sum, const PackedSum& of) {
    const Operand &a = s.operand[sum.operand], &b = s.operand[of.operand];
    return a.slot && !b.slot && a.array == b.array;
  };
  auto has_first = [&](const PackedSum& sum) {
    bool found = false;
    for (int k = 0; k < count; k++) found = found || is_part(sum, sums[k]);
    return found;
  };
  int totals = 0;
  for (int i = 0; i < count; i++) {
    if (has_first(sums[i])) continue;
    const PackedSum sum = sums[i];
    sums[i] = sums[totals], sums[totals++] = sum;
  }
  for (int i = totals; i < count; i++)
    for (int k = 0; k < totals; k++)
      if (is_part(sums[i], sums[k])) sums[i].first = k;
  return totals;
}

static void lay_out_stage(const ProgramData& data, const PackedMatrix* matrices, const Stage& s, PackedStage* to, ArenaLayout* arena) {
  *to = {blocks_of(s.width), 1, !s.operations && s.products, 0, 0, nullptr, nullptr, 0, 0, 0, 0, 0, 0, 0, nullptr, nullptr, nullptr, nullptr, nullptr};
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
    if (arena->base) products[i] = packed_product(data, s, p, unit);
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
  to->totals = order_sums(s, sums, to->sums);
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

INLINE long numbers_of(const ProgramArray& a) { return (a.width == 1 ? 1 : blocks_of(a.width)) * a.slots * LANES; }  // of one item

static bool reads_x(const ProgramData& data, const StageList& list) {
  auto is_x = [&](const Operand& o) { return data.array[o.array].kind == ITEMS && data.array[o.array].of == X; };
  bool found = false;
  for (int i = 0; i < list.count; i++) {
    const Stage& s = list.stage[i];
    for (int k = 0; k < s.operands; k++) found = found || is_x(s.operand[k]);
    for (int k = 0; k < s.products; k++) found = found || is_x(s.product[k].in);
  }
  return found;
}
// What a table of items has: all that ITEMS_FORWARD keeps
static void find_table(PackedProgram* p, ArenaLayout* arena) {
  const ProgramData& data = *p->data;
  int* table = (int*)arena->allocate(data.arrays);
  p->table = table, p->tabulated = 0, p->table_floats = 0;
  if (!arena->base || reads_x(data, data.program[STEP])) return;
  for (int i = 0; i < data.arrays; i++) {
    bool written = false;
    for (int k = 0; k < data.program[ITEMS_FORWARD].count; k++) {
      const Stage& s = data.program[ITEMS_FORWARD].stage[k];
      for (int n = 0; n < s.operands; n++) written = written || (s.operand[n].array == i && use_of(s, n).written);
    }
    if (written && data.array[i].kind == KEPT) table[p->tabulated++] = i, p->table_floats += numbers_of(data.array[i]);
  }
}

}  // namespace ISA
}  // namespace stepscan
