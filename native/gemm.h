// The one matrix product of all kernels. Every output is one chain of fused multiply-adds in the order of k, whatever the
// number of rows, so that a row has the same bits alone and in any batch.
//
// Packed weights: `[panels][K][width][LANES]`, a panel being `width` vectors of outputs; what is past the last output is 0.
#pragma once
#include "simd.h"

namespace stepscan {
namespace ISA {

constexpr int WIDEST = 4;  // vectors in a panel
constexpr int TALLEST = 8;
constexpr int TILE_FLOATS = TALLEST * WIDEST * LANES;

// Rows that fit into the registers beside the vectors of B that are computed at a time and one of A.
constexpr int tallest(int width) {
  return width == 4 ? 6 : REGISTERS >= 32 ? 8 : width == 3 ? 4 : width == 2 ? 6 : 8;
}
// Vectors of a panel that are computed at a time: where all of them would not fit, half, beside which twice the rows do, so
// that each number of B that is fetched serves as often as each of A.
constexpr int together(int rows, int width) { return rows * width + width + 1 <= REGISTERS ? width : width / 2; }

// P vectors of a panel's N; see `tile`.
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

// out[m][n] = start[n] + Σ_k rows[m][k] · B[k][n]. K runs over `chunks` pieces of `chunk` numbers, `jump` apart in rows.
//   rows [M] pointers; B [chunks · chunk][N][LANES]; start [N][LANES] or null for zeros; out [M][N][LANES];
//   ahead: numbers that will be read soon, of which each k fetches a vector into the second cache; B itself for none
//   W: float, or uint16_t for bfloat16
template <int M, int N, class W>
static void tile(const float* const* rows, long chunks, long chunk, long jump, const W* B, const float* start, float* out,
                 const W* ahead) {
  constexpr int P = together(M, N);
#pragma GCC unroll 2
  for (int first = 0; first < N; first += P)
    part_of_tile<M, N, P>(rows, chunks, chunk, jump, B + first * LANES, start ? start + first * LANES : nullptr, out + first * LANES,
                          first ? B : ahead);
}

// P vectors of B's N; see `outer`.
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

// C[m][n] += Σ_k A[k][m] · B[k][n]: the gradient of weights. A row k is `lda` after row k − 1; B [K][N][LANES]; C rows are
// `ldc` apart, and only `columns` of their numbers are touched.
template <int M, int N>
static void outer(const float* A, long lda, long K, const float* B, float* C, long ldc, int columns) {
  constexpr int P = together(M, N);
#pragma GCC unroll 2
  for (int first = 0; first < N; first += P)
    part_of_outer<M, N, P>(A, lda, K, B + first * LANES, C + first * LANES, ldc, columns - first * LANES);
}

template <class W>
using Tile = void (*)(const float* const*, long, long, long, const W*, const float*, float*, const W*);
typedef void (*Outer)(const float*, long, long, const float*, float*, long, int);

// An entry for each number of rows, where no tile is so tall the last that is.
#define STEPSCAN_BY_HEIGHT(kernel, N, ...)                                                                                   \
  {kernel<1, N __VA_ARGS__>,                         kernel<2, N __VA_ARGS__>,                                               \
   kernel<3, N __VA_ARGS__>,                         kernel<(tallest(N) >= 4 ? 4 : 1), N __VA_ARGS__>,                       \
   kernel<(tallest(N) >= 5 ? 5 : 1), N __VA_ARGS__>, kernel<(tallest(N) >= 6 ? 6 : 1), N __VA_ARGS__>,                       \
   kernel<(tallest(N) >= 7 ? 7 : 1), N __VA_ARGS__>, kernel<(tallest(N) >= 8 ? 8 : 1), N __VA_ARGS__>}
#define STEPSCAN_BY_SIZE(kernel, ...)                                                                                        \
  {STEPSCAN_BY_HEIGHT(kernel, 1, __VA_ARGS__), STEPSCAN_BY_HEIGHT(kernel, 2, __VA_ARGS__),                                   \
   STEPSCAN_BY_HEIGHT(kernel, 3, __VA_ARGS__), STEPSCAN_BY_HEIGHT(kernel, 4, __VA_ARGS__)}
template <class W>
struct Tiles {
  static constexpr Tile<W> of[WIDEST][TALLEST] = STEPSCAN_BY_SIZE(tile, , W);
};
static const Outer OUTERS[WIDEST][TALLEST] = STEPSCAN_BY_SIZE(outer);
static constexpr auto& TILES = Tiles<float>::of;

// What a tile may fetch ahead while the `tile`-th of a panel runs: each tile a K · LANES piece of the panel after it, where
// the matrix is larger than a core's second cache keeps.
constexpr size_t KEPT = 1 << 20;  // bytes
template <class W>
INLINE const W* fetch_ahead(const W* B, long K, int N, long panel, long panels, int tile) {
  bool none = panel + 1 >= panels || tile >= N || panels * K * N * LANES * sizeof(W) <= KEPT;
  return none ? B : B + (N + tile) * K * LANES;
}

// Calls f(first, count, number) for rows `from` … `to`, cut into even pieces that fit beside `width` vectors.
template <class F>
INLINE void by_tiles(long from, long to, int width, F f) {
  long total = to - from;
  if (total <= 0) return;
  long pieces = (total + tallest(width) - 1) / tallest(width);
  for (long i = 0, row = from; i < pieces; i++) {
    int count = (int)((total * (i + 1)) / pieces - (total * i) / pieces);
    f(row, count, (int)i);
    row += count;
  }
}

// How wide panels over `blocks` vectors should be: the widest of those that waste least.
INLINE int best_width(long blocks) {
  int best = 1;
  long waste = 0;
  for (int width = WIDEST; width >= 1; width--) {
    long spare = (blocks + width - 1) / width * width - blocks;
    if (width == WIDEST || spare < waste) best = width, waste = spare;
  }
  return best;
}
INLINE long blocks_of(long size) { return (size + LANES - 1) / LANES; }
INLINE int in_block(long size, long block) {  // numbers of `size` that fall into a block
  long left = size - block * LANES;
  return left >= LANES ? LANES : left < 0 ? 0 : (int)left;
}

// W rows `row … row + LANES` (those below `rows`), `[rows][K]` → column block `out[k · stride + lane]`, transposed.
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
