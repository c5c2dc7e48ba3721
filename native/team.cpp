#include "team.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace stepscan {
namespace {

inline void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

std::atomic<bool> forked{false};  // in a child, the OpenMP library would wait for its parent's threads

struct Job {
  void (*run)(void*, int, int);
  void* argument;
};

typedef void (*Parallel)(void (*)(void*), void*, unsigned, unsigned);
typedef int (*Count)();
std::atomic<Parallel> openmp_parallel{nullptr};
std::atomic<Count> openmp_thread{nullptr}, openmp_threads{nullptr};

void on_openmp(void* argument) {
  Job* job = static_cast<Job*>(argument);
  job->run(job->argument, openmp_thread.load(std::memory_order_relaxed)(),
           openmp_threads.load(std::memory_order_relaxed)());
}

// Our own threads, which sleep between jobs. One caller at a time: a second caller runs on its own thread alone.
class Pool {
 public:
  void run(int requested, const Job& job) {
    std::unique_lock<std::mutex> use(in_use_, std::try_to_lock);
    if (!use.owns_lock()) return job.run(job.argument, 0, 1);
    while ((int)threads_.size() < requested - 1) threads_.emplace_back([this, n = (int)threads_.size() + 1, now = round_] { work(n, now); });
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = job, team_ = requested, left_ = requested - 1, round_++;
    }
    wake_.notify_all();
    job.run(job.argument, 0, requested);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return left_ == 0; });
  }

 private:
  void work(int thread, unsigned seen) {
    for (;;) {
      Job job;
      int team;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return round_ != seen; });
        seen = round_, job = job_, team = team_;
      }
      if (thread >= team) continue;
      job.run(job.argument, thread, team);
      std::lock_guard<std::mutex> lock(mutex_);
      if (--left_ == 0) done_.notify_one();
    }
  }

  std::mutex in_use_, mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  Job job_{};
  int team_ = 1, left_ = 0;
  unsigned round_ = 0;
};

Pool& pool() {
  static Pool* instance = new Pool;  // never destroyed: its threads run until the process exits
  return *instance;
}

const int fork_handlers = pthread_atfork(nullptr, nullptr, [] { forked = true; });

}  // namespace

// Iterations of about 10 to 40 ns: longer than a barrier between threads that are both running, shorter than a time slice.
constexpr int SPINS_BEFORE_YIELD = 200;

void Barrier::wait(int member, int members) {
  unsigned mine = line[member].reached + 1;
  __atomic_store_n(&line[member].reached, mine, __ATOMIC_RELEASE);
  for (int other = 0; other < members; other++)
    for (int spins = 0; (int)(__atomic_load_n(&line[other].reached, __ATOMIC_ACQUIRE) - mine) < 0; spins++) {
      pause_briefly();
      if (spins >= SPINS_BEFORE_YIELD) sched_yield();  // the other thread may be waiting for this core
    }
}

void use_openmp(void* parallel, void* thread_number, void* team_size) {
  openmp_thread = reinterpret_cast<Count>(thread_number);
  openmp_threads = reinterpret_cast<Count>(team_size);
  openmp_parallel = reinterpret_cast<Parallel>(parallel);
}

void run_team(int requested, void (*run)(void*, int, int), void* argument) {
  Job job{run, argument};
  if (requested > MAX_THREADS) requested = MAX_THREADS;
  if (requested <= 1 || forked) return run(argument, 0, 1);
  if (Parallel parallel = openmp_parallel) return parallel(on_openmp, &job, (unsigned)requested, 0);
  pool().run(requested, job);
}

#if defined(__x86_64__)
NoDenormals::NoDenormals() : before(_mm_getcsr()) { _mm_setcsr(before | 0x8040); }
NoDenormals::~NoDenormals() { _mm_setcsr(before); }
#else
NoDenormals::NoDenormals() : before(0) {}
NoDenormals::~NoDenormals() {}
#endif

}  // namespace stepscan
