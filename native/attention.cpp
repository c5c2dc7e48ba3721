#include "attention.h"

#include "buffer.h"
#include "gemm.h"
#include "math.h"

namespace stepscan {
namespace ISA {
namespace {

constexpr int KEYS = 64, VECTORS = KEYS / LANES;                    // positions in a block
constexpr int ROWS = 6;                                             // queries in a tile
constexpr int SCORED = 3;                                           // queries whose scores are computed together, twice over in registers
constexpr int PASS = REGISTERS >= 32 && VECTORS >= 4 ? 4 : 2;       // for so many vectors of keys
constexpr long QUERIES = 16 * ROWS;                                 // that go over the blocks together, so that a block stays in cache
static_assert(VECTORS % PASS == 0, "a block is a number of passes");

long smaller(long a, long b) { return a < b ? a : b; }
long larger(long a, long b) { return a > b ? a : b; }

// The positions that the query at position p sees: from … to.
struct Seen {
  long from, to;
  Seen(const HeadAttention& a, long p) : from(a.context ? larger(0, p - a.context + 1) : 0), to(a.context ? p + 1 : a.first + a.items) {}
};

// v in the lanes of vector `index` of a block that lie in from … to, and zero in the others.
INLINE Vec inside(int index, int from, int to, Vec v) {
  alignas(64) static const float EDGE[3 * LANES] = {
#define STEPSCAN_ONES 1, 1, 1, 1
#if defined(STEPSCAN_AVX512)
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, STEPSCAN_ONES, STEPSCAN_ONES, STEPSCAN_ONES, STEPSCAN_ONES
#elif defined(STEPSCAN_AVX2)
      0, 0, 0, 0, 0, 0, 0, 0, STEPSCAN_ONES, STEPSCAN_ONES
#else
      0, 0, 0, 0, STEPSCAN_ONES
#endif
  };  // zeros, ones, zeros
  int first = from - index * LANES, last = to - index * LANES;
  if (first > 0) v = where_positive(load(EDGE + LANES - first), v);
  if (last < LANES) v = where_positive(load(EDGE + 2 * LANES - last), v);
  return v;
}

// A query's sums so far.
struct Sums {
  float *m, *l, *o;  // [1], [LANES], [wide]
};
INLINE void begin(const Sums& sums, long wide) {
  *sums.m = -__builtin_inff();
  store(sums.l, zero());
  for (long i = 0; i < wide; i += LANES) store(sums.o + i, zero());
}

// The order in which a head's numbers lie in packed queries and keys: those of lane 0 of its vectors first, then of lane 1, ….
template <class F>
INLINE void for_lanes(long size, F f) {  // f(number, place)
  long place = 0;
  for (long lane = 0; lane < LANES; lane++)
    for (long i = lane; i < size; i += LANES) f(i, place++);
}

// scores[m][key] = q_m · k for the passes first … last of a block: each lane's chain, and then their sum.
//   q [M][size], packed; K [VECTORS / PASS][size][PASS][LANES], packed; scores [M][KEYS]
template <int M>
static void score_keys(const float* q, long size, const float* K, int first, int last, float* scores) {
  for (int pass = first; pass < last; pass++) {
    const float* k = K + pass * size * PASS * LANES;
    Vec sum[M][PASS];
#pragma GCC unroll 4
    for (int m = 0; m < M; m++)
#pragma GCC unroll 4
      for (int n = 0; n < PASS; n++) sum[m][n] = zero();
    for (long lane = 0, at = 0; lane < LANES && lane < size; lane++) {
      Vec chain[M][PASS];
#pragma GCC unroll 4
      for (int m = 0; m < M; m++)
#pragma GCC unroll 4
        for (int n = 0; n < PASS; n++) chain[m][n] = zero();
      for (long i = lane; i < size; i += LANES, at++, k += PASS * LANES) {
        Vec b[PASS];
#pragma GCC unroll 4
        for (int n = 0; n < PASS; n++) {
          b[n] = load(k + n * LANES);
          if (M > 1) KEEP(b[n]);
        }
#pragma GCC unroll 4
        for (int m = 0; m < M; m++) {
          Vec a = set1(q[m * size + at]);
#pragma GCC unroll 4
          for (int n = 0; n < PASS; n++) chain[m][n] = fma(a, b[n], chain[m][n]);
        }
      }
#pragma GCC unroll 4
      for (int m = 0; m < M; m++)
#pragma GCC unroll 4
        for (int n = 0; n < PASS; n++) sum[m][n] = sum[m][n] + chain[m][n];
    }
#pragma GCC unroll 4
    for (int m = 0; m < M; m++)
#pragma GCC unroll 4
      for (int n = 0; n < PASS; n++) store(scores + m * KEYS + (pass * PASS + n) * LANES, sum[m][n]);
  }
}

// m' of `count` queries, in `now`, and c, given the greatest scores of each in the lanes of `most`.
INLINE void next_maxima(Vec* most, int count, float* m, float* now, float* c) {
  for (int first = 0; first < count; first += LANES) {
    const int n = (int)smaller(LANES, count - first);
    Vec r[LANES];
    for (int i = 0; i < LANES; i++) r[i] = most[first + (i < n ? i : 0)];
    transpose(r);
    Vec before = load_part(m + first, n), top = before;
    for (int i = 0; i < LANES; i++) top = max(top, r[i]);
    store_part(now + first, n, top);
    store_part(c + first, n, exp(before - top));
    store_part(m + first, n, top);
  }
}

// The scores of `count` queries [count][KEYS], of which each sees from … to (indices in the block) → p, in place; m, l and o scaled.
INLINE void block_softmax(float* scores, int count, const int* from, const int* to, Sums sums, long wide) {
  const float low = -__builtin_inff();
  auto is_whole = [&](int i, int v) { return v * LANES >= from[i] && (v + 1) * LANES <= to[i]; };
  Vec most[ROWS];
  float now[ROWS], c[ROWS];
  for (int i = 0; i < count; i++) {
    const float* score = scores + i * KEYS;
    most[i] = set1(low);
    if (from[i] == 0 && to[i] == KEYS) {
#pragma GCC unroll 16
      for (int v = 0; v < VECTORS; v++) most[i] = max(most[i], load(score + v * LANES));
    } else {
      for (int v = from[i] / LANES; v * LANES < to[i]; v++) {
        Vec x = load(score + v * LANES);
        if (!is_whole(i, v)) x = inside(v, from[i], to[i], x) + where_positive(set1(1.f) - inside(v, from[i], to[i], set1(1.f)), set1(low));
        most[i] = max(most[i], x);
      }
    }
  }
  next_maxima(most, count, sums.m, now, c);
  for (int i = 0; i < count; i++, sums.l += LANES, sums.o += wide) {
    if (from[i] >= to[i]) continue;
    float* score = scores + i * KEYS;
    Vec sum = load(sums.l), top = set1(now[i]);
    if (c[i] != 1) {
      sum = sum * set1(c[i]);
      for (long j = 0; j < wide; j += LANES) store(sums.o + j, load(sums.o + j) * set1(c[i]));
    }
    if (from[i] == 0 && to[i] == KEYS) {
#pragma GCC unroll 16
      for (int v = 0; v < VECTORS; v++) {
        Vec e = exp(load(score + v * LANES) - top);
        store(score + v * LANES, e);
        sum = sum + e;
      }
    } else {
      for (int v = from[i] / LANES; v * LANES < to[i]; v++) {
        Vec e = exp(load(score + v * LANES) - top);
        if (!is_whole(i, v)) e = inside(v, from[i], to[i], e);
        store(score + v * LANES, e);
        sum = sum + e;
      }
    }
    store(sums.l, sum);
  }
}
INLINE void finish(const Sums& sums, long size, float* out) {
  Vec scale = set1(1.f / sum_of(load(sums.l)));
  for (long i = 0; i < size; i += LANES) store_part(out + i, in_block(size, i / LANES), load(sums.o + i) * scale);
}

// o[m] += Σ_k p[m][k] · V[k], a chain in order of k.
//   p [M] pointers to [count]; V [count][N][LANES]; o [M] pointers, to [N][LANES] each
template <int M, int N>
static void add_values(const float* const* p, long count, const float* V, float* const* o) {
  constexpr int P = vectors_per_pass(M, N);
#pragma GCC unroll 4
  for (int pass = 0; pass < N; pass += P) {
    Vec sum[M][P];
#pragma GCC unroll 8
    for (int m = 0; m < M; m++)
#pragma GCC unroll 4
      for (int n = 0; n < P; n++) sum[m][n] = load(o[m] + (pass + n) * LANES);
    const float* v = V + pass * LANES;
    for (long k = 0; k < count; k++, v += N * LANES) {
      Vec b[P];
#pragma GCC unroll 4
      for (int n = 0; n < P; n++) {
        b[n] = load(v + n * LANES);
        if (M > 1) KEEP(b[n]);
      }
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) {
        Vec a = set1(p[m][k]);
#pragma GCC unroll 4
        for (int n = 0; n < P; n++) sum[m][n] = fma(a, b[n], sum[m][n]);
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; m++)
#pragma GCC unroll 4
      for (int n = 0; n < P; n++) store(o[m] + (pass + n) * LANES, sum[m][n]);
  }
}
typedef void (*AddValues)(const float* const*, long, const float*, float* const*);
#define STEPSCAN_OF_WIDTH(N) {add_values<1, N>, add_values<2, N>, add_values<3, N>, add_values<4, N>, add_values<5, N>, add_values<6, N>}
const AddValues ADD_VALUES[MAX_WIDTH][ROWS] = {STEPSCAN_OF_WIDTH(1), STEPSCAN_OF_WIDTH(2), STEPSCAN_OF_WIDTH(3), STEPSCAN_OF_WIDTH(4)};

// What a scan of one head works with; positions count from `base`, the beginning of the first block.
struct Scan {
  const HeadAttention& a;
  long begin, base, padded, vectors, wide;  // padded: positions, wide: numbers of a head, both to the next whole block or vector
  float *keys, *values;  // [padded / KEYS][VECTORS / PASS][size][PASS][LANES]; per four vectors of a head [padded][width][LANES]
  float *q, *m, *l, *o;  // of QUERIES queries: [size], [1], [LANES], [wide]
  float* scores;         // of a tile: [ROWS][KEYS]
  ArenaLayout arena;

  Scan(const HeadAttention& head, float* scratch) : a(head), arena{scratch} {
    begin = a.context ? larger(0, a.first - a.context + 1) : 0;
    base = begin / KEYS * KEYS;
    padded = (a.first + a.items - base + KEYS - 1) / KEYS * KEYS;
    vectors = blocks_of(a.size), wide = vectors * LANES;
    keys = arena.allocate(padded * a.size), values = arena.allocate(padded * wide);
    q = arena.allocate(QUERIES * a.size), m = arena.allocate(QUERIES), l = arena.allocate(QUERIES * LANES), o = arena.allocate(QUERIES * wide);
    scores = arena.allocate(ROWS * KEYS);
  }
  Sums sums(long query) const { return {m + query, l + query * LANES, o + query * wide}; }
  int width(long group) const { return (int)smaller(MAX_WIDTH, vectors - group * MAX_WIDTH); }

  void pack() {
    auto row = [&](long position, const float* fresh, const float* old) {
      return position < a.first ? old + position % a.context * a.old_stride : fresh + (position - a.first) * a.stride;
    };
    const long end = a.first + a.items;
    long* place = (long*)__builtin_alloca((size_t)a.size * sizeof(long));
    for_lanes(a.size, [&](long i, long to) { place[i] = to; });
    for (long at = 0; at < padded; at += LANES) {
      const float* rows[LANES];
      for (int i = 0; i < LANES; i++) rows[i] = row(smaller(larger(base + at + i, begin), end - 1), a.k, a.old_k);
      float* to = keys + at / (PASS * LANES) * (PASS * LANES) * a.size + at % (PASS * LANES);
      for (long k = 0; k < a.size; k += LANES) {
        int count = in_block(a.size, k / LANES);
        Vec r[LANES];
        for (int i = 0; i < LANES; i++) r[i] = count == LANES ? load(rows[i] + k) : load_part(rows[i] + k, count);
        transpose(r);
        for (int i = 0; i < count; i++) store(to + place[k + i] * PASS * LANES, r[i]);
      }
    }
    for (long position = begin; position < end; position++) {
      const float* from = row(position, a.v, a.old_v);
      for (long v = 0; v < vectors; v++) {
        long group = v / MAX_WIDTH;
        store(values + group * MAX_WIDTH * LANES * padded + ((position - base) * width(group) + v % MAX_WIDTH) * LANES,
              load_part(from + v * LANES, in_block(a.size, v)));
      }
    }
  }

  // Adds positions from … to of a block to the sums of `count` queries, the first of which is the `query`th of the group.
  void add(long query, int count, const float* const* weights, long block, int from, int to) {
    if (from >= to) return;
    const float* shifted[ROWS];
    float* outputs[ROWS];
    for (int i = 0; i < count; i++) shifted[i] = weights[i] + from;
    for (long group = 0; group * MAX_WIDTH < vectors; group++) {
      for (int i = 0; i < count; i++) outputs[i] = o + (query + i) * wide + group * MAX_WIDTH * LANES;
      const int n = width(group);
      ADD_VALUES[n - 1][count - 1](shifted, to - from, values + group * MAX_WIDTH * LANES * padded + (block * KEYS + from) * n * LANES, outputs);
    }
  }

  // One block of keys for a tile of `count` queries, the first of which is the `query`th of a group that begins at item `first`.
  void tile(long first, long query, int count, long block) {
    const long start = base + block * KEYS;
    int from[ROWS], to[ROWS], low = KEYS, high = 0, common_from = 0, common_to = KEYS;
    const float* weights[ROWS];
    for (int i = 0; i < count; i++) {
      Seen seen(a, a.first + first + query + i);
      from[i] = (int)larger(0, seen.from - start), to[i] = (int)larger(0, smaller(KEYS, seen.to - start));
      if (from[i] < to[i]) low = from[i] < low ? from[i] : low, high = to[i] > high ? to[i] : high;
      common_from = (int)larger(common_from, from[i]), common_to = (int)smaller(common_to, to[i]);
      weights[i] = scores + i * KEYS;
    }
    if (low >= high) return;
    constexpr int PASS_KEYS = PASS * LANES;
    const int first_pass = low / PASS_KEYS, last_pass = (high + PASS_KEYS - 1) / PASS_KEYS;
    for (int i = 0; i < count; i += SCORED) {
      const float *queries = q + (query + i) * a.size, *K = keys + block * KEYS * a.size;
      float* to_tile = scores + i * KEYS;
      if (count - i >= 3) score_keys<3>(queries, a.size, K, first_pass, last_pass, to_tile);
      if (count - i == 2) score_keys<2>(queries, a.size, K, first_pass, last_pass, to_tile);
      if (count - i == 1) score_keys<1>(queries, a.size, K, first_pass, last_pass, to_tile);
    }
    block_softmax(scores, count, from, to, sums(query), wide);
    if (common_from >= common_to) {
      for (int i = 0; i < count; i++) add(query + i, 1, weights + i, block, from[i], to[i]);
      return;
    }
    for (int i = 0; i < count; i++) add(query + i, 1, weights + i, block, from[i], common_from);
    add(query, count, weights, block, common_from, common_to);
    for (int i = 0; i < count; i++) add(query + i, 1, weights + i, block, common_to, to[i]);
  }

  void run() {
    pack();
    for (long first = 0; first < a.items; first += QUERIES) {
      const long count = smaller(QUERIES, a.items - first);
      for (long i = 0; i < count; i++) {
        stepscan::ISA::begin(sums(i), wide);
        for_lanes(a.size, [&](long number, long to) { q[i * a.size + to] = a.q[(first + i) * a.stride + number]; });
      }
      const long seen_from = Seen(a, a.first + first).from, seen_to = Seen(a, a.first + first + count - 1).to;
      for (long block = (seen_from - base) / KEYS; base + block * KEYS < seen_to; block++)
        for (long query = 0; query < count; query += ROWS) tile(first, query, (int)smaller(ROWS, count - query), block);
      for (long i = 0; i < count; i++) finish(sums(i), a.size, a.out + (first + i) * a.out_stride);
    }
  }
};

}  // namespace

size_t head_floats(const HeadAttention& a) { return Scan(a, nullptr).arena.used; }
void head_scan(const HeadAttention& a, float* scratch) {
  if (a.items) Scan(a, scratch).run();
}

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

void rotate(float* x, long size, const float* cosine, const float* sine, float scale) {
  const long half = size / 2;
  for (long i = 0; i < half; i += LANES) {
    const int count = in_block(half, i / LANES);
    Vec a = load_part(x + i, count), b = load_part(x + half + i, count), c = load_part(cosine + i, count), s = load_part(sine + i, count);
    store_part(x + i, count, (a * c - b * s) * set1(scale));
    store_part(x + half + i, count, (a * s + b * c) * set1(scale));
  }
  for (long i = 2 * half; i < size; i++) x[i] *= scale;
}

void gelu_of(float* x, long size) {
  for (long i = 0; i < size; i += LANES) {
    int count = in_block(size, i / LANES);
    if (count == LANES) store(x + i, gelu(load(x + i)));
    else store_part(x + i, count, gelu(load_part(x + i, count)));
  }
}

}  // namespace ISA
}  // namespace stepscan
