// exp, sigmoid and tanh of vectors, within 2 units in the last place. NaN gives NaN, an infinity the limit.
#pragma once
#include "simd.h"

namespace stepscan {
namespace ISA {

// e^x = 2^n · (1 + p): n an integer, p = e^r − 1 with |r| ≤ ln 2 / 2 (the polynomial of Cephes' expf). -87 ≤ x ≤ 88.
struct ExpParts {
  Vec n, p;
};
INLINE ExpParts exp_parts(Vec x) {
  Vec n = round(x * set1(1.44269504f));
  Vec r = fma(n, set1(-0.693359375f), x);
  r = fma(n, set1(2.12194440e-4f), r);
  Vec squared = r * r;
  Vec high = fma(set1(1.9875691500e-4f), r, set1(1.3981999507e-3f));
  Vec middle = fma(set1(8.3334519073e-3f), r, set1(4.1665795894e-2f));
  Vec low = fma(set1(1.6666665459e-1f), r, set1(5.0000001201e-1f));
  Vec q = fma(fma(high, squared, middle), squared, low);  // Estrin's scheme: three short chains instead of a long one
  return {n, fma(squared, q, r)};
}

INLINE Vec exp(Vec x) {
  ExpParts e = exp_parts(min(set1(88.f), max(set1(-87.f), x)));
  return scale(e.p + set1(1.f), e.n);
}

INLINE Vec sigmoid(Vec x) { return set1(1.f) / (set1(1.f) + exp(zero() - x)); }

// tanh |x| = (e^{2|x|} − 1) / (e^{2|x|} + 1), with e^{2|x|} − 1 = 2^n p + (2^n − 1), so that small x keep their precision
INLINE Vec tanh(Vec x) {
  ExpParts e = exp_parts(min(set1(20.f), abs(x + x)));
  Vec two_n = scale(set1(1.f), e.n);
  Vec less_one = fma(two_n, e.p, two_n - set1(1.f));
  return copysign(less_one / (less_one + set1(2.f)), x);
}

// x Φ(x), Φ the normal distribution (Hendrycks and Gimpel 2016), as max(x, 0) − |x| (1 − Φ(|x|)), where
// 1 − Φ(a) = e^{−a²/2} t P(t), t = 1 / (1 + 0.35 a): P is the polynomial of least relative error for a ≤ 14 (3·10⁻⁸).
// Relative error below 8·10⁻⁷ for x ≥ −5, absolute error below one unit in the last place of |x| or 3·10⁻⁷.
INLINE Vec gelu(Vec x) {
  Vec a = abs(x), t = set1(1.f) / fma(a, set1(0.35f), set1(1.f));
  Vec p = set1(-0.02914668433368206f);
  p = fma(p, t, set1(0.14397525787353516f));
  p = fma(p, t, set1(-0.2557213306427002f));
  p = fma(p, t, set1(0.1591818481683731f));
  p = fma(p, t, set1(-0.023114817216992378f));
  p = fma(p, t, set1(0.10550995916128159f));
  p = fma(p, t, set1(0.11983241885900497f));
  p = fma(p, t, set1(0.13986192643642426f));
  p = fma(p, t, set1(0.13962140679359436f));
  return max(zero(), x) - a * (exp(a * a * set1(-0.5f)) * (p * t));
}

INLINE float sum_of(Vec v) {
  alignas(64) float lane[LANES];
  store(lane, v);
  float sum = 0;
  for (int i = 0; i < LANES; i++) sum += lane[i];
  return sum;
}

}  // namespace ISA
}  // namespace stepscan
