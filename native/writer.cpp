#include "writer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace stepscan {
namespace {

constexpr long MOST_PRODUCTS = 4l << 20;  // floats of the table of input products

// Scratch of one text's choices.
struct Chooser {
  std::vector<double> chance;  // [V]
  std::vector<long> order;     // [V]: symbols, the likeliest first, of equals the first

  explicit Chooser(long symbols) : chance(symbols), order(symbols) {}

  // The next symbol, or -1 where there is none to choose. Everything in double precision, sums from left to right.
  long choose(const float* scores, const Choice& how, double uniform) {
    const long size = (long)chance.size();
    if (!kernels().chances(scores, size, how.temperature > 0 ? how.temperature : 1, chance.data())) return -1;
    if (how.temperature <= 0) return std::max_element(scores, scores + size) - scores;
    if (how.top_k || how.top_p < 1 || how.min_p > 0) narrow(how);
    double sum = 0, before = 0;
    for (double c : chance) sum += c;
    for (double& c : chance) c = before += c / sum;
    const double target = uniform * before;
    return std::upper_bound(chance.begin(), chance.end(), target) - chance.begin();
  }

 private:
  // Each setting keeps the n likeliest, so the smallest n decides; the others' chance becomes 0.
  void narrow(const Choice& how) {
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](long a, long b) { return chance[a] > chance[b]; });
    size_t kept = how.top_k ? std::min<size_t>(order.size(), (size_t)how.top_k) : order.size();
    if (how.top_p < 1) {
      double mass = 0, sum = 0;
      for (size_t i = 0; i < kept; i++) mass += chance[order[i]];
      size_t n = 0;
      for (; n < kept; n++)
        if ((sum += chance[order[n]]) >= how.top_p * mass) break;
      kept = std::min(kept, n + 1);
    }
    size_t likely = 0;
    while (likely < kept && chance[order[likely]] >= how.min_p * chance[order[0]]) likely++;
    for (size_t i = std::max<size_t>(likely, 1); i < order.size(); i++) chance[order[i]] = 0;
  }
};

}  // namespace

Writer::Writer(const float* embedding, long V, LayerPointer layer, std::shared_ptr<const Linear> projection, std::shared_ptr<const Linear> head)
    : symbols(V), layer_(std::move(layer)), projection_(std::move(projection)), head_(std::move(head)) {
  const long E = layer_->input;
  const Weights* first = layer_->first_cell();
  product_floats_ = first ? (long)first->cell.product_floats(&first->packed) : 0;
  if (!first || V * product_floats_ > MOST_PRODUCTS) {
    product_floats_ = 0;
    embedding_.assign(embedding, embedding + V * E);
    return;
  }
  products_ = Buffer(V * product_floats_);
  NoDenormals quiet;
  for (long v = 0; v < V; v++) first->cell.products(&first->packed, embedding + v * E, products_.data() + v * product_floats_);
}

Input Writer::read(int64_t symbol) const {
  if (product_floats_) return {Places::flat(products_.data() + symbol * product_floats_, 0), true};
  return {Places::flat(embedding_.data() + symbol * layer_->input, 0), false};
}

long Writer::write(float* state, float* y, long length, const Choice& how, const uint8_t* never, const double* uniforms, int64_t* to,
                   int threads) const {
  const long P = projection_ ? projection_->outputs : 0;
  Buffer scratch(layer_->step_floats(1)), outputs(P + symbols);
  float *projected = outputs.data(), *scores = projected + P;
  Chooser chooser(symbols);
  Barrier barrier;
  long written = 0, symbol = 0;
  on_team(threads, [&](int thread, int team) {
    NoDenormals quiet;
    Group group{&barrier, thread, team};
    for (long i = 0; i < length; i++) {
      const float* from = y;
      if (projection_) projection_->run(Places::flat(y, 0), 1, Places::flat(projected, 0), group), group.wait(), from = projected;
      head_->run(Places::flat(from, 0), 1, Places::flat(scores, 0), group);
      group.wait();
      if (thread == 0) {
        for (long v = 0; v < symbols; v++)
          if (never[v]) scores[v] = -std::numeric_limits<float>::infinity();
        symbol = chooser.choose(scores, how, uniforms[i]);
        if (symbol >= 0) to[written++] = symbol;
      }
      group.wait();
      if (symbol < 0) return;
      layer_->step(1, read(symbol), Places::flat(state, 0), Places::flat(y, 0), scratch.data(), group);
    }
  });
  return written;
}

}  // namespace stepscan
