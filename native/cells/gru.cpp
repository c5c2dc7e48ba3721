#include "gru.h"

namespace stepscan {
namespace ISA {

template <bool save>
Vec GRU::forward(const float* rec, float* gates, const float* h_prev, const float*, float*) {
  Vec r = sigmoid(load(rec) + load(gates + LANES));
  Vec z = sigmoid(load(rec + LANES) + load(gates + 2 * LANES));
  Vec from_h = load(rec + 2 * LANES);
  Vec n = tanh(fma(r, from_h, load(gates)));
  if (save) store(gates, n), store(gates + LANES, r), store(gates + 2 * LANES, z), store(gates + 3 * LANES, from_h);
  return fma(z, load(h_prev), (set1(1.f) - z) * n);
}

void GRU::backward(Vec dh, const float* gates, Vec h_prev, const float*, const float*, float* d_carry, float* d) {
  const Vec one = set1(1.f);
  Vec n = load(gates), r = load(gates + LANES), z = load(gates + 2 * LANES), from_h = load(gates + 3 * LANES);
  Vec dn = dh * (one - z) * (one - n * n);
  store(d, dn);
  store(d + LANES, dn * from_h * (r - r * r));
  store(d + 2 * LANES, dh * (h_prev - n) * (z - z * z));
  store(d + 3 * LANES, dn * r);
  store(d_carry, dh * z);
}

constexpr CellKernels GRU_KERNELS = Recurrent<GRU>::kernels("gru");

}  // namespace ISA
}  // namespace stepscan
