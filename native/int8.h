// Products of 8-bit weights and 16-bit fixed-point activations: exact in integers, so that neither the order of a sum nor the
// instruction set changes its bits.
//
// A row x is encoded as u = round(x · 32767 / max |x|) + 32768, 0 … 65535, split into a high and a low byte. Then
//   Σ w (u − 32768) = 256 (Σ w high − 128 Σ w) + Σ w low,
// two dot products of bytes, for which processors have an instruction (vpdpbusd). The rounding error of an activation is below
// 2⁻¹⁶ of the largest one.
#pragma once
#include "gemm.h"

namespace stepscan {
namespace ISA {

constexpr int MAX_SUMS = REGISTERS >= 32 ? 24 : 12;
constexpr int max_dot_rows(int width) {  // rows whose sums, two each, fit into the registers
  int fits = MAX_SUMS / (2 * width);
  return fits > MAX_ROWS ? MAX_ROWS : fits < 1 ? 1 : fits;
}
INLINE long fours(long K) { return (K + 3) / 4; }

// x [K] → codes [⌈K / 4⌉][4 high bytes, 4 low bytes]; returns the scale, the value of a code of 1
INLINE float encode(const float* x, long K, uint8_t* codes) {
  Vec most = zero();
  for (long k = 0; k < K; k += LANES) most = max(most, abs(K - k >= LANES ? load(x + k) : load_part(x + k, (int)(K - k))));
  float lane[LANES], top = 0;
  store(lane, most);
  for (int i = 0; i < LANES; i++) top = lane[i] > top || lane[i] != lane[i] ? lane[i] : top;
  if (top - top != 0) {  // infinite or NaN: the scale, and so the result, is NaN
    __builtin_memset(codes, 0, (size_t)(8 * fours(K)));
    return top - top;
  }
  bool is_zero = top < 1e-30f;
  Vec inverse = set1(is_zero ? 0.f : 32767.f / top);
  for (long k = 0; k < K; k += LANES) {
    Vec v = round((K - k >= LANES ? load(x + k) : load_part(x + k, (int)(K - k))) * inverse);
    if (K - k >= LANES) store_codes(v, codes + 2 * k);
    else {
      alignas(64) uint8_t last[2 * LANES];
      store_codes(v, last);
      __builtin_memcpy(codes + 2 * k, last, (size_t)(8 * fours(K - k)));
    }
  }
  return is_zero ? 0.f : top / 32767.f;
}

// out[m][n] = bias[n] + code_scale[m] · scale[n] · Σ_k x[m][k] · B[k][n]
//   codes: M rows, encoded; B [four][N][LANES][4]; start, scale, bias [N][LANES]; out [M][N][LANES]
#define STEPSCAN_DOT(name, dot)                                                                                                 \
  (const uint8_t* codes, long row_bytes, const float* code_scale, long four, const int8_t* B, const int32_t* start,             \
   const float* scale, const float* bias, float* out) {                                                                         \
    IntVec high[M][N], low[M][N];                                                                                               \
    _Pragma("GCC unroll 8") for (int m = 0; m < M; m++)                                                                         \
      _Pragma("GCC unroll 4") for (int n = 0; n < N; n++) high[m][n] = load(start + n * LANES), low[m][n] = zero_int();         \
    for (long k = 0; k < four; k++, B += N * LANES * 4) {                                                                       \
      IntVec b[N];                                                                                                              \
      _Pragma("GCC unroll 4") for (int n = 0; n < N; n++) b[n] = load((const int32_t*)B + n * LANES);                           \
      _Pragma("GCC unroll 8") for (int m = 0; m < M; m++) {                                                                     \
        const uint8_t* code = codes + m * row_bytes + k * 8;                                                                    \
        IntVec h = broadcast_4_bytes(code), l = broadcast_4_bytes(code + 4);                                                    \
        _Pragma("GCC unroll 4") for (int n = 0; n < N; n++) high[m][n] = dot(high[m][n], h, b[n]), low[m][n] = dot(low[m][n], l, b[n]); \
      }                                                                                                                         \
    }                                                                                                                           \
    _Pragma("GCC unroll 8") for (int m = 0; m < M; m++)                                                                         \
      _Pragma("GCC unroll 4") for (int n = 0; n < N; n++) {                                                                     \
        Vec sum = fma(as_floats(high[m][n]), set1(256.f), as_floats(low[m][n]));                                                \
        store(out + (m * N + n) * LANES, fma(sum, load(scale + n * LANES) * set1(code_scale[m]), load(bias + n * LANES)));      \
      }                                                                                                                         \
  }
template <int M, int N>
static void dot_rows STEPSCAN_DOT(dot_rows, dot4)
typedef void (*Dot)(const uint8_t*, long, const float*, long, const int8_t*, const int32_t*, const float*, const float*, float*);

#define STEPSCAN_DOTS_OF(kernel, N)                                                                                             \
  {kernel<1, N>,                                kernel<(max_dot_rows(N) >= 2 ? 2 : 1), N>, kernel<(max_dot_rows(N) >= 3 ? 3 : 1), N>, \
   kernel<(max_dot_rows(N) >= 4 ? 4 : 1), N>,    kernel<(max_dot_rows(N) >= 5 ? 5 : 1), N>, kernel<(max_dot_rows(N) >= 6 ? 6 : 1), N>, \
   kernel<(max_dot_rows(N) >= 7 ? 7 : 1), N>,    kernel<(max_dot_rows(N) >= 8 ? 8 : 1), N>}
static const Dot DOTS[MAX_WIDTH][MAX_ROWS] = {STEPSCAN_DOTS_OF(dot_rows, 1), STEPSCAN_DOTS_OF(dot_rows, 2),
                                          STEPSCAN_DOTS_OF(dot_rows, 3), STEPSCAN_DOTS_OF(dot_rows, 4)};
#ifdef STEPSCAN_HAS_DOT_INSTRUCTION
template <int M, int N>
STEPSCAN_HAS_DOT_INSTRUCTION static void dot_rows_fast STEPSCAN_DOT(dot_rows_fast, dot4_fast)
static const Dot FAST_DOTS[MAX_WIDTH][MAX_ROWS] = {STEPSCAN_DOTS_OF(dot_rows_fast, 1), STEPSCAN_DOTS_OF(dot_rows_fast, 2),
                                               STEPSCAN_DOTS_OF(dot_rows_fast, 3), STEPSCAN_DOTS_OF(dot_rows_fast, 4)};
INLINE Dot dot_of(int width, int count) { return (has_dot_instruction() ? FAST_DOTS : DOTS)[width - 1][count - 1]; }
#else
INLINE Dot dot_of(int width, int count) { return DOTS[width - 1][count - 1]; }
#endif

}  // namespace ISA
}  // namespace stepscan
