#include "generation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "layer_rows.h"

namespace stepscan {
namespace {

constexpr long MAX_TABLE_FLOATS = 4l << 20;

// Samples symbols, with scratch memory for one text.
struct TokenSampler {
  std::vector<double> weight;  // [V]: unnormalised probabilities
  std::vector<long> order;     // [V]: symbols by decreasing weight; equal ones in order

  explicit TokenSampler(long symbols) : weight(symbols), order(symbols) {}

  // The probability of a symbol, among all.
  float probability(const float* scores, long symbol) {
    const long size = (long)weight.size();
    if (!kernels().softmax_numerators(scores, size, 1, weight.data())) return 0;
    double sum = 0;
    for (double w : weight) sum += w;
    return (float)(weight[symbol] / sum);
  }

  // The next symbol, or -1 if there is none to sample. In double precision, sums from left to right.
  long sample(const float* scores, const SamplingOptions& options, double uniform) {
    const long size = (long)weight.size();
    if (!kernels().softmax_numerators(scores, size, options.temperature > 0 ? options.temperature : 1, weight.data())) return -1;
    if (options.temperature <= 0) return std::max_element(scores, scores + size) - scores;
    if (options.top_k || options.top_p < 1 || options.min_p > 0) truncate(options);
    double sum = 0, before = 0;
    for (double w : weight) sum += w;
    for (double& w : weight) w = before += w / sum;
    const double target = uniform * before;
    return std::upper_bound(weight.begin(), weight.end(), target) - weight.begin();
  }

 private:
  // Each setting keeps the n most probable symbols, so that the smallest n applies; the weights of the others become 0.
  void truncate(const SamplingOptions& options) {
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](long a, long b) { return weight[a] > weight[b]; });
    size_t kept = options.top_k ? std::min<size_t>(order.size(), (size_t)options.top_k) : order.size();
    if (options.top_p < 1) {
      double mass = 0, sum = 0;
      for (size_t i = 0; i < kept; i++) mass += weight[order[i]];
      size_t n = 0;
      for (; n < kept; n++)
        if ((sum += weight[order[n]]) >= options.top_p * mass) break;
      kept = std::min(kept, n + 1);
    }
    size_t above = 0;
    while (above < kept && weight[order[above]] >= options.min_p * weight[order[0]]) above++;
    for (size_t i = std::max<size_t>(above, 1); i < order.size(); i++) weight[order[i]] = 0;
  }
};

// Samples the next symbol of a text from its scores, which are overwritten.
void sample_next(TokenSampler& sampler, float* scores, NextSymbol& text, std::vector<float>& all) {
  if (text.measured) all.assign(scores, scores + sampler.weight.size());
  for (size_t v = 0; v < sampler.weight.size(); v++)
    if (text.excluded[v]) scores[v] = -std::numeric_limits<float>::infinity();
  text.symbol = sampler.sample(scores, text.options, text.uniform);
  if (text.measured && text.symbol >= 0) text.probability = sampler.probability(all.data(), text.symbol);
}

}  // namespace

TokenGenerator::TokenGenerator(const float* embedding, long V, LayerPointer layer, std::shared_ptr<const Linear> projection, std::shared_ptr<const Linear> head)
    : symbols(V), layer_(std::move(layer)), projection_(std::move(projection)), head_(std::move(head)) {
  const long E = layer_->input;
  table_floats_ = layer_->table_floats();
  if (!table_floats_ || V * table_floats_ > MAX_TABLE_FLOATS) {
    table_floats_ = 0;
    embedding_.assign(embedding, embedding + V * E);
    return;
  }
  table_ = Buffer(V * table_floats_);
  NoDenormals quiet;
  for (long v = 0; v < V; v++) layer_->tabulate(embedding + v * E, table_.data() + v * table_floats_);
}

Input TokenGenerator::embed(int64_t symbol) const {
  if (table_floats_) return {RowView::strided(table_.data() + symbol * table_floats_, 0), true};
  return {RowView::strided(embedding_.data() + symbol * layer_->input, 0), false};
}

long TokenGenerator::generate(float* state, long capacity, float* y, long length, const SamplingOptions& options, const uint8_t* excluded, const double* uniforms,
                              int64_t* to, int threads) const {
  const long P = projection_ ? projection_->outputs : 0;
  Buffer scratch(layer_->step_floats(1)), outputs(P + symbols);
  float *projected = outputs.data(), *scores = projected + P;
  TokenSampler sampler(symbols);
  Barrier barrier;
  long written = 0, symbol = 0;
  on_team(threads, [&](int thread, int team) {
    NoDenormals quiet;
    Group group{&barrier, thread, team};
    for (long i = 0; i < length; i++) {
      const float* from = y;
      if (projection_) projection_->run(RowView::strided(y, 0), 1, RowView::strided(projected, 0), group), group.wait(), from = projected;
      head_->run(RowView::strided(from, 0), 1, RowView::strided(scores, 0), group);
      group.wait();
      if (thread == 0) {
        for (long v = 0; v < symbols; v++)
          if (excluded[v]) scores[v] = -std::numeric_limits<float>::infinity();
        symbol = sampler.sample(scores, options, uniforms[i]);
        if (symbol >= 0) to[written++] = symbol;
      }
      group.wait();
      if (symbol < 0) return;
      layer_->step(1, embed(symbol), states_of(*layer_, state, capacity), RowView::strided(y, 0), scratch.data(), group);
    }
  });
  return written;
}

void TokenGenerator::generate_each(std::vector<NextSymbol>& texts, float* y, int threads) const {
  const long n = (long)texts.size(), H = layer_->output, P = projection_ ? projection_->outputs : 0;
  Buffer scratch(layer_->step_floats(n)), outputs(n * (P + symbols));
  float *projected = outputs.data(), *scores = projected + n * P;
  std::vector<float*> rows, inputs(n);
  std::vector<long> rooms;
  for (NextSymbol& text : texts) {
    if (layer_->cache) text.stream->reserve(items_to_hold(*layer_, text.stream->state(), 1));
    rows.push_back(text.stream->state()), rooms.push_back(text.stream->capacity());
  }
  const States states{{rows.data(), nullptr, 0, 0}, 0, rooms.data(), layer_->state, 0};
  Barrier barrier;
  on_team(threads, [&](int thread, int team) {
    NoDenormals quiet;
    Group group{&barrier, thread, team};
    const RowView from = RowView::strided(y, H), middle = RowView::strided(projected, P);
    if (projection_) projection_->run(from, n, middle, group), group.wait();
    head_->run(projection_ ? middle : from, n, RowView::strided(scores, symbols), group);
    group.wait();
    TokenSampler sampler(symbols);
    std::vector<float> all;
    ThreadRange range(n, group);
    for (long r = range.from; r < range.to; r++) {
      sample_next(sampler, scores + r * symbols, texts[r], all);
      inputs[r] = embed(std::max<int64_t>(texts[r].symbol, 0)).rows.at(0);
    }
    group.wait();
    layer_->step(n, {{inputs.data(), nullptr, 0, 0}, table_floats_ > 0}, states, from, scratch.data(), group);
  });
}

}  // namespace stepscan
