#include "program_engine.h"

#include <cstring>
#include <exception>

#include "engine.h"
#include "weight_sums.h"

namespace stepscan {
namespace {

// Floating-point operations from which a second thread pays off: about ten times the cost of waking it. Up to the first width of a
// leaf, threads split rows; above it, the units of all rows. A single row is split by units from the second width on. Both are
// measured in docs/performance.md ("What was tried").
constexpr double MIN_TEAM_FLOPS = 1e6;
constexpr long MAX_ROW_PARALLEL_WIDTH = 192, MIN_UNIT_PARALLEL_WIDTH = 48;
constexpr size_t MIN_PARALLEL_PACK_FLOATS = 100000;
constexpr double FLOPS_OF_NUMBER = 20;  // about, of the element-wise part
// Items whose gradients are in memory at a time: so many, or one step's
constexpr long GRADIENT_ITEMS = 2048;
constexpr double MIN_DIRECTIONS_FLOPS = 1e6;  // operations from which two directions on two threads pay off

}  // namespace

// ------------------------------------------------------------------------------------------------------------- weights

ProgramWeights::ProgramWeights(std::shared_ptr<const Program> of, const std::vector<const float*>& weights, Format format, int threads)
    : program(std::move(of)), kernels(*stepscan::kernels().programs), matrices_(program->data.matrices), places_(program->data.arrays) {
  const ProgramData& data = program->data;
  if ((int)weights.size() != data.weights) throw ProgramFault("expected " + std::to_string(data.weights) + " weights, got " + std::to_string(weights.size()));
  packed.data = &data, packed.matrix = matrices_.data(), packed.place = places_.data();
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
  y_stride_ = y_stride;
  if (batch_ > 0 && steps_ > 0) use_large_pages(y, (size_t)((batch_ * steps_ - 1) * y_stride + output()) * sizeof(float));
  call_ = {&weights_->packed, x, y, nullptr, nullptr, weights_->program->data.input, y_stride, steps_, start.data(), nullptr, end.data(), nullptr};
  for (Part& part : parts_) {
    part.shard = {&call_, &part.scheduled.shard, nullptr, save_, 0, nullptr, nullptr};
    part.memory = Buffer(kernels.lay_out_forward(&part.shard, part.places.data()));
    part.shard.memory = part.memory.data();
  }
  const std::vector<Buffer> tiles = tiles_of(team(threads));
  run_shards(team(threads), (long)parts_.size(), split_, [&](long i, const Group& group, int thread) {
    kernels.forward(&parts_[i].shard, tiles[thread].data(), group);
  });
  if (!save_) for (Part& part : parts_) part.memory = Buffer();
}

void ProgramScan::backward(const float* x, const float* y, const ProgramGradients& gradients, int threads) {
  const ProgramData& data = weights_->program->data;
  const ProgramKernels& kernels = weights_->kernels;
  if (!save_ || !data.trains) throw ProgramFault("expected a scan that kept what the backward pass needs");
  std::lock_guard<std::mutex> lock(mutex_);
  if (gradients.dx) use_large_pages(gradients.dx, (size_t)(batch_ * steps_ * data.input) * sizeof(float));
  call_ = {&weights_->packed, x, const_cast<float*>(y), gradients.dy, gradients.dx, data.input, y_stride_, steps_, nullptr, gradients.d_end.data(), nullptr, gradients.d_start.data()};
  std::vector<Buffer> memory;
  std::vector<long> most_items;
  for (Part& part : parts_) {
    long most = 1;
    for (long t = 0; t < part.scheduled.shard.steps; t++) most = std::max<long>(most, part.scheduled.shard.active[t]);
    const long items = std::max(most, std::min<long>(GRADIENT_ITEMS, part.scheduled.shard.tokens));
    most_items.push_back(items);
    memory.emplace_back(kernels.lay_out_backward(&part.shard, part.places.data(), items));
    part.shard.back_memory = memory.back().data();
  }
  const std::vector<Buffer> tiles = tiles_of(team(threads));
  for (const Buffer& of_thread : tiles) kernels.clear_sums(&weights_->packed, of_thread.data());
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
    steps_back(tiles, first, last);
    if (gradients.dx || !gradients.weights.empty()) items_back(tiles, first, last, gradients.dx != nullptr);
    if (sums) sums->add(first, last, (int)tiles.size());
  }
  if (gradients.weights.empty()) return;
  for (const Buffer& of_thread : tiles) kernels.add_sums(&weights_->packed, of_thread.data(), gradients.weights.data());
}

std::vector<Buffer> ProgramScan::tiles_of(int threads) const {
  std::vector<Buffer> tiles;
  for (int i = 0; i < threads; i++) tiles.emplace_back(weights_->packed.tile_floats);
  return tiles;
}

void ProgramScan::steps_back(const std::vector<Buffer>& tiles, const std::vector<long>& first, const std::vector<long>& last) {
  run_shards((int)tiles.size(), (long)parts_.size(), split_, [&](long i, const Group& group, int thread) {
    const bool begins = last[i] == parts_[i].scheduled.shard.steps;
    if (first[i] < last[i] || (begins && !last[i])) weights_->kernels.backward(&parts_[i].shard, tiles[thread].data(), first[i], last[i], group);
  });
}

// In an order that does not depend on which thread is free, so that the sums of each thread have the same bits in every run
void ProgramScan::items_back(const std::vector<Buffer>& tiles, const std::vector<long>& first, const std::vector<long>& last, bool x) {
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
  on_team((int)std::min<long>((long)tiles.size(), count), [&](int thread, int team) {
    NoDenormals quiet;
    for (long k = count * thread / team; k < count * (thread + 1) / team; k++)
      weights_->kernels.items_back(&parts_[works[k].shard].shard, tiles[thread].data(), first[works[k].shard], works[k].from, works[k].to, x);
  });
}

// ---------------------------------------------------------------------------------------------------------- directions

ProgramScans::ProgramScans(const std::vector<Direction>& directions, const int64_t* lengths, long batch, long steps, bool save, int threads)
    : batch_(batch), steps_(steps), threads_(threads) {
  double flops = 0;
  for (const Direction& d : directions)
    for (long b = 0; b < batch; b++) flops += (double)lengths[b] * d.weights->flops();
  at_once_ = directions.size() > 1 && flops > MIN_DIRECTIONS_FLOPS && threads > 1 && (threads < 4 || batch < threads);
  for (const Direction& d : directions)
    scans_.push_back(std::make_unique<ProgramScan>(d.weights, lengths, batch, steps, d.reverse, save, at_once_ ? 1 : threads));
}

template <class Run>
void ProgramScans::run(int threads, Run run) const {
  std::vector<std::exception_ptr> failures(scans_.size());  // none may leave a thread of a team
  parallel_for(at_once_ ? std::min<int>(threads, (int)scans_.size()) : 1, (long)scans_.size(), [&](long i, int) {
    try {
      run((size_t)i, at_once_ ? 1 : threads);
    } catch (...) {
      failures[i] = std::current_exception();
    }
  });
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

void ProgramScans::forward(const float* x, const std::vector<std::vector<const float*>>& start, float* y, long y_stride, const std::vector<std::vector<float*>>& end) {
  std::vector<long> column(scans_.size(), 0);
  for (size_t i = 1; i < scans_.size(); i++) column[i] = column[i - 1] + scans_[i - 1]->output();
  run(threads_, [&](size_t i, int threads) { scans_[i]->forward(x, start[i], y + column[i], y_stride, end[i], threads); });
}

void ProgramScans::backward(const float* x, const float* y, std::vector<ProgramGradients> gradients, int threads) {
  float* dx = gradients[0].dx;
  const long floats = batch_ * steps_ * scans_[0]->data().input;
  std::vector<Buffer> more;
  std::vector<long> column(scans_.size(), 0);
  for (size_t i = 1; i < scans_.size(); i++) {
    column[i] = column[i - 1] + scans_[i - 1]->output();
    gradients[i].dy += column[i];
    if (dx) more.emplace_back((size_t)floats), gradients[i].dx = more.back().data();
  }
  run(threads, [&](size_t i, int share) { scans_[i]->backward(x, y + column[i], gradients[i], share); });
  for (const Buffer& of_one : more)
    for (long k = 0; k < floats; k++) dx[k] += of_one.data()[k];
}

}  // namespace stepscan
