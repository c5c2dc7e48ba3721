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

// `count` vectors, each `by` floats after the one before
template <int code>
INLINE void line(long count, float* out, long by, const float* a, long a_by, const float* b, long b_by, const float* c, long c_by, const float* d, long d_by) {
  constexpr int n = ARITY[code];
#pragma GCC unroll 2
  for (long i = 0; i < count; i++) {
    Vec first = load(a), second = zero(), third = zero(), fourth = zero();
    a += a_by;
    if (n > 1) second = load(b), b += b_by;
    if (n > 2) third = load(c), c += c_by;
    if (n > 3) fourth = load(d), d += d_by;
    store(out, apply<code>(first, second, third, fourth));
    out += by;
  }
}
template <int code>
static __attribute__((noinline)) void lines(const View* v, const Operation& o, const Extent& e) {
  constexpr int n = ARITY[code];
  const View &to = v[o.to], &a = v[o.a], &b = v[n > 1 ? o.b : o.a], &c = v[n > 2 ? o.c : o.a], &d = v[n > 3 ? o.d : o.a];
  for (long k = 0; k < e.outer; k++) {
    if (e.rows_inside) line<code>(e.inner, to.at + k * to.block, to.row, a.at + k * a.block, a.row, b.at + k * b.block, b.row, c.at + k * c.block, c.row, d.at + k * d.block, d.row);
    else line<code>(e.inner, to.at + k * to.row, to.block, a.at + k * a.row, a.block, b.at + k * b.row, b.block, c.at + k * c.row, c.block, d.at + k * d.row, d.block);
  }
}
template <int code>
static void loop(const View* v, const Operation& o, const Extent& e) {
  constexpr int n = ARITY[code];
  if (e.outer > 1 || e.rows_inside) return lines<code>(v, o, e);
  const View &to = v[o.to], &a = v[o.a], &b = v[n > 1 ? o.b : o.a], &c = v[n > 2 ? o.c : o.a], &d = v[n > 3 ? o.d : o.a];
  line<code>(e.inner, to.at, to.block, a.at, a.block, b.at, b.block, c.at, c.block, d.at, d.block);  // a row of a step: nothing to choose
}
typedef void (*Loop)(const View*, const Operation&, const Extent&);
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

// Rows that are reduced side by side: what an operation makes of `a` and `b` is added to what `to` holds in its lanes
constexpr int CHAINS = 4;
struct Chains {
  float* to[CHAINS];
  const float *a[CHAINS], *b[CHAINS];
  long a_block, b_block;  // floats from block to block
};
template <int code>
INLINE Vec addend(const float* a, const float* b) {
  if (code == CODE_dot) return load(a) * load(b);
  if (code != CODE_squares) return load(a);
  Vec off = load(a) - load(b);
  return off * off;
}
template <int code>
INLINE Vec first_addends(Vec v, int tail) {  // without effect from lane `tail` on
  if (code != CODE_largest) return first_lanes_of(v, tail);
  alignas(64) float lane[LANES];
  store(lane, v);
  for (int k = tail; k < LANES; k++) lane[k] = lane[0];
  return load(lane);
}
// `tail` lanes are in the last block
template <int code, int many>
static void reduce_chains(const Chains& c, long blocks, int tail) {
  Vec total[many];
  auto add = [&](int i, Vec v) { total[i] = code == CODE_largest ? maximum(total[i], v) : total[i] + v; };
#pragma GCC unroll 4
  for (int i = 0; i < many; i++) total[i] = load(c.to[i]);
  const long full = tail < LANES ? blocks - 1 : blocks;
  for (long j = 0; j < full; j++)
#pragma GCC unroll 4
    for (int i = 0; i < many; i++) add(i, addend<code>(c.a[i] + j * c.a_block, c.b[i] + j * c.b_block));
  if (full < blocks)
#pragma GCC unroll 4
    for (int i = 0; i < many; i++) add(i, first_addends<code>(addend<code>(c.a[i] + full * c.a_block, c.b[i] + full * c.b_block), tail));
#pragma GCC unroll 4
  for (int i = 0; i < many; i++) store(c.to[i], total[i]);
}
template <int code>
INLINE void reduce_rows(const Operation* operations, int count, const View* v, long rows, long blocks, int tail) {
  Chains c;
  c.a_block = v[operations->a].block, c.b_block = v[operations->b < 0 ? operations->a : operations->b].block;
  int chains = 0;
  for (int k = 0; k < count; k++) {
    const Operation& o = operations[k];
    const View &to = v[o.to], &a = v[o.a], &b = v[o.b < 0 ? o.a : o.b];
    for (long r = 0; r < rows; r++) {
      c.to[chains] = to.at + r * to.row, c.a[chains] = a.at + r * a.row, c.b[chains] = b.at + r * b.row;
      if (++chains < CHAINS) continue;
      reduce_chains<code, CHAINS>(c, blocks, tail);
      chains = 0;
    }
  }
  if (chains == 3) reduce_chains<code, 3>(c, blocks, tail);
  else if (chains == 2) reduce_chains<code, 2>(c, blocks, tail);
  else if (chains == 1) reduce_chains<code, 1>(c, blocks, tail);
}
// Whether an operation can be reduced beside those before it: like them, and into a place of its own
INLINE bool is_beside(const Operation* first, const Operation* o, const View* v) {
  bool beside = o->code == first->code && v[o->a].block == v[first->a].block && (o->b < 0 || v[o->b].block == v[first->b].block);
  for (const Operation* other = first; other < o; other++) beside = beside && other->to != o->to;
  return beside;
}
// The first of `most` operations and those beside it; returns how many
static __attribute__((noinline)) int reduce(const Operation* first, int most, const View* v, long rows, long blocks, int tail) {
  int count = 1;
  while (count < most && count < CHAINS && is_beside(first, first + count, v)) count++;
  if (first->code == CODE_sum) reduce_rows<CODE_sum>(first, count, v, rows, blocks, tail);
  else if (first->code == CODE_dot) reduce_rows<CODE_dot>(first, count, v, rows, blocks, tail);
  else if (first->code == CODE_squares) reduce_rows<CODE_squares>(first, count, v, rows, blocks, tail);
  else reduce_rows<CODE_largest>(first, count, v, rows, blocks, tail);
  return count;
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
