// Attention in a scan: tiles of queries go over blocks of packed keys and values.
#include "attention_blocks.h"
#include "buffer.h"

namespace stepscan {
namespace ISA {
namespace {

constexpr int SCORED = 3;                                           // queries whose scores are computed together, twice over in registers
constexpr int PASS = REGISTERS >= 32 && VECTORS >= 4 ? 4 : 2;       // for so many vectors of keys
constexpr long QUERIES = 16 * ROWS;                                 // that go over the blocks together, so that a block stays in cache
static_assert(VECTORS % PASS == 0, "a block is a number of passes");

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

}  // namespace ISA
}  // namespace stepscan
