// The layers of a model that answers: a tree of cells and combinators, as its description has them, without gradients.
//
// A row's state is one piece of memory, `state` numbers, each part of the tree with its own stretch of it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine.h"

namespace stepscan {

// A batch: B rows, padded to T items, of `lengths` [B].
struct Batch {
  const int64_t* lengths;
  long rows, steps;
};

// What a step reads: each row's numbers; or, for a first cell, what it makes of them (CellKernels::products).
struct Input {
  Places rows;
  bool multiplied;
};

class Layer {
 public:
  const long input, output;
  const long state;     // numbers of a row's state
  const bool causal;    // whether it can go one step at a time
  const bool pointwise; // whether an output depends on nothing but its own input
  virtual ~Layer() = default;

  // The whole batch. x [B, T, input]; states [B, `state_stride`], in and out; y [B, T, `y_stride`] with zeros in the padding.
  virtual void scan(const Batch&, const float* x, float* states, long state_stride, float* y, long y_stride, int threads) const;

  // One item of n rows, by all threads of a group together. When it returns, y is there for all of them; the states may be
  // read again once the group has waited. `scratch` holds step_floats(n) numbers, the same for all threads.
  virtual void step(long n, Input x, Places states, Places y, float* scratch, const Group& group) const = 0;
  virtual size_t step_floats(long n) const = 0;

  // O of a state: [output]
  virtual void readout(const float* state, float* y) const = 0;

  // How many numbers an initial state takes from outside, and one row of them, [condition], into a state of zeros.
  virtual long condition() const { return 0; }
  virtual void set_condition(const float*, float*) const {}

  // The first cell, if inputs reach it as they are: what it makes of an input alone can be kept in a table.
  virtual const Weights* first_cell() const { return nullptr; }

 protected:
  Layer(long in, long out, long size, bool steps, bool of_items) : input(in), output(out), state(size), causal(steps), pointwise(of_items) {}
};
typedef std::shared_ptr<const Layer> LayerPointer;

LayerPointer make_cell(std::shared_ptr<const Weights> weights);
LayerPointer make_linear(std::shared_ptr<const Linear> map, bool keeps);  // keeps: whether its last output is in the state
LayerPointer make_layer_norm(long size, const float* gain, const float* bias, bool keeps);
LayerPointer make_identity(long size, bool keeps);
LayerPointer make_stack(std::vector<LayerPointer> layers);
LayerPointer make_residual(LayerPointer layer);
LayerPointer make_zoneout(LayerPointer layer, double stays);  // as a probability
LayerPointer make_bidirectional(LayerPointer forward, LayerPointer backward);

// The state of one sequence that is going on, and room to go on in.
class Stream {
 public:
  explicit Stream(LayerPointer layer);
  // x [T, input] → y [T, output]; whether y and the state are finite numbers. Allocates nothing.
  bool push(const float* x, long T, float* y, int threads);
  float* state() const { return state_.data(); }
  size_t bytes() const { return (size_t)layer->state * sizeof(float); }
  const LayerPointer layer;

 private:
  Buffer state_, scratch_;
};
// One item of each of several streams of one layer: x [n, input] → y [n, output]. Each has the bits that it has alone.
// The first of them whose output or state is not finite, or -1.
long push_many(const std::vector<Stream*>& streams, const float* x, float* y, int threads);

bool finite(const float* x, long size);

// Steps of n rows, by as many threads as pay.
void step(const Layer& layer, long n, Places x, Places states, Places y, int threads);

}  // namespace stepscan
