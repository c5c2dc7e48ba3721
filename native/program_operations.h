// The operations of programs on a tile: each is one loop over about 64 vectors, so that choosing it costs next to nothing.
#pragma once
#include "gemm.h"
#include "program_math.h"
#include "program_run.h"

namespace stepscan {
namespace ISA {

template <int code>
INLINE Vec apply(Vec a, Vec b, Vec c, Vec d) {
  const Vec one = set1(1.f);
  switch (code) {
    case CODE_copy: return a;
    case CODE_negate: return zero() - a;
    case CODE_sigmoid: return sigmoid(a);
    case CODE_tanh: return tanh(a);
    case CODE_relu: return max(zero(), a);
    case CODE_exp: return exp_wide(a);
    case CODE_expm1: return expm1(a);
    case CODE_log: return log(a);
    case CODE_log1p: return log1p(a);
    case CODE_softplus: return softplus(a);
    case CODE_sqrt: return sqrt(a);
    case CODE_rsqrt: return one / sqrt(a);
    case CODE_reciprocal: return one / a;
    case CODE_sin: return each<sin_of>(a);
    case CODE_cos: return each<cos_of>(a);
    case CODE_erf: return each<erf_of>(a);
    case CODE_add: return a + b;
    case CODE_subtract: return a - b;
    case CODE_multiply: return a * b;
    case CODE_divide: return a / b;
    case CODE_maximum: return maximum(a, b);
    case CODE_minimum: return minimum(a, b);
    case CODE_greater: return choose(greater(a, b), one, zero());
    case CODE_sigmoid_slope: return a * (b - b * b);
    case CODE_tanh_slope: return a * (one - b * b);
    case CODE_relu_slope: return where_positive(b, a);
    case CODE_sigmoid_add: return sigmoid(a + b);
    case CODE_tanh_add: return tanh(a + b);
    case CODE_multiply_rest: return a * (one - b);
    case CODE_where: return choose(equal(a, zero()), c, b);
    case CODE_normal: return (a - b) * c;
    case CODE_share: return choose(greater(b, c), a, choose(equal(b, c), a * set1(0.5f), zero()));
    case CODE_fma: return fma(a, b, c);
    case CODE_subtract_product: return fma(zero() - a, b, c);
    case CODE_product_less: return fma(a, b, zero() - c);
    case CODE_sigmoid_slope_product: return (a * b) * (c - c * c);
    case CODE_tanh_slope_product: return (a * b) * (one - c * c);
    case CODE_sigmoid_fma: return sigmoid(fma(a, b, c));
    case CODE_tanh_fma: return tanh(fma(a, b, c));
    case CODE_blend: return fma(a, b, (one - a) * c);
    case CODE_two_products: return fma(a, b, c * d);
  }
  return a;
}

#define STEPSCAN_ARITY(name, arity) arity,
constexpr int ARITY[] = {STEPSCAN_OPERATIONS(STEPSCAN_ARITY)};
#undef STEPSCAN_ARITY

struct Extent {  // of a tile: its loops, the longer one inside
  long outer, inner;
  bool rows_inside;
};
INLINE Extent extent(long rows, long blocks) {
  return rows >= blocks ? Extent{blocks, rows, true} : Extent{rows, blocks, false};
}

template <int code>
static void loop(const View* v, const Operation& o, Extent e) {
  constexpr int n = ARITY[code];
  const View &to = v[o.to], &a = v[o.a], &b = v[n > 1 ? o.b : o.a], &c = v[n > 2 ? o.c : o.a], &d = v[n > 3 ? o.d : o.a];
  auto inside = [&](const View& view) { return e.rows_inside ? view.row : view.block; };
  auto outside = [&](const View& view) { return e.rows_inside ? view.block : view.row; };
  const long to_by = inside(to), a_by = inside(a), b_by = inside(b), c_by = inside(c), d_by = inside(d);
  for (long k = 0; k < e.outer; k++) {
    float* out = to.at + k * outside(to);
    const float *pa = a.at + k * outside(a), *pb = b.at + k * outside(b), *pc = c.at + k * outside(c), *pd = d.at + k * outside(d);
#pragma GCC unroll 2
    for (long i = 0; i < e.inner; i++) {
      Vec first = load(pa), second = zero(), third = zero(), fourth = zero();
      pa += a_by;
      if (n > 1) second = load(pb), pb += b_by;
      if (n > 2) third = load(pc), pc += c_by;
      if (n > 3) fourth = load(pd), pd += d_by;
      store(out, apply<code>(first, second, third, fourth));
      out += to_by;
    }
  }
}
typedef void (*Loop)(const View*, const Operation&, Extent);
template <int code>
constexpr Loop loop_of() {
  if constexpr (is_elementwise(code)) return loop<code>;
  else return nullptr;
}
#define STEPSCAN_LOOP(name, arity) loop_of<CODE_##name>(),
static constexpr Loop LOOPS[] = {STEPSCAN_OPERATIONS(STEPSCAN_LOOP)};
#undef STEPSCAN_LOOP

INLINE Vec first_lanes_of(Vec v, int count) {  // zeros from lane `count` on
  alignas(64) float lane[LANES];
  store(lane, v);
  return load_part(lane, count);
}

// Adds rows' numbers to what `to` holds in its lanes; `tail` lanes are in the last block, if it is one of these
template <int code, int many>
INLINE void reduce_rows(const View& to, const View& a, const View& b, long row, long blocks, int tail) {
  Vec total[many];
#pragma GCC unroll 4
  for (int i = 0; i < many; i++) total[i] = load(to.at + (row + i) * to.row);
  for (long j = 0; j < blocks; j++)
#pragma GCC unroll 4
    for (int i = 0; i < many; i++) {
      const long r = row + i;
      Vec v = load(a.at + r * a.row + j * a.block);
      if (code == CODE_dot) v = v * load(b.at + r * b.row + j * b.block);
      if (code == CODE_squares) v = v - load(b.at + r * b.row), v = v * v;
      if (j == blocks - 1 && tail < LANES) {
        if (code == CODE_largest) {
          alignas(64) float lane[LANES];
          store(lane, v);
          for (int k = tail; k < LANES; k++) lane[k] = lane[0];
          v = load(lane);
        } else v = first_lanes_of(v, tail);
      }
      total[i] = code == CODE_largest ? maximum(total[i], v) : total[i] + v;
    }
#pragma GCC unroll 4
  for (int i = 0; i < many; i++) store(to.at + (row + i) * to.row, total[i]);
}
template <int code>
INLINE void reduce(const View& to, const View& a, const View& b, long rows, long blocks, int tail) {
  long r = 0;
  for (; r + 4 <= rows; r += 4) reduce_rows<code, 4>(to, a, b, r, blocks, tail);  // four chains of additions side by side
  for (; r < rows; r++) reduce_rows<code, 1>(to, a, b, r, blocks, tail);
}
static void reduce(const Operation& o, const View* v, long rows, long blocks, int tail) {
  const View &to = v[o.to], &a = v[o.a], &b = v[o.b < 0 ? o.a : o.b];
  if (o.code == CODE_sum) reduce<CODE_sum>(to, a, b, rows, blocks, tail);
  else if (o.code == CODE_dot) reduce<CODE_dot>(to, a, b, rows, blocks, tail);
  else if (o.code == CODE_squares) reduce<CODE_squares>(to, a, b, rows, blocks, tail);
  else reduce<CODE_largest>(to, a, b, rows, blocks, tail);
}

// Adds all rows to a vector.
static void accumulate(const View& to, const View& a, long rows, long blocks) {
  for (long j = 0; j < blocks; j++) {
    Vec sum = load(to.at + j * to.block);
    for (long r = 0; r < rows; r++) sum = sum + load(a.at + r * a.row + j * a.block);
    store(to.at + j * to.block, sum);
  }
}

// From and to the caller's items, which are `stride` floats apart; `tail` lanes are in the last block.
static void load_items(const View& to, const float* from, long stride, const int64_t* item, long rows, long blocks, int tail, bool single) {
  for (long r = 0; r < rows; r++) {
    const float* row = from + item[r] * stride;
    float* out = to.at + r * to.row;
    if (single) {
      store(out, set1(*row));
      continue;
    }
    for (long j = 0; j < blocks; j++)
      store(out + j * to.block, j == blocks - 1 && tail < LANES ? load_part(row + j * LANES, tail) : load(row + j * LANES));
  }
}
static void store_items(float* to, long stride, const View& from, const int64_t* item, long rows, long blocks, int tail) {
  for (long r = 0; r < rows; r++) {
    float* row = to + item[r] * stride;
    const float* in = from.at + r * from.row;
    for (long j = 0; j < blocks; j++) {
      Vec v = load(in + j * from.block);
      if (j == blocks - 1 && tail < LANES) store_part(row + j * LANES, tail, v);
      else store(row + j * LANES, v);
    }
  }
}

}  // namespace ISA
}  // namespace stepscan
