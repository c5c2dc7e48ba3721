// Kernels used in training, other than recurrences: dropout, cross-entropy, and the backward pass of attention.
#pragma once
#include "gemm.h"
#include "kernels.h"
#include "math.h"

namespace stepscan {
namespace ISA {

INLINE Vec get(const float* p, int count) { return count == LANES ? load(p) : load_part(p, count); }
INLINE void put(float* p, int count, Vec v) {
  if (count == LANES) store(p, v);
  else store_part(p, count, v);
}

// ------------------------------------------------------------------------------------------------------------ dropout

// y = x · scale where an element's random bits are at least `threshold`, else x · 0; for one chunk, which has its own seed.
// Two rounds of multiply and shift (lowbias32: C. Wellons), which the compiler vectorises.
static void dropout(const float* x, long size, uint64_t seed, uint32_t threshold, float scale, float* y) {
  const uint32_t first = (uint32_t)seed, second = (uint32_t)(seed >> 32);
  for (long i = 0; i < size; i++) {
    uint32_t bits = (uint32_t)i * 0x9e3779b9u + first;
    bits = (bits ^ (bits >> 16)) * 0x7feb352du + second;
    bits = (bits ^ (bits >> 15)) * 0x846ca68bu;
    bits ^= bits >> 16;
    y[i] = x[i] * (bits >= threshold ? scale : 0.f);
  }
}

// ------------------------------------------------------------------------------------------------------- cross-entropy

// Replaces scores [rows, size] by the gradient of their loss. The loss of a row is `rest` + log(`sum`).
static void cross_entropy(float* scores, const int64_t* target, long from, long to, long size, float smoothing, float* rest,
                          float* sum) {
  for (long r = from; r < to; r++) {
    float* x = scores + r * size;
    const float target_score = x[target[r]];
    Vec top = set1(-__builtin_inff());
    long whole = size / LANES * LANES;
    for (long i = 0; i < whole; i += LANES) top = max(top, load(x + i));
    alignas(64) float lane[LANES];
    store(lane, top);
    float highest = lane[0];
    for (int i = 1; i < LANES; i++) highest = lane[i] > highest ? lane[i] : highest;
    for (long i = whole; i < size; i++) highest = x[i] > highest ? x[i] : highest;
    Vec total = zero(), below = zero();
    for (long i = 0; i < size; i += LANES) {
      int count = in_block(size, i / LANES);
      alignas(64) float tail[LANES] = {};
      Vec less = get(x + i, count) - set1(highest), e = exp(less);
      e = e - where_positive(set1(-87.f) - less, e);  // exp is clamped above zero, but exp(-∞) must be 0
      if (count < LANES) {
        store_part(tail, count, e), e = load(tail);
        store_part(tail, count, less), less = load(tail);
      }
      total = total + e, below = below + less;
      put(x + i, count, e);
    }
    sum[r] = sum_of(total);
    rest[r] = (1.f - smoothing) * (highest - target_score) - (smoothing ? smoothing * sum_of(below) / (float)size : 0.f);
    const Vec scale = set1(1.f / sum[r]), spread = set1(-smoothing / (float)size);
    for (long i = 0; i < size; i += LANES) {
      int count = in_block(size, i / LANES);
      put(x + i, count, fma(get(x + i, count), scale, spread));
    }
    x[target[r]] -= 1.f - smoothing;
  }
}

// ---------------------------------------------------------------------------------------------------------- attention

// The backward pass of `attend` for batch rows `from … to`: from gradients of context and weights (null for zeros) to those of
// query, keys, memory, and score (null for attention by dot products) per batch row.
static void attend_back(const AttendBackwardArgs& a, long from, long to) {
  const long T = a.queries, S = a.items, A = a.width, M = a.memory_width;
  for (long b = from; b < to; b++) {
    const long count = a.length[b];
    const float *keys = a.keys + b * S * A, *memory = a.memory + b * S * M;
    float *dkeys = a.dkeys + b * S * A, *dmemory = a.dmemory + b * S * M, *ds = a.scratch + b * S;
    float* dscore = a.score ? a.dscore + b * A : nullptr;
    __builtin_memset(dkeys, 0, S * A * 4), __builtin_memset(dmemory, 0, S * M * 4);
    if (dscore) __builtin_memset(dscore, 0, A * 4);
    for (long n = b * T; n < (b + 1) * T; n++) {
      const float *weight = a.weights + n * S, *dcontext = a.dcontext + n * M, *query = a.query + n * A;
      float weighted_sum = 0;
      for (long s = 0; s < count; s++) {
        Vec sum = zero(), share = set1(weight[s]);
        for (long m = 0; m < M; m += LANES) {
          int wide = in_block(M, m / LANES);
          Vec d = get(dcontext + m, wide);
          sum = fma(d, get(memory + s * M + m, wide), sum);
          put(dmemory + s * M + m, wide, fma(share, d, get(dmemory + s * M + m, wide)));
        }
        ds[s] = sum_of(sum) + (a.dweights ? a.dweights[n * S + s] : 0.f);
        weighted_sum += weight[s] * ds[s];
      }
      for (long s = 0; s < count; s++) ds[s] = weight[s] * (ds[s] - weighted_sum);
      for (long i = 0; i < A; i += LANES) {
        int wide = in_block(A, i / LANES);
        Vec q = get(query + i, wide), v = a.score ? get(a.score + i, wide) : zero(), dq = zero(), dv = zero();
        for (long s = 0; s < count; s++) {
          Vec k = get(keys + s * A + i, wide), d = set1(ds[s]), dk;
          if (a.score) {
            Vec hidden = tanh(q + k);
            dv = fma(d, hidden, dv);
            dk = d * v * (set1(1.f) - hidden * hidden);
            dq = dq + dk;
          } else {
            dk = d * q;
            dq = fma(d, k, dq);
          }
          put(dkeys + s * A + i, wide, get(dkeys + s * A + i, wide) + dk);
        }
        put(a.dquery + n * A + i, wide, dq);
        if (dscore) put(dscore + i, wide, get(dscore + i, wide) + dv);
      }
    }
  }
}

}  // namespace ISA
}  // namespace stepscan
