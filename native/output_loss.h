// The cross-entropy of a linear layer with many outputs, and its gradients.
#pragma once
#include <cstdint>

namespace stepscan {

struct OutputLossArgs {
  const float *x, *weight, *bias;  // [rows, inputs], [outputs, inputs], [outputs]
  const int64_t* target;           // [rows]
  long rows, inputs, outputs;
  float smoothing;
  float *dx, *dweight, *dbias;  // of the loss summed over rows; the last two are added to
  float *rest, *sum;            // [rows]: the loss of a row is rest + log(sum)
};

// The scores of some rows at a time are computed, replaced by their gradient, and multiplied out, while a cache holds them. The
// bits do not depend on the number of threads. False, without changes, if a target is not in 0 … outputs − 1.
bool output_loss(const OutputLossArgs& args, int threads);

}  // namespace stepscan
