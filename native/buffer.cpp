#include "buffer.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace stepscan {
namespace {

constexpr size_t LINE = 64, HUGE = size_t(2) << 20, MOST_KEPT = size_t(256) << 20;

struct Store {
  std::mutex mutex;
  std::multimap<size_t, float*> free;  // by bytes
  size_t kept = 0;
};
Store& store() {
  static Store* one = new Store;
  return *one;
}
// A child must not inherit the lock in a state that only a thread of its parent could end.
const int keep_unlocked = pthread_atfork([] { store().mutex.lock(); }, [] { store().mutex.unlock(); },
                                         [] { store().mutex.unlock(); });

}  // namespace

Buffer::Buffer(size_t size) {
  if (!size) return;
  size_t wanted = size * sizeof(float);
  {
    Store& s = store();
    std::lock_guard<std::mutex> lock(s.mutex);
    auto found = s.free.lower_bound(wanted);
    if (found != s.free.end() && found->first <= 2 * wanted + 65536) {
      bytes_ = found->first, data_ = found->second;
      s.kept -= bytes_, s.free.erase(found);
      return;
    }
  }
  size_t unit = wanted >= HUGE ? HUGE : LINE;
  bytes_ = (wanted + unit - 1) / unit * unit;
  data_ = static_cast<float*>(std::aligned_alloc(unit, bytes_));
  if (!data_) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (unit == HUGE) madvise(data_, bytes_, MADV_HUGEPAGE);
#endif
}

Buffer::~Buffer() {
  if (!data_) return;
  Store& s = store();
  std::lock_guard<std::mutex> lock(s.mutex);
  if (bytes_ > MOST_KEPT) {
    std::free(data_);
    return;
  }
  while (s.kept + bytes_ > MOST_KEPT && !s.free.empty()) {
    auto largest = std::prev(s.free.end());
    s.kept -= largest->first, std::free(largest->second), s.free.erase(largest);
  }
  s.free.emplace(bytes_, data_), s.kept += bytes_;
}

Buffer::Buffer(Buffer&& other) noexcept : data_(other.data_), bytes_(other.bytes_) { other.data_ = nullptr; }
Buffer& Buffer::operator=(Buffer&& other) noexcept {
  float* data = data_;
  size_t bytes = bytes_;
  data_ = other.data_, bytes_ = other.bytes_, other.data_ = data, other.bytes_ = bytes;
  return *this;
}

}  // namespace stepscan
