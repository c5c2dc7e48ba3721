// One sequence that is read step by step.
#pragma once
#include "layers.h"

namespace stepscan {

// The state of one sequence, and scratch memory for the next step. The caches grow by doubling, up to what the layer keeps.
class Stream {
 public:
  explicit Stream(LayerPointer layer);
  // x [T, input] → y [T, output]; returns whether y and what was added to the state are finite. Allocates nothing, unless the
  // caches must grow or a layer with caches reads more items at once than a step takes.
  bool push(const float* x, long T, float* y, int threads);
  // Becomes as the other one. Between two streams that are copied from each other in turn, as a session's are, only the items
  // that either has read since are copied.
  void copy(Stream& other);
  // A state with room for `capacity` items, from and to memory of state_floats(layer, capacity) floats.
  void read(float* to, long capacity) const;
  void write(const float* from, long capacity);
  void reserve(long items);  // room for so many
  long items() const { return items_to_hold(*layer, state(), 0); }  // that the caches hold
  // whether the layers' own numbers are, and those in the caches of items read since there were `before`
  bool finite_since(long before) const;
  long capacity() const { return capacity_; }
  float* state() const { return state_.data(); }
  size_t bytes() const { return (size_t)state_floats(*layer, capacity_) * sizeof(float); }
  const LayerPointer layer;

 private:
  States states() const { return states_of(*layer, state(), capacity_); }
  Buffer state_, scratch_;
  long capacity_ = 0;
  // The stream that this one was last equal to, by its number and how often it had been overwritten; and the items read then
  const unsigned long number_;
  unsigned long overwritten_ = 0, twin_ = 0, twin_overwritten_ = 0;
  long common_ = 0;
};

// One step of each of several streams of one layer: x [n, input] → y [n, output], with the same bits as each stream alone.
// Returns the index of the first stream whose output or state is not finite, or -1.
long push_many(const std::vector<Stream*>& streams, const float* x, float* y, int threads);

}  // namespace stepscan
