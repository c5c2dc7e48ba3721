// LSTM with layer normalisation (Ba et al. 2016, eqs 20 to 22): both products and the cell are normalised before they act.
//
//   s = α_in ⊙ norm(W_in x) + α_rec ⊙ norm(W_rec h_{t−1}) + b     norm over all 4H elements
//   c = σ(f) c_{t−1} + σ(i) tanh(g)                               i, f, g, o the quarters of s
//   h = σ(o) tanh(α_c ⊙ norm(c) + β_c)                            norm over H elements
//
// A norm needs the whole row, so that the cell computes rows instead of blocks: `forward_row` and `backward_row` loop over the
// blocks j, whose buffers are the given strides apart.
//
//   gates  [12][LANES]  before a step: the input products; after it: i, f, g, o, then norm(W_in x), then norm(W_rec h)
//   saved_stats [4]     1/deviation of both products; mean and 1/deviation of c
//   d      [8][LANES]   gradients of the input products, then of the recurrent products
//   d_carry [LANES]     gradient of c
//   extras              α_in, α_rec, b: [4H] each; α_c, β_c: [H]; packed as [blocks][4 or 1][LANES], padded with zeros
//   d_extras [3 · 4 + 2][blocks][LANES]: gradients of the extras, summed over a shard's items
#pragma once
#include "../scan.h"

namespace stepscan {
namespace ISA {

struct LayerNormLSTM {
  static constexpr int gates = 4, saved = 12, back = 8, in_slot = 0, rec_slot = 4, units = 1, extras = 5, saved_stats = 4;
  static constexpr int in_order[] = {0, 1, 2, 3}, rec_order[] = {0, 1, 2, 3};
  static constexpr bool has_c = true, whole_rows = true;
  static constexpr Carries carries = CARRIES_C;

  static long d_extras_vectors(long blocks) { return 14 * blocks; }
  static void allocate_extras(PackedWeights* w, long blocks, ArenaLayout& arena);
  static void pack_extras(const PackedWeights& w, const Parameters& p);
  static void add_extras(const PackedWeights& w, long blocks, const float* d_extras, const Gradients& to, bool first);

  template <bool save>
  static void forward_row(const PackedWeights& w, long blocks, const float* product, float* gates, long next_gates,
                          const float* c_prev, float* c, long next_c, float* saved_stats, float* h);
  static void backward_row(const PackedWeights& w, long blocks, const float* dh, const float* gates, long next_gates,
                           const float* c_prev, const float* c, long next_c, const float* saved_stats, float* d_carry,
                           long next_d_carry, float* d, long next_d, float* d_extras);
};

extern const CellKernels LAYER_NORM_LSTM;

}  // namespace ISA
}  // namespace stepscan
