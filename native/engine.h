// Chooses the instruction set, distributes a batch over threads, and holds what forward saves for backward.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "buffer.h"
#include "kernels.h"
#include "team.h"

namespace stepscan {

// The kernels of the best instruction set of this processor, or of the one that STEPSCAN_ISA names.
const Kernels& kernels();
std::vector<std::string> instruction_sets();  // those of this processor, best first
void use_instruction_set(const std::string& name);

class Linear {
 public:
  Linear(const float* W, const float* bias, long inputs, long outputs, Format format = FLOAT32);
  void run(const float* x, long rows, float* y, int threads) const;
  void run(RowView x, long rows, RowView y, const Group& group) const;  // this thread's panels of the outputs
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
void attend_back(const AttendBackwardArgs& args, long batch, int threads);
void dropout(const float* x, long size, uint64_t seed, double p, float* y, int threads);

double peak_flops(int threads);       // floating-point operations per second
double barrier_seconds(int threads);  // of one barrier
long team_size(int threads);          // the actual number of threads of a team

}  // namespace stepscan
