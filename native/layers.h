// The layers of a model in inference: a tree of cells and combinators, without gradients.
//
// The state of a row is one contiguous array of `state` floats, in which each layer of the tree has its own range.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine.h"

namespace stepscan {

// B rows of `lengths` [B], padded to T items.
struct RaggedBatch {
  const int64_t* lengths;
  long rows, steps;
};

// What a step reads: the rows' inputs; or, for a first cell, precomputed input products (CellKernels::products).
struct Input {
  RowView rows;
  bool multiplied;
};

class Layer {
 public:
  const long input, output;
  const long state;      // floats of a row's state
  const bool causal;     // whether it can run one step at a time
  const bool pointwise;  // whether each output depends only on the input of the same step
  virtual ~Layer() = default;

  // The whole batch. x [B, T, input]; states [B, `state_stride`], in and out; y [B, T, `y_stride`] with zeros in the padding.
  virtual void scan(const RaggedBatch&, const float* x, float* states, long state_stride, float* y, long y_stride, int threads) const;

  // One step of n rows, by all threads of a group together. When it returns, every thread may read y; the states may be read
  // after the group's next barrier. `scratch` holds step_floats(n) floats, shared by all threads.
  virtual void step(long n, Input x, RowView states, RowView y, float* scratch, const Group& group) const = 0;
  virtual size_t step_floats(long n) const = 0;

  // The readout of a state: [output]
  virtual void readout(const float* state, float* y) const = 0;

  // The size of the vector that an initial state can be made of; and one row of it, [condition], into a state of zeros.
  virtual long condition() const { return 0; }
  virtual void set_condition(const float*, float*) const {}

  // The first cell, if it reads the inputs unchanged: its input products can then be tabulated. Null otherwise.
  virtual const Weights* first_cell() const { return nullptr; }

 protected:
  Layer(long in, long out, long size, bool is_causal, bool is_pointwise)
      : input(in), output(out), state(size), causal(is_causal), pointwise(is_pointwise) {}
};
typedef std::shared_ptr<const Layer> LayerPointer;

LayerPointer make_cell(std::shared_ptr<const Weights> weights);
LayerPointer make_linear(std::shared_ptr<const Linear> map, bool keeps);  // keeps: whether the state holds the last output
LayerPointer make_layer_norm(long size, const float* gain, const float* bias, bool keeps);
LayerPointer make_identity(long size, bool keeps);
LayerPointer make_stack(std::vector<LayerPointer> layers);
LayerPointer make_residual(LayerPointer layer);
LayerPointer make_zoneout(LayerPointer layer, double p);  // p: the probability of keeping an old value
LayerPointer make_bidirectional(LayerPointer forward, LayerPointer backward);

// The state of one sequence that is read step by step, and scratch memory for the next step.
class Stream {
 public:
  explicit Stream(LayerPointer layer);
  // x [T, input] → y [T, output]; returns whether y and the state are finite. Allocates nothing.
  bool push(const float* x, long T, float* y, int threads);
  float* state() const { return state_.data(); }
  size_t bytes() const { return (size_t)layer->state * sizeof(float); }
  const LayerPointer layer;

 private:
  Buffer state_, scratch_;
};
// One step of each of several streams of one layer: x [n, input] → y [n, output], with the same bits as each stream alone.
// Returns the index of the first stream whose output or state is not finite, or -1.
long push_many(const std::vector<Stream*>& streams, const float* x, float* y, int threads);

bool finite(const float* x, long size);  // whether all are

// One step of n rows; on one thread where more would not pay off.
void step(const Layer& layer, long n, RowView x, RowView states, RowView y, int threads);

}  // namespace stepscan
