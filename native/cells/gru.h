// The gated recurrent unit: n = tanh(W_in x + b_in + r (W_hn h_{t−1} + b_hn)), h = (1 − z) n + z h_{t−1}.
//
//   gates  [4][LANES]  before a step: the input products of n, r, z; after it: n, r, z and the recurrent product of n
//   d      [4][LANES]  gradients: n's input product, r, z, n's recurrent product; so that the input side is vectors 0 to 2
//                      and the recurrent side vectors 1 to 3
//   d_carry [LANES]    dh · z
#pragma once
#include "../scan.h"

namespace stepscan {
namespace ISA {

struct GRU : NoExtras {
  static constexpr int gates = 3, saved = 4, back = 4, in_slot = 0, rec_slot = 1, units = 1;
  static constexpr int in_order[] = {2, 0, 1}, rec_order[] = {0, 1, 2};
  static constexpr bool has_c = false;
  static constexpr Carries carries = CARRIES_H;

  template <bool save>
  INLINE Vec forward(const float* rec, float* gates, const float* h_prev, const float* c_prev, float* c);
  INLINE void backward(Vec dh, const float* gates, Vec h_prev, const float* c_prev, const float* c, float* d_carry, float* d);
};

extern const CellKernels GRU_KERNELS;

}  // namespace ISA
}  // namespace stepscan
