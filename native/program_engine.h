// Programs for callers: decoded, with packed weights, and over a batch. See program.h.
#pragma once
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "buffer.h"
#include "program_run.h"
#include "schedule.h"

namespace stepscan {

struct ProgramFault : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// A program, decoded from whole numbers and checked: whatever the numbers are, running it reads and writes only what it may.
class Program {
 public:
  Program(const int64_t* numbers, size_t count);  // throws ProgramFault, which says what is wrong and where
  Program(const Program&) = delete;
  ProgramData data{};
  bool rows_in_items_back = false;  // whether ITEMS_BACK passes rows from stage to stage, so that a shard is one thread's

 private:
  friend class ProgramReader;
  // what `data` points into; never resized after decoding
  std::vector<long> leaf_width_, weight_size_;
  std::vector<ProgramArray> arrays_;
  std::vector<ProgramMatrix> matrices_;
  std::vector<Stage> stages_[PROGRAMS];
  std::vector<WeightGradient> gradients_;
  std::unique_ptr<bool[]> covered_;
  std::vector<std::vector<WeightPart>> parts_;
  std::vector<std::vector<Product>> products_;
  std::vector<std::vector<Operand>> operands_;
  std::vector<std::vector<Operation>> operations_;
  std::vector<std::vector<int>> outputs_;
};
void check_program(const ProgramData& data);  // throws ProgramFault

// A program's weights, packed for one instruction set; immutable. `weights` need not outlive it.
class ProgramWeights {
 public:
  ProgramWeights(std::shared_ptr<const Program> program, const std::vector<const float*>& weights, Format format, int threads);
  const std::shared_ptr<const Program> program;
  const ProgramKernels& kernels;
  PackedProgram packed{};
  double flops() const { return flops_; }  // of a step of one row, forward

 private:
  std::vector<PackedMatrix> matrices_;
  std::vector<Place> places_;
  std::vector<PackedStage> stages_[PROGRAMS];
  Buffer memory_;
  double flops_ = 0;
};

struct ProgramGradients {
  const float* dy;  // [B, T, `y_stride` of the forward pass]
  std::vector<const float*> d_end;  // of each leaf, or null for zeros
  std::vector<float*> d_start;      // or null
  float* dx;                        // or null
  std::vector<float*> weights;      // of each weight, or null; empty if none is wanted
};

// A scan of a batch; holds what forward keeps for the backward pass.
class ProgramScan {
 public:
  // `lengths` [B], each 0 … steps
  ProgramScan(std::shared_ptr<const ProgramWeights> weights, const int64_t* lengths, long batch, long steps, bool reverse, bool save, int threads);
  ProgramScan(const ProgramScan&) = delete;
  // x [B, T, input]; y [B, T, `y_stride`]; states [B, width] of each leaf, null for zeros, and null for none wanted
  void forward(const float* x, const std::vector<const float*>& start, float* y, long y_stride, const std::vector<float*>& end, int threads);
  // y as forward wrote it; may be called by several threads, which take turns
  void backward(const float* x, const float* y, const ProgramGradients& gradients, int threads);
  const ProgramData& data() const { return weights_->program->data; }
  long output() const { return data().output; }

 private:
  struct Part {
    ScheduledShard scheduled;
    std::vector<Place> places;
    Buffer memory;
    ProgramShard shard;
  };
  std::vector<Buffer> tiles_of(int threads) const;  // the temporaries of each thread, allocated before it begins
  void steps_back(const std::vector<Buffer>& tiles, const std::vector<long>& first, const std::vector<long>& last);
  void items_back(const std::vector<Buffer>& tiles, const std::vector<long>& first, const std::vector<long>& last, bool x);
  int team(int threads) const { return parallel_ ? threads : 1; }
  std::shared_ptr<const ProgramWeights> weights_;
  bool parallel_, split_ = false, save_;
  long batch_, steps_, y_stride_ = 0;
  std::vector<Part> parts_;
  ProgramCall call_{};
  std::mutex mutex_;  // of a backward pass, which writes to the parts
};

// Scans of one batch by several programs, one of two directions each: two at once on two or three threads, a thread each; on more,
// and one alone, each on all of them. The bits do not depend on it.
class ProgramScans {
 public:
  struct Direction {
    std::shared_ptr<const ProgramWeights> weights;
    bool reverse;
  };
  ProgramScans(const std::vector<Direction>& directions, const int64_t* lengths, long batch, long steps, bool save, int threads);
  ProgramScans(const ProgramScans&) = delete;
  // for each direction, states of each leaf; the outputs of all lie side by side in y [B, T, `y_stride`]
  void forward(const float* x, const std::vector<std::vector<const float*>>& start, float* y, long y_stride, const std::vector<std::vector<float*>>& end);
  // for each direction; `dy` is that of all, and so is `dx` (of the first one; null for none)
  void backward(const float* x, const float* y, std::vector<ProgramGradients> gradients, int threads);
  const ProgramScan& operator[](size_t i) const { return *scans_[i]; }
  size_t size() const { return scans_.size(); }

 private:
  template <class Run>
  void run(int threads, Run run) const;  // run(i) for each direction
  std::vector<std::unique_ptr<ProgramScan>> scans_;
  const long batch_, steps_;
  const int threads_;
  bool at_once_ = false;
};

}  // namespace stepscan
