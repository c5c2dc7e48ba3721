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
