// The transformer block and its twin that sees all items, in every format and instruction set: the same bits for steps, scans and
// scans cut anywhere, alone and in a batch, on one and several threads; and streams whose caches grow and are copied.
#include <algorithm>
#include <array>
#include <cmath>

#include "../generation.h"
#include "../stream.h"
#include "../transformer.h"
#include "guarded.h"

typedef std::unique_ptr<Floats> Array;

static std::shared_ptr<const Linear> linear_of(long I, long O, Format format) {
  Floats W(O * I, 1), bias(O, 1);
  return std::make_shared<Linear>(W.get(), bias.get(), I, O, format);
}
static LayerPointer block_of(long I, long H, long heads, long context, Format format) {
  BlockMaps maps{I == H ? nullptr : linear_of(I, H, format), linear_of(H, 3 * H, format), linear_of(H, H, format), linear_of(H, 4 * H, format),
                 linear_of(4 * H, H, format)};
  Floats gain(H, 2), bias(H, 1);
  NormWeights norm{gain.get(), bias.get()};
  return context ? make_transformer(maps, norm, norm, heads, context) : make_bidirectional_transformer(maps, norm, norm, heads);
}
static bool equal(const float* a, const float* b, long count) { return !std::memcmp(a, b, (size_t)count * sizeof(float)); }

// A batch of T steps, in pieces that end at `cuts`, row by row and at once.
static void check_batch(const char* name, const LayerPointer& layer, long T, const std::vector<long>& cuts) {
  const long B = 4, I = layer->input, O = layer->output, room = std::min(T, layer->context), S = state_floats(*layer, room);
  const int64_t lengths[] = {T, 0, T * 2 / 3, 1};
  Guarded<int64_t> length(B);
  std::copy(lengths, lengths + B, length.get());
  Floats x(B * T * I, 2), y(B * T * O, 1), z(B * T * O, 1), states(B * S), others(B * S), pieces(B * S);
  layer->scan({length.get(), B, T}, x.get(), states_of(*layer, states.get(), room), y.get(), O, 1);
  layer->scan({length.get(), B, T}, x.get(), states_of(*layer, others.get(), room), z.get(), O, 3);
  CHECK(y == z && states == others, "%s: bits depend on the number of threads", name);
  CHECK(finite(y.get(), B * T * O), "%s: an output is not finite", name);
  for (long b = 0; b < B; b++) {
    for (long n = (b * T + lengths[b]) * O; n < (b + 1) * T * O; n++) CHECK(y.get()[n] == 0, "%s: padding is not zero", name);
    Floats alone(T * O, 1), state(S), read(O);
    const int64_t one = lengths[b];
    layer->scan({&one, 1, one}, x.get() + b * T * I, states_of(*layer, state.get(), room), alone.get(), O, 1);
    CHECK(equal(alone.get(), y.get() + b * T * O, one * O) && equal(state.get(), states.get() + b * S, S), "%s: a row's bits depend on the batch", name);
    layer->readout(state.get(), read.get());
    CHECK(!one || !layer->causal || equal(read.get(), alone.get() + (one - 1) * O, O), "%s: the readout is not the last output", name);
  }
  if (!layer->causal) return;
  for (size_t i = 0; i + 1 < cuts.size(); i++) {
    const long from = cuts[i], steps = cuts[i + 1] - from;
    Guarded<int64_t> rest(B);
    Floats in(B * steps * I), out(B * steps * O, 1);
    for (long b = 0; b < B; b++) {
      rest.get()[b] = std::max(0l, std::min<long>(steps, lengths[b] - from));
      std::copy(x.get() + (b * T + from) * I, x.get() + (b * T + from + rest.get()[b]) * I, in.get() + b * steps * I);
    }
    layer->scan({rest.get(), B, steps}, in.get(), states_of(*layer, pieces.get(), room), out.get(), O, 1);
    for (long b = 0; b < B; b++)
      CHECK(equal(out.get() + b * steps * O, y.get() + (b * T + from) * O, rest.get()[b] * O), "%s: the bits of a piece differ", name);
  }
  CHECK(pieces == states, "%s: the final states of pieces and a scan differ", name);
  for (int threads : {1, 2}) {
    Floats out(T * O), state(S);
    Stream stream(layer);
    for (long t = 0; t < T; t++) CHECK(stream.push(x.get() + t * I, 1, out.get() + t * O, threads), "%s: not finite", name);
    stream.read(state.get(), room);
    CHECK(equal(out.get(), y.get(), T * O), "%s: the bits of steps and a scan differ", name);
    CHECK(equal(state.get(), states.get(), S), "%s: the final states of steps and a scan differ", name);
  }
}

// Streams of different lengths are stepped together as alone; copies go on as their originals, whatever either reads between.
static void check_streams(const char* name, const LayerPointer& layer) {
  const long I = layer->input, O = layer->output, T = 90;
  Floats x(T * I, 2), y(T * O), together(3 * O), items(3 * I, 2), alone(O);
  const int64_t length = T;
  const long room = std::min(T, layer->context);
  Floats whole(state_floats(*layer, room));
  layer->scan({&length, 1, T}, x.get(), states_of(*layer, whole.get(), room), y.get(), O, 1);
  Stream first(layer), second(layer), third(layer);
  Stream *now = &first, *spare = &second;
  for (long t = 0, n = 1; t < T; t += n, n = n % 7 + 1) {  // as a session: the next state is made in the spare stream
    Floats out(7 * O);
    n = std::min(n, T - t);
    spare->copy(*now);
    spare->push(items.get(), 2, out.get(), 1);  // given up: its state is thrown away
    spare->copy(*now);
    CHECK(spare->push(x.get() + t * I, n, out.get(), 1), "%s: not finite", name);
    CHECK(equal(out.get(), y.get() + t * O, n * O), "%s: the bits of a copied stream differ at %ld", name, t);
    std::swap(now, spare);
    if (t % 5 == 0) third.copy(*now);
  }
  Floats state(state_floats(*layer, now->items()));
  now->read(state.get(), now->items());
  CHECK(now->items() == room && equal(state.get(), whole.get(), state_floats(*layer, room)), "%s: the final state of copies differs", name);
  third.write(whole.get(), room), second.write(Floats(state_floats(*layer, 0)).get(), 0);
  Stream fourth(layer);
  std::vector<Stream*> many{&third, &second, &fourth};
  fourth.push(x.get(), 20, y.get(), 1);
  Stream copies[3] = {Stream(layer), Stream(layer), Stream(layer)};
  for (int i = 0; i < 3; i++) copies[i].copy(*many[i]);
  CHECK(push_many(many, items.get(), together.get(), 2) == -1, "%s: not finite", name);
  for (int i = 0; i < 3; i++) {
    copies[i].push(items.get() + i * I, 1, alone.get(), 1);
    CHECK(equal(alone.get(), together.get() + i * O, O), "%s: a row's bits depend on the batch", name);
  }
  float* count = fourth.state() + layer->output;
  for (float bad : {NAN, -1.f, 0.5f, 0x1p24f}) {
    *count = bad;
    CHECK(items_to_hold(*layer, fourth.state(), 0) == -1, "%s: %f counts as a number of items", name, bad);
  }
  Floats vector(I, 1), start(state_floats(*layer, 1)), step(O), read(O);
  layer->set_condition(vector.get(), states_of(*layer, start.get(), 1));
  Stream fresh(layer);
  fresh.push(vector.get(), 1, step.get(), 1), layer->readout(start.get(), read.get());
  CHECK(equal(step.get(), read.get(), O), "%s: a condition is not a first item", name);
  Floats bad(I);
  std::fill(bad.get(), bad.get() + I, INFINITY);
  CHECK(!fresh.push(bad.get(), 1, step.get(), 1), "%s: an infinity counts as finite", name);
}

// NaN in items that a query does not see changes nothing.
static void check_nan(Format format) {
  const long I = 40, T = 80, seen = 5;
  LayerPointer layer = block_of(I, I, 2, seen, format);
  const int64_t length = T;
  Floats x(T * I, 2), y(T * I), z(T * I), first(state_floats(*layer, seen)), second(state_floats(*layer, seen));
  layer->scan({&length, 1, T}, x.get(), states_of(*layer, first.get(), seen), y.get(), I, 1);
  x.get()[20 * I] = NAN;
  layer->scan({&length, 1, T}, x.get(), states_of(*layer, second.get(), seen), z.get(), I, 1);
  for (long t = 0; t < T; t++) {
    const bool sees = t >= 20 && t < 20 + seen;
    CHECK(sees || equal(y.get() + t * I, z.get() + t * I, I), "NaN at 20 changes item %ld", t);
    CHECK(!sees || !finite(z.get() + t * I, I), "NaN at 20 is lost at %ld", t);
  }
}

// gelu and softmax's exponentials against double precision.
static void check_gelu() {
  double worst = 0;
  Floats x(4001);
  for (long i = 0; i < 4001; i++) x.get()[i] = (float)(i - 2000) / 250;
  Floats y(4001);
  std::copy(x.get(), x.get() + 4001, y.get());
  kernels().gelu(y.get(), 4001);
  for (long i = 0; i < 4001; i++) {
    double exact = 0.5 * x.get()[i] * std::erfc(-x.get()[i] / std::sqrt(2.0));
    if (x.get()[i] >= -5) worst = std::max(worst, std::abs(y.get()[i] - exact) / std::max(1e-30, std::abs(exact)));
    CHECK(std::abs(y.get()[i] - exact) < 5e-7, "gelu(%f) = %g, not %g", x.get()[i], y.get()[i], exact);
  }
  CHECK(worst < 1.5e-6, "gelu's relative error is %g", worst);
  CHECK(y.get()[2000] == 0, "gelu(0) = %g", y.get()[2000]);
}

int main() {
  for (const std::string& isa : instruction_sets()) {
    use_instruction_set(isa);
    check_gelu();
    for (Format format : {FLOAT32, BFLOAT16, INT8}) {
      check_nan(format);
      for (auto [I, H, heads] : {std::array<long, 3>{1, 1, 1}, {3, 9, 3}, {33, 34, 2}, {64, 64, 2}, {24, 66, 1}}) {
        for (long context : {1, 3, 64, 70, 512}) {
          LayerPointer layer = block_of(I, H, heads, context, format);
          char name[99];
          std::snprintf(name, sizeof name, "block %ld to %ld, %ld heads, context %ld, format %d", I, H, heads, context, format);
          check_batch(name, layer, 5, {0, 2, 2, 5}), check_streams(name, layer);
          if (format == FLOAT32 || context == 70) check_batch(name, layer, 150, {0, 1, 63, 64, 66, 130, 150});
        }
        check_batch("sees all", block_of(I, H, heads, 0, format), 5, {}), check_batch("sees all", block_of(I, H, heads, 0, format), 150, {});
      }
      LayerPointer narrow = block_of(20, 20, 2, 6, format), wide = block_of(20, 34, 1, 70, format);
      LayerPointer stack = make_stack({make_residual(narrow), wide, make_linear(linear_of(34, 3, format), false)});
      check_batch("stack", stack, 100, {0, 7, 100});
      check_batch("from both ends", make_bidirectional(narrow, wide), 100, {});
      LayerPointer same = make_stack({narrow, wide, make_identity(34, false)});
      Floats table(11 * 20, 2);
      TokenGenerator generator(table.get(), 11, same, nullptr, linear_of(34, 11, format));
      Guarded<uint8_t> excluded(11);
      Guarded<double> draws(100);
      for (int i = 0; i < 100; i++) draws.get()[i] = (double)(i * 37 % 100) / 100;
      Guarded<int64_t> one(100), two(100);
      Floats state(state_floats(*same, 70)), other(state_floats(*same, 70)), y(34), z(34);
      generator.generate(state.get(), 70, y.get(), 100, {1, 0, 1, 0}, excluded.get(), draws.get(), one.get(), 1);
      generator.generate(other.get(), 70, z.get(), 60, {1, 0, 1, 0}, excluded.get(), draws.get(), two.get(), 2);
      generator.generate(other.get(), 70, z.get(), 40, {1, 0, 1, 0}, excluded.get(), draws.get() + 60, two.get() + 60, 2);
      CHECK(one == two && state == other, "two threads, in two calls, generate something else");
    }
    std::printf("%s: %d failures\n", isa.c_str(), failures);
  }
  return failures != 0;
}
