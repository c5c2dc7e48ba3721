#include "lstm.h"

namespace stepscan {
namespace ISA {

template <bool save>
Vec LSTM::forward(const float* rec, float* gates, const float*, const float* c_prev, float* c) {
  Vec i = sigmoid(load(rec) + load(gates));
  Vec f = sigmoid(load(rec + LANES) + load(gates + LANES));
  Vec g = tanh(load(rec + 2 * LANES) + load(gates + 2 * LANES));
  Vec o = sigmoid(load(rec + 3 * LANES) + load(gates + 3 * LANES));
  Vec now = fma(f, load(c_prev), i * g);
  store(c, now);
  if (save) store(gates, i), store(gates + LANES, f), store(gates + 2 * LANES, g), store(gates + 3 * LANES, o);
  return o * tanh(now);
}

void LSTM::backward(Vec dh, const float* gates, Vec, const float* c_prev, const float* c, float* d_carry, float* d) {
  const Vec one = set1(1.f);
  Vec i = load(gates), f = load(gates + LANES), g = load(gates + 2 * LANES), o = load(gates + 3 * LANES);
  Vec squashed = tanh(load(c));
  Vec dc = fma(dh * o, one - squashed * squashed, load(d_carry));
  store(d, dc * g * (i - i * i));
  store(d + LANES, dc * load(c_prev) * (f - f * f));
  store(d + 2 * LANES, dc * i * (one - g * g));
  store(d + 3 * LANES, dh * squashed * (o - o * o));
  store(d_carry, dc * f);
}

constexpr CellKernels LSTM_KERNELS = Recurrent<LSTM>::kernels("lstm");

}  // namespace ISA
}  // namespace stepscan
