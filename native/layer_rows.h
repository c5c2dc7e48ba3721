// What layers have in common: copies of rows, zeros in the padding, and the rows that a thread of a group takes.
#pragma once
#include <cstring>

#include "layers.h"

namespace stepscan {

inline void copy(const float* from, float* to, long size) {
  if (size) std::memcpy(to, from, (size_t)size * sizeof(float));  // either may be null if size is 0
}
inline void copy_rows(const float* from, long from_stride, float* to, long to_stride, long rows, long size) {
  for (long r = 0; r < rows; r++) copy(from + r * from_stride, to + r * to_stride, size);
}
inline void clear_padding(const RaggedBatch& batch, float* y, long y_stride, long size) {
  for (long b = 0; b < batch.rows; b++)
    for (long t = batch.lengths[b]; t < batch.steps; t++) std::memset(y + (b * batch.steps + t) * y_stride, 0, (size_t)size * sizeof(float));
}
inline States after(const States& states, const Layer& layer) { return states.after(layer.state, layer.cache); }

// The rows of one thread of a group.
struct ThreadRange {
  long from, to;
  ThreadRange(long n, const Group& group) : from(n * group.member / group.members), to(n * (group.member + 1) / group.members) {}
};

}  // namespace stepscan
