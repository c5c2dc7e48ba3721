#include "buffer.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace stepscan {
namespace {

constexpr size_t LINE = 64, HUGE = size_t(2) << 20, MAX_CACHED_BYTES = size_t(256) << 20;

struct Cache {
  std::mutex mutex;
  std::multimap<size_t, float*> free;  // size in bytes → memory
  size_t bytes = 0;                    // of all that is free
};
Cache& cache() {
  static Cache* instance = new Cache;
  return *instance;
}
// The lock is held across fork(), so that a child never inherits it locked by a thread that does not exist there.
const int fork_handlers = pthread_atfork([] { cache().mutex.lock(); }, [] { cache().mutex.unlock(); },
                                         [] { cache().mutex.unlock(); });

}  // namespace

Buffer::Buffer(size_t size) {
  if (!size) return;
  size_t requested = size * sizeof(float);
  {
    Cache& c = cache();
    std::lock_guard<std::mutex> lock(c.mutex);
    auto entry = c.free.lower_bound(requested);
    if (entry != c.free.end() && entry->first <= 2 * requested + 65536) {
      bytes_ = entry->first, data_ = entry->second;
      c.bytes -= bytes_, c.free.erase(entry);
      return;
    }
  }
  size_t unit = requested >= HUGE ? HUGE : LINE;
  bytes_ = (requested + unit - 1) / unit * unit;
  data_ = static_cast<float*>(std::aligned_alloc(unit, bytes_));
  if (!data_) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (unit == HUGE) madvise(data_, bytes_, MADV_HUGEPAGE);
#endif
}

Buffer::~Buffer() {
  if (!data_) return;
  Cache& c = cache();
  std::lock_guard<std::mutex> lock(c.mutex);
  if (bytes_ > MAX_CACHED_BYTES) {
    std::free(data_);
    return;
  }
  while (c.bytes + bytes_ > MAX_CACHED_BYTES && !c.free.empty()) {
    auto largest = std::prev(c.free.end());
    c.bytes -= largest->first, std::free(largest->second), c.free.erase(largest);
  }
  c.free.emplace(bytes_, data_), c.bytes += bytes_;
}

void use_large_pages(void* memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
  const uintptr_t from = ((uintptr_t)memory + HUGE - 1) / HUGE * HUGE, to = ((uintptr_t)memory + bytes) / HUGE * HUGE;
  if (bytes >= 2 * HUGE && from < to) madvise((void*)from, to - from, MADV_HUGEPAGE);
#endif
}

Buffer::Buffer(Buffer&& other) noexcept : data_(other.data_), bytes_(other.bytes_) { other.data_ = nullptr; }
Buffer& Buffer::operator=(Buffer&& other) noexcept {
  float* data = data_;
  size_t bytes = bytes_;
  data_ = other.data_, bytes_ = other.bytes_, other.data_ = data, other.bytes_ = bytes;
  return *this;
}

}  // namespace stepscan
