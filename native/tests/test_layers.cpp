// Layers in inference, in every format and instruction set: steps and scans, single rows and batches, one and several threads.
#include <algorithm>
#include <cmath>

#include "../generation.h"
#include "../program_layer.h"
#include "layer_checks.h"
#include "programs.h"

typedef std::unique_ptr<Floats> Array;

static LayerPointer cell_of(const std::vector<int64_t>& numbers, Format format) {
  auto program = std::make_shared<const Program>(numbers.data(), numbers.size());
  const ProgramData& data = program->data;
  std::vector<Array> arrays;
  std::vector<const float*> weights;
  for (int w = 0; w < data.weights; w++) arrays.push_back(std::make_unique<Floats>(data.weight_size[w], 1)), weights.push_back(arrays.back()->get());
  std::vector<long> slice;
  long state = 0;
  for (int k = 0; k < data.leaves; k++) slice.push_back(state), state += data.leaf_width[k];
  const std::vector<float> zeros((size_t)state, 0.f);
  return make_program_layer(std::make_shared<const ProgramWeights>(program, weights, format, 1), {zeros, zeros, slice, 0});
}
static std::shared_ptr<const Linear> linear_of(long I, long O, Format format) {
  Floats W(O * I, 1), bias(O, 1);
  return std::make_shared<Linear>(W.get(), bias.get(), I, O, format);
}

static void layers(Format format) {
  for (const auto& cell : SMALL) check_layer("cell", cell_of(cell, format), format);
  for (size_t k = 0; k < NARROW.size(); k++) {
    LayerPointer narrow = cell_of(NARROW[k], format), wide = cell_of(WIDE[k], format);
    Floats gain(20, 1), bias(20, 1);
    check_layer("stack", make_stack({narrow, wide, make_layer_norm(20, gain.get(), bias.get(), false), make_linear(linear_of(20, 3, format), false)}), format);
    check_layer("residual", make_residual(make_stack({narrow, make_identity(9, false)})), format);
    check_layer("zoneout", make_zoneout(wide, 0.3), format);
    check_layer("bidirectional", make_bidirectional(narrow, wide), format);
    check_layer("bidirectional of others", make_bidirectional(make_residual(narrow), make_stack({wide})), format);
    check_layer("pointwise", make_stack({make_linear(linear_of(9, 20, format), true), make_identity(20, false)}), format);
  }
}

// One and two threads generate the same text; excluded symbols do not occur; generation resumes from a saved state.
static void generation(Format format) {
  const long V = 37, E = 20, H = 65, length = 50;
  LayerPointer layer = make_stack({cell_of(OF_GENERATORS[0], format), cell_of(OF_GENERATORS[1], format)});
  Floats table(V * E, 2);
  for (bool tied : {false, true}) {
    auto projection = tied ? linear_of(H, E, format) : nullptr;
    TokenGenerator generator(table.get(), V, layer, projection, linear_of(tied ? E : H, V, format));
    Guarded<uint8_t> excluded(V);
    excluded.get()[3] = 1;
    Guarded<double> draws(length, 1);
    for (long i = 0; i < length; i++) draws.get()[i] += 0.5;
    for (SamplingOptions options : {SamplingOptions{1, 0, 1, 0}, SamplingOptions{0, 0, 1, 0}, SamplingOptions{0.7, 5, 0.9, 0.01}, SamplingOptions{2, 0, 0.5, 0}}) {
      Guarded<int64_t> one(length), two(length), rest(length);
      Floats state(layer->state), y(H), other(layer->state), z(H);
      long count = generator.generate(state.get(), 0, y.get(), length, options, excluded.get(), draws.get(), one.get(), 1);
      CHECK(count == length, "%ld symbols", count);
      CHECK(generator.generate(other.get(), 0, z.get(), 20, options, excluded.get(), draws.get(), two.get(), 2) == 20, "the first 20");
      CHECK(generator.generate(other.get(), 0, z.get(), length - 20, options, excluded.get(), draws.get() + 20, two.get() + 20, 2) == length - 20, "the rest");
      CHECK(one == two && state == other && y == z, "two threads, in two calls, generate something else");
      CHECK(std::find(one.get(), one.get() + length, 3) == one.get() + length, "an excluded symbol was generated");
    }
    std::fill(excluded.get(), excluded.get() + V, 1);
    Floats state(layer->state), y(H);
    int64_t to;
    CHECK(generator.generate(state.get(), 0, y.get(), 1, {1, 0, 1, 0}, excluded.get(), draws.get(), &to, 1) == 0, "all symbols are excluded");
  }
}

// Several texts together get the symbols that each gets alone, on one and two threads; one without a symbol harms no other.
static void generation_together(Format format) {
  const long V = 37, E = 20, H = 65, length = 30, texts = 4;
  LayerPointer layer = make_stack({cell_of(OF_GENERATORS[0], format), cell_of(OF_GENERATORS[1], format)});
  Floats table(V * E, 2);
  TokenGenerator generator(table.get(), V, layer, linear_of(H, E, format), linear_of(E, V, format));
  const SamplingOptions options[] = {{1, 0, 1, 0}, {0, 0, 1, 0}, {0.7, 5, 0.9, 0.01}, {2, 0, 0.5, 0}};
  Guarded<uint8_t> none(V), all(V);
  std::fill(all.get(), all.get() + V, 1), none.get()[3] = 1;
  Guarded<double> draws(length * texts, 1);
  for (long i = 0; i < length * texts; i++) draws.get()[i] += 0.5;
  for (int threads : {1, 2}) {
    std::vector<std::unique_ptr<Stream>> streams;
    for (long r = 0; r <= texts; r++) streams.push_back(std::make_unique<Stream>(layer));
    Floats y((texts + 1) * H);
    std::vector<std::vector<int64_t>> written(texts);
    for (long i = 0; i < length; i++) {
      std::vector<NextSymbol> next;
      for (long r = 0; r < texts; r++) next.push_back({streams[r].get(), options[r], none.get(), draws.get()[r * length + i], r == 1});
      next.push_back({streams[texts].get(), options[0], all.get(), 0.5, true});
      generator.generate_each(next, y.get(), threads);
      CHECK(next[texts].symbol == -1, "all symbols are excluded");
      CHECK(next[0].probability == 0 && next[1].probability > 0 && next[1].probability <= 1, "the probability that is wanted");
      for (long r = 0; r < texts; r++) written[r].push_back(next[r].symbol);
    }
    for (long r = 0; r < texts; r++) {
      Floats state(layer->state), z(H);
      Guarded<int64_t> alone(length);
      generator.generate(state.get(), 0, z.get(), length, options[r], none.get(), draws.get() + r * length, alone.get(), 1);
      CHECK(std::equal(written[r].begin(), written[r].end(), alone.get()), "text %ld is another one alone", r);
      CHECK(!std::memcmp(streams[r]->state(), state.get(), streams[r]->bytes()) && !std::memcmp(y.get() + r * H, z.get(), H * 4), "its state, too");
    }
  }
}

int main() {
  for (const std::string& isa : instruction_sets()) {
    use_instruction_set(isa);
    for (Format format : {FLOAT32, BFLOAT16, INT8}) layers(format), generation(format), generation_together(format);
    std::printf("%s: %d failures\n", isa.c_str(), failures);
  }
  return failures != 0;
}
