// The weights of one matrix product in any format: packing them, and multiplying rows by them.
#pragma once
#include "buffer.h"
#include "int8.h"
#include "kernels.h"

namespace stepscan {
namespace ISA {

// The format for K inputs: with more than this, the 32-bit sums of int8 could overflow, so that float32 is used.
constexpr long MAX_DOT_INPUTS = 0x7fffffff / (127 * 255);
INLINE Format effective_format(Format format, long K) { return format == INT8 && K > MAX_DOT_INPUTS ? FLOAT32 : format; }

INLINE size_t floats_of(const Matrix& m) {  // memory of B
  size_t vectors = (size_t)m.panels * m.width * LANES;
  return m.format == INT8 ? vectors * fours(m.K) : m.format == BFLOAT16 ? (vectors * m.K + 1) / 2 : vectors * m.K;
}
INLINE void allocate(Matrix* m, ArenaLayout& arena) {
  long vectors = m->panels * m->width * LANES;
  m->B = arena.allocate((long)floats_of(*m));
  m->bias = arena.allocate(vectors);
  m->scale = m->format == INT8 ? arena.allocate(vectors) : nullptr;
  m->start = m->format == INT8 ? (int32_t*)arena.allocate(vectors) : nullptr;
}

// Packs rows `row … row + count` of W `[rows][K]`, and their biases, as vector `v` of a panel; zeros past `count`.
INLINE void pack_vector(const Matrix& m, long panel, int v, const float* W, long row, int count, const float* bias) {
  long stride = m.width * LANES, K = m.K, at = (panel * m.width + v) * LANES;
  store(m.bias + at, bias && count ? load_part(bias + row, count) : zero());
  if (m.format == FLOAT32) {
    float* to = (float*)m.B + panel * K * stride + v * LANES;
    if (count) pack_block(W, row + count, K, row, to, stride);
    else for (long k = 0; k < K; k++) store(to + k * stride, zero());
  } else if (m.format == BFLOAT16) {
    uint16_t* to = (uint16_t*)m.B + panel * K * stride + v * LANES;
    for (long k = 0; k < K; k++)
      for (int i = 0; i < LANES; i++) {
        uint32_t bits = 0;
        if (i < count) __builtin_memcpy(&bits, W + (row + i) * K + k, 4);
        to[k * stride + i] = (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);  // round half to even
      }
  } else {
    int8_t* to = (int8_t*)m.B + panel * fours(K) * stride * 4 + v * LANES * 4;
    for (int i = 0; i < LANES; i++) {
      const float* w = W + (row + i) * K;
      float top = 0;
      for (long k = 0; i < count && k < K; k++) top = w[k] > top ? w[k] : -w[k] > top ? -w[k] : top;
      const float up = top < 1e-30f ? 0x1p64f : 1.f;  // a power of two: 127 / top is finite, and scaling is exact
      int sum = 0;
      for (long k = 0; k < 4 * fours(K); k++) {
        float code = i < count && k < K && top > 0 ? w[k] * up * (127.f / (top * up)) : 0;
        int rounded = (int)((code + 12582912.f) - 12582912.f);  // round half to even
        to[k / 4 * stride * 4 + i * 4 + k % 4] = (int8_t)rounded;
        sum += rounded;
      }
      m.scale[at + i] = top / 127.f, m.start[at + i] = -128 * sum;
    }
  }
}

template <class W>
INLINE void run_tile(int width, int count, const float* const* rows, long K, const W* B, const float* bias, float* out, const W* ahead) {
  Tiles<W>::of[width - 1][count - 1](rows, 1, K, 0, B, bias, out, ahead);
}

// out = bias + W · row for rows `first … last` and panels `from … to`, if `reverse` from the last one to the first.
//   row(r) -> const float* [K];  place(p, r, count) is called before the tile of panel p and rows r … r + count, so that it
//   can prefetch, and says where the tile goes, or null;  use(p, r, count, out [count][width][LANES]) receives one of null
template <class Row, class PlaceOf, class Use>
INLINE void multiply_into(const Matrix& m, long first, long last, long from, long to, bool reverse, Row row, PlaceOf place, Use use) {
  alignas(64) float some[TILE_FLOATS];
  const long stride = m.width * LANES;
  auto floats = [&](auto* B) {
    for (long k = from; k < to; k++) {
      const long p = reverse ? to - 1 - (k - from) : k, next = reverse ? p - 1 : p + 1;
      auto* panel = B + p * m.K * stride;
      for_tiles(first, last, m.width, [&](long r, int count, int tile) {
        const float* rows[MAX_ROWS];
        for (int i = 0; i < count; i++) rows[i] = row(r + i);
        float *there = place(p, r, count), *out = there ? there : some;
        run_tile(m.width, count, rows, m.K, panel, m.bias + p * stride, out, fetch_ahead(panel, m.K, m.width, p, next, m.panels, tile));
        if (!there) use(p, r, count, out);
      });
    }
  };
  if (m.format == FLOAT32) return floats((const float*)m.B);
  if (m.format == BFLOAT16) return floats((const uint16_t*)m.B);
  long four = fours(m.K), most = max_dot_rows(m.width);
  uint8_t* codes = (uint8_t*)__builtin_alloca((size_t)(most * four * 8));
  float code_scale[MAX_ROWS];
  for (long r = first; r < last; r += most) {
    int count = (int)(last - r < most ? last - r : most);
    for (int i = 0; i < count; i++) code_scale[i] = encode(row(r + i), m.K, codes + i * four * 8);
    for (long k = from; k < to; k++) {
      const long p = reverse ? to - 1 - (k - from) : k;
      float *there = place(p, r, count), *out = there ? there : some;
      dot_of(m.width, count)(codes, four * 8, code_scale, four, (const int8_t*)m.B + p * four * stride * 4, m.start + p * stride,
                             m.scale + p * stride, m.bias + p * stride, out);
      if (!there) use(p, r, count, out);
    }
  }
}
template <class Row, class Before, class Use>
INLINE void multiply(const Matrix& m, long first, long last, long from, long to, Row row, Before before, Use use) {
  auto nowhere = [&](long p, long r, int count) -> float* { return before(p, r, count), nullptr; };
  multiply_into(m, first, last, from, to, false, row, nowhere, use);
}

}  // namespace ISA
}  // namespace stepscan
