// What every layer must do: see `check_layer`.
#pragma once
#include <algorithm>

#include "../stream.h"
#include "guarded.h"

// A whole scan, single steps, blocks of steps and a batch of streams give the same bits.
static void check_layer(const char* name, const LayerPointer& layer, Format format) {
  const long B = 4, T = 5, I = layer->input, O = layer->output, S = layer->state;
  const int64_t lengths[] = {5, 0, 3, 1};
  Guarded<int64_t> length(B);
  std::copy(lengths, lengths + B, length.get());
  Floats x(B * T * I, 2), y(B * T * O, 1), z(B * T * O, 1), states(B * S), others(B * S);
  for (long b = 0; b < B; b++) layer->set_initial(states.get() + b * S), layer->set_initial(others.get() + b * S);
  layer->scan({length.get(), B, T}, x.get(), states_of(*layer, states.get(), 0), y.get(), O, 1);
  layer->scan({length.get(), B, T}, x.get(), states_of(*layer, others.get(), 0), z.get(), O, 3);
  CHECK(y == z && states == others, "%s, format %d: bits depend on the number of threads", name, format);
  for (long b = 0; b < B; b++)
    for (long n = (b * T + lengths[b]) * O; n < (b + 1) * T * O; n++) CHECK(y.get()[n] == 0, "%s: padding is not zero", name);
  Floats read(O), last(O);
  layer->readout(states.get(), read.get());
  std::memcpy(last.get(), y.get() + 4 * O, O * 4);
  if (!layer->causal) return;
  CHECK(read == last, "%s, format %d: the readout is not the last output", name, format);
  for (int threads : {1, 2}) {
    Stream stream(layer);
    Floats out(T * O);
    stream.push(x.get(), 2, out.get(), threads), stream.push(x.get() + 2 * I, 0, out.get(), threads), stream.push(x.get() + 2 * I, 3, out.get() + 2 * O, threads);
    CHECK(!std::memcmp(out.get(), y.get(), T * O * 4), "%s, format %d: the bits of a stream and a scan differ", name, format);
    CHECK(!std::memcmp(stream.state(), states.get(), stream.bytes()), "%s: the final states of a stream and a scan differ", name);
  }
  std::vector<std::unique_ptr<Stream>> streams;
  std::vector<Stream*> many;
  for (long b = 0; b < B; b++) streams.push_back(std::make_unique<Stream>(layer)), many.push_back(streams.back().get());
  Floats first(B * I, 2), together(B * O), alone(O);
  push_many(many, first.get(), together.get(), 2);
  for (long b = 0; b < B; b++) {
    Stream stream(layer);
    stream.push(first.get() + b * I, 1, alone.get(), 1);
    CHECK(!std::memcmp(alone.get(), together.get() + b * O, O * 4), "%s, format %d: a row's bits depend on the batch", name, format);
    CHECK(!std::memcmp(stream.state(), many[b]->state(), stream.bytes()), "%s: the state's bits depend on the batch", name);
  }
  CHECK(finite(together.get(), B * O), "%s: an output is not finite", name);
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    many[B - 1]->state()[S - 1] = bad;
    CHECK(!many[B - 1]->push(first.get(), 0, alone.get(), 1), "%s: a state of %f counts as finite", name, bad);
    CHECK(!finite(&bad, 1), "%f counts as finite", bad);
  }
  Floats vector(layer->condition(), 1), start(S);
  layer->set_initial(start.get());
  layer->set_condition(vector.get(), states_of(*layer, start.get(), 0));
}
