#include "weight_sums.h"

#include <algorithm>

#include "team.h"

namespace stepscan {

WeightSums::WeightSums(const ProgramKernels& kernels, const ProgramData& data, std::vector<ProgramShard> shards, const std::vector<long>& most, float* const* to)
    : kernels_(kernels), data_(data), to_(to), shards_(std::move(shards)), works_((size_t)kernels.gradient_works(&data, nullptr)) {
  kernels_.gradient_works(&data_, works_.data());
  for (GradientWork& work : works_) work.clear = true;
  for (int g = 0; g < data_.gradients; g++)
    for (size_t i = 0; i < shards_.size(); i++) {
      inputs_.push_back({data_.gradient + g, (long)i, 0, 0, 0, 0, 0, false, nullptr});
      kernels_.shape_inputs(&inputs_.back());
    }
  for (int lay = 0; lay < 2; lay++) {
    ArenaLayout arena{memory_.data()};
    for (GradientInputs& inputs : inputs_)  // one line more: where heads have few columns, the last one is read past its end
      inputs.memory = arena.allocate((inputs.panels * most[inputs.shard] + 1) * inputs.line);
    if (!lay) memory_ = Buffer(arena.used);
  }
}

void WeightSums::add(const std::vector<long>& first, const std::vector<long>& last, int threads) {
  for (int round = 0; round < data_.rounds; round++) {
    gather(first, last, round, threads);
    std::vector<GradientWork*> works;
    for (GradientWork& work : works_)
      if (work.of->round == round) works.push_back(&work);
    parallel_for(threads, (long)works.size(), [&](long i, int) {
      const GradientInputs* inputs = inputs_.data() + (works[i]->of - data_.gradient) * shards_.size();
      kernels_.gradient(shards_.data(), (long)shards_.size(), works[i], inputs, to_);
      works[i]->clear = false;
    });
  }
}

void WeightSums::gather(const std::vector<long>& first, const std::vector<long>& last, int round, int threads) {
  struct Work {
    const GradientInputs* inputs;
    long from, to;
  };
  std::vector<Work> works;
  for (GradientInputs& inputs : inputs_) {
    if (inputs.of->round != round) continue;
    const Shard& shard = *shards_[inputs.shard].shard;
    inputs.first = first[inputs.shard], inputs.items = shard.offset[last[inputs.shard]] - shard.offset[inputs.first];
    for (long n = 0; inputs.shared && n < inputs.items; n += ITEMS_OF_WORK) works.push_back({&inputs, n, std::min(inputs.items, n + ITEMS_OF_WORK)});
  }
  parallel_for(threads, (long)works.size(), [&](long i, int) {
    const Work& work = works[i];
    kernels_.gather_inputs(&shards_[work.inputs->shard], work.inputs, work.from, work.to);
  });
}

}  // namespace stepscan
