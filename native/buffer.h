// Aligned memory for kernels, kept for the next caller: a fresh page costs more than a step.
#pragma once
#include <cstddef>

namespace stepscan {

// `size` floats, uninitialised, on a cache line. Given back to a common store when it ends; any thread may do so.
class Buffer {
 public:
  explicit Buffer(size_t size = 0);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  float* data() const { return data_; }
  size_t floats() const { return bytes_ / sizeof(float); }  // at least as many as were asked for

 private:
  float* data_ = nullptr;
  size_t bytes_ = 0;
};

// Cuts one buffer into pieces that each start on a cache line. Run once on null to learn the size, once for real.
struct Carver {
  float* base;
  size_t used = 0;
  float* take(long floats) {
    float* piece = base ? base + used : nullptr;
    used += ((size_t)floats + 15) / 16 * 16 + 16;  // and a line apart, so that rows don't all fall into one cache set
    return piece;
  }
};

}  // namespace stepscan
