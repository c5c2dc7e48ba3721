#include "program_engine.h"

#include <cstring>

#include "engine.h"
#include "weight_sums.h"

namespace stepscan {
namespace {

// As for the cells of engine.cpp: operations from which a second thread pays off; the leaf's width up to which threads split
// rows; and from which on a single row is split.
constexpr double MIN_TEAM_FLOPS = 1e6;
constexpr long MAX_ROW_PARALLEL_WIDTH = 192, MIN_UNIT_PARALLEL_WIDTH = 48;
constexpr size_t MIN_PARALLEL_PACK_FLOATS = 100000;
constexpr double FLOPS_OF_NUMBER = 20;  // about, of the element-wise part
// Items whose gradients are in memory at a time: so many, or one step's
constexpr long GRADIENT_ITEMS = 2048;

}  // namespace

// ------------------------------------------------------------------------------------------------------------- weights

ProgramWeights::ProgramWeights(std::shared_ptr<const Program> of, const std::vector<const float*>& weights, Format format, int threads)
    : program(std::move(of)), kernels(*stepscan::kernels().programs), matrices_(program->data.matrices), fixed_(program->data.arrays) {
  const ProgramData& data = program->data;
  if ((int)weights.size() != data.weights) throw ProgramFault("expected " + std::to_string(data.weights) + " weights, got " + std::to_string(weights.size()));
  packed.data = &data, packed.matrix = matrices_.data(), packed.fixed = fixed_.data();
  for (int k = 0; k < PROGRAMS; k++) stages_[k].resize(data.program[k].count), packed.stage[k] = stages_[k].data();
  ArenaLayout size{nullptr};
  kernels.lay_out_weights(&packed, format, &size);
  memory_ = Buffer(size.used);
  ArenaLayout arena{memory_.data()};
  kernels.lay_out_weights(&packed, format, &arena);
  Barrier unused;
  on_team(memory_.floats() > MIN_PARALLEL_PACK_FLOATS ? threads : 1,
          [&](int thread, int team) { kernels.pack(&packed, weights.data(), Group{&unused, thread, team}); });
  for (int k = 0; k < STEP_BACK; k++)
    for (int i = 0; i < data.program[k].count; i++) {
      const Stage& s = data.program[k].stage[i];
      flops_ += FLOPS_OF_NUMBER * (double)s.width;
      for (int p = 0; p < s.products; p++) {
        const ProgramMatrix& m = data.matrix[s.product[p].matrix];
        flops_ += 2.0 * (double)m.width * (double)m.inputs * m.parts / (double)m.heads;
      }
    }
}

// ---------------------------------------------------------------------------------------------------------- scratch memory

// Temporaries of each thread of a team, allocated before it begins
class ProgramScan::Threads {
 public:
  Threads(const ProgramWeights& weights, int count) : kernels_(weights.kernels), data_(weights.program->data) {
    for (int i = 0; i < count; i++) {
      ArenaLayout size{nullptr};
      kernels_.lay_out_scratch(&weights.packed, nullptr, &size);
      memory_.emplace_back(size.used);
      temporary_.emplace_back((size_t)data_.arrays, nullptr);
      ArenaLayout arena{memory_.back().data()};
      kernels_.lay_out_scratch(&weights.packed, temporary_.back().data(), &arena);
    }
  }
  ProgramScratch operator[](int thread) const { return {temporary_[thread].data()}; }
  int count() const { return (int)memory_.size(); }

 private:
  const ProgramKernels& kernels_;
  const ProgramData& data_;
  std::vector<Buffer> memory_;
  std::vector<std::vector<float*>> temporary_;
};

// ---------------------------------------------------------------------------------------------------------------- scan

ProgramScan::ProgramScan(std::shared_ptr<const ProgramWeights> weights, const int64_t* lengths, long batch, long steps, bool reverse, bool save, int threads)
    : weights_(std::move(weights)), save_(save), batch_(batch), steps_(steps) {
  const ProgramData& data = weights_->program->data;
  double items = 0;
  for (long r = 0; r < batch; r++) items += (double)lengths[r];
  parallel_ = items * weights_->flops() > MIN_TEAM_FLOPS;
  long shards = 1;
  if (data.whole_rows || data.widest <= MAX_ROW_PARALLEL_WIDTH) shards = std::max(1L, std::min<long>(batch, team(threads)));
  split_ = shards == 1 && !data.whole_rows && data.widest >= MIN_UNIT_PARALLEL_WIDTH;
  for (ScheduledShard& shard : schedule(lengths, batch, steps, shards, reverse)) parts_.push_back({std::move(shard), std::vector<Place>(data.arrays), Buffer(), {}});
}

void ProgramScan::forward(const float* x, const std::vector<const float*>& start, float* y, long y_stride, const std::vector<float*>& end, int threads) {
  const ProgramKernels& kernels = weights_->kernels;
  if (batch_ > 0 && steps_ > 0) use_large_pages(y, (size_t)((batch_ * steps_ - 1) * y_stride + output()) * sizeof(float));
  call_ = {&weights_->packed, x, y, nullptr, nullptr, weights_->program->data.input, y_stride, steps_, start.data(), nullptr, end.data(), nullptr};
  for (Part& part : parts_) {
    part.shard = {&call_, &part.scheduled.shard, part.places.data(), save_, 0};
    ArenaLayout size{nullptr};
    kernels.lay_out_forward(&part.shard, &size);
    part.memory = Buffer(size.used);
    ArenaLayout arena{part.memory.data()};
    kernels.lay_out_forward(&part.shard, &arena);
  }
  Threads scratch(*weights_, team(threads));
  run_shards(team(threads), (long)parts_.size(), split_, [&](long i, const Group& group, int thread) {
    kernels.forward(&parts_[i].shard, scratch[thread], group);
  });
  if (!save_) for (Part& part : parts_) part.memory = Buffer();
}

void ProgramScan::backward(const float* x, const float* y, const ProgramGradients& gradients, int threads) {
  const ProgramData& data = weights_->program->data;
  const ProgramKernels& kernels = weights_->kernels;
  if (!save_ || !data.trains) throw ProgramFault("expected a scan that kept what the backward pass needs");
  std::lock_guard<std::mutex> lock(mutex_);
  if (gradients.dx) use_large_pages(gradients.dx, (size_t)(batch_ * steps_ * data.input) * sizeof(float));
  call_ = {&weights_->packed, x, const_cast<float*>(y), gradients.dy, gradients.dx, data.input, data.output, steps_, nullptr, gradients.d_end.data(), nullptr, gradients.d_start.data()};
  std::vector<Buffer> memory;
  std::vector<long> most_items;
  for (Part& part : parts_) {
    long most = 1;
    for (long t = 0; t < part.scheduled.shard.steps; t++) most = std::max<long>(most, part.scheduled.shard.active[t]);
    const long items = std::max(most, std::min<long>(GRADIENT_ITEMS, part.scheduled.shard.tokens));
    most_items.push_back(items);
    ArenaLayout size{nullptr};
    kernels.lay_out_backward(&part.shard, items, &size);
    memory.emplace_back(size.used);
    ArenaLayout arena{memory.back().data()};
    kernels.lay_out_backward(&part.shard, items, &arena);
  }
  Threads scratch(*weights_, team(threads));
  for (int i = 0; i < scratch.count(); i++) kernels.clear_sums(&data, scratch[i]);
  std::vector<ProgramShard> shards;
  for (Part& part : parts_) shards.push_back(part.shard);
  std::unique_ptr<WeightSums> sums;
  if (!gradients.weights.empty()) sums = std::make_unique<WeightSums>(kernels, data, std::move(shards), most_items, gradients.weights.data());
  for (size_t w = 0; w < gradients.weights.size(); w++)
    if (gradients.weights[w] && !data.covered[w]) std::memset(gradients.weights[w], 0, (size_t)data.weight_size[w] * 4);
  std::vector<long> first(parts_.size()), last(parts_.size());
  for (size_t i = 0; i < parts_.size(); i++) first[i] = parts_[i].scheduled.shard.steps;
  for (bool more = true; more;) {
    more = false;
    for (size_t i = 0; i < parts_.size(); i++) {
      const Shard& shard = parts_[i].scheduled.shard;
      last[i] = first[i];
      while (first[i] > 0 && (first[i] == last[i] || shard.offset[last[i]] - shard.offset[first[i] - 1] <= GRADIENT_ITEMS)) first[i]--;
      more = more || first[i] > 0;
    }
    steps_back(scratch, first, last);
    if (gradients.dx || !gradients.weights.empty()) items_back(scratch, first, last, gradients.dx != nullptr);
    if (sums) sums->add(first, last, scratch.count());
  }
  for (int i = 0; i < scratch.count() && !gradients.weights.empty(); i++) kernels.add_sums(&data, scratch[i], gradients.weights.data());
}

void ProgramScan::steps_back(Threads& scratch, std::vector<long>& first, std::vector<long>& last) {
  run_shards(scratch.count(), (long)parts_.size(), split_, [&](long i, const Group& group, int thread) {
    const bool begins = last[i] == parts_[i].scheduled.shard.steps;
    if (first[i] < last[i] || (begins && !last[i])) weights_->kernels.backward(&parts_[i].shard, scratch[thread], first[i], last[i], group);
  });
}

// In an order that does not depend on which thread is free, so that the sums of each thread have the same bits in every run
void ProgramScan::items_back(Threads& scratch, const std::vector<long>& first, const std::vector<long>& last, bool x) {
  struct Work {
    long shard, from, to;
  };
  std::vector<Work> works;
  for (size_t i = 0; i < parts_.size(); i++) {
    const Shard& shard = parts_[i].scheduled.shard;
    const long from = shard.offset[first[i]], to = shard.offset[last[i]];
    const long size = weights_->program->rows_in_items_back ? std::max(1L, to - from) : ITEMS_OF_WORK;
    for (long n = from; n < to; n += size) works.push_back({(long)i, n, std::min(to, n + size)});
  }
  const long count = (long)works.size();
  on_team((int)std::min<long>(scratch.count(), count), [&](int thread, int team) {
    NoDenormals quiet;
    for (long k = count * thread / team; k < count * (thread + 1) / team; k++)
      weights_->kernels.items_back(&parts_[works[k].shard].shard, scratch[thread], first[works[k].shard], works[k].from, works[k].to, x);
  });
}

}  // namespace stepscan
