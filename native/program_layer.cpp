#include "program_layer.h"

#include <numeric>

#include "layer_rows.h"

namespace stepscan {
namespace {

constexpr size_t LINE = 64;  // bytes of a cache line

long state_width(const ProgramData& data) { return std::accumulate(data.leaf_width, data.leaf_width + data.leaves, 0L); }

long condition_size(const ProgramData& data, const ProgramStates& states) {
  long size = 0;
  for (int k = 0; k < data.leaves; k++)
    if (states.slice[k] >= 0) size = std::max(size, states.slice[k] + data.leaf_width[k]);
  return size;
}

// A thread's tiles, kept from step to step
float* thread_tiles(size_t floats) {
  static thread_local Buffer memory;
  if (memory.floats() < floats) memory = Buffer(floats);
  return memory.data();
}

// States of a batch as leaves [B, width], before and after a scan
class LeafStates {
 public:
  LeafStates(const ProgramData& data, long rows) : data_(data), rows_(rows), memory_((size_t)(2 * rows * state_width(data))) {
    float* at = memory_.data();
    for (auto* leaves : {&start, &end})
      for (int k = 0; k < data.leaves; k++) leaves->push_back(at), at += rows * data.leaf_width[k];
  }
  void read(const States& states) { for_leaves(states, start, [](float* row, float* leaf, long size) { copy(row, leaf, size); }); }
  void write(const States& states) { for_leaves(states, end, [](float* row, float* leaf, long size) { copy(leaf, row, size); }); }
  std::vector<const float*> starts() const { return {start.begin(), start.end()}; }
  std::vector<float*> start, end;

 private:
  template <class F>
  void for_leaves(const States& states, const std::vector<float*>& leaves, F f) const {
    long first = 0;
    for (int k = 0; k < data_.leaves; first += data_.leaf_width[k++])
      for (long b = 0; b < rows_; b++) f(states.at(b) + first, leaves[k] + b * data_.leaf_width[k], data_.leaf_width[k]);
  }
  const ProgramData& data_;
  const long rows_;
  Buffer memory_;
};

// What a step knows of its rows: a thread's own for one row; for several shared, at the beginning of the scratch memory
struct StepMemory {
  ProgramCall call;
  ProgramShard shard;
  Shard rows;
  float *x = nullptr, *y = nullptr;  // where the caller's rows are not evenly spaced; else null
};
// The indices of rows that have one item each: [indices_of(n)]
long indices_of(long n) { return 4 + 2 * n; }
Shard rows_of(long n, int64_t* index) {
  index[0] = index[3] = n, index[1] = index[2] = 0;
  for (long r = 0; r < n; r++) index[4 + r] = r, index[4 + n + r] = 1;
  return {n, 1, n, index + 4, index + 4 + n, index, index + 2, index + 4};
}

class ProgramLayer : public Layer {
 public:
  ProgramLayer(std::shared_ptr<const ProgramWeights> weights, ProgramStates states)
      : Layer(weights->program->data.input, weights->program->data.output, state_width(weights->program->data), true, false),
        weights_(std::move(weights)), states_(std::move(states)), condition_(condition_size(data(), states_)), places_of_one_((size_t)data().arrays) {
    one_row_ = rows_of(1, indices_of_one_);
    const ProgramCall call = call_of(nullptr, input, nullptr, output);
    ProgramShard shard{&call, &one_row_, nullptr, false, 0, nullptr, nullptr};
    floats_of_one_ = weights_->kernels.lay_out_forward(&shard, places_of_one_.data());
    for (int k = 0; k < states_.readout; k++) read_ += data().leaf_width[k];
  }

  void scan(const RaggedBatch& batch, const float* x, const States& states, float* y, long y_stride, int threads) const override {
    run({this}, batch, x, states, y, y_stride, threads);
  }
  bool scan_both(const Layer& other, const RaggedBatch& batch, const float* x, const States& states, float* y, long y_stride, int threads) const override {
    const auto* back = dynamic_cast<const ProgramLayer*>(&other);
    if (back) run({this, back}, batch, x, states, y, y_stride, threads);
    return back;
  }
  // One or two cells over the same inputs, the second in reverse, whose states are one after the other.
  static void run(const std::vector<const ProgramLayer*>& cells, const RaggedBatch& batch, const float* x, const States& states, float* y, long y_stride, int threads) {
    std::vector<ProgramScans::Direction> directions;
    std::vector<LeafStates> leaves;
    std::vector<std::vector<const float*>> start;
    std::vector<std::vector<float*>> end;
    States of_one = states;
    for (const ProgramLayer* cell : cells) {
      directions.push_back({cell->weights_, !directions.empty()});
      leaves.emplace_back(cell->data(), batch.rows);
      leaves.back().read(of_one);
      start.push_back(leaves.back().starts()), end.push_back(leaves.back().end);
      of_one = after(of_one, *cell);
    }
    ProgramScans(directions, batch.lengths, batch.rows, batch.steps, false, threads).forward(x, start, y, y_stride, end);
    of_one = states;
    for (size_t i = 0; i < cells.size(); i++) leaves[i].write(of_one), of_one = after(of_one, *cells[i]);
  }

  void step(long n, Input x, const States& states, RowView y, float* scratch, const Group& group) const override {
    float* aligned = (float*)(((uintptr_t)scratch + LINE - 1) / LINE * LINE);
    StepMemory own;
    StepMemory& memory = n == 1 ? own : *(StepMemory*)aligned;
    if (n == 1) begin_one(x.rows, y, aligned, own);
    else if (!group.member) begin(n, x.rows, y, aligned, memory);
    if (n > 1) group.wait();
    const ProgramKernels& kernels = weights_->kernels;
    const ThreadRange range(n, group);
    for (long r = range.from; r < range.to; r++) {
      kernels.read_state(&memory.shard, r, states.at(r));
      if (x.tabulated) kernels.read_table(&memory.shard, r, x.rows.at(r));
      else if (memory.x) copy(x.rows.at(r), memory.x + r * input, input);
    }
    group.wait();
    float* tiles = thread_tiles(weights_->packed.tile_floats);
    if (!data().whole_rows) kernels.step(&memory.shard, x.tabulated, tiles, group);
    else if (!group.member) kernels.step(&memory.shard, x.tabulated, tiles, Group{group.barrier, 0, 1});
    group.wait();
    for (long r = range.from; r < range.to; r++) {
      kernels.write_state(&memory.shard, r, states.at(r));
      if (memory.y) copy(memory.y + r * output, y.at(r), output);
    }
    group.wait();  // the scratch memory is the next layer's, and so may y be
  }
  size_t step_floats(long n) const override {
    if (n == 1) return floats_of_one_ + LINE / sizeof(float);
    ArenaLayout arena{nullptr};
    StepMemory memory;
    std::vector<Place> places((size_t)data().arrays);
    std::vector<int64_t> indices((size_t)indices_of(n));
    reserve(n, memory, arena);
    memory.rows = rows_of(n, indices.data());
    memory.call = call_of(nullptr, input, nullptr, output);
    memory.shard = {&memory.call, &memory.rows, nullptr, false, 0, nullptr, nullptr};
    return arena.used + weights_->kernels.lay_out_forward(&memory.shard, places.data()) + LINE / sizeof(float);
  }

  long table_floats() const override { return weights_->packed.table_floats; }
  void tabulate(const float* x, float* to) const override {
    Buffer scratch(floats_of_one_);
    Barrier alone;
    StepMemory memory;
    begin_one(RowView::strided(x, 0), RowView::strided(x, 0), scratch.data(), memory);  // writes no output
    weights_->kernels.items(&memory.shard, thread_tiles(weights_->packed.tile_floats), Group{&alone, 0, 1});
    weights_->kernels.write_table(&memory.shard, 0, to);
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

  ProgramCall call_of(const float* x, long x_stride, float* y, long y_stride) const {
    return {&weights_->packed, x, y, nullptr, nullptr, x_stride, y_stride, 1, nullptr, nullptr, nullptr, nullptr};
  }
  void begin_one(const RowView& x, const RowView& y, float* scratch, StepMemory& memory) const {
    memory.call = call_of(x.at(0), 0, y.at(0), 0);
    memory.shard = {&memory.call, &one_row_, places_of_one_.data(), false, 1, scratch, nullptr};
  }
  // Scratch memory of a step of n rows before its arrays
  struct Reserved {
    Place* places;
    int64_t* indices;
  };
  Reserved reserve(long n, StepMemory& memory, ArenaLayout& arena) const {
    arena.allocate(sizeof(StepMemory) / sizeof(float));
    float *places = arena.allocate((long)(sizeof(Place) / sizeof(float)) * data().arrays), *indices = arena.allocate(2 * indices_of(n));
    memory.x = arena.allocate(n * input), memory.y = arena.allocate(n * output);
    return {(Place*)places, (int64_t*)indices};
  }
  // Rows that are evenly spaced are read and written where they lie.
  void begin(long n, const RowView& x, const RowView& y, float* scratch, StepMemory& memory) const {
    ArenaLayout arena{scratch};
    const Reserved reserved = reserve(n, memory, arena);
    memory.rows = rows_of(n, reserved.indices);
    memory.call = call_of(memory.x, input, memory.y, output);
    if (!x.base) memory.call.x = x.at(0), memory.call.x_stride = x.stride, memory.x = nullptr;
    if (!y.base) memory.call.y = y.at(0), memory.call.y_stride = y.stride, memory.y = nullptr;
    memory.shard = {&memory.call, &memory.rows, nullptr, false, 0, scratch + arena.used, nullptr};
    weights_->kernels.lay_out_forward(&memory.shard, reserved.places);
  }

  const std::shared_ptr<const ProgramWeights> weights_;
  const ProgramStates states_;
  const long condition_;
  // how the memory of a step of one row is laid out
  std::vector<Place> places_of_one_;
  int64_t indices_of_one_[6];
  Shard one_row_;
  size_t floats_of_one_ = 0;
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
