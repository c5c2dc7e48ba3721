// Programs on every instruction set: random ones that were changed at random must be refused or run, within their memory.
// Run as is and under the sanitizers (`make sanitize`). Values are tested from Python, against PyTorch.
#include <random>

#include "../program_layer.h"
#include "layer_checks.h"
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

// A layer whose initial state and readout are made up; null if no leaf is as wide as the output.
static LayerPointer layer_of(const std::shared_ptr<const ProgramWeights>& weights, int readout) {
  const ProgramData& data = weights->program->data;
  long state = 0;
  std::vector<long> slice;
  for (int k = 0; k < data.leaves; k++) slice.push_back(k ? state : -1), state += data.leaf_width[k];
  if (data.leaf_width[readout] != data.output) return nullptr;
  std::vector<float> initial((size_t)state, 0.5f);
  return make_program_layer(weights, {initial, initial, slice, readout});
}

// Steps of one row and of several, evenly spaced and not.
static void step_through_layer(const std::shared_ptr<const ProgramWeights>& weights, const float* x, float* y, int threads) {
  for (int k = 0; k < weights->program->data.leaves; k++) {
    LayerPointer layer = layer_of(weights, k);
    if (!layer) continue;
    Stream first(layer), second(layer), third(layer);
    first.push(x, 3, y, threads);
    push_many({&third, &second, &first}, x, y, threads);
    Memory memory;
    Input rows{{nullptr, const_cast<float*>(x), layer->input, 0}, false};
    std::vector<float*> places = {y + 2 * layer->output, y, y + layer->output}, inputs = {rows.rows.at(1), rows.rows.at(0), rows.rows.at(2)};
    float *states = memory(3 * layer->state), *scratch = memory((long)layer->step_floats(3));
    Barrier barrier;
    on_team(threads, [&](int thread, int team) {
      layer->step(3, {{inputs.data(), nullptr, 0, 0}, false}, states_of(*layer, states, 0), {places.data(), nullptr, 0, 0}, scratch, {&barrier, thread, team});
    });
    return;
  }
}

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
  step_through_layer(packed, x, y, threads);
  if (!data.trains || format != FLOAT32) return;
  ProgramScan scan(packed, lengths.data(), B, T, reverse, true, threads);
  scan.forward(x, start, y, data.output, end, threads);
  scan.backward(x, y, {dy, d_end, d_start, dx, gradients}, threads);
}

// Forward and back in two directions at once: the outputs on each number of threads
static void both_directions(const std::shared_ptr<const Program>& program) {
  const ProgramData& data = program->data;
  const std::vector<int64_t> lengths = {9, 0, 30, 1, 4};
  const long B = (long)lengths.size(), T = 30, width = 2 * data.output;
  Floats x(B * T * data.input, 1), dy(B * T * width, 1), one(B * T * width), dx_of_one(B * T * data.input);
  Memory weight_memory;
  std::vector<const float*> weights;
  for (int w = 0; w < data.weights; w++) weights.push_back(weight_memory(data.weight_size[w]));
  auto packed = std::make_shared<const ProgramWeights>(program, weights, FLOAT32, 1);
  for (int threads : {1, 2, 3}) {
    Memory memory;
    Floats y(B * T * width), dx(B * T * data.input);
    std::vector<std::vector<const float*>> start(2), d_end(2);
    std::vector<std::vector<float*>> end(2), d_start(2), gradients(2);
    for (int way = 0; way < 2; way++) {
      for (int w = 0; w < data.weights; w++) gradients[way].push_back(memory(data.weight_size[w]));
      for (int k = 0; k < data.leaves; k++) {
        start[way].push_back(nullptr), d_end[way].push_back(nullptr);
        end[way].push_back(memory(B * data.leaf_width[k])), d_start[way].push_back(memory(B * data.leaf_width[k]));
      }
    }
    ProgramScans scans({{packed, false}, {packed, true}}, lengths.data(), B, T, true, threads);
    scans.forward(x.get(), start, y.get(), width, end);
    scans.backward(x.get(), y.get(), {{dy.get(), d_end[0], d_start[0], dx.get(), gradients[0]}, {dy.get(), d_end[1], d_start[1], nullptr, gradients[1]}}, threads);
    if (threads == 1) std::memcpy(one.get(), y.get(), (size_t)(B * T * width) * 4), std::memcpy(dx_of_one.get(), dx.get(), (size_t)(B * T * data.input) * 4);
    CHECK(one == y, "the bits of two directions depend on the number of threads");
    for (long i = 0; i < B * T * data.input; i++) CHECK(std::fabs(dx.get()[i] - dx_of_one.get()[i]) <= 1e-4 * (1 + std::fabs(dx_of_one.get()[i])), "gradients of x differ");
  }
}

static bool small(const ProgramData& data) {  // enough to run it thousands of times
  long numbers = data.input + data.output;
  for (int k = 0; k < data.leaves; k++) numbers += data.leaf_width[k];
  for (int w = 0; w < data.weights; w++) numbers += data.weight_size[w];
  for (int i = 0; i < data.arrays; i++) numbers += data.array[i].width * data.array[i].slots;
  return numbers < 50000;
}

// The leaf that holds the last output
static int readout_of(const std::shared_ptr<const ProgramWeights>& weights) {
  const ProgramData& data = weights->program->data;
  Floats x(3 * data.input, 1), y(3 * data.output), read(data.output);
  for (int k = 0; k < data.leaves; k++)
    if (LayerPointer layer = layer_of(weights, k)) {
      Stream stream(layer);
      stream.push(x.get(), 3, y.get(), 1), layer->readout(stream.state(), read.get());
      if (!std::memcmp(read.get(), y.get() + 2 * data.output, (size_t)data.output * 4)) return k;
    }
  CHECK(false, "no leaf holds the output");
  return 0;
}

// Steps of rows by a team that stays together have the bits of one thread: layers of a stack share their scratch memory.
static void check_team(const LayerPointer& layer) {
  const long n = 3, T = 40;
  Floats x(T * n * layer->input, 2), one(T * n * layer->output), two(T * n * layer->output), scratch((size_t)layer->step_floats(n));
  for (int threads : {1, 2}) {
    Floats states(n * layer->state);
    Floats& y = threads == 1 ? one : two;
    Barrier barrier;
    on_team(threads, [&](int thread, int team) {
      Group group{&barrier, thread, team};
      for (long t = 0; t < T; t++) {
        layer->step(n, {RowView::strided(x.get() + t * n * layer->input, layer->input), false}, states_of(*layer, states.get(), 0),
                    RowView::strided(y.get() + t * n * layer->output, layer->output), scratch.get(), group);
        group.wait();
      }
    });
  }
  CHECK(one == two, "the bits of a step depend on the number of threads");
}

// A step of tables has the bits of one of the items that they were made of.
static void check_table(const LayerPointer& layer) {
  const long n = 3, size = layer->table_floats();
  if (!size) return;
  Floats x(n * layer->input, 2), tables(n * size), y(n * layer->output), z(n * layer->output), scratch((size_t)layer->step_floats(n));
  Floats states(n * layer->state), others(n * layer->state);
  for (long r = 0; r < n; r++) layer->tabulate(x.get() + r * layer->input, tables.get() + r * size);
  Barrier barrier;
  for (long rows : {n, 1L}) {
    layer->step(rows, {RowView::strided(x.get(), layer->input), false}, states_of(*layer, states.get(), 0), RowView::strided(y.get(), layer->output), scratch.get(), {&barrier, 0, 1});
    layer->step(rows, {RowView::strided(tables.get(), size), true}, states_of(*layer, others.get(), 0), RowView::strided(z.get(), layer->output), scratch.get(), {&barrier, 0, 1});
    CHECK(y == z && states == others, "a step of a table has other bits");
  }
}

static void check_layers(const std::shared_ptr<const Program>& program, Format format) {
  Memory memory;
  std::vector<const float*> weights;
  for (int w = 0; w < program->data.weights; w++) weights.push_back(memory(program->data.weight_size[w]));
  auto packed = std::make_shared<const ProgramWeights>(program, weights, format, 1);
  LayerPointer layer = layer_of(packed, readout_of(packed));
  const long I = layer->input, H = layer->output;
  auto map = [&](long from, long to) { return make_linear(std::make_shared<Linear>(memory(from * to), memory(to), from, to, format), false); };
  check_layer("program", layer, format);
  check_table(layer), check_table(make_stack({layer, map(H, I)}));
  check_layer("stack of programs", make_stack({layer, map(H, I), layer, make_identity(H, false)}), format);
  check_team(make_stack({layer, map(H, I), layer, map(H, I), layer}));
  check_layer("residual program", make_residual(make_stack({layer, map(H, I)})), format);
  check_layer("zoneout of a program", make_zoneout(layer, 0.3), format);
  check_layer("bidirectional programs", make_bidirectional(layer, layer), format);
  check_layer("bidirectional program and stack", make_bidirectional(layer, make_stack({layer})), format);
}

static void unchanged() {
  for (const auto& numbers : PROGRAMS_OF_CELLS) {
    auto program = std::make_shared<const Program>(numbers.data(), numbers.size());
    for (int threads : {1, 2})
      for (Format format : {FLOAT32, BFLOAT16, INT8}) run(program, format, threads, threads == 2);
    for (Format format : {FLOAT32, BFLOAT16, INT8}) check_layers(program, format);
    if (program->data.trains) both_directions(program);
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
