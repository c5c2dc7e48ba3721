// Programs over a batch: the way through time, forward and back.
#include "program_gradients.h"
#include "program_weights.h"

namespace stepscan {
namespace ISA {
namespace {

constexpr long ITEMS_AT_ONCE = 256;  // that `items` makes before the steps that read them

// --------------------------------------------------------------------------------------------------------------- memory

void lay_out_array(const ProgramArray& a, long count, Place* place, ArenaLayout* arena) {
  if (a.width == 1) *place = {nullptr, (long)a.slots * LANES, 0};
  else if (a.row_major) *place = {nullptr, blocks_of(a.width) * LANES + 16, LANES};  // 16: rows do not all map to one cache set
  else *place = {nullptr, (long)a.slots * LANES, count * a.slots * LANES};
  place->base = arena->allocate(a.width == 1 ? count * a.slots * LANES : a.row_major ? count * place->row : blocks_of(a.width) * place->block);
}
void lay_out_forward(ProgramShard* s, ArenaLayout* arena) {
  const ProgramData& data = *s->call->packed->data;
  const Shard& shard = *s->shard;
  s->chunk = ITEMS_AT_ONCE;
  for (long t = 0; t < shard.steps; t++)
    if (shard.active[t] > s->chunk) s->chunk = shard.active[t];
  if (shard.tokens < s->chunk) s->chunk = shard.tokens;
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    if (a.kind == KEPT) lay_out_array(a, s->save ? shard.tokens : s->chunk, s->place + i, arena);
    if (a.kind == STATE) lay_out_array(a, shard.rows + (s->save ? shard.tokens : shard.rows), s->place + i, arena);
    if (a.kind == ROWS) lay_out_array(a, s->chunk > shard.rows ? s->chunk : shard.rows, s->place + i, arena);
  }
}
void lay_out_backward(ProgramShard* s, long items, ArenaLayout* arena) {
  const ProgramData& data = *s->call->packed->data;
  const Shard& shard = *s->shard;
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    if (a.kind == GRADIENT) lay_out_array(a, shard.rows + items, s->place + i, arena);
    if (a.kind == CARRY) lay_out_array(a, 2 * shard.rows, s->place + i, arena);
    if (a.kind == ROWS) lay_out_array(a, shard.rows > BACK_ITEMS ? shard.rows : BACK_ITEMS, s->place + i, arena);
  }
}
void lay_out_scratch(const PackedProgram* p, float** temporary, ArenaLayout* arena) {
  long most = TILE_VECTORS;
  for (int k = 0; k < PROGRAMS; k++)
    for (int i = 0; i < p->data->program[k].count; i++)
      if (tile_capacity(p->stage[k][i].unit) > most) most = tile_capacity(p->stage[k][i].unit);
  for (int i = 0; i < p->data->arrays; i++) {
    const ProgramArray& a = p->data->array[i];
    float* memory = a.kind == TEMPORARY ? arena->allocate(most * a.slots * LANES) : a.kind == SUM ? arena->allocate(blocks_of(a.width) * LANES) : nullptr;
    if (arena->base) temporary[i] = memory;
  }
}

// The caller's memory, where arrays of ITEMS lie
void place_items(const ProgramShard& s) {
  const ProgramCall& call = *s.call;
  const ProgramData& data = *call.packed->data;
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    if (a.kind != ITEMS) continue;
    const float* base[] = {call.x, call.y, call.dy, call.dx};
    const long stride = a.of == X || a.of == X_GRADIENT ? call.x_stride : call.y_stride;
    s.place[i] = {const_cast<float*>(base[a.of]) + a.offset, stride, LANES};
  }
}

// -------------------------------------------------------------------------------------------------------------- moments

Moment moment_of_items(long item, long index, long count) {
  Moment m{count, 0, item, {}};
  m.index[KEPT][0] = index;
  return m;
}
Moment moment_of_step(const ProgramShard& s, long t, long first_kept) {
  const Shard& shard = *s.shard;
  Moment m{shard.active[t], shard.active[t + 1], shard.offset[t], {}};
  m.index[KEPT][0] = shard.offset[t] - first_kept;
  if (s.save) m.index[STATE][0] = shard.rows + shard.offset[t], m.index[STATE][1] = t ? shard.rows + shard.offset[t - 1] : 0;
  else m.index[STATE][0] = (t & 1) ? 0 : shard.rows, m.index[STATE][1] = (t & 1) ? shard.rows : 0;
  return m;
}
// Gradients of the items from step `first` on lie behind those of the step after them
Moment moment_back(const ProgramShard& s, long t, long first, long last) {
  const Shard& shard = *s.shard;
  Moment m = moment_of_step(s, t, 0);
  m.index[GRADIENT][0] = shard.rows + shard.offset[t] - shard.offset[first];
  m.index[GRADIENT][1] = t + 1 < last ? shard.rows + shard.offset[t + 1] - shard.offset[first] : 0;
  m.index[CARRY][0] = (t & 1) ? shard.rows : 0, m.index[CARRY][1] = (t & 1) ? 0 : shard.rows;
  return m;
}

// -------------------------------------------------------------------------------------------------------------- forward

Vec part_of(const float* from, const ProgramArray& a, long j) {
  return a.width == 1 ? set1(*from) : load_part(from + j * LANES, in_block(a.width, j));
}
void store_part_of(float* to, const ProgramArray& a, long j, Vec v) { store_part(to + j * LANES, in_block(a.width, j), v); }

void start(const ProgramShard& s, const Group& group) {
  const ProgramData& data = *s.call->packed->data;
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    const float* from = a.kind == STATE ? s.call->start[a.of] : nullptr;
    for (long r = group.member; a.kind == STATE && r < s.shard->rows; r += group.members)
      for (long j = 0; j < blocks_of(a.width); j++)
        store(s.place[i].base + r * s.place[i].row + j * s.place[i].block,
              from ? part_of(from + s.shard->row[r] * data.leaf_width[a.of] + a.offset, a, j) : zero());
  }
}
void finish(const ProgramShard& s, const Group& group) {
  const ProgramData& data = *s.call->packed->data;
  const Shard& shard = *s.shard;
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    float* to = a.kind == STATE ? s.call->end[a.of] : nullptr;
    for (long r = group.member; to && r < shard.rows; r += group.members) {
      const long length = shard.length[r], index = s.save ? (length ? shard.rows + shard.offset[length - 1] + r : r) : (length & 1) * shard.rows + r;
      for (long j = 0; j < blocks_of(a.width); j++)
        store_part_of(to + shard.row[r] * data.leaf_width[a.of] + a.offset, a, j, load(s.place[i].base + index * s.place[i].row + j * s.place[i].block));
    }
  }
  for (long r = group.member; r < shard.rows; r += group.members)
    for (long t = shard.length[r]; t < s.call->steps; t++)
      __builtin_memset(s.call->y + (shard.row[r] * s.call->steps + t) * s.call->y_stride, 0, (size_t)data.output * 4);
}

void forward(const ProgramShard* shard_memory, const ProgramScratch& scratch, const Group& group) {
  const ProgramShard& s = *shard_memory;
  const Shard& shard = *s.shard;
  if (!group.member) place_items(s);
  start(s, group);
  group.wait();
  for (long t0 = 0, t1; t0 < shard.steps; t0 = t1) {
    for (t1 = t0 + 1; t1 < shard.steps && shard.offset[t1 + 1] - shard.offset[t0] <= ITEMS_AT_ONCE; t1++) {}
    const long first_kept = s.save ? 0 : shard.offset[t0];
    run_program(s, scratch, ITEMS_FORWARD, moment_of_items(shard.offset[t0], shard.offset[t0] - first_kept, shard.offset[t1] - shard.offset[t0]), group);
    for (long t = t0; t < t1; t++) run_program(s, scratch, STEP, moment_of_step(s, t, first_kept), group);
  }
  finish(s, group);
}

// One step of rows that all have one item; the state is in the array before, and goes to the one after
void step(const ProgramShard* s, const ProgramScratch& scratch, const Group& group) {
  if (!group.member) place_items(*s);
  group.wait();
  run_program(*s, scratch, ITEMS_FORWARD, moment_of_items(0, 0, s->shard->rows), group);
  run_program(*s, scratch, STEP, moment_of_step(*s, 0, 0), group);
}

long first_of_leaf(const ProgramData& data, int leaf) {
  long first = 0;
  for (int k = 0; k < leaf; k++) first += data.leaf_width[k];
  return first;
}
void read_state(const ProgramShard* s, long row, const float* state) {
  const ProgramData& data = *s->call->packed->data;
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    if (a.kind != STATE) continue;
    const Place& p = s->place[i];
    const float* from = state + first_of_leaf(data, (int)a.of) + a.offset;
    for (long j = 0; j < blocks_of(a.width); j++) store(p.base + row * p.row + j * p.block, part_of(from, a, j));
  }
}
void write_state(const ProgramShard* s, long row, float* state) {
  const ProgramData& data = *s->call->packed->data;
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    if (a.kind != STATE) continue;
    const Place& p = s->place[i];
    float* to = state + first_of_leaf(data, (int)a.of) + a.offset;
    for (long j = 0; j < blocks_of(a.width); j++) store_part_of(to, a, j, load(p.base + (s->shard->rows + row) * p.row + j * p.block));
  }
}

// ----------------------------------------------------------------------------------------------------------------- back

void begin_back(const ProgramShard& s, const Group& group) {
  const ProgramData& data = *s.call->packed->data;
  const long rows = s.shard->rows;
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    if (a.kind != CARRY) continue;
    const float* from = a.from_end ? s.call->d_end[a.of] : nullptr;
    for (long r = group.member; r < 2 * rows; r += group.members)
      for (long j = 0; j < blocks_of(a.width); j++)
        store(s.place[i].base + r * s.place[i].row + j * s.place[i].block,
              from ? part_of(from + s.shard->row[r % rows] * data.leaf_width[a.of] + a.offset, a, j) : zero());
  }
}

// The gradients of the step after those that follow move to the place that is kept for them
void keep_later_gradients(const ProgramShard& s, long first, const Group& group) {
  const ProgramData& data = *s.call->packed->data;
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    const Place& p = s.place[i];
    for (long j = group.member; a.kind == GRADIENT && j < blocks_of(a.width); j += group.members)
      __builtin_memmove(p.base + j * p.block, p.base + j * p.block + s.shard->rows * p.row, (size_t)(s.shard->active[first] * p.row * 4));
  }
}

void end_back(const ProgramShard& s, const ProgramScratch& scratch, const Group& group) {
  const ProgramData& data = *s.call->packed->data;
  const Shard& shard = *s.shard;
  Moment m{shard.rows, shard.steps ? shard.active[0] : 0, 0, {}};
  m.index[GRADIENT][1] = shard.rows;
  m.index[CARRY][0] = shard.rows;  // as if before step −1
  run_program(s, scratch, LAST_BACK, m, group);
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    float* to = a.kind == CARRY ? s.call->d_start[a.of] : nullptr;
    for (long r = group.member; to && r < shard.rows; r += group.members)
      for (long j = 0; j < blocks_of(a.width); j++)
        store_part_of(to + shard.row[r] * data.leaf_width[a.of] + a.offset, a, j, load(s.place[i].base + r * s.place[i].row + j * s.place[i].block));
  }
  for (long r = group.member; s.call->dx && r < shard.rows; r += group.members)
    for (long t = shard.length[r]; t < s.call->steps; t++)
      __builtin_memset(s.call->dx + (shard.row[r] * s.call->steps + t) * s.call->x_stride, 0, (size_t)data.input * 4);
}

void backward(const ProgramShard* shard_memory, const ProgramScratch& scratch, long first, long last, const Group& group) {
  const ProgramShard& s = *shard_memory;
  const Shard& shard = *s.shard;
  if (last == shard.steps) {
    if (!group.member) place_items(s);
    begin_back(s, group);
  } else keep_later_gradients(s, last, group);
  group.wait();
  for (long t = last - 1; t >= first; t--) run_program(s, scratch, STEP_BACK, moment_back(s, t, first, last), group);
  if (!first) end_back(s, scratch, group);
}

void items_back(const ProgramShard* s, const ProgramScratch& scratch, long first, long from, long to, bool x) {
  Barrier* none = nullptr;
  for (long n = from; n < to; n += BACK_ITEMS) {
    Moment m = moment_of_items(n, n, to - n < BACK_ITEMS ? to - n : BACK_ITEMS);
    m.index[GRADIENT][0] = s->shard->rows + n - s->shard->offset[first];
    run_program(*s, scratch, ITEMS_BACK, m, Group{none, 0, 1}, x);
  }
}

}  // namespace

extern const ProgramKernels PROGRAM_KERNELS;
constexpr ProgramKernels PROGRAM_KERNELS = {lay_out_weights, pack, lay_out_forward, lay_out_backward, lay_out_scratch, forward, backward,
                                            items_back, gradient_works, shape_inputs, gather_inputs, gradient, add_sums, clear_sums, step, read_state, write_state};

}  // namespace ISA
}  // namespace stepscan
