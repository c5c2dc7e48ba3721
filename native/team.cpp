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

std::atomic<bool> forked{false};  // a child has one thread, and the OpenMP library of its parent would wait for the others

struct Job {
  void (*run)(void*, int, int);
  void* argument;
};

typedef void (*Parallel)(void (*)(void*), void*, unsigned, unsigned);
typedef int (*Number)();
std::atomic<Parallel> openmp_parallel{nullptr};
std::atomic<Number> openmp_thread{nullptr}, openmp_threads{nullptr};

void on_openmp(void* given) {
  Job* job = static_cast<Job*>(given);
  job->run(job->argument, openmp_thread.load(std::memory_order_relaxed)(),
           openmp_threads.load(std::memory_order_relaxed)());
}

// Our own threads: they sleep between jobs. One caller at a time; another caller meanwhile runs alone.
class Pool {
 public:
  void run(int wanted, const Job& job) {
    std::unique_lock<std::mutex> turn(in_use_, std::try_to_lock);
    if (!turn.owns_lock()) return job.run(job.argument, 0, 1);
    while ((int)threads_.size() < wanted - 1) threads_.emplace_back([this, n = (int)threads_.size() + 1, now = round_] { work(n, now); });
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = job, team_ = wanted, left_ = wanted - 1, round_++;
    }
    wake_.notify_all();
    job.run(job.argument, 0, wanted);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return left_ == 0; });
  }

 private:
  void work(int number, unsigned seen) {
    for (;;) {
      Job job;
      int team;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return round_ != seen; });
        seen = round_, job = job_, team = team_;
      }
      if (number >= team) continue;
      job.run(job.argument, number, team);
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
  static Pool* one = new Pool;  // never destroyed: its threads run until the process ends
  return *one;
}

const int watch_forks = pthread_atfork(nullptr, nullptr, [] { forked = true; });

}  // namespace

// Turns of about 10 to 40 ns: longer than a barrier between threads that are both running, shorter than what a scheduler gives.
constexpr int PATIENCE = 200;

void Barrier::wait(int member, int members) {
  unsigned mine = line[member].reached + 1;
  __atomic_store_n(&line[member].reached, mine, __ATOMIC_RELEASE);
  for (int other = 0; other < members; other++)
    for (int turns = 0; (int)(__atomic_load_n(&line[other].reached, __ATOMIC_ACQUIRE) - mine) < 0; turns++) {
      pause_briefly();
      if (turns >= PATIENCE) sched_yield();  // whom we wait for may be waiting for this core
    }
}

void use_openmp(void* parallel, void* thread_number, void* team_size) {
  openmp_thread = reinterpret_cast<Number>(thread_number);
  openmp_threads = reinterpret_cast<Number>(team_size);
  openmp_parallel = reinterpret_cast<Parallel>(parallel);
}

void run_team(int wanted, void (*run)(void*, int, int), void* argument) {
  Job job{run, argument};
  if (wanted > MOST_THREADS) wanted = MOST_THREADS;
  if (wanted <= 1 || forked) return run(argument, 0, 1);
  if (Parallel parallel = openmp_parallel) return parallel(on_openmp, &job, (unsigned)wanted, 0);
  pool().run(wanted, job);
}

#if defined(__x86_64__)
NoDenormals::NoDenormals() : before(_mm_getcsr()) { _mm_setcsr(before | 0x8040); }
NoDenormals::~NoDenormals() { _mm_setcsr(before); }
#else
NoDenormals::NoDenormals() : before(0) {}
NoDenormals::~NoDenormals() {}
#endif

}  // namespace stepscan
