#include "elman.h"

namespace stepscan {
namespace ISA {

template <bool relu>
template <bool save>
Vec Elman<relu>::forward(const float* rec, float* gates, const float*, const float*, float*) {
  Vec sum = load(rec) + load(gates);
  // max(0, NaN) is NaN, as in the reference
  Vec h = relu ? max(zero(), sum) : tanh(sum);
  if (save) store(gates, h);
  return h;
}

template <bool relu>
void Elman<relu>::backward(Vec dh, const float* gates, Vec, const float*, const float*, float*, float* d) {
  Vec h = load(gates);
  store(d, relu ? where_positive(h, dh) : dh * (set1(1.f) - h * h));
}

constexpr CellKernels ELMAN_TANH = Recurrent<Elman<false>>::kernels("elman_tanh");
constexpr CellKernels ELMAN_RELU = Recurrent<Elman<true>>::kernels("elman_relu");

}  // namespace ISA
}  // namespace stepscan
