#include "engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <stdexcept>

#include "schedule.h"
#include "team.h"

namespace stepscan {

namespace plain { extern const Kernels KERNELS; }
#ifdef STEPSCAN_HAS_AVX
namespace avx2 { extern const Kernels KERNELS; }
namespace avx512 { extern const Kernels KERNELS; }
#endif

#ifdef STEPSCAN_HAS_AVX
extern const bool HAS_VNNI = (__builtin_cpu_init(), __builtin_cpu_supports("avx512vnni"));
#else
extern const bool HAS_VNNI = false;
#endif

namespace {

std::vector<const Kernels*> runnable() {
  std::vector<const Kernels*> sets;
#ifdef STEPSCAN_HAS_AVX
  __builtin_cpu_init();
  bool avx2_fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2_fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    sets.push_back(&avx512::KERNELS);
  if (avx2_fma) sets.push_back(&avx2::KERNELS);
#endif
  sets.push_back(&plain::KERNELS);
  return sets;
}

const Kernels& find_kernels(const std::string& name) {
  std::string known;
  for (const Kernels* k : runnable()) {
    if (name == k->isa) return *k;
    known += std::string(known.empty() ? "" : ", ") + k->isa;
  }
  throw std::invalid_argument("expected STEPSCAN_ISA to be an instruction set of this processor (" + known + "), got '" + name + "'");
}

std::atomic<const Kernels*> chosen{nullptr};

// Floating-point operations from which a second thread pays off: about ten times the cost of waking it. For a single step,
// between which threads may go to sleep: from the size at which the weights exceed one core's caches (an LSTM of 256 units).
constexpr double MIN_TEAM_FLOPS = 1e6, MIN_STEP_TEAM_FLOPS = 7e5;
constexpr size_t MIN_PARALLEL_PACK_FLOATS = 100000;  // packing by all threads is measured in docs/performance.md
// Up to the first hidden size, threads split rows; above it, the hidden units of all rows. A single row is split by hidden
// units from the second size on. Both are measured in docs/performance.md ("What was tried"): splitting rows is 1.05 to 1.2
// times as fast up to 64 units and equal at 128 and 256; splitting a single row reduced a step of an LSTM of 64 units from
// 1.19 to 0.83 µs.
constexpr long MAX_ROW_PARALLEL_HIDDEN = 192, MIN_UNIT_PARALLEL_HIDDEN = 48;

const CellKernels& cell_named(const std::string& name) {
  const Kernels& k = kernels();
  for (int i = 0; i < k.cell_count; i++)
    if (name == k.cells[i]->name) return *k.cells[i];
  throw std::invalid_argument("no kernel for a cell named '" + name + "'");
}

}  // namespace

const Kernels& kernels() {
  const Kernels* current = chosen;
  if (!current) {
    const char* requested = std::getenv("STEPSCAN_ISA");
    current = requested && *requested ? &find_kernels(requested) : runnable().front();
    chosen = current;
  }
  return *current;
}
std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* k : runnable()) names.push_back(k->isa);
  return names;
}
void use_instruction_set(const std::string& name) { chosen = &find_kernels(name); }

Weights::Weights(const std::string& name, long input, long hidden, const Parameters& parameters, bool backward, Format format, int threads)
    : cell(cell_named(name)) {
  packed.input = input, packed.hidden = hidden, packed.format = format;
  cell.shape(&packed);
  buffer_ = Buffer(cell.weight_floats(&packed, backward));
  cell.lay_out(&packed, buffer_.data(), backward);
  Barrier unused;
  on_team(buffer_.floats() > MIN_PARALLEL_PACK_FLOATS ? threads : 1, [&](int thread, int team) { cell.pack(&packed, &parameters, Group{&unused, thread, team}); });
}

BatchScan::BatchScan(const std::vector<Direction>& directions, const int64_t* lengths, long batch, long steps, int threads) {
  double operations = 0;
  for (const Direction& d : directions) {
    const PackedWeights& w = d.weights->packed;
    for (long r = 0; r < batch; r++) operations += 2.0 * lengths[r] * d.weights->cell.gates * w.hidden * (w.input + w.hidden);
  }
  parallel_ = operations > MIN_TEAM_FLOPS;
  threads = parallel_ ? threads : 1;
  int count = (int)directions.size();
  for (int d = 0; d < count; d++) {
    const Weights& weights = *directions[d].weights;
    long shards = 1;
    if (weights.cell.whole_rows || weights.packed.hidden <= MAX_ROW_PARALLEL_HIDDEN) shards = std::max(1L, std::min<long>(batch, threads / count));
    split_units_ = split_units_ || (shards == 1 && !weights.cell.whole_rows && weights.packed.hidden >= MIN_UNIT_PARALLEL_HIDDEN);
    for (ScheduledShard& shard : schedule(lengths, batch, steps, shards, directions[d].reverse)) shards_.push_back({d, std::move(shard), Buffer()});
  }
}

void BatchScan::forward(const std::vector<Direction>& directions, int threads, bool save) {
  threads = parallel_ ? threads : 1;
  std::vector<Buffer> scratch;
  for (DirectionShard& part : shards_) {
    const Weights& w = *directions[part.direction].weights;
    if (save) part.saved = Buffer(w.cell.saved_floats(&w.packed, &part.scheduled.shard));
    scratch.emplace_back(w.cell.scratch_floats(&w.packed, &part.scheduled.shard, save));
  }
  run_shards(threads, (long)shards_.size(), split_units_, [&](long i, const Group& group, int) {
    DirectionShard& part = shards_[i];
    const Direction& d = directions[part.direction];
    d.weights->cell.forward(&d.scan, &part.scheduled.shard, save ? part.saved.data() : nullptr, scratch[i].data(), group);
  });
}

void BatchScan::backward(const std::vector<Direction>& directions, int threads) const {
  threads = parallel_ ? threads : 1;
  std::vector<Buffer> memory;
  for (const DirectionShard& part : shards_) {
    const Weights& w = *directions[part.direction].weights;
    memory.emplace_back(w.cell.back_floats(&w.packed, &part.scheduled.shard));
  }
  run_shards(threads, (long)shards_.size(), split_units_, [&](long i, const Group& group, int) {
    const DirectionShard& part = shards_[i];
    const Direction& d = directions[part.direction];
    d.weights->cell.backward(&d.scan, &d.back, &part.scheduled.shard, part.saved.data(), memory[i].data(), group);
  });
  struct Work {
    const Direction* direction;
    std::vector<Shard> shards;
    std::vector<const float*> saved;
    std::vector<float*> memory;
    long items;
  };
  std::vector<Work> works(directions.size());
  for (size_t i = 0; i < shards_.size(); i++) {
    Work& work = works[shards_[i].direction];
    work.direction = &directions[shards_[i].direction];
    work.shards.push_back(shards_[i].scheduled.shard), work.saved.push_back(shards_[i].saved.data()), work.memory.push_back(memory[i].data());
  }
  auto run = [&](Work& work, int phase, long index) {
    const Direction& d = *work.direction;
    d.weights->cell.item(&d.scan, &d.back, work.shards.data(), (long)work.shards.size(), work.saved.data(), work.memory.data(), phase, index);
  };
  long total = 0;
  for (Work& work : works) {
    const Weights& w = *work.direction->weights;
    if (work.direction->back.dx)  // one direction after the other: the second one adds to dx
      parallel_for(threads, w.cell.items(&w.packed, work.shards.data(), (long)work.shards.size(), 0), [&](long i, int) { run(work, 0, i); });
    total += work.items = work.direction->back.to.in ? w.cell.items(&w.packed, work.shards.data(), (long)work.shards.size(), 1) : 0;
  }
  parallel_for(threads, total, [&](long i, int) {
    for (Work& work : works) {
      if (i < work.items) return run(work, 1, i);
      i -= work.items;
    }
  });
}

void Weights::step(const StepArgs& rows, int threads) const {
  double operations = 2.0 * (double)rows.count * cell.gates * packed.hidden * (packed.input + packed.hidden);
  Buffer scratch(cell.step_floats(&packed, rows.count));
  Barrier barrier;
  on_team(operations > MIN_STEP_TEAM_FLOPS ? threads : 1, [&](int thread, int team) {
    NoDenormals quiet;
    cell.step(&packed, &rows, scratch.data(), Group{&barrier, thread, team});
  });
}

Linear::Linear(const float* W, const float* bias, long in, long out, Format format)
    : inputs(in), outputs(out), kernels_(kernels()), packed_(kernels_.linear_floats(format, in, out)) {
  kernels_.linear_pack(&matrix_, format, W, bias, in, out, packed_.data());
}
void Linear::run(const float* x, long rows, float* y, int threads) const {
  const long chunk = 64, chunks = (rows + chunk - 1) / chunk;
  Barrier alone;
  parallel_for(rows * inputs * outputs < 100000 ? 1 : threads, chunks, [&](long i, int) {
    kernels_.linear(&matrix_, RowView::strided(x, inputs), i * chunk, std::min(rows, (i + 1) * chunk), outputs, RowView::strided(y, outputs), Group{&alone, 0, 1});
  });
}
void Linear::run(RowView x, long rows, RowView y, const Group& group) const {
  kernels_.linear(&matrix_, x, 0, rows, outputs, y, group);
}
void layer_norm(const float* x, long rows, long size, const float* gain, const float* bias, float* y, int threads) {
  const long chunk = 64, chunks = (rows + chunk - 1) / chunk;
  parallel_for(rows * size < 100000 ? 1 : threads, chunks, [&](long i, int) {
    kernels().layer_norm(x, i * chunk, std::min(rows, (i + 1) * chunk), size, gain, bias, y);
  });
}
void tanh(const float* x, long size, float* y, int threads) {
  const long chunk = 4096, chunks = (size + chunk - 1) / chunk;
  parallel_for(size < 100000 ? 1 : threads, chunks, [&](long i, int) { kernels().tanh(x, i * chunk, std::min(size, (i + 1) * chunk), y); });
}
void softmax(const float* x, long rows, long size, float* y, int threads) {
  long chunk = 64, chunks = (rows + chunk - 1) / chunk;
  parallel_for(rows * size < 100000 ? 1 : threads, chunks, [&](long i, int) { kernels().softmax(x, i * chunk, std::min(rows, (i + 1) * chunk), size, y); });
}
void attend(const float* query, const float* keys, const float* memory, const int64_t* length, const float* score, long batch,
            long queries, long items, long width, long memory_width, float* context, float* weights, int threads) {
  parallel_for(batch * queries * items * width < 10000 ? 1 : threads, batch * queries, [&](long i, int) {
    kernels().attend(query, keys, memory, length, score, i, i + 1, queries, items, width, memory_width, context, weights);
  });
}

void attend_back(const AttendBackwardArgs& args, long batch, int threads) {
  parallel_for(batch * args.queries * args.items * args.width < 10000 ? 1 : threads, batch,
               [&](long i, int) { kernels().attend_back(args, i, i + 1); });
}
void dropout(const float* x, long size, uint64_t seed, double p, float* y, int threads) {
  const long chunk = 4096, chunks = (size + chunk - 1) / chunk;
  const uint32_t threshold = (uint32_t)std::min(p * 4294967296.0 + 0.5, 4294967295.0);
  const float scale = (float)(1 / (1 - p));
  parallel_for(size < 50000 ? 1 : threads, chunks, [&](long i, int) {
    uint64_t bits = seed + (uint64_t)i * 0x9e3779b97f4a7c15u;  // splitmix64 (Steele et al. 2014)
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    kernels().dropout(x + i * chunk, std::min(chunk, size - i * chunk), bits ^ (bits >> 31), threshold, scale, y + i * chunk);
  });
}

double peak_flops(int threads) {
  std::vector<double> done(MAX_THREADS, 0);
  auto started = std::chrono::steady_clock::now();
  on_team(threads, [&](int thread, int) { done[thread] = kernels().peak(3000000); });
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return std::accumulate(done.begin(), done.end(), 0.0) / seconds;
}
double barrier_seconds(int threads) {
  Barrier barrier;
  auto started = std::chrono::steady_clock::now();
  on_team(threads, [&](int thread, int team) {
    Group group{&barrier, thread, team};
    for (int i = 0; i < 10000; i++) group.wait();
  });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count() / 10000;
}
long team_size(int threads) {
  std::atomic<long> size{1};
  on_team(threads, [&](int, int team) { size = team; });
  return size;
}

}  // namespace stepscan
