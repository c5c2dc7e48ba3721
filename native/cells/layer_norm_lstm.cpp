#include "layer_norm_lstm.h"

namespace stepscan {
namespace ISA {
namespace {

constexpr float EPSILON = 1e-5f;

INLINE Vec mask_tail(Vec v, int count) {  // zero from lane `count` on
  alignas(64) float lane[LANES];
  store(lane, v);
  return load_part(lane, count);
}
INLINE int valid(const PackedWeights& w, long j) { return in_block(w.hidden, j); }

struct Norm {
  float mean, scale;
};
// Mean and 1/deviation of `vectors` vectors per block; value(j, v) must be 0 past the last unit.
template <class F>
INLINE Norm norm(const PackedWeights& w, long blocks, int vectors, F value) {
  Vec sum = zero();
  for (long j = 0; j < blocks; j++)
    for (int v = 0; v < vectors; v++) sum = sum + value(j, v);
  float size = (float)(vectors * w.hidden), mean = sum_of(sum) / size;
  Vec squares = zero();
  for (long j = 0; j < blocks; j++)
    for (int v = 0; v < vectors; v++) {
      Vec off = mask_tail(value(j, v) - set1(mean), valid(w, j));
      squares = fma(off, off, squares);
    }
  return {mean, 1.f / __builtin_sqrtf(sum_of(squares) / size + EPSILON)};
}
// Gradient through a norm: scale · (d − mean(d) − n · mean(d ⊙ n)), where n are the normalised values
template <class D, class N, class Out>
INLINE void norm_back(const PackedWeights& w, long blocks, int vectors, float scale, D d, N n, Out out) {
  Vec sum = zero(), dot = zero();
  for (long j = 0; j < blocks; j++)
    for (int v = 0; v < vectors; v++) {
      Vec gradient = d(j, v);
      sum = sum + gradient, dot = fma(gradient, n(j, v), dot);
    }
  float size = (float)(vectors * w.hidden);
  Vec mean = set1(sum_of(sum) / size), projection = set1(sum_of(dot) / size);
  for (long j = 0; j < blocks; j++)
    for (int v = 0; v < vectors; v++) out(j, v, mask_tail((d(j, v) - mean - n(j, v) * projection) * set1(scale), valid(w, j)));
}
INLINE void add(float* to, Vec v) { store(to, load(to) + v); }

}  // namespace

void LayerNormLSTM::allocate_extras(PackedWeights* w, long blocks, ArenaLayout& arena) {
  for (int e = 0; e < 5; e++) w->extra[e] = arena.allocate(blocks * (e < 3 ? 4 : 1) * LANES);
}
void LayerNormLSTM::pack_extras(const PackedWeights& w, const Parameters& p) {
  for (int e = 0; e < 5; e++)
    for (long j = 0; j < blocks_of(w.hidden); j++)
      for (int g = 0; g < (e < 3 ? 4 : 1); g++)
        store(w.extra[e] + (j * (e < 3 ? 4 : 1) + g) * LANES, load_part(p.extra[e] + g * w.hidden + j * LANES, valid(w, j)));
}
void LayerNormLSTM::add_extras(const PackedWeights& w, long blocks, const float* d_extras, const Gradients& to, bool first) {
  for (int e = 0; e < 5; e++)
    for (int g = 0; g < (e < 3 ? 4 : 1); g++)
      for (long j = 0; j < blocks; j++) {
        float* p = to.extra[e] + g * w.hidden + j * LANES;
        Vec v = load(d_extras + ((e < 3 ? e * 4 + g : 9 + e) * blocks + j) * LANES);
        store_part(p, valid(w, j), first ? v : v + load_part(p, valid(w, j)));
      }
}

template <bool save>
void LayerNormLSTM::forward_row(const PackedWeights& w, long blocks, const float* product, float* gates, long next_gates,
                                const float* c_prev, float* c, long next_c, float* saved_stats, float* h) {
  auto in = [&](long j, int g) { return load(gates + j * next_gates + g * LANES); };
  auto rec = [&](long j, int g) { return load(product + (j * 4 + g) * LANES); };
  Norm in_norm = norm(w, blocks, 4, in), rec_norm = norm(w, blocks, 4, rec);
  for (long j = 0; j < blocks; j++) {
    Vec s[4];
    for (int g = 0; g < 4; g++) {
      Vec x = (in(j, g) - set1(in_norm.mean)) * set1(in_norm.scale), r = (rec(j, g) - set1(rec_norm.mean)) * set1(rec_norm.scale);
      const long at = (j * 4 + g) * LANES;
      s[g] = fma(load(w.extra[0] + at), x, fma(load(w.extra[1] + at), r, load(w.extra[2] + at)));
      if (save) {
        store(gates + j * next_gates + (4 + g) * LANES, x);
        store(gates + j * next_gates + (8 + g) * LANES, r);
      }
    }
    Vec i = sigmoid(s[0]), f = sigmoid(s[1]), g = tanh(s[2]), o = sigmoid(s[3]);
    store(c + j * next_c, mask_tail(fma(f, load(c_prev + j * next_c), i * g), valid(w, j)));
    float* activations = gates + j * next_gates;
    store(activations, i), store(activations + LANES, f), store(activations + 2 * LANES, g), store(activations + 3 * LANES, o);
  }
  auto cell = [&](long j, int) { return load(c + j * next_c); };
  Norm c_norm = norm(w, blocks, 1, cell);
  for (long j = 0; j < blocks; j++) {
    Vec n = (cell(j, 0) - set1(c_norm.mean)) * set1(c_norm.scale);
    Vec squashed = tanh(fma(load(w.extra[3] + j * LANES), n, load(w.extra[4] + j * LANES)));
    store(h + j * LANES, mask_tail(load(gates + j * next_gates + 3 * LANES) * squashed, valid(w, j)));
  }
  if (save) saved_stats[0] = in_norm.scale, saved_stats[1] = rec_norm.scale, saved_stats[2] = c_norm.mean, saved_stats[3] = c_norm.scale;
}

void LayerNormLSTM::backward_row(const PackedWeights& w, long blocks, const float* dh, const float* gates, long next_gates,
                                 const float* c_prev, const float* c, long next_c, const float* saved_stats, float* d_carry,
                                 long next_d_carry, float* d, long next_d, float* d_extras) {
  const Vec one = set1(1.f);
  auto saved_gate = [&](long j, int v) { return load(gates + j * next_gates + v * LANES); };
  auto c_normed = [&](long j, int) { return (load(c + j * next_c) - set1(saved_stats[2])) * set1(saved_stats[3]); };
  // through h = o tanh(α_c n + β_c): d[0] is the gradient of n, d[3] that of o's preactivation
  for (long j = 0; j < blocks; j++) {
    Vec n = c_normed(j, 0), o = saved_gate(j, 3), dh_j = load(dh + j * LANES);
    Vec squashed = tanh(fma(load(w.extra[3] + j * LANES), n, load(w.extra[4] + j * LANES)));
    Vec d_tanh = mask_tail(dh_j * o * (one - squashed * squashed), valid(w, j));
    add(d_extras + (12 * blocks + j) * LANES, d_tanh * n);
    add(d_extras + (13 * blocks + j) * LANES, d_tanh);
    store(d + j * next_d, d_tanh * load(w.extra[3] + j * LANES));
    store(d + j * next_d + 3 * LANES, dh_j * squashed * (o - o * o));
  }
  norm_back(w, blocks, 1, saved_stats[3], [&](long j, int) { return load(d + j * next_d); }, c_normed,
            [&](long j, int, Vec v) { add(d_carry + j * next_d_carry, v); });
  // through the gates: d[0 … 3] become the gradients of the sums s
  for (long j = 0; j < blocks; j++) {
    Vec i = saved_gate(j, 0), f = saved_gate(j, 1), g = saved_gate(j, 2), dc = load(d_carry + j * next_d_carry);
    float* ds = d + j * next_d;
    store(ds, dc * g * (i - i * i));
    store(ds + LANES, dc * load(c_prev + j * next_c) * (f - f * f));
    store(ds + 2 * LANES, dc * i * (one - g * g));
    store(d_carry + j * next_d_carry, dc * f);
    for (int v = 0; v < 4; v++) {
      Vec s = mask_tail(load(ds + v * LANES), valid(w, j));
      add(d_extras + ((0 + v) * blocks + j) * LANES, s * saved_gate(j, 4 + v));
      add(d_extras + ((4 + v) * blocks + j) * LANES, s * saved_gate(j, 8 + v));
      add(d_extras + ((8 + v) * blocks + j) * LANES, s);
      store(ds + v * LANES, s * load(w.extra[0] + (j * 4 + v) * LANES));
      store(ds + (4 + v) * LANES, s * load(w.extra[1] + (j * 4 + v) * LANES));
    }
  }
  for (int side = 0; side < 2; side++) {
    float* at = d + side * 4 * LANES;
    norm_back(w, blocks, 4, saved_stats[side], [&](long j, int v) { return load(at + j * next_d + v * LANES); },
              [&](long j, int v) { return saved_gate(j, 4 + side * 4 + v); },
              [&](long j, int v, Vec value) { store(at + j * next_d + v * LANES, value); });
  }
}

constexpr CellKernels LAYER_NORM_LSTM = Recurrent<LayerNormLSTM>::kernels("layer_norm_lstm");

}  // namespace ISA
}  // namespace stepscan
