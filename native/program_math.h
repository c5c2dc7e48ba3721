// What programs compute of vectors beyond math.h: logarithms, exponentials over the whole range, comparisons. Within 3 units in
// the last place; NaN gives NaN.
#pragma once
#include "math.h"

namespace stepscan {
namespace ISA {

typedef int Lanes __attribute__((vector_size(LANES * 4)));  // what a comparison of vectors gives: −1 or 0 in each lane

INLINE Vec choose(Lanes mask, Vec yes, Vec no) { return (Vec)((mask & (Lanes)yes) | (~mask & (Lanes)no)); }
INLINE Lanes greater(Vec a, Vec b) { return (Lanes)(a > b); }
INLINE Lanes equal(Vec a, Vec b) { return (Lanes)(a == b); }
INLINE Vec infinity() { return set1(__builtin_inff()); }

// e^x, infinity where that is greater than all numbers: 2^n in two factors, since n goes up to 128
INLINE Vec exp_wide(Vec x) {
  ExpParts e = exp_parts(min(set1(89.f), max(set1(-104.f), x)));
  Vec half = round(e.n * set1(0.5f));
  return scale(scale(e.p + set1(1.f), half), e.n - half);
}

INLINE Vec expm1(Vec x) {
  ExpParts e = exp_parts(min(set1(80.f), max(set1(-80.f), x)));
  Vec two_n = scale(set1(1.f), e.n);
  return choose(greater(x, set1(40.f)), exp_wide(x), fma(two_n, e.p, two_n - set1(1.f)));
}

// ln x = e ln 2 + ln m, with m in [√½, √2) (the polynomial of Cephes' logf). Denormal numbers count as 0.
INLINE Vec log(Vec x) {
  Lanes bits = (Lanes)x;
  Vec m = (Vec)((bits & 0x7fffff) | 0x3f800000);
  Vec e = __builtin_convertvector((bits >> 23) - 127, Vec);
  Lanes high = greater(m, set1(1.41421356f));
  m = choose(high, m * set1(0.5f), m), e = choose(high, e + set1(1.f), e);
  Vec f = m - set1(1.f), z = f * f;
  Vec p = set1(7.0376836292e-2f);
  p = fma(p, f, set1(-1.1514610310e-1f));
  p = fma(p, f, set1(1.1676998740e-1f));
  p = fma(p, f, set1(-1.2420140846e-1f));
  p = fma(p, f, set1(1.4249322787e-1f));
  p = fma(p, f, set1(-1.6668057665e-1f));
  p = fma(p, f, set1(2.0000714765e-1f));
  p = fma(p, f, set1(-2.4999993993e-1f));
  p = fma(p, f, set1(3.3333331174e-1f));
  Vec y = fma(e, set1(-2.12194440e-4f), p * f * z);
  y = fma(e, set1(0.693359375f), f + fma(z, set1(-0.5f), y));
  y = choose(equal(x, infinity()), x, y);
  Vec none = choose(greater(set1(1.17549435e-38f), abs(x)), zero() - infinity(), set1(__builtin_nanf("")));
  return choose(greater(x, set1(1.17549428e-38f)), y, choose(equal(x, x), none, x));
}

// ln(1 + x), from u = 1 + x rounded: the ratio x / (u − 1) makes up for the rounding
INLINE Vec log1p(Vec x) {
  Vec u = set1(1.f) + x, rounded = u - set1(1.f);
  Vec y = log(u) * x / rounded;
  y = choose(equal(rounded, zero()), x, y);
  return choose(equal(x, infinity()), x, y);
}

INLINE Vec softplus(Vec x) { return max(zero(), x) + log1p(exp_wide(zero() - abs(x))); }

// the greater one, NaN if either is
INLINE Vec maximum(Vec a, Vec b) { return choose(equal(a, a), max(a, b), a); }
INLINE Vec minimum(Vec a, Vec b) { return choose(equal(a, a), min(a, b), a); }

template <float (*f)(float)>
INLINE Vec each(Vec x) {  // of what few cells use
  alignas(64) float lane[LANES];
  store(lane, x);
  for (int i = 0; i < LANES; i++) lane[i] = f(lane[i]);
  return load(lane);
}
INLINE float sin_of(float x) { return __builtin_sinf(x); }
INLINE float cos_of(float x) { return __builtin_cosf(x); }
INLINE float erf_of(float x) { return __builtin_erff(x); }

}  // namespace ISA
}  // namespace stepscan
