// The layers of a model in inference: a tree of cells and combinators, without gradients.
//
// The state of a row is one contiguous array: `state` floats, in which each layer of the tree has its own range, and then the
// caches of the layers that keep items, such as attention: see states.h.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine.h"
#include "states.h"

namespace stepscan {

// B rows of `lengths` [B], padded to T items.
struct RaggedBatch {
  const int64_t* lengths;
  long rows, steps;
};

// What a step reads: the rows' inputs, or their tables (see `tabulate`).
struct Input {
  RowView rows;
  bool tabulated;
};

class Layer {
 public:
  const long input, output;
  const long state;      // floats of a row's state, without its caches
  const std::vector<CacheArray> caches;  // the arrays of a row's caches, in order; none for a layer that keeps no items
  const long cache;      // the sum of their widths: floats for each item that there is room for
  const long context;    // the most items that any of them holds
  const bool causal;     // whether it can run one step at a time
  const bool pointwise;  // whether each output depends only on the input of the same step
  virtual ~Layer() = default;

  // The whole batch. x [B, T, input]; states of B rows, in and out, with room for the items that they will hold;
  // y [B, T, `y_stride`] with zeros in the padding.
  virtual void scan(const RaggedBatch&, const float* x, const States& states, float* y, long y_stride, int threads) const;

  // The same as the forward one of two directions, with `back` as the other one, in reverse: the states of both, one after the
  // other, and outputs side by side. False, without changes, if the two cannot be run together.
  virtual bool scan_both(const Layer&, const RaggedBatch&, const float*, const States&, float*, long, int) const { return false; }

  // One step of n rows, by all threads of a group together. When it returns, every thread may read y; the states may be read
  // after the group's next barrier. `scratch` holds step_floats(n) floats, shared by all threads.
  virtual void step(long n, Input x, const States& states, RowView y, float* scratch, const Group& group) const = 0;
  virtual size_t step_floats(long n) const = 0;

  // The readout of a state: [output]
  virtual void readout(const float* state, float* y) const = 0;

  // The state before the first item, into one of zeros, [state]
  virtual void set_initial(float*) const {}

  // The size of the vector that an initial state can be made of; and one row of it, [condition], into an initial state, of one
  // row with room for one item.
  virtual long condition() const { return 0; }
  virtual void set_condition(const float*, const States&) const {}

  // The items that a state [state] has read, the most of any part that counts them; -1 if a count is not one.
  virtual long items_read(const float*) const { return 0; }

  // What steps make of an item alone can be tabulated, if items are few, as symbols are: the numbers of one, 0 if it cannot be; and
  // that of x [input].
  virtual long table_floats() const { return 0; }
  virtual void tabulate(const float*, float*) const {}

 protected:
  Layer(long in, long out, long size, bool is_causal, bool is_pointwise, std::vector<CacheArray> arrays = {})
      : input(in), output(out), state(size), caches(std::move(arrays)), cache(total_width(caches)), context(most_items(caches)),
        causal(is_causal), pointwise(is_pointwise) {}
};
typedef std::shared_ptr<const Layer> LayerPointer;

LayerPointer make_linear(std::shared_ptr<const Linear> map, bool keeps);  // keeps: whether the state holds the last output
LayerPointer make_layer_norm(long size, const float* gain, const float* bias, bool keeps);
LayerPointer make_identity(long size, bool keeps);
LayerPointer make_stack(std::vector<LayerPointer> layers);
LayerPointer make_residual(LayerPointer layer);
LayerPointer make_zoneout(LayerPointer layer, double p);  // p: the probability of keeping an old value
LayerPointer make_bidirectional(LayerPointer forward, LayerPointer backward);

bool finite(const float* x, long size);  // whether all are

// Floats of a row's state with room for `capacity` items, and such states, one after the other.
inline long state_floats(const Layer& layer, long capacity) { return layer.state + capacity * layer.cache; }
inline States states_of(const Layer& layer, const float* first, long capacity) {
  return {RowView::strided(first, state_floats(layer, capacity)), capacity, nullptr, layer.state, 0};
}
// Copies a row's state to one with another capacity; both have room for the items that it holds.
void copy_state(const Layer& layer, const float* from, long from_capacity, float* to, long to_capacity);
// Items that a state must have room for after `more` items; -1 if it is not a state of the layer.
long items_to_hold(const Layer& layer, const float* state, long more);

// T steps of one row, by a team that stays together: x [T, input] → y [T, output].
void step_through(const Layer& layer, long T, const float* x, const States& state, float* y, float* scratch, int threads);

// One step of n rows; on one thread where more would not pay off.
void step(const Layer& layer, long n, RowView x, const States& states, RowView y, int threads);

}  // namespace stepscan
