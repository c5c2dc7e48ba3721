// LSTM with layer normalisation (Ba et al. 2016, eqs 20 to 22): both products and the cell are normalised before they act.
//
//   s = α_in ⊙ norm(W_in x) + α_rec ⊙ norm(W_rec h_{t−1}) + b     norm over all 4H numbers
//   c = σ(f) c_{t−1} + σ(i) tanh(g)                               i, f, g, o the quarters of s
//   h = σ(o) tanh(α_c ⊙ norm(c) + β_c)                            norm over H numbers
//
// A norm needs the whole row, so the arithmetic is a row's, not a block's: `forward_row` and `backward_row` go over the
// blocks j with the given strides.
//
//   gates  [12][LANES]  before a step: the input products; after it: i, f, g, o, then norm(W_in x), then norm(W_rec h)
//   notes  [4]          1/deviation of both products; mean and 1/deviation of c
//   d      [8][LANES]   gradients of the input products, then of the recurrent products
//   carry  [LANES]      gradient of c
//   extras              α_in, α_rec, b: [4H] each; α_c, β_c: [H]; packed [blocks][4 or 1][LANES], padding 0
//   own    [3 · 4 + 2][blocks][LANES] as vectors: gradients of the extras, summed over a part's items
#pragma once
#include "../scan.h"

namespace stepscan {
namespace ISA {

struct LayerNormLSTM {
  static constexpr int gates = 4, saved = 12, back = 8, in_slot = 0, rec_slot = 4, units = 1, extras = 5, notes = 4;
  static constexpr int in_order[] = {0, 1, 2, 3}, rec_order[] = {0, 1, 2, 3};
  static constexpr bool has_c = true, whole_rows = true;
  static constexpr Carries carries = CARRIES_C;

  static long own_vectors(long blocks) { return 14 * blocks; }
  static void carve_extras(Packed* w, long blocks, Carver& c);
  static void pack_extras(const Packed& w, const Parameters& p);
  static void add_extras(const Packed& w, long blocks, const float* own, const Gradients& to, bool first);

  template <bool save>
  static void forward_row(const Packed& w, long blocks, const float* product, float* gates, long next_gates,
                          const float* c_prev, float* c, long next_c, float* notes, float* h);
  static void backward_row(const Packed& w, long blocks, const float* dh, const float* gates, long next_gates,
                           const float* c_prev, const float* c, long next_c, const float* notes, float* carry,
                           long next_carry, float* d, long next_d, float* own);
};

extern const CellKernels LAYER_NORM_LSTM;

}  // namespace ISA
}  // namespace stepscan
