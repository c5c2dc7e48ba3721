// Long short-term memory: c = σ(f) c_{t−1} + σ(i) tanh(g), h = σ(o) tanh(c).
//
//   gates  [4][LANES]  before a step: the input products of i, f, g, o; after it: their activations, for backward
//   d      [4][LANES]  gradients of the four sums; the same for both products
//   d_carry [LANES]    gradient of c
#pragma once
#include "../scan.h"

namespace stepscan {
namespace ISA {

struct LSTM : NoExtras {
  static constexpr int gates = 4, saved = 4, back = 4, in_slot = 0, rec_slot = 0, units = 1;
  static constexpr int in_order[] = {0, 1, 2, 3}, rec_order[] = {0, 1, 2, 3};
  static constexpr bool has_c = true;
  static constexpr Carries carries = CARRIES_C;

  template <bool save>
  INLINE Vec forward(const float* rec, float* gates, const float* h_prev, const float* c_prev, float* c);
  INLINE void backward(Vec dh, const float* gates, Vec h_prev, const float* c_prev, const float* c, float* d_carry, float* d);
};

extern const CellKernels LSTM_KERNELS;

}  // namespace ISA
}  // namespace stepscan
