#include "engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <stdexcept>

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
  std::vector<const Kernels*> found;
#ifdef STEPSCAN_HAS_AVX
  __builtin_cpu_init();
  bool avx2_fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2_fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    found.push_back(&avx512::KERNELS);
  if (avx2_fma) found.push_back(&avx2::KERNELS);
#endif
  found.push_back(&plain::KERNELS);
  return found;
}

const Kernels& named(const std::string& name) {
  std::string known;
  for (const Kernels* k : runnable()) {
    if (name == k->isa) return *k;
    known += std::string(known.empty() ? "" : ", ") + k->isa;
  }
  throw std::invalid_argument("STEPSCAN_ISA must be one that this processor can run (" + known + "), got '" + name + "'");
}

std::atomic<const Kernels*> chosen{nullptr};

// Floating-point operations that are worth a second thread: about ten times what it takes to call one. Of a lone step,
// between which threads may go to sleep: where its weights are larger than what one core has near (an LSTM of 256 units).
constexpr double WORTH_A_TEAM = 1e6, STEP_WORTH_A_TEAM = 7e5;
constexpr size_t WORTH_PACKING = 100000;  // numbers
constexpr long ALONE = 192;     // up to this hidden size a thread takes rows of its own; above it, hidden units of all rows
constexpr long TOGETHER = 48;   // a row for which no other thread has one is shared from this hidden size on

const CellKernels& cell_named(const std::string& name) {
  const Kernels& k = kernels();
  for (int i = 0; i < k.cell_count; i++)
    if (name == k.cells[i]->name) return *k.cells[i];
  throw std::invalid_argument("no kernel for a cell named '" + name + "'");
}

// Pieces of work that take what time they take. Each thread begins with its own stretch of them, whose numbers it has
// likely made itself and so has near; whoever is free then helps the others.
template <class F>
void on_items(int threads, long count, F run) {
  struct alignas(64) Stretch {
    std::atomic<long> next{0};
  } stretch[MOST_THREADS];
  on_team((int)std::min<long>(threads, count), [&](int thread, int team) {
    NoDenormals quiet;
    for (int k = 0; k < team; k++) {
      long s = (thread + k) % team, first = count * s / team, size = count * (s + 1) / team - first;
      for (long i; (i = stretch[s].next.fetch_add(1)) < size;) run(first + i);
    }
  });
}

// Calls f(share, group) for all shares: a thread each, or several with a barrier where there are fewer shares.
template <class F>
void on_shares(int threads, long shares, bool split, F run) {
  std::vector<Barrier> barriers(shares);
  on_team(split ? threads : (int)std::min<long>(threads, shares), [&](int thread, int team) {
    NoDenormals quiet;
    if (team <= shares) {
      for (long i = thread; i < shares; i += team) run(i, Group{&barriers[i], 0, 1});
      return;
    }
    long mine = (long)thread * shares / team, first = (mine * team + shares - 1) / shares, next = ((mine + 1) * team + shares - 1) / shares;
    run(mine, Group{&barriers[mine], (int)(thread - first), (int)(next - first)});
  });
}

}  // namespace

const Kernels& kernels() {
  const Kernels* now = chosen;
  if (!now) {
    const char* wish = std::getenv("STEPSCAN_ISA");
    now = wish && *wish ? &named(wish) : runnable().front();
    chosen = now;
  }
  return *now;
}
std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* k : runnable()) names.push_back(k->isa);
  return names;
}
void use_instruction_set(const std::string& name) { chosen = &named(name); }

Weights::Weights(const std::string& name, long input, long hidden, const Parameters& given, bool backward, Format format, int threads)
    : cell(cell_named(name)) {
  packed.input = input, packed.hidden = hidden, packed.format = format;
  cell.shape(&packed);
  buffer_ = Buffer(cell.weight_floats(&packed, backward));
  cell.lay_out(&packed, buffer_.data(), backward);
  Barrier unused;
  on_team(buffer_.floats() > WORTH_PACKING ? threads : 1, [&](int thread, int team) { cell.pack(&packed, &given, Group{&unused, thread, team}); });
}

Saved::Saved(const std::vector<Direction>& directions, const int64_t* lengths, long batch, long steps, int threads) {
  double operations = 0;
  for (const Direction& d : directions) {
    const Packed& w = d.weights->packed;
    for (long r = 0; r < batch; r++) operations += 2.0 * lengths[r] * d.weights->cell.gates * w.hidden * (w.input + w.hidden);
  }
  worth_a_team_ = operations > WORTH_A_TEAM;
  threads = worth_a_team_ ? threads : 1;
  std::vector<int64_t> order(batch);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return lengths[a] > lengths[b]; });
  int many = (int)directions.size();
  for (int d = 0; d < many; d++) {
    const Weights& weights = *directions[d].weights;
    long parts = 1;
    if (weights.cell.whole_rows || weights.packed.hidden <= ALONE) parts = std::max(1L, std::min<long>(batch, threads / many));
    split_ = split_ || (parts == 1 && !weights.cell.whole_rows && weights.packed.hidden >= TOGETHER);
    for (long p = 0; p < parts; p++) {
      std::vector<int64_t> rows;
      for (long r = 0; r < batch; r++) {
        long place = r % (2 * parts);  // 0 1 2 2 1 0 0 1 …, so that each has its share of the long rows
        if ((place < parts ? place : 2 * parts - 1 - place) == p) rows.push_back(order[r]);
      }
      Share share{d, {}, {}, Buffer()};
      Part& part = share.part;
      part.rows = (long)rows.size();
      part.steps = rows.empty() ? 0 : lengths[rows[0]];
      part.tokens = 0;
      for (int64_t row : rows) part.tokens += lengths[row];
      share.numbers.resize(2 * part.rows + 2 * (part.steps + 1) + part.tokens);
      int64_t *row = share.numbers.data(), *length = row + part.rows, *active = length + part.rows, *offset = active + part.steps + 1, *item = offset + part.steps + 1;
      for (long r = 0; r < part.rows; r++) row[r] = rows[r], length[r] = lengths[rows[r]];
      long n = 0, running = part.rows;
      for (long t = 0; t <= part.steps; t++) {
        while (running && length[running - 1] <= t) running--;
        active[t] = running, offset[t] = n;
        for (long r = 0; r < running; r++) item[n++] = row[r] * steps + (directions[d].reverse ? length[r] - 1 - t : t);
      }
      part.row = row, part.length = length, part.active = active, part.offset = offset, part.item = item;
      shares_.push_back(std::move(share));
    }
  }
}

void Saved::forward(const std::vector<Direction>& directions, int threads, bool save) {
  threads = worth_a_team_ ? threads : 1;
  std::vector<Buffer> scratch;
  for (Share& share : shares_) {
    const Weights& w = *directions[share.direction].weights;
    if (save) share.kept = Buffer(w.cell.saved_floats(&w.packed, &share.part));
    scratch.emplace_back(w.cell.scratch_floats(&w.packed, &share.part, save));
  }
  on_shares(threads, (long)shares_.size(), split_, [&](long i, const Group& group) {
    Share& share = shares_[i];
    const Direction& d = directions[share.direction];
    d.weights->cell.forward(&d.scan, &share.part, save ? share.kept.data() : nullptr, scratch[i].data(), group);
  });
}

void Saved::backward(const std::vector<Direction>& directions, int threads) const {
  threads = worth_a_team_ ? threads : 1;
  std::vector<Buffer> memory;
  for (const Share& share : shares_) {
    const Weights& w = *directions[share.direction].weights;
    memory.emplace_back(w.cell.back_floats(&w.packed, &share.part));
  }
  on_shares(threads, (long)shares_.size(), split_, [&](long i, const Group& group) {
    const Share& share = shares_[i];
    const Direction& d = directions[share.direction];
    d.weights->cell.backward(&d.scan, &d.back, &share.part, share.kept.data(), memory[i].data(), group);
  });
  struct Work {
    const Direction* direction;
    std::vector<Part> parts;
    std::vector<const float*> kept;
    std::vector<float*> memory;
    long items;
  };
  std::vector<Work> works(directions.size());
  for (size_t i = 0; i < shares_.size(); i++) {
    Work& work = works[shares_[i].direction];
    work.direction = &directions[shares_[i].direction];
    work.parts.push_back(shares_[i].part), work.kept.push_back(shares_[i].kept.data()), work.memory.push_back(memory[i].data());
  }
  auto run = [&](Work& work, int phase, long number) {
    const Direction& d = *work.direction;
    d.weights->cell.item(&d.scan, &d.back, work.parts.data(), (long)work.parts.size(), work.kept.data(), work.memory.data(), phase, number);
  };
  long total = 0;
  for (Work& work : works) {
    const Weights& w = *work.direction->weights;
    if (work.direction->back.dx)  // one direction after the other: the second adds to what the first wrote
      on_items(threads, w.cell.items(&w.packed, work.parts.data(), (long)work.parts.size(), 0), [&](long i) { run(work, 0, i); });
    total += work.items = work.direction->back.to.in ? w.cell.items(&w.packed, work.parts.data(), (long)work.parts.size(), 1) : 0;
  }
  on_items(threads, total, [&](long i) {
    for (Work& work : works) {
      if (i < work.items) return run(work, 1, i);
      i -= work.items;
    }
  });
}

void Weights::step(const Rows& rows, int threads) const {
  double operations = 2.0 * (double)rows.count * cell.gates * packed.hidden * (packed.input + packed.hidden);
  Buffer scratch(cell.step_floats(&packed, rows.count));
  Barrier barrier;
  on_team(operations > STEP_WORTH_A_TEAM ? threads : 1, [&](int thread, int team) {
    NoDenormals quiet;
    cell.step(&packed, &rows, scratch.data(), Group{&barrier, thread, team});
  });
}

Linear::Linear(const float* W, const float* bias, long in, long out, Format format)
    : inputs(in), outputs(out), kernels_(kernels()), packed_(kernels_.linear_floats(format, in, out)) {
  kernels_.linear_pack(&matrix_, format, W, bias, in, out, packed_.data());
}
void Linear::run(const float* x, long rows, float* y, int threads) const {
  const long piece = 64, pieces = (rows + piece - 1) / piece;
  Barrier alone;
  on_items(rows * inputs * outputs < 100000 ? 1 : threads, pieces, [&](long i) {
    kernels_.linear(&matrix_, Places::flat(x, inputs), i * piece, std::min(rows, (i + 1) * piece), outputs, Places::flat(y, outputs), Group{&alone, 0, 1});
  });
}
void Linear::run(Places x, long rows, Places y, const Group& group) const {
  kernels_.linear(&matrix_, x, 0, rows, outputs, y, group);
}
void layer_norm(const float* x, long rows, long size, const float* gain, const float* bias, float* y, int threads) {
  const long piece = 64, pieces = (rows + piece - 1) / piece;
  on_items(rows * size < 100000 ? 1 : threads, pieces, [&](long i) {
    kernels().layer_norm(x, i * piece, std::min(rows, (i + 1) * piece), size, gain, bias, y);
  });
}
void tanh(const float* x, long size, float* y, int threads) {
  const long piece = 4096, pieces = (size + piece - 1) / piece;
  on_items(size < 100000 ? 1 : threads, pieces, [&](long i) { kernels().tanh(x, i * piece, std::min(size, (i + 1) * piece), y); });
}
void softmax(const float* x, long rows, long size, float* y, int threads) {
  long piece = 64, pieces = (rows + piece - 1) / piece;
  on_items(rows * size < 100000 ? 1 : threads, pieces, [&](long i) { kernels().softmax(x, i * piece, std::min(rows, (i + 1) * piece), size, y); });
}
void attend(const float* query, const float* keys, const float* memory, const int64_t* length, const float* score, long batch,
            long queries, long items, long width, long memory_width, float* context, float* weights, int threads) {
  on_items(batch * queries * items * width < 10000 ? 1 : threads, batch * queries, [&](long i) {
    kernels().attend(query, keys, memory, length, score, i, i + 1, queries, items, width, memory_width, context, weights);
  });
}

void attend_back(const AttendBack& given, long batch, int threads) {
  on_items(batch * given.queries * given.items * given.width < 10000 ? 1 : threads, batch,
           [&](long i) { kernels().attend_back(given, i, i + 1); });
}
bool cross_entropy(float* scores, const int64_t* target, long rows, long size, float smoothing, float* rest, float* sum, int threads) {
  for (long r = 0; r < rows; r++)
    if (target[r] < 0 || target[r] >= size) return false;
  const long piece = 16, pieces = (rows + piece - 1) / piece;
  on_items(rows * size < 20000 ? 1 : threads, pieces, [&](long i) {
    kernels().cross_entropy(scores, target, i * piece, std::min(rows, (i + 1) * piece), size, smoothing, rest, sum);
  });
  return true;
}
void dropout(const float* x, long size, uint64_t seed, double p, float* y, int threads) {
  const long piece = 4096, pieces = (size + piece - 1) / piece;
  const uint32_t least = (uint32_t)std::min(p * 4294967296.0 + 0.5, 4294967295.0);
  const float scale = (float)(1 / (1 - p));
  on_items(size < 50000 ? 1 : threads, pieces, [&](long i) {
    uint64_t own = seed + (uint64_t)i * 0x9e3779b97f4a7c15u;  // splitmix64 (Steele et al. 2014)
    own = (own ^ (own >> 30)) * 0xbf58476d1ce4e5b9u;
    own = (own ^ (own >> 27)) * 0x94d049bb133111ebu;
    kernels().dropout(x + i * piece, std::min(piece, size - i * piece), own ^ (own >> 31), least, scale, y + i * piece);
  });
}

double peak_flops(int threads) {
  std::vector<double> done(MOST_THREADS, 0);
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
  std::atomic<long> granted{1};
  on_team(threads, [&](int, int team) { granted = team; });
  return granted;
}

}  // namespace stepscan
