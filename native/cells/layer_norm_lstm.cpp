#include "layer_norm_lstm.h"

namespace stepscan {
namespace ISA {
namespace {

constexpr float EPSILON = 1e-5f;

INLINE Vec only(Vec v, int count) {  // zeros past `count`
  alignas(64) float lane[LANES];
  store(lane, v);
  return load_part(lane, count);
}
INLINE int valid(const Packed& w, long j) { return in_block(w.hidden, j); }

struct Norm {
  float mean, scale;
};
// Mean and 1/deviation of `vectors` a block; value(j, v) must be 0 past the last unit.
template <class F>
INLINE Norm norm(const Packed& w, long blocks, int vectors, F value) {
  Vec sum = zero();
  for (long j = 0; j < blocks; j++)
    for (int v = 0; v < vectors; v++) sum = sum + value(j, v);
  float size = (float)(vectors * w.hidden), mean = sum_of(sum) / size;
  Vec squares = zero();
  for (long j = 0; j < blocks; j++)
    for (int v = 0; v < vectors; v++) {
      Vec off = only(value(j, v) - set1(mean), valid(w, j));
      squares = fma(off, off, squares);
    }
  return {mean, 1.f / __builtin_sqrtf(sum_of(squares) / size + EPSILON)};
}
// Gradient through a norm: scale · (d − mean(d) − n · mean(d ⊙ n)), n the normalised numbers
template <class D, class N, class Out>
INLINE void norm_back(const Packed& w, long blocks, int vectors, float scale, D d, N n, Out out) {
  Vec sum = zero(), along = zero();
  for (long j = 0; j < blocks; j++)
    for (int v = 0; v < vectors; v++) {
      Vec of = d(j, v);
      sum = sum + of, along = fma(of, n(j, v), along);
    }
  float size = (float)(vectors * w.hidden);
  Vec mean = set1(sum_of(sum) / size), slope = set1(sum_of(along) / size);
  for (long j = 0; j < blocks; j++)
    for (int v = 0; v < vectors; v++) out(j, v, only((d(j, v) - mean - n(j, v) * slope) * set1(scale), valid(w, j)));
}
INLINE void add(float* to, Vec v) { store(to, load(to) + v); }

}  // namespace

void LayerNormLSTM::carve_extras(Packed* w, long blocks, Carver& c) {
  for (int e = 0; e < 5; e++) w->extra[e] = c.take(blocks * (e < 3 ? 4 : 1) * LANES);
}
void LayerNormLSTM::pack_extras(const Packed& w, const Parameters& p) {
  for (int e = 0; e < 5; e++)
    for (long j = 0; j < blocks_of(w.hidden); j++)
      for (int g = 0; g < (e < 3 ? 4 : 1); g++)
        store(w.extra[e] + (j * (e < 3 ? 4 : 1) + g) * LANES, load_part(p.extra[e] + g * w.hidden + j * LANES, valid(w, j)));
}
void LayerNormLSTM::add_extras(const Packed& w, long blocks, const float* own, const Gradients& to, bool first) {
  for (int e = 0; e < 5; e++)
    for (int g = 0; g < (e < 3 ? 4 : 1); g++)
      for (long j = 0; j < blocks; j++) {
        float* p = to.extra[e] + g * w.hidden + j * LANES;
        Vec v = load(own + ((e < 3 ? e * 4 + g : 9 + e) * blocks + j) * LANES);
        store_part(p, valid(w, j), first ? v : v + load_part(p, valid(w, j)));
      }
}

template <bool save>
void LayerNormLSTM::forward_row(const Packed& w, long blocks, const float* product, float* gates, long next_gates,
                                const float* c_prev, float* c, long next_c, float* notes, float* h) {
  auto in = [&](long j, int g) { return load(gates + j * next_gates + g * LANES); };
  auto rec = [&](long j, int g) { return load(product + (j * 4 + g) * LANES); };
  Norm of_in = norm(w, blocks, 4, in), of_rec = norm(w, blocks, 4, rec);
  for (long j = 0; j < blocks; j++) {
    Vec s[4];
    for (int g = 0; g < 4; g++) {
      Vec x = (in(j, g) - set1(of_in.mean)) * set1(of_in.scale), r = (rec(j, g) - set1(of_rec.mean)) * set1(of_rec.scale);
      const long at = (j * 4 + g) * LANES;
      s[g] = fma(load(w.extra[0] + at), x, fma(load(w.extra[1] + at), r, load(w.extra[2] + at)));
      if (save) {
        store(gates + j * next_gates + (4 + g) * LANES, x);
        store(gates + j * next_gates + (8 + g) * LANES, r);
      }
    }
    Vec i = sigmoid(s[0]), f = sigmoid(s[1]), g = tanh(s[2]), o = sigmoid(s[3]);
    store(c + j * next_c, only(fma(f, load(c_prev + j * next_c), i * g), valid(w, j)));
    float* kept = gates + j * next_gates;
    store(kept, i), store(kept + LANES, f), store(kept + 2 * LANES, g), store(kept + 3 * LANES, o);
  }
  auto cell = [&](long j, int) { return load(c + j * next_c); };
  Norm of_c = norm(w, blocks, 1, cell);
  for (long j = 0; j < blocks; j++) {
    Vec n = (cell(j, 0) - set1(of_c.mean)) * set1(of_c.scale);
    Vec squashed = tanh(fma(load(w.extra[3] + j * LANES), n, load(w.extra[4] + j * LANES)));
    store(h + j * LANES, only(load(gates + j * next_gates + 3 * LANES) * squashed, valid(w, j)));
  }
  if (save) notes[0] = of_in.scale, notes[1] = of_rec.scale, notes[2] = of_c.mean, notes[3] = of_c.scale;
}

void LayerNormLSTM::backward_row(const Packed& w, long blocks, const float* dh, const float* gates, long next_gates,
                                 const float* c_prev, const float* c, long next_c, const float* notes, float* carry,
                                 long next_carry, float* d, long next_d, float* own) {
  const Vec one = set1(1.f);
  auto kept = [&](long j, int v) { return load(gates + j * next_gates + v * LANES); };
  auto of_cell = [&](long j, int) { return (load(c + j * next_c) - set1(notes[2])) * set1(notes[3]); };
  // through h = o tanh(α_c n + β_c): d[0] holds the gradient of n, d[3] that of o's sum
  for (long j = 0; j < blocks; j++) {
    Vec n = of_cell(j, 0), o = kept(j, 3), flowing = load(dh + j * LANES);
    Vec squashed = tanh(fma(load(w.extra[3] + j * LANES), n, load(w.extra[4] + j * LANES)));
    Vec inside = only(flowing * o * (one - squashed * squashed), valid(w, j));
    add(own + (12 * blocks + j) * LANES, inside * n);
    add(own + (13 * blocks + j) * LANES, inside);
    store(d + j * next_d, inside * load(w.extra[3] + j * LANES));
    store(d + j * next_d + 3 * LANES, flowing * squashed * (o - o * o));
  }
  norm_back(w, blocks, 1, notes[3], [&](long j, int) { return load(d + j * next_d); }, of_cell,
            [&](long j, int, Vec v) { add(carry + j * next_carry, v); });
  // through the gates: d[0 … 3] become the gradients of the sums s
  for (long j = 0; j < blocks; j++) {
    Vec i = kept(j, 0), f = kept(j, 1), g = kept(j, 2), dc = load(carry + j * next_carry);
    float* ds = d + j * next_d;
    store(ds, dc * g * (i - i * i));
    store(ds + LANES, dc * load(c_prev + j * next_c) * (f - f * f));
    store(ds + 2 * LANES, dc * i * (one - g * g));
    store(carry + j * next_carry, dc * f);
    for (int v = 0; v < 4; v++) {
      Vec s = only(load(ds + v * LANES), valid(w, j));
      add(own + ((0 + v) * blocks + j) * LANES, s * kept(j, 4 + v));
      add(own + ((4 + v) * blocks + j) * LANES, s * kept(j, 8 + v));
      add(own + ((8 + v) * blocks + j) * LANES, s);
      store(ds + v * LANES, s * load(w.extra[0] + (j * 4 + v) * LANES));
      store(ds + (4 + v) * LANES, s * load(w.extra[1] + (j * 4 + v) * LANES));
    }
  }
  for (int side = 0; side < 2; side++) {
    float* at = d + side * 4 * LANES;
    norm_back(w, blocks, 4, notes[side], [&](long j, int v) { return load(at + j * next_d + v * LANES); },
              [&](long j, int v) { return kept(j, 4 + side * 4 + v); },
              [&](long j, int v, Vec value) { store(at + j * next_d + v * LANES, value); });
  }
}

constexpr CellKernels LAYER_NORM_LSTM = Recurrent<LayerNormLSTM>::kernels("layer_norm_lstm");

}  // namespace ISA
}  // namespace stepscan
