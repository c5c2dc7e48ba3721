// Which instruction set runs, how a batch is dealt out to threads, and what lives between forward and backward.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "buffer.h"
#include "kernels.h"
#include "team.h"

namespace stepscan {

// The kernels of the best instruction set that this processor has, or of the one that STEPSCAN_ISA names.
const Kernels& kernels();
std::vector<std::string> instruction_sets();  // those that this processor can run, best first
void use_instruction_set(const std::string& name);

// One cell's weights, packed for one instruction set. Never changes.
class Weights {
 public:
  Weights(const std::string& cell, long input, long hidden, const Parameters& given, bool backward, Format format = FLOAT32, int threads = 1);
  void step(const Rows& rows, int threads) const;
  const CellKernels& cell;
  Packed packed{};

 private:
  Buffer buffer_;
};

struct Direction {
  const Weights* weights;
  bool reverse;  // reads a row from its last item to its first
  Scan scan;
  ScanBack back;
};

// The order of a batch, and what a forward pass keeps for the backward pass.
class Saved {
 public:
  // `lengths` [B], each 0 … steps
  Saved(const std::vector<Direction>& directions, const int64_t* lengths, long batch, long steps, int threads);
  void forward(const std::vector<Direction>& directions, int threads, bool save);
  void backward(const std::vector<Direction>& directions, int threads) const;

 private:
  struct Share {
    int direction;
    Part part;
    std::vector<int64_t> numbers;  // row, length, active, offset, item
    Buffer kept;
  };
  bool worth_a_team_, split_ = false;  // whether threads share the hidden units of a part
  std::vector<Share> shares_;  // those of a direction one after the other
};

class Linear {
 public:
  Linear(const float* W, const float* bias, long inputs, long outputs, Format format = FLOAT32);
  void run(const float* x, long rows, float* y, int threads) const;
  void run(Places x, long rows, Places y, const Group& group) const;  // this thread's share of the outputs
  const long inputs, outputs;

 private:
  const Kernels& kernels_;
  Buffer packed_;
  Matrix matrix_{};
};

void layer_norm(const float* x, long rows, long size, const float* gain, const float* bias, float* y, int threads);
void tanh(const float* x, long size, float* y, int threads);

void softmax(const float* x, long rows, long size, float* y, int threads);
void attend(const float* query, const float* keys, const float* memory, const int64_t* length, const float* score, long batch,
            long queries, long items, long width, long memory_width, float* context, float* weights, int threads);
void attend_back(const AttendBack& given, long batch, int threads);
bool cross_entropy(float* scores, const int64_t* target, long rows, long size, float smoothing, float* rest, float* sum,
                   int threads);  // false, and nothing is done, where a target is none of 0 … size − 1
void dropout(const float* x, long size, uint64_t seed, double p, float* y, int threads);

double peak_flops(int threads);           // floating-point operations a second
double barrier_seconds(int threads);      // one wait of all for all
long team_size(int threads);              // how many threads are granted

}  // namespace stepscan
