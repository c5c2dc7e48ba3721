// Attention in a step: one query of each head, over keys and values where they lie in the cache.
#include "attention_blocks.h"

namespace stepscan {
namespace ISA {
namespace {

// Scores of one query with positions from … to of a block. row(i) is the item at index i of the block, or for one that the query
// does not see any other; `Whole`: the numbers of a head fill vectors.
template <bool Whole, class Row>
INLINE void step_scores(const float* q, Row row, long size, int from, int to, float* scores) {
  for (int v = from / LANES; v * LANES < to; v++) {
    Vec chain[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) chain[i] = zero();
    for (long k = 0; k < size; k += LANES) {
      const int count = Whole ? LANES : in_block(size, k / LANES);
      const Vec a = Whole ? load(q + k) : load_part(q + k, count);
#pragma GCC unroll 16
      for (int i = 0; i < LANES; i++) {
        const float* key = row(v * LANES + i) + k;
        chain[i] = fma(a, Whole ? load(key) : load_part(key, count), chain[i]);
      }
    }
    transpose(chain);
    Vec sum = zero();
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) sum = sum + chain[i];
    store(scores + v * LANES, sum);
  }
}
// o += Σ p_s v_s for N vectors of each of two heads, or of one, the last of which has `last` numbers.
//   p [heads][KEYS]; row(i): values of the item at index i; o of the second head `wide` floats, its values `size` after the first's
template <int Heads, int N, bool Whole, class Row>
INLINE void step_values(const float* p, Row row, long size, int last, int from, int to, float* o, long wide) {
  Vec sum[Heads][N];
#pragma GCC unroll 2
  for (int h = 0; h < Heads; h++)
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) sum[h][n] = load(o + h * wide + n * LANES);
  for (int i = from; i < to; i++) {
    const float* value = row(i);
#pragma GCC unroll 2
    for (int h = 0; h < Heads; h++) {
      Vec weight = set1(p[h * KEYS + i]);
#pragma GCC unroll 4
      for (int n = 0; n < N; n++) {
        const float* part = value + h * size + n * LANES;
        sum[h][n] = fma(weight, Whole || n + 1 < N ? load(part) : load_part(part, last), sum[h][n]);
      }
    }
  }
#pragma GCC unroll 2
  for (int h = 0; h < Heads; h++)
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) store(o + h * wide + n * LANES, sum[h][n]);
}
// One block of a step for two heads side by side, or for one. key(i) and value(i) are the items of the block for the first.
template <int Heads, bool Whole, class Key, class Value>
INLINE void step_block(const float* q, Key key, Value value, long size, int from, int to, const Sums& sums) {
  const long vectors = blocks_of(size), wide = vectors * LANES;
  const int froms[] = {from, from}, tos[] = {to, to};
  alignas(64) float p[Heads * KEYS];
  for (int h = 0; h < Heads; h++)
    step_scores<Whole>(q + h * size, [&](int i) { return key(i) + h * size; }, size, from, to, p + h * KEYS);
  block_softmax(p, Heads, froms, tos, sums, wide);
  for (long first = 0; first < vectors; first += MAX_WIDTH) {
    const int n = (int)smaller(MAX_WIDTH, vectors - first), last = in_block(size, first + n - 1);
    auto row = [&](int i) { return value(i) + first * LANES; };
    float* o = sums.o + first * LANES;
    if (n == 1) step_values<Heads, 1, Whole>(p, row, size, last, from, to, o, wide);
    if (n == 2) step_values<Heads, 2, Whole>(p, row, size, last, from, to, o, wide);
    if (n == 3) step_values<Heads, 3, Whole>(p, row, size, last, from, to, o, wide);
    if (n == 4) step_values<Heads, 4, Whole>(p, row, size, last, from, to, o, wide);
  }
}
template <int Heads, class Key, class Value>
INLINE void step_block(const float* q, Key key, Value value, long size, int from, int to, const Sums& sums) {
  if (size % LANES) step_block<Heads, false>(q, key, value, size, from, to, sums);
  else step_block<Heads, true>(q, key, value, size, from, to, sums);
}
// Prefetches one block of rows into the L2 cache.
INLINE void prefetch_rows(const float* rows, long stride, long size) {
  for (int i = 0; i < KEYS; i++)
    for (long k = 0; k < size; k += 16) __builtin_prefetch(rows + i * stride + k, 0, 2);
}

}  // namespace

void heads_step(const HeadAttention& a, long heads) {
  const long size = a.size, vectors = blocks_of(size), wide = vectors * LANES;
  const Seen seen(a, a.first);
  float* memory = (float*)__builtin_alloca((size_t)(heads * (1 + LANES + wide)) * sizeof(float));
  const Sums all{memory, memory + heads, memory + heads * (1 + LANES)};
  auto sums = [&](long head) { return Sums{all.m + head, all.l + head * LANES, all.o + head * wide}; };
  for (long head = 0; head < heads; head++) begin(sums(head), wide);
  const bool is_large = 2 * (seen.to - seen.from) * heads * size * sizeof(float) > L2_BYTES;
  for (long start = seen.from / KEYS * KEYS; start < seen.to; start += KEYS) {
    const int from = (int)larger(0, seen.from - start), to = (int)smaller(KEYS, seen.to - start);
    long place[KEYS], at = (start + from) % a.context;  // of what the query sees; before and after it, the nearest of these
    for (int i = 0; i < KEYS; i++) {
      place[i] = at * a.old_stride;
      if (i >= from && i + 1 < to) at = at + 1 < a.context ? at + 1 : 0;
    }
    const bool in_order = from == 0 && to == KEYS && place[KEYS - 1] - place[0] == (KEYS - 1) * a.old_stride;
    const bool fetches = is_large && start + 2 * KEYS <= seen.to && at + KEYS < a.context;
    for (long head = 0, count; head < heads; head += count) {
      count = smaller(2, heads - head);
      const float *q = a.q + head * size, *keys = a.old_k + head * size, *values = a.old_v + head * size;
      const Sums to_heads = sums(head);
      const long next = (at + 1) * a.old_stride;
      if (fetches) prefetch_rows(keys + next, a.old_stride, count * size), prefetch_rows(values + next, a.old_stride, count * size);
      auto key = [&](int i) { return keys + place[i]; };
      auto value = [&](int i) { return values + place[i]; };
      auto next_key = [first = keys + place[0], stride = a.old_stride](int i) { return first + i * stride; };
      auto next_value = [first = values + place[0], stride = a.old_stride](int i) { return first + i * stride; };
      if (count == 2 && in_order) step_block<2>(q, next_key, next_value, size, 0, KEYS, to_heads);
      else if (count == 2) step_block<2>(q, key, value, size, from, to, to_heads);
      else step_block<1>(q, key, value, size, from, to, to_heads);
    }
  }
  for (long head = 0; head < heads; head++) finish(sums(head), size, a.out + head * size);
}

}  // namespace ISA
}  // namespace stepscan
