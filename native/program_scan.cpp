// Programs over a batch: the way through time, forward and back.
#include "program_gradients.h"
#include "program_weights.h"

namespace stepscan {
namespace ISA {
namespace {

// Items that `items` makes before the steps that read them: where stages reduce rows, few enough that the next stage finds them in
// the second cache
constexpr long ITEMS_AT_ONCE = 256, ITEMS_OF_ROWS = 48;
INLINE long items_at_once(const ProgramData& data) { return data.whole_rows ? ITEMS_OF_ROWS : ITEMS_AT_ONCE; }

// --------------------------------------------------------------------------------------------------------------- memory

Place place_of(const ProgramArray& a, long count, Region region, ArenaLayout* memory) {
  const long first = (long)memory->used, values = a.slots * (long)LANES;
  Place place{region, first, values, count * values};
  if (a.width == 1) place.block = 0;
  else if (a.row_major) place.row = blocks_of(a.width) * LANES + 16, place.block = LANES;  // 16: rows do not all map to one cache set
  memory->allocate(a.row_major || a.width == 1 ? count * place.row : blocks_of(a.width) * place.block);
  return place;
}
void place_items(const ProgramCall& call, Place* place) {
  const ProgramData& data = *call.packed->data;
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    if (a.kind == ITEMS) place[i] = {CALLERS_MEMORY + (int)a.of, a.offset, a.of == X || a.of == X_GRADIENT ? call.x_stride : call.y_stride, LANES};
  }
}
size_t lay_out_forward(ProgramShard* s, Place* place) {
  const PackedProgram& packed = *s->call->packed;
  const ProgramData& data = *packed.data;
  const Shard& shard = *s->shard;
  s->chunk = items_at_once(data);
  for (long t = 0; t < shard.steps; t++)
    if (shard.active[t] > s->chunk) s->chunk = shard.active[t];
  if (shard.tokens < s->chunk) s->chunk = shard.tokens;
  ArenaLayout memory{nullptr};
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    place[i] = packed.place[i];
    if (a.kind == KEPT) place[i] = place_of(a, s->save ? shard.tokens : s->chunk, SCAN_MEMORY, &memory);
    if (a.kind == STATE) place[i] = place_of(a, shard.rows + (s->save ? shard.tokens : shard.rows), SCAN_MEMORY, &memory);
    if (a.kind == ROWS) place[i] = place_of(a, s->chunk > shard.rows ? s->chunk : shard.rows, SCAN_MEMORY, &memory);
  }
  place_items(*s->call, place);
  s->place = place;
  return memory.used;
}
size_t lay_out_backward(ProgramShard* s, Place* place, long items) {
  const ProgramData& data = *s->call->packed->data;
  const Shard& shard = *s->shard;
  ArenaLayout memory{nullptr};
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    if (a.kind == GRADIENT) place[i] = place_of(a, shard.rows + items, BACK_MEMORY, &memory);
    if (a.kind == CARRY) place[i] = place_of(a, 2 * shard.rows, BACK_MEMORY, &memory);
    if (a.kind == ROWS) place[i] = place_of(a, shard.rows > BACK_ITEMS ? shard.rows : BACK_ITEMS, BACK_MEMORY, &memory);
  }
  place_items(*s->call, place);
  s->place = place;
  return memory.used;
}

// -------------------------------------------------------------------------------------------------------------- moments

Moment moment_of_items(long item, long index, long count) {
  Moment m{count, 0, item, false, {}};
  m.index[KEPT][0] = index;
  return m;
}
Moment moment_of_step(const ProgramShard& s, long t, long first_kept) {
  const Shard& shard = *s.shard;
  Moment m{shard.active[t], shard.active[t + 1], shard.offset[t], (t & 1) != 0, {}};
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

void start(const ThreadMemory& memory, const Group& group) {
  const ProgramShard& s = memory.shard;
  const PackedProgram& packed = *s.call->packed;
  for (int i = 0; i < packed.states; i++) {
    const int array = packed.state[i].array;
    const ProgramArray& a = packed.data->array[array];
    const float* from = s.call->start[a.of];
    for (long r = group.member; r < s.shard->rows; r += group.members)
      for (long j = 0; j < blocks_of(a.width); j++)
        store(memory.at(array, r, j), from ? part_of(from + s.shard->row[r] * packed.data->leaf_width[a.of] + a.offset, a, j) : zero());
  }
}
void finish(const ThreadMemory& memory, const Group& group) {
  const ProgramShard& s = memory.shard;
  const PackedProgram& packed = *s.call->packed;
  const Shard& shard = *s.shard;
  for (int i = 0; i < packed.states; i++) {
    const int array = packed.state[i].array;
    const ProgramArray& a = packed.data->array[array];
    float* to = s.call->end[a.of];
    for (long r = group.member; to && r < shard.rows; r += group.members) {
      const long length = shard.length[r], index = s.save ? (length ? shard.rows + shard.offset[length - 1] + r : r) : (length & 1) * shard.rows + r;
      for (long j = 0; j < blocks_of(a.width); j++)
        store_part_of(to + shard.row[r] * packed.data->leaf_width[a.of] + a.offset, a, j, load(memory.at(array, index, j)));
    }
  }
  for (long r = group.member; r < shard.rows; r += group.members)
    for (long t = shard.length[r]; t < s.call->steps; t++)
      __builtin_memset(s.call->y + (shard.row[r] * s.call->steps + t) * s.call->y_stride, 0, (size_t)packed.data->output * 4);
}

void forward(const ProgramShard* shard_memory, float* tiles, const Group& group) {
  const ProgramShard& s = *shard_memory;
  const Shard& shard = *s.shard;
  const ThreadMemory memory(s, tiles);
  const long most = items_at_once(memory.data());
  find_views(memory, ITEMS_FORWARD), find_views(memory, STEP);
  start(memory, group);
  group.wait();
  for (long t0 = 0, t1; t0 < shard.steps; t0 = t1) {
    for (t1 = t0 + 1; t1 < shard.steps && shard.offset[t1 + 1] - shard.offset[t0] <= most; t1++) {}
    const long first_kept = s.save ? 0 : shard.offset[t0];
    run_program(memory, ITEMS_FORWARD, moment_of_items(shard.offset[t0], shard.offset[t0] - first_kept, shard.offset[t1] - shard.offset[t0]), group);
    for (long t = t0; t < t1; t++) run_program(memory, STEP, moment_of_step(s, t, first_kept), group);
  }
  finish(memory, group);
}

// One step of rows that all have one item; the state is in the array before, and goes to the one after
void items(const ProgramShard* s, float* tiles, const Group& group) {
  const ThreadMemory memory(*s, tiles);
  find_views(memory, ITEMS_FORWARD);
  run_program(memory, ITEMS_FORWARD, moment_of_items(0, 0, s->shard->rows), group);
}
void step(const ProgramShard* s, bool given, float* tiles, const Group& group) {
  const ThreadMemory memory(*s, tiles);
  if (!given) items(s, tiles, group);
  find_views(memory, STEP);
  run_program(memory, STEP, moment_of_step(*s, 0, 0), group);
}
void read_table(const ProgramShard* s, long row, const float* table) {
  const ThreadMemory memory(*s, nullptr);
  const PackedProgram& packed = *s->call->packed;
  for (int i = 0; i < packed.tabulated; i++) {
    const ProgramArray& a = packed.data->array[packed.table[i]];
    const long size = a.slots * LANES, blocks = numbers_of(a) / size;
    for (long j = 0; j < blocks; j++, table += size) __builtin_memcpy(memory.at(packed.table[i], row, j), table, (size_t)size * 4);
  }
}
void write_table(const ProgramShard* s, long row, float* table) {
  const ThreadMemory memory(*s, nullptr);
  const PackedProgram& packed = *s->call->packed;
  for (int i = 0; i < packed.tabulated; i++) {
    const ProgramArray& a = packed.data->array[packed.table[i]];
    const long size = a.slots * LANES, blocks = numbers_of(a) / size;
    for (long j = 0; j < blocks; j++, table += size) __builtin_memcpy(table, memory.at(packed.table[i], row, j), (size_t)size * 4);
  }
}

void read_state(const ProgramShard* s, long row, const float* state) {
  const ThreadMemory memory(*s, nullptr);
  const PackedProgram& packed = *s->call->packed;
  for (int i = 0; i < packed.states; i++) {
    const ProgramArray& a = packed.data->array[packed.state[i].array];
    for (long j = 0; j < blocks_of(a.width); j++) store(memory.at(packed.state[i].array, row, j), part_of(state + packed.state[i].first, a, j));
  }
}
void write_state(const ProgramShard* s, long row, float* state) {
  const ThreadMemory memory(*s, nullptr);
  const PackedProgram& packed = *s->call->packed;
  for (int i = 0; i < packed.states; i++) {
    const ProgramArray& a = packed.data->array[packed.state[i].array];
    for (long j = 0; j < blocks_of(a.width); j++)
      store_part_of(state + packed.state[i].first, a, j, load(memory.at(packed.state[i].array, s->shard->rows + row, j)));
  }
}

// ----------------------------------------------------------------------------------------------------------------- back

void begin_back(const ThreadMemory& memory, const Group& group) {
  const ProgramShard& s = memory.shard;
  const ProgramData& data = memory.data();
  const long rows = s.shard->rows;
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    if (a.kind != CARRY) continue;
    const float* from = a.from_end ? s.call->d_end[a.of] : nullptr;
    for (long r = group.member; r < 2 * rows; r += group.members)
      for (long j = 0; j < blocks_of(a.width); j++)
        store(memory.at(i, r, j), from ? part_of(from + s.shard->row[r % rows] * data.leaf_width[a.of] + a.offset, a, j) : zero());
  }
}

// The gradients of the step after those that follow move to the place that is kept for them
void keep_later_gradients(const ThreadMemory& memory, long first, const Group& group) {
  const ProgramData& data = memory.data();
  const Shard& shard = *memory.shard.shard;
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    for (long j = group.member; a.kind == GRADIENT && j < blocks_of(a.width); j += group.members)
      __builtin_memmove(memory.at(i, 0, j), memory.at(i, shard.rows, j), (size_t)(shard.active[first] * memory.shard.place[i].row * 4));
  }
}

void end_back(const ThreadMemory& memory, const Group& group) {
  const ProgramShard& s = memory.shard;
  const ProgramData& data = memory.data();
  const Shard& shard = *s.shard;
  Moment m{shard.rows, shard.steps ? shard.active[0] : 0, 0, false, {}};
  m.index[GRADIENT][1] = shard.rows;
  m.index[CARRY][0] = shard.rows;  // as if before step −1
  run_program(memory, LAST_BACK, m, group);
  for (int i = 0; i < data.arrays; i++) {
    const ProgramArray& a = data.array[i];
    float* to = a.kind == CARRY ? s.call->d_start[a.of] : nullptr;
    for (long r = group.member; to && r < shard.rows; r += group.members)
      for (long j = 0; j < blocks_of(a.width); j++)
        store_part_of(to + shard.row[r] * data.leaf_width[a.of] + a.offset, a, j, load(memory.at(i, r, j)));
  }
  for (long r = group.member; s.call->dx && r < shard.rows; r += group.members)
    for (long t = shard.length[r]; t < s.call->steps; t++)
      __builtin_memset(s.call->dx + (shard.row[r] * s.call->steps + t) * s.call->x_stride, 0, (size_t)data.input * 4);
}

void backward(const ProgramShard* shard_memory, float* tiles, long first, long last, const Group& group) {
  const ProgramShard& s = *shard_memory;
  const ThreadMemory memory(s, tiles);
  find_views(memory, STEP_BACK), find_views(memory, LAST_BACK);
  if (last == s.shard->steps) begin_back(memory, group);
  else keep_later_gradients(memory, last, group);
  group.wait();
  for (long t = last - 1; t >= first; t--) run_program(memory, STEP_BACK, moment_back(s, t, first, last), group);
  if (!first) end_back(memory, group);
}

void items_back(const ProgramShard* s, float* tiles, long first, long from, long to, bool x) {
  const ThreadMemory memory(*s, tiles);
  find_views(memory, ITEMS_BACK);
  Barrier* none = nullptr;
  for (long n = from; n < to; n += BACK_ITEMS) {
    Moment m = moment_of_items(n, n, to - n < BACK_ITEMS ? to - n : BACK_ITEMS);
    m.index[GRADIENT][0] = s->shard->rows + n - s->shard->offset[first];
    run_program(memory, ITEMS_BACK, m, Group{none, 0, 1}, x);
  }
}

}  // namespace

extern const ProgramKernels PROGRAM_KERNELS;
constexpr ProgramKernels PROGRAM_KERNELS = {lay_out_weights, pack, lay_out_forward, lay_out_backward, forward, backward,
                                            items_back, gradient_works, shape_inputs, gather_inputs, gradient, add_sums, clear_sums, step, items, read_table, write_table, read_state, write_state};

}  // namespace ISA
}  // namespace stepscan
