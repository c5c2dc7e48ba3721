#include "program_layer.h"

#include <exception>
#include <numeric>

#include "layer_rows.h"

namespace stepscan {
namespace {

constexpr double MIN_DIRECTIONS_FLOPS = 1e6;  // operations from which two directions on two threads pay off
constexpr size_t LINE = 64;                   // bytes of a cache line

long state_width(const ProgramData& data) { return std::accumulate(data.leaf_width, data.leaf_width + data.leaves, 0L); }

long condition_size(const ProgramData& data, const ProgramStates& states) {
  long size = 0;
  for (int k = 0; k < data.leaves; k++)
    if (states.slice[k] >= 0) size = std::max(size, states.slice[k] + data.leaf_width[k]);
  return size;
}

// A thread's tiles, kept from step to step
ProgramScratch thread_tiles(const ProgramWeights& weights, size_t floats) {
  static thread_local Buffer memory;
  static thread_local std::vector<float*> temporary;
  if (memory.floats() < floats) memory = Buffer(floats);
  if (temporary.size() < (size_t)weights.program->data.arrays) temporary.resize((size_t)weights.program->data.arrays);
  ArenaLayout arena{memory.data()};
  weights.kernels.lay_out_scratch(&weights.packed, temporary.data(), &arena);
  return {temporary.data()};
}

// A scan of a batch in one direction, and its states as leaves [B, width]
class LeafScan {
 public:
  LeafScan(const std::shared_ptr<const ProgramWeights>& weights, const RaggedBatch& batch, bool reverse, int threads)
      : data_(weights->program->data), scan_(weights, batch.lengths, batch.rows, batch.steps, reverse, false, threads), rows_(batch.rows),
        threads_(threads), memory_((size_t)(2 * batch.rows * state_width(data_))) {
    float* at = memory_.data();
    for (auto* leaves : {&start_, &end_})
      for (int k = 0; k < data_.leaves; k++) leaves->push_back(at), at += rows_ * data_.leaf_width[k];
  }
  void read(const States& states) { for_leaves(states, start_, [](float* row, float* leaf, long size) { copy(row, leaf, size); }); }
  void write(const States& states) { for_leaves(states, end_, [](float* row, float* leaf, long size) { copy(leaf, row, size); }); }
  void forward(const float* x, float* y, long y_stride) { scan_.forward(x, {start_.begin(), start_.end()}, y, y_stride, end_, threads_); }

 private:
  template <class F>
  void for_leaves(const States& states, const std::vector<float*>& leaves, F f) const {
    long first = 0;
    for (int k = 0; k < data_.leaves; first += data_.leaf_width[k++])
      for (long b = 0; b < rows_; b++) f(states.at(b) + first, leaves[k] + b * data_.leaf_width[k], data_.leaf_width[k]);
  }
  const ProgramData& data_;
  ProgramScan scan_;
  const long rows_;
  const int threads_;
  Buffer memory_;
  std::vector<float*> start_, end_;
};

// What the threads of a step share, at the beginning of its scratch memory
struct StepMemory {
  ProgramCall call;
  ProgramShard shard;
  Shard rows;
  float *x, *y;  // where the caller's rows are not evenly spaced; else null
};

class ProgramLayer : public Layer {
 public:
  ProgramLayer(std::shared_ptr<const ProgramWeights> weights, ProgramStates states)
      : Layer(weights->program->data.input, weights->program->data.output, state_width(weights->program->data), true, false),
        weights_(std::move(weights)), states_(std::move(states)), condition_(condition_size(data(), states_)) {
    ArenaLayout size{nullptr};
    weights_->kernels.lay_out_scratch(&weights_->packed, nullptr, &size);
    tile_floats_ = size.used;
    for (int k = 0; k < states_.readout; k++) read_ += data().leaf_width[k];
  }

  void scan(const RaggedBatch& batch, const float* x, const States& states, float* y, long y_stride, int threads) const override {
    LeafScan scan(weights_, batch, false, threads);
    scan.read(states);
    scan.forward(x, y, y_stride);
    scan.write(states);
  }
  bool scan_both(const Layer& other, const RaggedBatch& batch, const float* x, const States& states, float* y, long y_stride, int threads) const override {
    const auto* back = dynamic_cast<const ProgramLayer*>(&other);
    if (!back) return false;
    double flops = 0;
    for (long b = 0; b < batch.rows; b++) flops += (double)batch.lengths[b] * (weights_->flops() + back->weights_->flops());
    const bool at_once = flops > MIN_DIRECTIONS_FLOPS && threads > 1 && (threads < 4 || batch.rows < threads);
    LeafScan scans[] = {{weights_, batch, false, at_once ? 1 : threads}, {back->weights_, batch, true, at_once ? 1 : threads}};
    scans[0].read(states), scans[1].read(after(states, *this));
    std::exception_ptr failure[2];  // none may leave a thread of a team
    parallel_for(at_once ? 2 : 1, 2, [&](long i, int) {
      try {
        scans[i].forward(x, y + i * output, y_stride);
      } catch (...) {
        failure[i] = std::current_exception();
      }
    });
    for (const std::exception_ptr& one : failure)
      if (one) std::rethrow_exception(one);
    scans[0].write(states), scans[1].write(after(states, *this));
    return true;
  }

  void step(long n, Input x, const States& states, RowView y, float* scratch, const Group& group) const override {
    StepMemory& memory = *(StepMemory*)(((uintptr_t)scratch + LINE - 1) / LINE * LINE);
    const ProgramKernels& kernels = weights_->kernels;
    ThreadRange range(n, group);
    if (!group.member) begin(n, x.rows, y, memory);
    const ProgramScratch tiles = thread_tiles(*weights_, tile_floats_);
    group.wait();
    for (long r = range.from; r < range.to; r++) {
      kernels.read_state(&memory.shard, r, states.at(r));
      if (memory.x) copy(x.rows.at(r), memory.x + r * input, input);
    }
    group.wait();
    if (!data().whole_rows) kernels.step(&memory.shard, tiles, group);
    else if (!group.member) kernels.step(&memory.shard, tiles, Group{group.barrier, 0, 1});
    group.wait();
    for (long r = range.from; r < range.to; r++) {
      kernels.write_state(&memory.shard, r, states.at(r));
      if (memory.y) copy(memory.y + r * output, y.at(r), output);
    }
    group.wait();  // the scratch memory is the next layer's, and so may y be
  }
  size_t step_floats(long n) const override {
    ArenaLayout arena{nullptr};
    StepMemory memory{};
    std::vector<Place> places((size_t)data().arrays);
    const int64_t one_step[] = {n, 0, 0, n};
    lay_out(n, memory, places.data(), one_step, arena);
    return arena.used + LINE / sizeof(float);
  }

  void readout(const float* state, float* y) const override { copy(state + read_, y, output); }
  void set_initial(float* to) const override { copy(states_.initial.data(), to, state); }
  long condition() const override { return condition_; }
  void set_condition(const float* vector, const States& to) const override {
    float* leaf = to.at(0);
    copy(states_.conditioned.data(), leaf, state);
    for (int k = 0; k < data().leaves; leaf += data().leaf_width[k++])
      if (states_.slice[k] >= 0) copy(vector + states_.slice[k], leaf, data().leaf_width[k]);
  }

 private:
  const ProgramData& data() const { return weights_->program->data; }

  // Memory of a step of n rows after `memory` itself. Without an arena's memory, `places` [arrays] are written and `one_step` [4],
  // the active rows and offsets of the step, is read, to find its size.
  void lay_out(long n, StepMemory& memory, Place* places, const int64_t* one_step, ArenaLayout& arena) const {
    arena.allocate(sizeof(StepMemory) / sizeof(float));
    float *own_places = arena.allocate((long)(sizeof(Place) / sizeof(float)) * data().arrays), *indices = arena.allocate(2 * (4 + 2 * n));
    memory.x = arena.allocate(n * input), memory.y = arena.allocate(n * output);
    if (arena.base) {
      int64_t* index = (int64_t*)indices;
      index[0] = n, index[1] = index[2] = 0, index[3] = n;
      for (long r = 0; r < n; r++) index[4 + r] = r, index[4 + n + r] = 1;
      places = (Place*)own_places, one_step = index;
    }
    memory.rows = {n, 1, n, one_step + 4, one_step + 4 + n, one_step, one_step + 2, one_step + 4};
    memory.call = {&weights_->packed, nullptr, nullptr, nullptr, nullptr, input, output, 1, nullptr, nullptr, nullptr, nullptr};
    memory.shard = {&memory.call, &memory.rows, places, false, 0};
    weights_->kernels.lay_out_forward(&memory.shard, &arena);
  }
  // Rows that are evenly spaced are read and written where they lie.
  void begin(long n, const RowView& x, const RowView& y, StepMemory& memory) const {
    ArenaLayout arena{(float*)&memory};
    lay_out(n, memory, nullptr, nullptr, arena);
    memory.call.x = memory.x, memory.call.y = memory.y;
    if (n == 1 || !x.base) memory.call.x = x.at(0), memory.call.x_stride = x.stride, memory.x = nullptr;
    if (n == 1 || !y.base) memory.call.y = y.at(0), memory.call.y_stride = y.stride, memory.y = nullptr;
  }

  const std::shared_ptr<const ProgramWeights> weights_;
  const ProgramStates states_;
  const long condition_;
  size_t tile_floats_ = 0;  // of a thread
  long read_ = 0;           // the first number of the readout's leaf
};

void check_states(const ProgramData& data, const ProgramStates& states) {
  const size_t size = (size_t)state_width(data);
  if (states.initial.size() != size || states.conditioned.size() != size || states.slice.size() != (size_t)data.leaves)
    throw ProgramFault("expected states of " + std::to_string(size) + " numbers in " + std::to_string(data.leaves) + " leaves");
  if (states.readout < 0 || states.readout >= data.leaves || data.leaf_width[states.readout] != data.output)
    throw ProgramFault("expected a leaf of " + std::to_string(data.output) + " numbers as readout");
}

}  // namespace

LayerPointer make_program_layer(std::shared_ptr<const ProgramWeights> weights, ProgramStates states) {
  check_states(weights->program->data, states);
  return std::make_shared<ProgramLayer>(std::move(weights), std::move(states));
}

}  // namespace stepscan
