// The threads that run a kernel: those of the OpenMP library that PyTorch has loaded, or our own pool without it.
#pragma once
#include <algorithm>
#include <atomic>

namespace stepscan {

constexpr int MAX_THREADS = 64;

// A barrier between threads. Each thread has a cache line of its own, so that a write invalidates only the lines of threads
// that wait for it.
struct Barrier {
  struct alignas(64) Line {
    unsigned reached;
  };
  Line line[MAX_THREADS] = {};
  void wait(int member, int members);
};

// The threads that share a piece of work, seen from one of them.
struct Group {
  Barrier* barrier;
  int member, members;
  void wait() const { if (members > 1) barrier->wait(member, members); }
};

// Runs job(argument, thread, threads) on a team of at most `requested` threads; job receives the actual number. One thread in
// a process forked from another, in a nested parallel region, and when our pool is busy with another caller.
void run_team(int requested, void (*job)(void*, int, int), void* argument);

template <class F>
void on_team(int requested, F&& body) {
  run_team(requested, [](void* f, int thread, int threads) { (*static_cast<F*>(f))(thread, threads); }, &body);
}

// Use the OpenMP library whose functions these are: GOMP_parallel, omp_get_thread_num, omp_get_num_threads.
void use_openmp(void* parallel, void* thread_number, void* team_size);

// Flushes denormal numbers to zero in this scope: sums of a network do not need them, and they are slow on old processors.
struct NoDenormals {
  unsigned before;
  NoDenormals();
  ~NoDenormals();
};

// Runs `count` independent work items. Each thread starts with its own range of them, whose data are likely in its cache, and
// then steals from the other threads' ranges.
template <class F>
void parallel_for(int threads, long count, F run) {
  struct alignas(64) Range {
    std::atomic<long> next{0};
  } ranges[MAX_THREADS];
  on_team((int)std::min<long>(threads, count), [&](int thread, int team) {
    NoDenormals quiet;
    for (int k = 0; k < team; k++) {
      long s = (thread + k) % team, first = count * s / team, size = count * (s + 1) / team - first;
      for (long i; (i = ranges[s].next.fetch_add(1)) < size;) run(first + i, thread);
    }
  });
}

}  // namespace stepscan
