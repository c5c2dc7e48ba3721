// Shared by the kernels' tests: arrays next to protected pages, checks that count failures.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "../engine.h"
#include "../team.h"

using namespace stepscan;

// An array whose last element ends a page; the pages before and after it cannot be read or written.
template <class T>
class Guarded {
 public:
  explicit Guarded(size_t count, float scale = 0) : count_(count) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inside = (count * sizeof(T) + page - 1) / page * page;
    size_ = inside + 2 * page;
    base_ = (char*)mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base_ == MAP_FAILED || (inside && mprotect(base_ + page, inside, PROT_READ | PROT_WRITE))) std::abort();
    data_ = (T*)(base_ + page + inside - count * sizeof(T));
    for (size_t i = 0; i < count; i++) data_[i] = scale ? (T)(scale * ((float)std::rand() / (float)RAND_MAX - 0.5f)) : T();
  }
  ~Guarded() { munmap(base_, size_); }
  Guarded(const Guarded&) = delete;
  T* get() const { return data_; }
  bool operator==(const Guarded& other) const { return !std::memcmp(data_, other.data_, count_ * sizeof(T)); }

 private:
  size_t count_, size_;
  char* base_;
  T* data_;
};
typedef Guarded<float> Floats;

static int failures = 0;
#define CHECK(what, ...) \
  if (!(what)) failures++, std::printf("FAILED %s: ", #what), std::printf(__VA_ARGS__), std::printf("\n")

