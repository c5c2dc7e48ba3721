// The gradients of a program's weights: sums over the items of a backward pass, a part of the steps at a time.
#pragma once
#include <vector>

#include "program_run.h"

namespace stepscan {

constexpr long ITEMS_OF_WORK = 96;  // that a thread takes at a time

// What products read is packed once for all works that read it: each makes 128 rows of a gradient. Where one work reads it, that packs
// it as it goes, while it is in the cache.
class WeightSums {
 public:
  // `most`: items of each shard that come at a time; `to`: the gradients, null for those that are not wanted. The first numbers
  // of weights that one product's gradient covers are written, others are added to what is there.
  WeightSums(const ProgramKernels& kernels, const ProgramData& data, std::vector<ProgramShard> shards, const std::vector<long>& most, float* const* to);
  // Adds those of steps `first … last` of each shard.
  void add(const std::vector<long>& first, const std::vector<long>& last, int threads);

 private:
  void gather(const std::vector<long>& first, const std::vector<long>& last, int round, int threads);
  const ProgramKernels& kernels_;
  const ProgramData& data_;
  float* const* to_;
  std::vector<ProgramShard> shards_;
  std::vector<GradientWork> works_;
  std::vector<GradientInputs> inputs_;  // of each gradient, for each shard
  Buffer memory_;
};

}  // namespace stepscan
