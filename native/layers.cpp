#include "layers.h"

#include <algorithm>
#include <cstring>

namespace stepscan {
namespace {

void copy(const float* from, float* to, long size) {
  if (size) std::memcpy(to, from, (size_t)size * sizeof(float));  // either may be null if size is 0
}
void copy_rows(const float* from, long from_stride, float* to, long to_stride, long rows, long size) {
  for (long r = 0; r < rows; r++) copy(from + r * from_stride, to + r * to_stride, size);
}
void clear_padding(const RaggedBatch& batch, float* y, long y_stride, long size) {
  for (long b = 0; b < batch.rows; b++)
    for (long t = batch.lengths[b]; t < batch.steps; t++) std::memset(y + (b * batch.steps + t) * y_stride, 0, (size_t)size * sizeof(float));
}
// The rows of one thread of a group.
struct ThreadRange {
  long from, to;
  ThreadRange(long n, const Group& group) : from(n * group.member / group.members), to(n * (group.member + 1) / group.members) {}
};

class Cell : public Layer {
 public:
  explicit Cell(std::shared_ptr<const Weights> weights)
      : Layer(weights->packed.input, weights->packed.hidden, weights->cell.leaves * weights->packed.hidden, true, false), weights_(std::move(weights)) {}
  const Weights& weights() const { return *weights_; }

  void scan(const RaggedBatch& batch, const float* x, float* states, long state_stride, float* y, long y_stride, int threads) const override {
    run({this}, batch, x, states, state_stride, y, y_stride, threads);
  }
  // One or two cells over the same inputs, the second in reverse.
  static void run(const std::vector<const Cell*>& cells, const RaggedBatch& batch, const float* x, float* states, long state_stride, float* y,
                  long y_stride, int threads) {
    std::vector<Direction> directions;
    std::vector<Buffer> leaves;
    long offset = 0, column = 0;
    for (const Cell* cell : cells) {
      long H = cell->output, size = batch.rows * H;
      leaves.emplace_back(2 * size), leaves.emplace_back(2 * size);
      float *h = leaves[leaves.size() - 2].data(), *c = leaves.back().data();
      bool two = cell->weights().cell.leaves == 2;
      copy_rows(states + offset, state_stride, h, H, batch.rows, H);
      if (two) copy_rows(states + offset + H, state_stride, c, H, batch.rows, H);
      directions.push_back({&cell->weights(), column > 0, ScanArgs{&cell->weights().packed, x, h, two ? c : nullptr, y + column, y_stride,
                            batch.steps, h + size, two ? c + size : nullptr}, {}});
      offset += cell->state, column += H;
    }
    BatchScan(directions, batch.lengths, batch.rows, batch.steps, threads).forward(directions, threads, false);
    offset = 0;
    for (size_t i = 0; i < cells.size(); i++) {
      long H = cells[i]->output;
      copy_rows(directions[i].scan.h_end, H, states + offset, state_stride, batch.rows, H);
      if (directions[i].scan.c_end) copy_rows(directions[i].scan.c_end, H, states + offset + H, state_stride, batch.rows, H);
      offset += cells[i]->state;
    }
  }
  void step(long n, Input x, RowView states, RowView y, float* scratch, const Group& group) const override {
    const long H = output;
    StepArgs rows{n, x.rows, states, states.offset_by(H), y, states.offset_by(H), x.multiplied};
    weights_->cell.step(&weights_->packed, &rows, scratch, group);
    group.wait();
    ThreadRange range(n, group);
    for (long r = range.from; r < range.to; r++) copy(y.at(r), states.at(r), H);
  }
  size_t step_floats(long n) const override { return weights_->cell.step_floats(&weights_->packed, n); }
  void readout(const float* state, float* y) const override { copy(state, y, output); }
  long condition() const override { return state; }
  void set_condition(const float* vector, float* to) const override { copy(vector, to, state); }
  const Weights* first_cell() const override { return weights_.get(); }

 private:
  std::shared_ptr<const Weights> weights_;
};

class PointwiseLayer : public Layer {
 public:
  void scan(const RaggedBatch& batch, const float* x, float* states, long state_stride, float* y, long y_stride, int threads) const override {
    long items = batch.rows * batch.steps;
    if (y_stride == output) run(x, items, y, threads);
    else {
      Buffer outputs(items * output);
      run(x, items, outputs.data(), threads);
      copy_rows(outputs.data(), output, y, y_stride, items, output);
    }
    for (long b = 0; keeps_ && b < batch.rows; b++)
      if (batch.lengths[b]) copy(y + (b * batch.steps + batch.lengths[b] - 1) * y_stride, states + b * state_stride, output);
    clear_padding(batch, y, y_stride, output);
  }
  void step(long n, Input x, RowView states, RowView y, float*, const Group& group) const override {
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
template <class Test>
bool all(const std::vector<LayerPointer>& layers, Test test) { return std::all_of(layers.begin(), layers.end(), test); }

class Stack : public Layer {
 public:
  explicit Stack(std::vector<LayerPointer> layers)
      : Layer(layers.front()->input, layers.back()->output, total(layers), all(layers, [](const LayerPointer& l) { return l->causal; }),
              false),  // its readout depends on its state, whatever its layers are
        layers_(std::move(layers)) {
    for (const LayerPointer& layer : layers_) widest_ = std::max(widest_, layer->output);
  }
  void scan(const RaggedBatch& batch, const float* x, float* states, long state_stride, float* y, long y_stride, int threads) const override {
    Buffer between[2];
    for (size_t i = 0; i < layers_.size(); i++) {
      const Layer& layer = *layers_[i];
      bool last = i + 1 == layers_.size();
      if (!last) between[i % 2] = Buffer(batch.rows * batch.steps * layer.output);
      float* out = last ? y : between[i % 2].data();
      layer.scan(batch, x, states, state_stride, out, last ? y_stride : layer.output, threads);
      x = out, states += layer.state;
    }
  }
  void step(long n, Input x, RowView states, RowView y, float* scratch, const Group& group) const override {
    float* between[2] = {scratch, scratch + n * widest_};
    for (size_t i = 0; i < layers_.size(); i++) {
      const Layer& layer = *layers_[i];
      RowView out = i + 1 == layers_.size() ? y : RowView::strided(between[i % 2], layer.output);
      layer.step(n, x, states, out, scratch + 2 * n * widest_, group);
      x = {out, false}, states = states.offset_by(layer.state);
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
      layers_[i]->scan({&one, 1, 1}, vector.data(), unused.data(), (long)unused.size(), next.data(), (long)next.size(), 1);
      vector.swap(next);
    }
    copy(vector.data(), y, output);
  }
  long condition() const override {
    long sum = 0;
    for (const LayerPointer& layer : layers_) sum += layer->condition();
    return sum;
  }
  void set_condition(const float* vector, float* to) const override {
    for (const LayerPointer& layer : layers_) layer->set_condition(vector, to), vector += layer->condition(), to += layer->state;
  }
  const Weights* first_cell() const override { return layers_.front()->first_cell(); }

 private:
  std::vector<LayerPointer> layers_;
  long widest_ = 0;
};

class Residual : public Layer {
 public:
  explicit Residual(LayerPointer layer)
      : Layer(layer->input, layer->output, layer->state + layer->input, layer->causal, false), layer_(std::move(layer)) {}
  void scan(const RaggedBatch& batch, const float* x, float* states, long state_stride, float* y, long y_stride, int threads) const override {
    layer_->scan(batch, x, states, state_stride, y, y_stride, threads);
    for (long b = 0; b < batch.rows; b++) {
      const float* row = x + b * batch.steps * input;
      for (long t = 0; t < batch.lengths[b]; t++)
        for (long i = 0; i < output; i++) y[(b * batch.steps + t) * y_stride + i] += row[t * input + i];
      if (batch.lengths[b]) copy(row + (batch.lengths[b] - 1) * input, states + b * state_stride + layer_->state, input);
    }
  }
  void step(long n, Input x, RowView states, RowView y, float* scratch, const Group& group) const override {
    layer_->step(n, x, states, y, scratch, group);
    group.wait();  // no thread may still be copying y to the layer's state
    ThreadRange range(n, group);
    for (long r = range.from; r < range.to; r++) {
      float *out = y.at(r), *last = states.offset_by(layer_->state).at(r);
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
  long condition() const override { return layer_->condition(); }
  void set_condition(const float* vector, float* to) const override { layer_->set_condition(vector, to); }

 private:
  LayerPointer layer_;
};

class Zoneout : public Layer {
 public:
  Zoneout(LayerPointer layer, double p)
      : Layer(layer->input, layer->output, layer->state, true, false), layer_(std::move(layer)), keep_((float)p), update_((float)(1 - p)) {}
  void step(long n, Input x, RowView states, RowView y, float* scratch, const Group& group) const override {
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
  long condition() const override { return layer_->condition(); }
  void set_condition(const float* vector, float* to) const override { layer_->set_condition(vector, to); }

 private:
  LayerPointer layer_;
  const float keep_, update_;
};

class Bidirectional : public Layer {
 public:
  Bidirectional(LayerPointer forward, LayerPointer backward)
      : Layer(forward->input, forward->output + backward->output, forward->state + backward->state, false, false),
        forward_(std::move(forward)), backward_(std::move(backward)) {}
  void scan(const RaggedBatch& batch, const float* x, float* states, long state_stride, float* y, long y_stride, int threads) const override {
    auto *ahead = dynamic_cast<const Cell*>(forward_.get()), *back = dynamic_cast<const Cell*>(backward_.get());
    if (ahead && back) return Cell::run({ahead, back}, batch, x, states, state_stride, y, y_stride, threads);
    forward_->scan(batch, x, states, state_stride, y, y_stride, threads);
    long items = batch.rows * batch.steps;
    Buffer reversed(items * input), outputs(items * backward_->output);
    reverse(batch, x, input, reversed.data(), input, input);
    backward_->scan(batch, reversed.data(), states + forward_->state, state_stride, outputs.data(), backward_->output, threads);
    reverse(batch, outputs.data(), backward_->output, y + forward_->output, y_stride, backward_->output);
    clear_padding(batch, y + forward_->output, y_stride, backward_->output);
  }
  void step(long, Input, RowView, RowView, float*, const Group&) const override {}  // not causal: never called
  size_t step_floats(long) const override { return 0; }
  void readout(const float* state, float* y) const override {
    forward_->readout(state, y), backward_->readout(state + forward_->state, y + forward_->output);
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
void Layer::scan(const RaggedBatch& batch, const float* x, float* states, long state_stride, float* y, long y_stride, int) const {
  NoDenormals quiet;
  Barrier alone;
  Buffer scratch(step_floats(batch.rows));
  std::vector<float*> in(batch.rows), state_rows(batch.rows), out(batch.rows);
  for (long t = 0; t < batch.steps; t++) {
    long n = 0;
    for (long b = 0; b < batch.rows; b++)
      if (t < batch.lengths[b]) {
        in[n] = const_cast<float*>(x) + (b * batch.steps + t) * input, state_rows[n] = states + b * state_stride;
        out[n++] = y + (b * batch.steps + t) * y_stride;
      }
    if (n) step(n, {{in.data(), nullptr, 0, 0}, false}, {state_rows.data(), nullptr, 0, 0}, {out.data(), nullptr, 0, 0}, scratch.data(), Group{&alone, 0, 1});
  }
  clear_padding(batch, y, y_stride, output);
}

LayerPointer make_cell(std::shared_ptr<const Weights> weights) { return std::make_shared<Cell>(std::move(weights)); }
LayerPointer make_linear(std::shared_ptr<const Linear> map, bool keeps) { return std::make_shared<Projection>(std::move(map), keeps); }
LayerPointer make_layer_norm(long size, const float* gain, const float* bias, bool keeps) { return std::make_shared<Norm>(size, gain, bias, keeps); }
LayerPointer make_identity(long size, bool keeps) { return std::make_shared<Identity>(size, keeps); }
LayerPointer make_stack(std::vector<LayerPointer> layers) { return std::make_shared<Stack>(std::move(layers)); }
LayerPointer make_residual(LayerPointer layer) { return std::make_shared<Residual>(std::move(layer)); }
LayerPointer make_zoneout(LayerPointer layer, double p) { return std::make_shared<Zoneout>(std::move(layer), p); }
LayerPointer make_bidirectional(LayerPointer forward, LayerPointer backward) {
  return std::make_shared<Bidirectional>(std::move(forward), std::move(backward));
}

namespace {

// Approximate floating-point operations of a step.
double operations(const Layer& layer) { return 8.0 * (double)layer.state * (double)(layer.state + layer.input); }

void run_step(const Layer& layer, long n, RowView x, RowView states, RowView y, float* scratch, int threads) {
  Barrier barrier;
  on_team((double)n * operations(layer) > MIN_TEAM_FLOPS ? threads : 1, [&](int thread, int team) {
    NoDenormals quiet;
    layer.step(n, {x, false}, states, y, scratch, Group{&barrier, thread, team});
  });
}

}  // namespace

void step(const Layer& layer, long n, RowView x, RowView states, RowView y, int threads) {
  Buffer scratch(layer.step_floats(n));
  run_step(layer, n, x, states, y, scratch.data(), threads);
}

Stream::Stream(LayerPointer tree) : layer(std::move(tree)), state_(layer->state), scratch_(layer->step_floats(1)) {
  if (bytes()) std::memset(state(), 0, bytes());
}
bool Stream::push(const float* x, long T, float* y, int threads) {
  Barrier barrier;
  on_team((double)T * operations(*layer) > MIN_TEAM_FLOPS ? threads : 1, [&](int thread, int team) {
    NoDenormals quiet;
    Group group{&barrier, thread, team};
    for (long t = 0; t < T; t++) {
      layer->step(1, {RowView::strided(x + t * layer->input, 0), false}, RowView::strided(state(), 0), RowView::strided(y + t * layer->output, 0),
                  scratch_.data(), group);
      group.wait();
    }
  });
  return finite(y, T * layer->output) && finite(state(), layer->state);
}
long push_many(const std::vector<Stream*>& streams, const float* x, float* y, int threads) {
  if (streams.empty()) return -1;
  const Layer& layer = *streams[0]->layer;
  std::vector<float*> states;
  for (Stream* stream : streams) states.push_back(stream->state());
  step(layer, (long)streams.size(), RowView::strided(x, layer.input), {states.data(), nullptr, 0, 0}, RowView::strided(y, layer.output), threads);
  for (size_t r = 0; r < streams.size(); r++)
    if (!finite(y + r * layer.output, layer.output) || !finite(states[r], layer.state)) return (long)r;
  return -1;
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
