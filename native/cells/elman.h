// The Elman network: h = φ(W_in x + b_in + W_rec h_{t−1} + b_rec), φ = tanh or relu.
//
//   gates  [1][LANES]  before a step: the input product; after it: h, which backward needs
//   d      [1][LANES]  gradient of the sum
#pragma once
#include "../scan.h"

namespace stepscan {
namespace ISA {

template <bool relu>
struct Elman : NoExtras {
  static constexpr int gates = 1, saved = 1, back = 1, in_slot = 0, rec_slot = 0, units = 0;
  static constexpr int in_order[] = {0}, rec_order[] = {0};
  static constexpr bool has_c = false;
  static constexpr Carries carries = CARRIES_NOTHING;

  template <bool save>
  INLINE Vec forward(const float* rec, float* gates, const float* h_prev, const float* c_prev, float* c);
  INLINE void backward(Vec dh, const float* gates, Vec h_prev, const float* c_prev, const float* c, float* d_carry, float* d);
};

extern const CellKernels ELMAN_TANH, ELMAN_RELU;

}  // namespace ISA
}  // namespace stepscan
