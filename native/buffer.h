// Aligned scratch memory, cached for reuse: faulting in fresh pages costs more than a step.
#pragma once
#include <cstddef>

namespace stepscan {

// `size` floats, uninitialised, aligned to a cache line. The destructor returns the memory to a process-wide cache; it may
// run on any thread.
class Buffer {
 public:
  explicit Buffer(size_t size = 0);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  float* data() const { return data_; }
  size_t floats() const { return bytes_ / sizeof(float); }  // at least the size requested

 private:
  float* data_ = nullptr;
  size_t bytes_ = 0;
};

// Asks for large pages where memory of several megabytes, which is about to be written, has none yet: each first touch of a small
// one costs more than the writing.
void use_large_pages(void* memory, size_t bytes);

// A bump allocator over one buffer; each allocation starts on a cache line. The layout code runs twice: with `base` null to
// compute the total size (`used`), then with the memory itself.
struct ArenaLayout {
  float* base;
  size_t used = 0;
  float* allocate(long floats) {
    float* start = base ? base + used : nullptr;
    used += ((size_t)floats + 15) / 16 * 16 + 16;  // one cache line of padding, so that rows do not all map to one cache set
    return start;
  }
};

}  // namespace stepscan
