// The matrix product that all kernels use. Each output is one chain of fused multiply-adds in the order of k, for any number
// of rows, so that a row has the same bits alone and in any batch.
//
// Packed weights: `[panels][K][width][LANES]`. A panel is `width` vectors of outputs; the last one is padded with zeros.
#pragma once
#include "simd.h"

namespace stepscan {
namespace ISA {

constexpr int MAX_WIDTH = 4;  // vectors in a panel
constexpr int MAX_ROWS = 8;
constexpr int TILE_FLOATS = MAX_ROWS * MAX_WIDTH * LANES;

// Rows of a tile whose sums fit into the registers, next to one vector of A and those of B that one pass uses.
constexpr int max_rows(int width) {
  return width == 4 ? 6 : REGISTERS >= 32 ? 8 : width == 3 ? 4 : width == 2 ? 6 : 8;
}
// Vectors of a panel per pass: all of them or, if these do not fit, half, next to which twice as many rows fit; so that each
// loaded value of B is used as often as each value of A.
constexpr int vectors_per_pass(int rows, int width) { return rows * width + width + 1 <= REGISTERS ? width : width / 2; }

// P of a panel's N vectors; see `tile`.
template <int M, int N, int P, class W>
INLINE void part_of_tile(const float* const* rows, long chunks, long chunk, long jump, const W* B, const float* start, float* out,
                         const W* ahead) {
  Vec sum[M][P];
  const float* row[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; m++) {
    row[m] = rows[m];
#pragma GCC unroll 4
    for (int n = 0; n < P; n++) sum[m][n] = start ? load(start + n * LANES) : zero();
  }
  for (long c = 0; c < chunks; c++) {
    for (long k = 0; k < chunk; k++, B += N * LANES, ahead += LANES) {
      Vec b[P];
      __builtin_prefetch(ahead, 0, 2);
#pragma GCC unroll 4
      for (int n = 0; n < P; n++) {
        b[n] = load(B + n * LANES);
        if (M > 1) KEEP(b[n]);
      }
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) {
        Vec a = set1(row[m][k]);
#pragma GCC unroll 4
        for (int n = 0; n < P; n++) sum[m][n] = fma(a, b[n], sum[m][n]);
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) row[m] += jump;
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int n = 0; n < P; n++) store(out + (m * N + n) * LANES, sum[m][n]);
}

// out[m][n] = start[n] + Σ_k rows[m][k] · B[k][n]. k runs over `chunks` chunks of `chunk` floats, `jump` floats apart in rows.
//   rows [M] pointers; B [chunks · chunk][N][LANES]; start [N][LANES] or null for zeros; out [M][N][LANES];
//   ahead: what will be read next: each k prefetches a vector of it into the L2 cache; B itself for no prefetching
//   W: float, or uint16_t for bfloat16
template <int M, int N, class W>
static void tile(const float* const* rows, long chunks, long chunk, long jump, const W* B, const float* start, float* out,
                 const W* ahead) {
  constexpr int P = vectors_per_pass(M, N);
#pragma GCC unroll 2
  for (int first = 0; first < N; first += P)
    part_of_tile<M, N, P>(rows, chunks, chunk, jump, B + first * LANES, start ? start + first * LANES : nullptr, out + first * LANES,
                          first ? B : ahead);
}

// P of B's N vectors; see `outer`.
template <int M, int N, int P>
INLINE void part_of_outer(const float* A, long lda, long K, const float* B, float* C, long ldc, int columns) {
  Vec sum[M][P];
  for (int m = 0; m < M; m++)
    for (int n = 0; n < P; n++) sum[m][n] = zero();
  for (long k = 0; k < K; k++, A += lda, B += N * LANES) {
    Vec b[P];
#pragma GCC unroll 4
    for (int n = 0; n < P; n++) {
      b[n] = load(B + n * LANES);
      if (M > 1) KEEP(b[n]);
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
      Vec a = set1(A[m]);
#pragma GCC unroll 4
      for (int n = 0; n < P; n++) sum[m][n] = fma(a, b[n], sum[m][n]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int n = 0; n < P; n++) {
      float* c = C + m * ldc + n * LANES;
      int left = columns - n * LANES;
      if (left >= LANES) store(c, load(c) + sum[m][n]);
      else if (left > 0) store_part(c, left, load_part(c, left) + sum[m][n]);
    }
}

// C[m][n] += Σ_k A[k][m] · B[k][n]: the gradient of weights. Rows of A are `lda` floats apart; B [K][N][LANES]; rows of C are
// `ldc` floats apart, and only `columns` floats of each are written.
template <int M, int N>
static void outer(const float* A, long lda, long K, const float* B, float* C, long ldc, int columns) {
  constexpr int P = vectors_per_pass(M, N);
#pragma GCC unroll 2
  for (int first = 0; first < N; first += P)
    part_of_outer<M, N, P>(A, lda, K, B + first * LANES, C + first * LANES, ldc, columns - first * LANES);
}

template <class W>
using Tile = void (*)(const float* const*, long, long, long, const W*, const float*, float*, const W*);
typedef void (*Outer)(const float*, long, long, const float*, float*, long, int);

// One entry per number of rows; above max_rows(N), which is never used, the entry of one row.
#define STEPSCAN_BY_HEIGHT(kernel, N, ...)                                                                                   \
  {kernel<1, N __VA_ARGS__>,                         kernel<2, N __VA_ARGS__>,                                               \
   kernel<3, N __VA_ARGS__>,                         kernel<(max_rows(N) >= 4 ? 4 : 1), N __VA_ARGS__>,                      \
   kernel<(max_rows(N) >= 5 ? 5 : 1), N __VA_ARGS__>, kernel<(max_rows(N) >= 6 ? 6 : 1), N __VA_ARGS__>,                     \
   kernel<(max_rows(N) >= 7 ? 7 : 1), N __VA_ARGS__>, kernel<(max_rows(N) >= 8 ? 8 : 1), N __VA_ARGS__>}
#define STEPSCAN_BY_SIZE(kernel, ...)                                                                                        \
  {STEPSCAN_BY_HEIGHT(kernel, 1, __VA_ARGS__), STEPSCAN_BY_HEIGHT(kernel, 2, __VA_ARGS__),                                   \
   STEPSCAN_BY_HEIGHT(kernel, 3, __VA_ARGS__), STEPSCAN_BY_HEIGHT(kernel, 4, __VA_ARGS__)}
template <class W>
struct Tiles {
  static constexpr Tile<W> of[MAX_WIDTH][MAX_ROWS] = STEPSCAN_BY_SIZE(tile, , W);
};
static const Outer OUTERS[MAX_WIDTH][MAX_ROWS] = STEPSCAN_BY_SIZE(outer);
static constexpr auto& TILES = Tiles<float>::of;

// What the `tile`-th tile of a panel prefetches: K · LANES values of the `next` panel, if there is one and the matrix is larger
// than what a core's L2 cache retains beside everything else; the smallest L2 caches have 512 KB.
constexpr size_t L2_BYTES = 1 << 18;
template <class W>
INLINE const W* fetch_ahead(const W* B, long K, int N, long panel, long next, long panels, int tile) {
  bool none = next < 0 || next >= panels || tile >= N || panels * K * N * LANES * sizeof(W) <= L2_BYTES;
  return none ? B : B + ((next - panel) * N + tile) * K * LANES;
}

// Calls f(first, count, index) for tiles of rows `from` … `to`, of even height, that fit next to `width` vectors.
template <class F>
INLINE void for_tiles(long from, long to, int width, F f) {
  long total = to - from;
  if (total <= 0) return;
  if (total <= max_rows(width)) return f(from, (int)total, 0);  // without divisions: steps of a row have many panels
  long tiles = (total + max_rows(width) - 1) / max_rows(width);
  for (long i = 0, row = from; i < tiles; i++) {
    int count = (int)((total * (i + 1)) / tiles - (total * i) / tiles);
    f(row, count, (int)i);
    row += count;
  }
}

// Panel width for `blocks` vectors: the widest of those with the least padding.
INLINE int best_width(long blocks) {
  int best = 1;
  long least_padding = 0;
  for (int width = MAX_WIDTH; width >= 1; width--) {
    long padding = (blocks + width - 1) / width * width - blocks;
    if (width == MAX_WIDTH || padding < least_padding) best = width, least_padding = padding;
  }
  return best;
}
INLINE long blocks_of(long size) { return (size + LANES - 1) / LANES; }
INLINE int in_block(long size, long block) {  // how many of `size` elements are in a block
  long left = size - block * LANES;
  return left >= LANES ? LANES : left < 0 ? 0 : (int)left;
}

// Transposes rows `row … row + LANES` of W `[rows][K]` into a column block `out[k · stride + lane]`; zeros past the last row.
INLINE void pack_block(const float* W, long rows, long K, long row, float* out, long stride) {
  int count = (int)(rows - row < LANES ? rows - row : LANES);
  for (long k = 0; k < K; k += LANES) {
    int wide = (int)(K - k < LANES ? K - k : LANES);
    Vec r[LANES];
    for (int i = 0; i < LANES; i++) {
      const float* p = W + (row + i) * K + k;
      r[i] = i >= count ? zero() : wide == LANES ? load(p) : load_part(p, wide);
    }
    transpose(r);
    for (int i = 0; i < wide; i++) store(out + (k + i) * stride, r[i]);
  }
}

}  // namespace ISA
}  // namespace stepscan
