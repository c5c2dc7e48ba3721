#include "layers.h"

#include <algorithm>
#include <cstring>

namespace stepscan {
namespace {

void copy(const float* from, float* to, long size) {
  if (size) std::memcpy(to, from, (size_t)size * sizeof(float));  // of nothing, either may be null
}
void copy_rows(const float* from, long from_stride, float* to, long to_stride, long rows, long size) {
  for (long r = 0; r < rows; r++) copy(from + r * from_stride, to + r * to_stride, size);
}
void clear_padding(const Batch& batch, float* y, long y_stride, long size) {
  for (long b = 0; b < batch.rows; b++)
    for (long t = batch.lengths[b]; t < batch.steps; t++) std::memset(y + (b * batch.steps + t) * y_stride, 0, (size_t)size * sizeof(float));
}
// the rows that a thread of a group takes
struct Own {
  long from, to;
  Own(long n, const Group& group) : from(n * group.member / group.members), to(n * (group.member + 1) / group.members) {}
};

class Cell : public Layer {
 public:
  explicit Cell(std::shared_ptr<const Weights> weights)
      : Layer(weights->packed.input, weights->packed.hidden, weights->cell.leaves * weights->packed.hidden, true, false), weights_(std::move(weights)) {}
  const Weights& weights() const { return *weights_; }

  void scan(const Batch& batch, const float* x, float* states, long state_stride, float* y, long y_stride, int threads) const override {
    run({this}, batch, x, states, state_stride, y, y_stride, threads);
  }
  // One or two cells over the same inputs, the second from right to left.
  static void run(const std::vector<const Cell*>& cells, const Batch& batch, const float* x, float* states, long state_stride, float* y,
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
      directions.push_back({&cell->weights(), column > 0, Scan{&cell->weights().packed, x, h, two ? c : nullptr, y + column, y_stride,
                            batch.steps, h + size, two ? c + size : nullptr}, {}});
      offset += cell->state, column += H;
    }
    Saved(directions, batch.lengths, batch.rows, batch.steps, threads).forward(directions, threads, false);
    offset = 0;
    for (size_t i = 0; i < cells.size(); i++) {
      long H = cells[i]->output;
      copy_rows(directions[i].scan.h_end, H, states + offset, state_stride, batch.rows, H);
      if (directions[i].scan.c_end) copy_rows(directions[i].scan.c_end, H, states + offset + H, state_stride, batch.rows, H);
      offset += cells[i]->state;
    }
  }
  void step(long n, Input x, Places states, Places y, float* scratch, const Group& group) const override {
    const long H = output;
    Rows rows{n, x.rows, states, states.after(H), y, states.after(H), x.multiplied};
    weights_->cell.step(&weights_->packed, &rows, scratch, group);
    group.wait();
    Own own(n, group);
    for (long r = own.from; r < own.to; r++) copy(y.at(r), states.at(r), H);
  }
  size_t step_floats(long n) const override { return weights_->cell.step_floats(&weights_->packed, n); }
  void readout(const float* state, float* y) const override { copy(state, y, output); }
  long condition() const override { return state; }
  void set_condition(const float* vector, float* to) const override { copy(vector, to, state); }
  const Weights* first_cell() const override { return weights_.get(); }

 private:
  std::shared_ptr<const Weights> weights_;
};

class Pointwise : public Layer {
 public:
  void scan(const Batch& batch, const float* x, float* states, long state_stride, float* y, long y_stride, int threads) const override {
    long items = batch.rows * batch.steps;
    if (y_stride == output) run(x, items, y, threads);
    else {
      Buffer own(items * output);
      run(x, items, own.data(), threads);
      copy_rows(own.data(), output, y, y_stride, items, output);
    }
    for (long b = 0; keeps_ && b < batch.rows; b++)
      if (batch.lengths[b]) copy(y + (b * batch.steps + batch.lengths[b] - 1) * y_stride, states + b * state_stride, output);
    clear_padding(batch, y, y_stride, output);
  }
  void step(long n, Input x, Places states, Places y, float*, const Group& group) const override {
    run_step(n, x.rows, y, group);
    group.wait();
    Own own(n, group);
    for (long r = own.from; keeps_ && r < own.to; r++) copy(y.at(r), states.at(r), output);
  }
  size_t step_floats(long) const override { return 0; }
  void readout(const float* state, float* y) const override { copy(state, y, output); }
  // [rows, input] → [rows, output]
  virtual void run(const float* x, long rows, float* y, int threads) const = 0;

 protected:
  Pointwise(long in, long out, bool keeps) : Layer(in, out, keeps ? out : 0, true, true), keeps_(keeps) {}
  virtual void run_step(long n, Places x, Places y, const Group& group) const {
    Own own(n, group);
    for (long r = own.from; r < own.to; r++) run(x.at(r), 1, y.at(r), 1);
  }
  const bool keeps_;
};

class Projection : public Pointwise {
 public:
  Projection(std::shared_ptr<const Linear> map, bool keeps) : Pointwise(map->inputs, map->outputs, keeps), map_(std::move(map)) {}
  void run(const float* x, long rows, float* y, int threads) const override { map_->run(x, rows, y, threads); }

 protected:
  void run_step(long n, Places x, Places y, const Group& group) const override { map_->run(x, n, y, group); }

 private:
  std::shared_ptr<const Linear> map_;
};

class Norm : public Pointwise {
 public:
  Norm(long size, const float* gain, const float* bias, bool keeps) : Pointwise(size, size, keeps), gain_(gain, gain + size), bias_(bias, bias + size) {}
  void run(const float* x, long rows, float* y, int threads) const override { layer_norm(x, rows, output, gain_.data(), bias_.data(), y, threads); }

 protected:
  void run_step(long n, Places x, Places y, const Group& group) const override {
    Own own(n, group);
    for (long r = own.from; r < own.to; r++) kernels().layer_norm(x.at(r), 0, 1, output, gain_.data(), bias_.data(), y.at(r));
  }

 private:
  std::vector<float> gain_, bias_;
};

class Identity : public Pointwise {
 public:
  Identity(long size, bool keeps) : Pointwise(size, size, keeps) {}
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
              false),  // its readout is its own, from its own state, whatever its layers are
        layers_(std::move(layers)) {
    for (const LayerPointer& layer : layers_) widest_ = std::max(widest_, layer->output);
  }
  void scan(const Batch& batch, const float* x, float* states, long state_stride, float* y, long y_stride, int threads) const override {
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
  void step(long n, Input x, Places states, Places y, float* scratch, const Group& group) const override {
    float* between[2] = {scratch, scratch + n * widest_};
    for (size_t i = 0; i < layers_.size(); i++) {
      const Layer& layer = *layers_[i];
      Places out = i + 1 == layers_.size() ? y : Places::flat(between[i % 2], layer.output);
      layer.step(n, x, states, out, scratch + 2 * n * widest_, group);
      x = {out, false}, states = states.after(layer.state);
    }
  }
  size_t step_floats(long n) const override {
    size_t most = 0;
    for (const LayerPointer& layer : layers_) most = std::max(most, layer->step_floats(n));
    return most + (size_t)(2 * n * widest_);
  }
  // The last layer's; pointwise layers at the top act on the readout of the layer below them.
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
  void scan(const Batch& batch, const float* x, float* states, long state_stride, float* y, long y_stride, int threads) const override {
    layer_->scan(batch, x, states, state_stride, y, y_stride, threads);
    for (long b = 0; b < batch.rows; b++) {
      const float* row = x + b * batch.steps * input;
      for (long t = 0; t < batch.lengths[b]; t++)
        for (long i = 0; i < output; i++) y[(b * batch.steps + t) * y_stride + i] += row[t * input + i];
      if (batch.lengths[b]) copy(row + (batch.lengths[b] - 1) * input, states + b * state_stride + layer_->state, input);
    }
  }
  void step(long n, Input x, Places states, Places y, float* scratch, const Group& group) const override {
    layer_->step(n, x, states, y, scratch, group);
    group.wait();  // nobody may still read y for its own state
    Own own(n, group);
    for (long r = own.from; r < own.to; r++) {
      float *out = y.at(r), *last = states.after(layer_->state).at(r);
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
  Zoneout(LayerPointer layer, double stays)
      : Layer(layer->input, layer->output, layer->state, true, false), layer_(std::move(layer)), stays_((float)stays), moves_((float)(1 - stays)) {}
  void step(long n, Input x, Places states, Places y, float* scratch, const Group& group) const override {
    Own own(n, group);
    for (long r = own.from; r < own.to; r++) copy(states.at(r), scratch + r * state, state);
    layer_->step(n, x, states, y, scratch + n * state, group);
    group.wait();
    for (long r = own.from; r < own.to; r++) {
      const float* old = scratch + r * state;
      float* now = states.at(r);
      for (long i = 0; i < state; i++) {
        float kept = stays_ * old[i], moved = moves_ * now[i];
        now[i] = kept + moved;
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
  const float stays_, moves_;
};

class Bidirectional : public Layer {
 public:
  Bidirectional(LayerPointer forward, LayerPointer backward)
      : Layer(forward->input, forward->output + backward->output, forward->state + backward->state, false, false),
        forward_(std::move(forward)), backward_(std::move(backward)) {}
  void scan(const Batch& batch, const float* x, float* states, long state_stride, float* y, long y_stride, int threads) const override {
    auto *ahead = dynamic_cast<const Cell*>(forward_.get()), *back = dynamic_cast<const Cell*>(backward_.get());
    if (ahead && back) return Cell::run({ahead, back}, batch, x, states, state_stride, y, y_stride, threads);
    forward_->scan(batch, x, states, state_stride, y, y_stride, threads);
    long items = batch.rows * batch.steps;
    Buffer reversed(items * input), found(items * backward_->output);
    reverse(batch, x, input, reversed.data(), input, input);
    backward_->scan(batch, reversed.data(), states + forward_->state, state_stride, found.data(), backward_->output, threads);
    reverse(batch, found.data(), backward_->output, y + forward_->output, y_stride, backward_->output);
    clear_padding(batch, y + forward_->output, y_stride, backward_->output);
  }
  void step(long, Input, Places, Places, float*, const Group&) const override {}  // not causal: nobody asks
  size_t step_floats(long) const override { return 0; }
  void readout(const float* state, float* y) const override {
    forward_->readout(state, y), backward_->readout(state + forward_->state, y + forward_->output);
  }

 private:
  // within each row's length; the padding stays as it is
  static void reverse(const Batch& batch, const float* from, long from_stride, float* to, long to_stride, long size) {
    for (long b = 0; b < batch.rows; b++)
      for (long t = 0; t < batch.lengths[b]; t++)
        copy(from + (b * batch.steps + batch.lengths[b] - 1 - t) * from_stride, to + (b * batch.steps + t) * to_stride, size);
  }
  LayerPointer forward_, backward_;
};

constexpr double WORTH_A_TEAM = 2e7;  // floating-point operations of a call that are worth waking a second thread

}  // namespace

// A loop over `step`, for layers that have nothing better: the rows that have an item take it together.
void Layer::scan(const Batch& batch, const float* x, float* states, long state_stride, float* y, long y_stride, int) const {
  NoDenormals quiet;
  Barrier alone;
  Buffer scratch(step_floats(batch.rows));
  std::vector<float*> in(batch.rows), of_state(batch.rows), out(batch.rows);
  for (long t = 0; t < batch.steps; t++) {
    long n = 0;
    for (long b = 0; b < batch.rows; b++)
      if (t < batch.lengths[b]) {
        in[n] = const_cast<float*>(x) + (b * batch.steps + t) * input, of_state[n] = states + b * state_stride;
        out[n++] = y + (b * batch.steps + t) * y_stride;
      }
    if (n) step(n, {{in.data(), nullptr, 0, 0}, false}, {of_state.data(), nullptr, 0, 0}, {out.data(), nullptr, 0, 0}, scratch.data(), Group{&alone, 0, 1});
  }
  clear_padding(batch, y, y_stride, output);
}

LayerPointer make_cell(std::shared_ptr<const Weights> weights) { return std::make_shared<Cell>(std::move(weights)); }
LayerPointer make_linear(std::shared_ptr<const Linear> map, bool keeps) { return std::make_shared<Projection>(std::move(map), keeps); }
LayerPointer make_layer_norm(long size, const float* gain, const float* bias, bool keeps) { return std::make_shared<Norm>(size, gain, bias, keeps); }
LayerPointer make_identity(long size, bool keeps) { return std::make_shared<Identity>(size, keeps); }
LayerPointer make_stack(std::vector<LayerPointer> layers) { return std::make_shared<Stack>(std::move(layers)); }
LayerPointer make_residual(LayerPointer layer) { return std::make_shared<Residual>(std::move(layer)); }
LayerPointer make_zoneout(LayerPointer layer, double stays) { return std::make_shared<Zoneout>(std::move(layer), stays); }
LayerPointer make_bidirectional(LayerPointer forward, LayerPointer backward) {
  return std::make_shared<Bidirectional>(std::move(forward), std::move(backward));
}

namespace {

// What a step costs: about two floating-point operations for each number of state and each that it meets.
double operations(const Layer& layer) { return 8.0 * (double)layer.state * (double)(layer.state + layer.input); }

void run_step(const Layer& layer, long n, Places x, Places states, Places y, float* scratch, int threads) {
  Barrier barrier;
  on_team((double)n * operations(layer) > WORTH_A_TEAM ? threads : 1, [&](int thread, int team) {
    NoDenormals quiet;
    layer.step(n, {x, false}, states, y, scratch, Group{&barrier, thread, team});
  });
}

}  // namespace

void step(const Layer& layer, long n, Places x, Places states, Places y, int threads) {
  Buffer scratch(layer.step_floats(n));
  run_step(layer, n, x, states, y, scratch.data(), threads);
}

Stream::Stream(LayerPointer given) : layer(std::move(given)), state_(layer->state), scratch_(layer->step_floats(1)) {
  if (bytes()) std::memset(state(), 0, bytes());
}
bool Stream::push(const float* x, long T, float* y, int threads) {
  Barrier barrier;
  on_team((double)T * operations(*layer) > WORTH_A_TEAM ? threads : 1, [&](int thread, int team) {
    NoDenormals quiet;
    Group group{&barrier, thread, team};
    for (long t = 0; t < T; t++) {
      layer->step(1, {Places::flat(x + t * layer->input, 0), false}, Places::flat(state(), 0), Places::flat(y + t * layer->output, 0),
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
  step(layer, (long)streams.size(), Places::flat(x, layer.input), {states.data(), nullptr, 0, 0}, Places::flat(y, layer.output), threads);
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
