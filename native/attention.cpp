#include "attention.h"

#include "buffer.h"
#include "gemm.h"
#include "math.h"

namespace stepscan {
namespace ISA {
namespace {

constexpr int KEYS = 64, VECTORS = KEYS / LANES;                    // positions in a block
constexpr int ROWS = 6;                                             // queries in a tile
constexpr int PASS = vectors_per_pass(ROWS, 4);                     // vectors of keys whose sums fit into the registers with them
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

// scores[m][key] = q_m · k for the passes first … last of a block.
//   q [M] pointers to [size]; K [VECTORS / PASS][size][PASS][LANES]; scores [M][KEYS]
template <int M>
static void score_keys(const float* const* q, long size, const float* K, int first, int last, float* scores) {
  for (int pass = first; pass < last; pass++) {
    const float* k = K + pass * size * PASS * LANES;
    Vec sum[M][PASS];
#pragma GCC unroll 8
    for (int m = 0; m < M; m++)
#pragma GCC unroll 4
      for (int n = 0; n < PASS; n++) sum[m][n] = zero();
    for (long i = 0; i < size; i++, k += PASS * LANES) {
      Vec b[PASS];
#pragma GCC unroll 4
      for (int n = 0; n < PASS; n++) {
        b[n] = load(k + n * LANES);
        if (M > 1) KEEP(b[n]);
      }
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) {
        Vec a = set1(q[m][i]);
#pragma GCC unroll 4
        for (int n = 0; n < PASS; n++) sum[m][n] = fma(a, b[n], sum[m][n]);
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; m++)
#pragma GCC unroll 4
      for (int n = 0; n < PASS; n++) store(scores + m * KEYS + (pass * PASS + n) * LANES, sum[m][n]);
  }
}
typedef void (*ScoreKeys)(const float* const*, long, const float*, int, int, float*);
const ScoreKeys SCORE_KEYS[ROWS] = {score_keys<1>, score_keys<2>, score_keys<3>, score_keys<4>, score_keys<5>, score_keys<6>};

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
    for (long at = 0; at < padded; at += LANES) {
      const float* rows[LANES];
      for (int i = 0; i < LANES; i++) rows[i] = row(smaller(larger(base + at + i, begin), end - 1), a.k, a.old_k);
      float* to = keys + at / (PASS * LANES) * (PASS * LANES) * a.size + at % (PASS * LANES);
      for (long k = 0; k < a.size; k += LANES) {
        int count = in_block(a.size, k / LANES);
        Vec r[LANES];
        for (int i = 0; i < LANES; i++) r[i] = count == LANES ? load(rows[i] + k) : load_part(rows[i] + k, count);
        transpose(r);
        for (int i = 0; i < count; i++) store(to + (k + i) * PASS * LANES, r[i]);
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
    const float *queries[ROWS], *weights[ROWS];
    for (int i = 0; i < count; i++) {
      Seen seen(a, a.first + first + query + i);
      from[i] = (int)larger(0, seen.from - start), to[i] = (int)larger(0, smaller(KEYS, seen.to - start));
      if (from[i] < to[i]) low = from[i] < low ? from[i] : low, high = to[i] > high ? to[i] : high;
      common_from = (int)larger(common_from, from[i]), common_to = (int)smaller(common_to, to[i]);
      queries[i] = q + (query + i) * a.size, weights[i] = scores + i * KEYS;
    }
    if (low >= high) return;
    constexpr int PASS_KEYS = PASS * LANES;
    SCORE_KEYS[count - 1](queries, a.size, keys + block * KEYS * a.size, low / PASS_KEYS, (high + PASS_KEYS - 1) / PASS_KEYS, scores);
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
        __builtin_memcpy(q + i * a.size, a.q + (first + i) * a.stride, (size_t)a.size * sizeof(float));
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

constexpr int TOGETHER = VECTORS < 4 ? VECTORS : 4;  // vectors of scores whose chains run side by side

// One block of a step for one head: positions from … to of the block, whose items lie at `place` [KEYS] in the cache; `next`: how
// much further on in the cache the next block's items lie, which are prefetched.
INLINE void step_scores(const float* q, const float* keys, const long* place, long next, long size, int from, int to, float* scores) {
  for (int first = from / LANES / TOGETHER * TOGETHER; first * LANES < to; first += TOGETHER) {
    Vec sum[TOGETHER];
    for (int j = 0; j < TOGETHER; j++) sum[j] = zero();
    for (long k = 0; k < size; k += LANES) {
      const int count = in_block(size, k / LANES);
#pragma GCC unroll 4
      for (int j = 0; j < TOGETHER; j++) {
        Vec r[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
          const float* key = keys + place[(first + j) * LANES + i] + k;
          if (k * sizeof(float) % 64 == 0) __builtin_prefetch(key + next, 0, 2);
          r[i] = count == LANES ? load(key) : load_part(key, count);
        }
        transpose(r);
        if (count == LANES) {
#pragma GCC unroll 16
          for (int i = 0; i < LANES; i++) sum[j] = fma(set1(q[k + i]), r[i], sum[j]);
        } else {
          for (int i = 0; i < count; i++) sum[j] = fma(set1(q[k + i]), r[i], sum[j]);
        }
      }
    }
    for (int j = 0; j < TOGETHER; j++) store(scores + (first + j) * LANES, sum[j]);
  }
}
// o += Σ p_s v_s for N vectors of a head, the last of which has `last` numbers.
template <int N>
INLINE void step_values(const float* p, const float* values, const long* place, long next, int last, int from, int to, float* o) {
  Vec sum[N];
#pragma GCC unroll 4
  for (int n = 0; n < N; n++) sum[n] = load(o + n * LANES);
  for (int i = from; i < to; i++) {
    const float* value = values + place[i];
    Vec weight = set1(p[i]);
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
      if (n * LANES * sizeof(float) % 64 == 0) __builtin_prefetch(value + n * LANES + next, 0, 2);
      Vec v = n + 1 < N || last == LANES ? load(value + n * LANES) : load_part(value + n * LANES, last);
      sum[n] = fma(weight, v, sum[n]);
    }
  }
#pragma GCC unroll 4
  for (int n = 0; n < N; n++) store(o + n * LANES, sum[n]);
}

}  // namespace

void heads_step(const HeadAttention& a, long heads) {
  const long size = a.size, vectors = blocks_of(size), wide = vectors * LANES;
  const Seen seen(a, a.first);
  float* memory = (float*)__builtin_alloca((size_t)(heads * (1 + LANES + wide)) * sizeof(float));
  const Sums all{memory, memory + heads, memory + heads * (1 + LANES)};
  auto sums = [&](long head) { return Sums{all.m + head, all.l + head * LANES, all.o + head * wide}; };
  for (long head = 0; head < heads; head++) begin(sums(head), wide);
  for (long start = seen.from / KEYS * KEYS; start < seen.to; start += KEYS) {
    const int from = (int)larger(0, seen.from - start), to = (int)smaller(KEYS, seen.to - start);
    long place[KEYS], at = (start + from) % a.context;  // of what the query sees; before and after it, the nearest of these
    for (int i = 0; i < KEYS; i++) {
      place[i] = at * a.old_stride;
      if (i >= from && i + 1 < to) at = at + 1 < a.context ? at + 1 : 0;
    }
    const long next = start + KEYS < seen.to && at + KEYS < a.context ? KEYS * a.old_stride : 0;
    for (long head = 0; head < heads; head++) {
      alignas(64) float p[KEYS];
      const float *q = a.q + head * size, *keys = a.old_k + head * size, *values = a.old_v + head * size;
      step_scores(q, keys, place, next, size, from, to, p);
      block_softmax(p, 1, &from, &to, sums(head), wide);
      for (long first = 0; first < vectors; first += MAX_WIDTH) {
        const int n = (int)smaller(MAX_WIDTH, vectors - first), last = in_block(size, first + n - 1);
        float* o = sums(head).o + first * LANES;
        const float* v = values + first * LANES;
        if (n == 1) step_values<1>(p, v, place, next, last, from, to, o);
        if (n == 2) step_values<2>(p, v, place, next, last, from, to, o);
        if (n == 3) step_values<3>(p, v, place, next, last, from, to, o);
        if (n == 4) step_values<4>(p, v, place, next, last, from, to, o);
      }
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
