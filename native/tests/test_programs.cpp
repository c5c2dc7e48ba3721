// Programs on every instruction set: random ones that were changed at random must be refused or run, within their memory.
// Run as is and under the sanitizers (`make sanitize`). Values are tested from Python, against PyTorch.
#include <random>

#include "../program_engine.h"
#include "guarded.h"
#include "programs.h"

static std::mt19937_64 random_numbers(11);
static long below(long n) { return (long)(random_numbers() % (unsigned long)n); }

// Memory of every size that the program says, each next to a protected page.
struct Memory {
  std::vector<std::unique_ptr<Floats>> all;
  float* operator()(long count, float scale = 1) {
    all.push_back(std::make_unique<Floats>((size_t)count, scale));
    return all.back()->get();
  }
};

static void run(const std::shared_ptr<const Program>& program, Format format, int threads, bool reverse) {
  const ProgramData& data = program->data;
  const std::vector<int64_t> lengths = {3, 0, 5, 1, 4};
  const long B = (long)lengths.size(), T = 5;
  Memory memory;
  std::vector<const float*> weights, start, d_end;
  std::vector<float*> end, d_start, gradients;
  for (int w = 0; w < data.weights; w++) weights.push_back(memory(data.weight_size[w])), gradients.push_back(memory(data.weight_size[w]));
  for (int k = 0; k < data.leaves; k++) {
    const long size = B * data.leaf_width[k];
    start.push_back(memory(size)), d_end.push_back(memory(size)), end.push_back(memory(size)), d_start.push_back(memory(size));
  }
  float *x = memory(B * T * data.input), *y = memory(B * T * data.output), *dx = memory(B * T * data.input);
  const float* dy = memory(B * T * data.output);
  auto packed = std::make_shared<const ProgramWeights>(program, weights, format, threads);
  ProgramScan inference(packed, lengths.data(), B, T, reverse, false, threads);
  inference.forward(x, start, y, data.output, end, threads);
  step_rows(packed, x, start, B, y, end, threads);
  if (!data.trains || format != FLOAT32) return;
  ProgramScan scan(packed, lengths.data(), B, T, reverse, true, threads);
  scan.forward(x, start, y, data.output, end, threads);
  scan.backward(x, y, {dy, d_end, d_start, dx, gradients}, threads);
}

static bool small(const ProgramData& data) {  // enough to run it thousands of times
  long numbers = data.input + data.output;
  for (int k = 0; k < data.leaves; k++) numbers += data.leaf_width[k];
  for (int w = 0; w < data.weights; w++) numbers += data.weight_size[w];
  for (int i = 0; i < data.arrays; i++) numbers += data.array[i].width * data.array[i].slots;
  return numbers < 50000;
}

static void unchanged() {
  for (const auto& numbers : PROGRAMS_OF_CELLS) {
    auto program = std::make_shared<const Program>(numbers.data(), numbers.size());
    for (int threads : {1, 2})
      for (Format format : {FLOAT32, BFLOAT16, INT8}) run(program, format, threads, threads == 2);
  }
}

static void changed(long count) {
  long accepted = 0;
  for (long i = 0; i < count; i++) {
    std::vector<int64_t> numbers = PROGRAMS_OF_CELLS[below((long)PROGRAMS_OF_CELLS.size())];
    for (long changes = 1 + below(3); changes; changes--) {
      int64_t& number = numbers[below((long)numbers.size())];
      const long kind = below(8);
      if (kind < 3) number += below(5) - 2;
      else if (kind < 6) number = numbers[below((long)numbers.size())];
      else if (kind < 7) number = (int64_t)(random_numbers() >> below(64)) * (below(2) ? 1 : -1);
      else numbers.resize(1 + below((long)numbers.size()));
    }
    try {
      auto program = std::make_shared<const Program>(numbers.data(), numbers.size());
      accepted++;
      if (small(program->data)) run(program, FLOAT32, 1 + (int)below(2), below(2));
    } catch (const ProgramFault&) {
    }
  }
  std::printf("%ld of %ld changed programs were accepted\n", accepted, count);
}

int main(int argc, char** argv) {
  const long count = argc > 1 ? std::atol(argv[1]) : 3000;
  for (const std::string& name : instruction_sets()) {
    use_instruction_set(name);
    unchanged();
    changed(count);
  }
  std::printf(failures ? "%d failures\n" : "programs: all passed\n", failures);
  return failures != 0;
}
