// What a scan and a step of attention share: blocks of positions, what a query sees of them, and the online softmax.
#pragma once
#include "attention.h"
#include "gemm.h"
#include "math.h"

namespace stepscan {
namespace ISA {
namespace {

constexpr int KEYS = 64, VECTORS = KEYS / LANES;                    // positions in a block
constexpr int ROWS = 6;                                             // queries in a tile

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

}  // namespace
}  // namespace ISA
}  // namespace stepscan
