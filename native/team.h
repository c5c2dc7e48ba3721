// The threads that run a kernel: those of the OpenMP library that PyTorch has loaded, or our own pool without it.
#pragma once

namespace stepscan {

constexpr int MOST_THREADS = 64;

// Where threads wait for each other. Each has a line of its own, so that one write wakes nobody but those who wait for it.
struct Barrier {
  struct alignas(64) Line {
    unsigned reached;
  };
  Line line[MOST_THREADS] = {};
  void wait(int member, int members);
};

// Threads that share a piece of work, as one of them sees it.
struct Group {
  Barrier* barrier;
  int member, members;
  void wait() const { if (members > 1) barrier->wait(member, members); }
};

// Runs job(argument, thread, threads) on a team. `wanted` is a wish: what is granted, 1 … wanted, is what job is told.
// One thread in a process forked from another, in a nested region, and when our pool is busy with another caller.
void run_team(int wanted, void (*job)(void*, int, int), void* argument);

template <class F>
void on_team(int wanted, F&& body) {
  run_team(wanted, [](void* f, int thread, int threads) { (*static_cast<F*>(f))(thread, threads); }, &body);
}

// Use the OpenMP library whose functions these are: GOMP_parallel, omp_get_thread_num, omp_get_num_threads.
void use_openmp(void* parallel, void* thread_number, void* team_size);

// Denormal numbers count as zero in here, which no sum of a network notices and old processors need.
struct NoDenormals {
  unsigned before;
  NoDenormals();
  ~NoDenormals();
};

}  // namespace stepscan
