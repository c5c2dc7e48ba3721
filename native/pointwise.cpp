// What stands around recurrences when a whole model answers: a linear map, softmax, additive attention. Forward only.
#include "kernels.h"
#include "cells/elman.h"
#include "cells/gru.h"
#include "cells/layer_norm_lstm.h"
#include "cells/lstm.h"

namespace stepscan {
namespace ISA {
namespace {

// ------------------------------------------------------------------------------------------------------------- linear

long panels_of(long outputs, int* width) {
  *width = best_width(blocks_of(outputs));
  return (blocks_of(outputs) + *width - 1) / *width;
}
// packed: [panels][inputs][width][LANES], then biases [panels][width][LANES]
size_t linear_floats(long inputs, long outputs) {
  int width;
  return panels_of(outputs, &width) * width * LANES * (inputs + 1);
}
void linear_pack(const float* W, const float* bias, long inputs, long outputs, float* packed) {
  int width;
  long panels = panels_of(outputs, &width), stride = width * LANES;
  float* biases = packed + panels * stride * inputs;
  for (long j = 0; j < panels * width; j++) {
    int count = in_block(outputs, j);
    float* to = packed + (j / width) * inputs * stride + (j % width) * LANES;
    if (count) pack_block(W, outputs, inputs, j * LANES, to, stride);
    else for (long k = 0; k < inputs; k++) store(to + k * stride, zero());
    store(biases + j * LANES, bias && count ? load_part(bias + j * LANES, count) : zero());
  }
}
// y [rows, outputs] = x [rows, inputs] Wᵀ + b for rows `from … to`
void linear(const float* packed, const float* x, long from, long to, long inputs, long outputs, float* y) {
  int width;
  long panels = panels_of(outputs, &width), stride = width * LANES;
  for (long first = from; first < to; first += CHUNK)
    for (long p = 0; p < panels; p++)
      by_tiles(first, first + CHUNK < to ? first + CHUNK : to, width, [&](long r, int count, int) {
        const float* rows[TALLEST];
        alignas(64) float out[TILE_FLOATS];
        for (int m = 0; m < count; m++) rows[m] = x + (r + m) * inputs;
        const float* B = packed + p * inputs * stride;
        TILES[width - 1][count - 1](rows, 1, inputs, 0, B, packed + panels * stride * inputs + p * stride, out, B);
        for (int m = 0; m < count; m++)
          for (int v = 0; v < width; v++) {
            int wide = in_block(outputs, p * width + v);
            if (wide) store_part(y + (r + m) * outputs + (p * width + v) * LANES, wide, load(out + (m * width + v) * LANES));
          }
      });
}

// ------------------------------------------------------------------------------------------------------------ softmax

float sum_of(Vec v) {
  alignas(64) float lane[LANES];
  store(lane, v);
  float sum = 0;
  for (int i = 0; i < LANES; i++) sum += lane[i];
  return sum;
}
void softmax_row(const float* x, long size, float* y) {
  const float lowest = -__builtin_inff();
  float most = lowest;
  bool excluded = false;
  for (long i = 0; i < size; i++) {
    most = x[i] > most || x[i] != x[i] ? x[i] : most;
    excluded = excluded || x[i] == lowest;
  }
  Vec sum = zero();
  for (long i = 0; i < size; i += LANES) {
    int count = in_block(size, i / LANES);
    Vec e = exp(load_part(x + i, count) - set1(most));
    alignas(64) float lane[LANES];
    store(lane, e);
    if (excluded)  // exp stops at a small number, but -∞ means none
      for (int k = 0; k < count; k++) lane[k] = x[i + k] == lowest && most != lowest ? 0 : lane[k];
    store_part(y + i, count, load(lane));
    sum = sum + load_part(lane, count);
  }
  Vec scale = set1(1.f / sum_of(sum));
  for (long i = 0; i < size; i += LANES) {
    int count = in_block(size, i / LANES);
    store_part(y + i, count, load_part(y + i, count) * scale);
  }
}
void softmax(const float* x, long from, long to, long size, float* y) {
  for (long r = from; r < to; r++) softmax_row(x + r * size, size, y + r * size);
}

// ---------------------------------------------------------------------------------------------------------- attention

// For queries `from … to` of B · queries: weights = softmax(v · tanh(q + k)), context = weights · memory. Rows of `length`
// 0 get zeros. query [B, queries, width], keys [B, items, width], memory [B, items, memory_width]
void attend(const float* query, const float* keys, const float* memory, const int64_t* length, const float* score, long from,
            long to, long queries, long items, long width, long memory_width, float* context, float* weights) {
  for (long n = from; n < to; n++) {
    long b = n / queries, count = length[b];
    float* weight = weights + n * items;
    for (long s = 0; s < count; s++) {
      Vec sum = zero();
      for (long a = 0; a < width; a += LANES) {
        int wide = in_block(width, a / LANES);
        Vec hidden = tanh(load_part(query + n * width + a, wide) + load_part(keys + (b * items + s) * width + a, wide));
        sum = fma(hidden, load_part(score + a, wide), sum);
      }
      weight[s] = sum_of(sum);
    }
    if (count) softmax_row(weight, count, weight);
    for (long s = count; s < items; s++) weight[s] = 0;
    for (long m = 0; m < memory_width; m += LANES) {
      int wide = in_block(memory_width, m / LANES);
      Vec sum = zero();
      for (long s = 0; s < count; s++) sum = fma(set1(weight[s]), load_part(memory + (b * items + s) * memory_width + m, wide), sum);
      store_part(context + n * memory_width + m, wide, sum);
    }
  }
}

// --------------------------------------------------------------------------------------------------------------- peak

#if defined(STEPSCAN_AVX512)
#define KEEP(x) asm volatile("" : "+v"(x))
#elif defined(__x86_64__)
#define KEEP(x) asm volatile("" : "+x"(x))
#else
#define KEEP(x) asm volatile("" : "+w"(x))
#endif

// Independent multiply-adds in registers, the most that this instruction set can do: floating-point operations done.
double peak(long rounds) {
  constexpr int CHAINS = REGISTERS >= 32 ? 24 : 12;
  Vec a[CHAINS], x = set1(0.9999f), y = set1(1e-7f);
#pragma GCC unroll 24
  for (int i = 0; i < CHAINS; i++) a[i] = set1(1e-3f * i);
  for (long r = 0; r < rounds; r++) {
#pragma GCC unroll 24
    for (int i = 0; i < CHAINS; i++) a[i] = fma(a[i], x, y);
#pragma GCC unroll 24
    for (int i = 0; i < CHAINS; i++) KEEP(a[i]);
  }
  float sink = 0;
#pragma GCC unroll 24
  for (int i = 0; i < CHAINS; i++) sink += sum_of(a[i]);
  volatile float kept = sink;
  (void)kept;
  return (double)rounds * CHAINS * LANES * 2;
}

// The registry of cells: one line each.
const CellKernels* const CELLS[] = {&ELMAN_TANH, &ELMAN_RELU, &LSTM_KERNELS, &GRU_KERNELS, &LAYER_NORM_LSTM};

}  // namespace

#define STRING_(x) #x
#define STRING(x) STRING_(x)
extern const Kernels KERNELS;
const Kernels KERNELS = {STRING(ISA), LANES,   CELLS,  sizeof CELLS / sizeof *CELLS, linear_floats, linear_pack,
                         linear,      softmax, attend, peak};

}  // namespace ISA
}  // namespace stepscan
