#include "layers.h"

#include "layer_rows.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace stepscan {
namespace {

class PointwiseLayer : public Layer {
 public:
  void scan(const RaggedBatch& batch, const float* x, const States& states, float* y, long y_stride, int threads) const override {
    long items = batch.rows * batch.steps;
    if (y_stride == output) run(x, items, y, threads);
    else {
      Buffer outputs(items * output);
      run(x, items, outputs.data(), threads);
      copy_rows(outputs.data(), output, y, y_stride, items, output);
    }
    for (long b = 0; keeps_ && b < batch.rows; b++)
      if (batch.lengths[b]) copy(y + (b * batch.steps + batch.lengths[b] - 1) * y_stride, states.at(b), output);
    clear_padding(batch, y, y_stride, output);
  }
  void step(long n, Input x, const States& states, RowView y, float*, const Group& group) const override {
    run_step(n, x.rows, y, group);
    group.wait();
    ThreadRange range(n, group);
    for (long r = range.from; keeps_ && r < range.to; r++) copy(y.at(r), states.at(r), output);
  }
  size_t step_floats(long) const override { return 0; }
  void readout(const float* state, float* y) const override { copy(state, y, output); }
  // [rows, input] → [rows, output]
  virtual void run(const float* x, long rows, float* y, int threads) const = 0;

 protected:
  PointwiseLayer(long in, long out, bool keeps) : Layer(in, out, keeps ? out : 0, true, true), keeps_(keeps) {}
  virtual void run_step(long n, RowView x, RowView y, const Group& group) const {
    ThreadRange range(n, group);
    for (long r = range.from; r < range.to; r++) run(x.at(r), 1, y.at(r), 1);
  }
  const bool keeps_;
};

class Projection : public PointwiseLayer {
 public:
  Projection(std::shared_ptr<const Linear> map, bool keeps) : PointwiseLayer(map->inputs, map->outputs, keeps), map_(std::move(map)) {}
  void run(const float* x, long rows, float* y, int threads) const override { map_->run(x, rows, y, threads); }

 protected:
  void run_step(long n, RowView x, RowView y, const Group& group) const override { map_->run(x, n, y, group); }

 private:
  std::shared_ptr<const Linear> map_;
};

class Norm : public PointwiseLayer {
 public:
  Norm(long size, const float* gain, const float* bias, bool keeps) : PointwiseLayer(size, size, keeps), gain_(gain, gain + size), bias_(bias, bias + size) {}
  void run(const float* x, long rows, float* y, int threads) const override { layer_norm(x, rows, output, gain_.data(), bias_.data(), y, threads); }

 protected:
  void run_step(long n, RowView x, RowView y, const Group& group) const override {
    ThreadRange range(n, group);
    for (long r = range.from; r < range.to; r++) kernels().layer_norm(x.at(r), 0, 1, output, gain_.data(), bias_.data(), y.at(r));
  }

 private:
  std::vector<float> gain_, bias_;
};

class Identity : public PointwiseLayer {
 public:
  Identity(long size, bool keeps) : PointwiseLayer(size, size, keeps) {}
  void run(const float* x, long rows, float* y, int) const override { copy(x, y, rows * output); }
};

long total(const std::vector<LayerPointer>& layers) {
  long sum = 0;
  for (const LayerPointer& layer : layers) sum += layer->state;
  return sum;
}
std::vector<CacheArray> joined(const std::vector<LayerPointer>& layers) {  // the arrays of their caches
  std::vector<CacheArray> caches;
  for (const LayerPointer& layer : layers) caches.insert(caches.end(), layer->caches.begin(), layer->caches.end());
  return caches;
}
// The items that two parts have read, given those of each
long items_of(long first, long second) { return first < 0 || second < 0 ? -1 : std::max(first, second); }
template <class Test>
bool all(const std::vector<LayerPointer>& layers, Test test) { return std::all_of(layers.begin(), layers.end(), test); }

class Stack : public Layer {
 public:
  explicit Stack(std::vector<LayerPointer> layers)
      : Layer(layers.front()->input, layers.back()->output, total(layers), all(layers, [](const LayerPointer& l) { return l->causal; }),
              false,  // its readout depends on its state, whatever its layers are
              joined(layers)),
        layers_(std::move(layers)) {
    for (const LayerPointer& layer : layers_) widest_ = std::max(widest_, layer->output);
  }
  void scan(const RaggedBatch& batch, const float* x, const States& all_states, float* y, long y_stride, int threads) const override {
    Buffer between[2];
    States states = all_states;
    for (size_t i = 0; i < layers_.size(); i++) {
      const Layer& layer = *layers_[i];
      bool last = i + 1 == layers_.size();
      if (!last) between[i % 2] = Buffer(batch.rows * batch.steps * layer.output);
      float* out = last ? y : between[i % 2].data();
      layer.scan(batch, x, states, out, last ? y_stride : layer.output, threads);
      x = out, states = after(states, layer);
    }
  }
  void step(long n, Input x, const States& all_states, RowView y, float* scratch, const Group& group) const override {
    float* between[2] = {scratch, scratch + n * widest_};
    States states = all_states;
    for (size_t i = 0; i < layers_.size(); i++) {
      const Layer& layer = *layers_[i];
      RowView out = i + 1 == layers_.size() ? y : RowView::strided(between[i % 2], layer.output);
      layer.step(n, x, states, out, scratch + 2 * n * widest_, group);
      x = {out, false}, states = after(states, layer);
    }
  }
  size_t step_floats(long n) const override {
    size_t most = 0;
    for (const LayerPointer& layer : layers_) most = std::max(most, layer->step_floats(n));
    return most + (size_t)(2 * n * widest_);
  }
  // The last layer's readout; pointwise layers at the top are applied to the readout of the layer below them.
  void readout(const float* state, float* y) const override {
    size_t top = layers_.size() - 1;
    while (top > 0 && layers_[top]->pointwise) top--;
    for (size_t i = 0; i < top; i++) state += layers_[i]->state;
    std::vector<float> vector(layers_[top]->output), next;
    layers_[top]->readout(state, vector.data());
    for (size_t i = top + 1; i < layers_.size(); i++) {
      next.resize(layers_[i]->output);
      const int64_t one = 1;
      std::vector<float> unused(layers_[i]->state);
      layers_[i]->scan({&one, 1, 1}, vector.data(), states_of(*layers_[i], unused.data(), 0), next.data(), (long)next.size(), 1);
      vector.swap(next);
    }
    copy(vector.data(), y, output);
  }
  void set_initial(float* to) const override {
    for (const LayerPointer& layer : layers_) layer->set_initial(to), to += layer->state;
  }
  long condition() const override {
    long sum = 0;
    for (const LayerPointer& layer : layers_) sum += layer->condition();
    return sum;
  }
  void set_condition(const float* vector, const States& to) const override {
    States states = to;
    for (const LayerPointer& layer : layers_) layer->set_condition(vector, states), vector += layer->condition(), states = after(states, *layer);
  }
  long items_read(const float* state) const override {
    long most = 0;
    for (const LayerPointer& layer : layers_) most = items_of(most, layer->items_read(state)), state += layer->state;
    return most;
  }
  long table_floats() const override { return layers_.front()->table_floats(); }
  void tabulate(const float* x, float* to) const override { layers_.front()->tabulate(x, to); }

 private:
  std::vector<LayerPointer> layers_;
  long widest_ = 0;
};

class Residual : public Layer {
 public:
  explicit Residual(LayerPointer layer)
      : Layer(layer->input, layer->output, layer->state + layer->input, layer->causal, false, layer->caches), layer_(std::move(layer)) {}
  void scan(const RaggedBatch& batch, const float* x, const States& states, float* y, long y_stride, int threads) const override {
    layer_->scan(batch, x, states, y, y_stride, threads);
    for (long b = 0; b < batch.rows; b++) {
      const float* row = x + b * batch.steps * input;
      for (long t = 0; t < batch.lengths[b]; t++)
        for (long i = 0; i < output; i++) y[(b * batch.steps + t) * y_stride + i] += row[t * input + i];
      if (batch.lengths[b]) copy(row + (batch.lengths[b] - 1) * input, states.at(b) + layer_->state, input);
    }
  }
  void step(long n, Input x, const States& states, RowView y, float* scratch, const Group& group) const override {
    layer_->step(n, x, states, y, scratch, group);
    group.wait();  // no thread may still be copying y to the layer's state
    ThreadRange range(n, group);
    for (long r = range.from; r < range.to; r++) {
      float *out = y.at(r), *last = states.at(r) + layer_->state;
      const float* in = x.rows.at(r);
      for (long i = 0; i < output; i++) out[i] += in[i];
      copy(in, last, input);
    }
    group.wait();
  }
  size_t step_floats(long n) const override { return layer_->step_floats(n); }
  void readout(const float* state, float* y) const override {
    layer_->readout(state, y);
    for (long i = 0; i < output; i++) y[i] = state[layer_->state + i] + y[i];
  }
  void set_initial(float* to) const override { layer_->set_initial(to); }
  long condition() const override { return layer_->condition(); }
  void set_condition(const float* vector, const States& to) const override { layer_->set_condition(vector, to); }
  long items_read(const float* state) const override { return layer_->items_read(state); }

 private:
  LayerPointer layer_;
};

class Zoneout : public Layer {
 public:
  Zoneout(LayerPointer layer, double p)
      : Layer(layer->input, layer->output, layer->state, true, false), layer_(std::move(layer)), keep_((float)p), update_((float)(1 - p)) {}
  void step(long n, Input x, const States& states, RowView y, float* scratch, const Group& group) const override {
    ThreadRange range(n, group);
    for (long r = range.from; r < range.to; r++) copy(states.at(r), scratch + r * state, state);
    group.wait();  // the layer's step may write the new c at once
    layer_->step(n, x, states, y, scratch + n * state, group);
    group.wait();
    for (long r = range.from; r < range.to; r++) {
      const float* old = scratch + r * state;
      float* now = states.at(r);
      for (long i = 0; i < state; i++) {
        float kept = keep_ * old[i], updated = update_ * now[i];
        now[i] = kept + updated;
      }
      layer_->readout(now, y.at(r));
    }
    group.wait();
  }
  size_t step_floats(long n) const override { return (size_t)(n * state) + layer_->step_floats(n); }
  void readout(const float* state, float* y) const override { layer_->readout(state, y); }
  void set_initial(float* to) const override { layer_->set_initial(to); }
  long condition() const override { return layer_->condition(); }
  void set_condition(const float* vector, const States& to) const override { layer_->set_condition(vector, to); }

 private:
  LayerPointer layer_;
  const float keep_, update_;
};

class Bidirectional : public Layer {
 public:
  Bidirectional(LayerPointer forward, LayerPointer backward)
      : Layer(forward->input, forward->output + backward->output, forward->state + backward->state, false, false,
              joined({forward, backward})),
        forward_(std::move(forward)), backward_(std::move(backward)) {}
  void scan(const RaggedBatch& batch, const float* x, const States& states, float* y, long y_stride, int threads) const override {
    if (forward_->scan_both(*backward_, batch, x, states, y, y_stride, threads)) return;
    forward_->scan(batch, x, states, y, y_stride, threads);
    long items = batch.rows * batch.steps;
    Buffer reversed(items * input), outputs(items * backward_->output);
    reverse(batch, x, input, reversed.data(), input, input);
    backward_->scan(batch, reversed.data(), after(states, *forward_), outputs.data(), backward_->output, threads);
    reverse(batch, outputs.data(), backward_->output, y + forward_->output, y_stride, backward_->output);
    clear_padding(batch, y + forward_->output, y_stride, backward_->output);
  }
  void step(long, Input, const States&, RowView, float*, const Group&) const override {}  // not causal: never called
  size_t step_floats(long) const override { return 0; }
  void readout(const float* state, float* y) const override {
    forward_->readout(state, y), backward_->readout(state + forward_->state, y + forward_->output);
  }
  void set_initial(float* to) const override { forward_->set_initial(to), backward_->set_initial(to + forward_->state); }
  long items_read(const float* state) const override {
    return items_of(forward_->items_read(state), backward_->items_read(state + forward_->state));
  }

 private:
  // reverses each row within its length, and leaves the padding unchanged
  static void reverse(const RaggedBatch& batch, const float* from, long from_stride, float* to, long to_stride, long size) {
    for (long b = 0; b < batch.rows; b++)
      for (long t = 0; t < batch.lengths[b]; t++)
        copy(from + (b * batch.steps + batch.lengths[b] - 1 - t) * from_stride, to + (b * batch.steps + t) * to_stride, size);
  }
  LayerPointer forward_, backward_;
};

constexpr double MIN_TEAM_FLOPS = 2e7;  // floating-point operations of a call from which waking a second thread pays off

}  // namespace

// The default: a loop over `step`, for all rows that have an item at this step together.
void Layer::scan(const RaggedBatch& batch, const float* x, const States& states, float* y, long y_stride, int) const {
  NoDenormals quiet;
  Barrier alone;
  Buffer scratch(step_floats(batch.rows));
  std::vector<float*> in(batch.rows), state_rows(batch.rows), out(batch.rows);
  std::vector<long> rooms(batch.rows);
  for (long t = 0; t < batch.steps; t++) {
    long n = 0;
    for (long b = 0; b < batch.rows; b++)
      if (t < batch.lengths[b]) {
        in[n] = const_cast<float*>(x) + (b * batch.steps + t) * input, state_rows[n] = states.at(b) - states.rows.offset;
        rooms[n] = states.room(b), out[n++] = y + (b * batch.steps + t) * y_stride;
      }
    if (n) step(n, {{in.data(), nullptr, 0, 0}, false}, {{state_rows.data(), nullptr, 0, states.rows.offset}, 0, rooms.data(), states.caches, states.before}, {out.data(), nullptr, 0, 0}, scratch.data(), Group{&alone, 0, 1});
  }
  clear_padding(batch, y, y_stride, output);
}

LayerPointer make_linear(std::shared_ptr<const Linear> map, bool keeps) { return std::make_shared<Projection>(std::move(map), keeps); }
LayerPointer make_layer_norm(long size, const float* gain, const float* bias, bool keeps) { return std::make_shared<Norm>(size, gain, bias, keeps); }
LayerPointer make_identity(long size, bool keeps) { return std::make_shared<Identity>(size, keeps); }
LayerPointer make_stack(std::vector<LayerPointer> layers) { return std::make_shared<Stack>(std::move(layers)); }
LayerPointer make_residual(LayerPointer layer) { return std::make_shared<Residual>(std::move(layer)); }
LayerPointer make_zoneout(LayerPointer layer, double p) {
  if (layer->cache) throw std::invalid_argument("zoneout needs a state without caches");
  return std::make_shared<Zoneout>(std::move(layer), p);
}
LayerPointer make_bidirectional(LayerPointer forward, LayerPointer backward) {
  return std::make_shared<Bidirectional>(std::move(forward), std::move(backward));
}

namespace {

// Approximate floating-point operations of a step.
double operations(const Layer& layer) { return 8.0 * (double)layer.state * (double)(layer.state + layer.input); }

}  // namespace

void step(const Layer& layer, long n, RowView x, const States& states, RowView y, int threads) {
  Buffer scratch(layer.step_floats(n));
  Barrier barrier;
  on_team((double)n * operations(layer) > MIN_TEAM_FLOPS ? threads : 1, [&](int thread, int team) {
    NoDenormals quiet;
    layer.step(n, {x, false}, states, y, scratch.data(), Group{&barrier, thread, team});
  });
}

void step_through(const Layer& layer, long T, const float* x, const States& state, float* y, float* scratch, int threads) {
  Barrier barrier;
  on_team((double)T * operations(layer) > MIN_TEAM_FLOPS ? threads : 1, [&](int thread, int team) {
    NoDenormals quiet;
    Group group{&barrier, thread, team};
    for (long t = 0; t < T; t++) {
      layer.step(1, {RowView::strided(x + t * layer.input, 0), false}, state, RowView::strided(y + t * layer.output, 0), scratch, group);
      group.wait();
    }
  });
}

void copy_state(const Layer& layer, const float* from, long from_capacity, float* to, long to_capacity) {
  copy(from, to, layer.state);
  from += layer.state, to += layer.state;
  const long kept = std::min(from_capacity, to_capacity);
  for (const CacheArray& array : layer.caches) {
    copy(from, to, kept * array.width);
    from += from_capacity * array.width, to += to_capacity * array.width;
  }
}
long items_to_hold(const Layer& layer, const float* state, long more) {
  long read = layer.items_read(state);
  return read < 0 ? -1 : std::min(read + more, layer.context);
}

bool finite(const float* x, long size) {
  constexpr uint32_t EXPONENT = 0x7f800000;  // all ones in NaN and the infinities
  uint32_t bad = 0;
  for (long i = 0; i < size; i++) {
    uint32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    bad |= (bits & EXPONENT) == EXPONENT;
  }
  return !bad;
}

}  // namespace stepscan
