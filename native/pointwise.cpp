// Kernels of inference, other than recurrences: linear maps, normalisation, tanh, softmax, attention. Forward only.
#include "kernels.h"
#include "attention.h"
#include "linear_back.h"
#include "matrix.h"
#include "program_run.h"
#include "team.h"
#include "training.h"

namespace stepscan {
namespace ISA {
extern const ProgramKernels PROGRAM_KERNELS;
namespace {

constexpr long ROWS_AT_ONCE = 256;  // of a linear map, while its weights are in the cache

// ------------------------------------------------------------------------------------------------------------- linear

long panels_of(long outputs, int* width) {
  *width = best_width(blocks_of(outputs));
  return (blocks_of(outputs) + *width - 1) / *width;
}
Matrix matrix_of(Format format, long inputs, long outputs) {
  int width;
  long panels = panels_of(outputs, &width);
  return {effective_format(format, inputs), width, inputs, panels, nullptr, nullptr, nullptr, nullptr};
}
size_t linear_floats(Format format, long inputs, long outputs) {
  Matrix m = matrix_of(format, inputs, outputs);
  ArenaLayout arena{nullptr};
  allocate(&m, arena);
  return arena.used;
}
void linear_pack(Matrix* to, Format format, const float* W, const float* bias, long inputs, long outputs, float* memory) {
  *to = matrix_of(format, inputs, outputs);
  ArenaLayout arena{memory};
  allocate(to, arena);
  for (long j = 0; j < to->panels * to->width; j++)
    pack_vector(*to, j / to->width, (int)(j % to->width), W, j * LANES, in_block(outputs, j), bias);
}
// y [rows, outputs] = x [rows, inputs] Wᵀ + b for rows `from … to`
void linear(const Matrix* weights, RowView x, long from, long to, long outputs, RowView y, const Group& group) {
  const Matrix& w = *weights;
  const long from_panel = w.panels * group.member / group.members, to_panel = w.panels * (group.member + 1) / group.members;
  for (long first = from; first < to; first += ROWS_AT_ONCE)
    multiply(w, first, first + ROWS_AT_ONCE < to ? first + ROWS_AT_ONCE : to, from_panel, to_panel, [&](long r) { return x.at(r); },
             [](long, long, int) {}, [&](long p, long r, int count, const float* out) {
               for (int m = 0; m < count; m++)
                 for (int v = 0; v < w.width; v++) {
                   int wide = in_block(outputs, p * w.width + v);
                   if (wide) store_part(y.at(r + m) + (p * w.width + v) * LANES, wide, load(out + (m * w.width + v) * LANES));
                 }
             });
}

// --------------------------------------------------------------------------------------------------------- elementwise

// y = (x − mean) / √(variance + 10⁻⁵) · gain + bias, row by row (Ba et al. 2016)
void layer_norm(const float* x, long from, long to, long size, const float* gain, const float* bias, float* y) {
  for (long r = from; r < to; r++) {
    const float* row = x + r * size;
    Vec sum = zero(), squares = zero();
    for (long i = 0; i < size; i += LANES) sum = sum + load_part(row + i, in_block(size, i / LANES));
    Vec mean = set1(sum_of(sum) / (float)size);
    for (long i = 0; i < size; i += LANES) {
      int wide = in_block(size, i / LANES);
      alignas(64) float lane[LANES] = {};
      store_part(lane, wide, load_part(row + i, wide) - mean);
      squares = fma(load(lane), load(lane), squares);
    }
    Vec scale = set1(1.f) / sqrt(set1(sum_of(squares) / (float)size + 1e-5f));
    for (long i = 0; i < size; i += LANES) {
      int wide = in_block(size, i / LANES);
      Vec normed = (load_part(row + i, wide) - mean) * scale;
      store_part(y + r * size + i, wide, fma(normed, load_part(gain + i, wide), load_part(bias + i, wide)));
    }
  }
}
void tanh_of(const float* x, long from, long to, float* y) {
  for (long i = from; i < to; i += LANES) {
    int wide = to - i < LANES ? (int)(to - i) : LANES;
    store_part(y + i, wide, tanh(load_part(x + i, wide)));
  }
}

void rotate(float* x, long size, const float* cosine, const float* sine, float scale) {
  const long half = size / 2;
  for (long i = 0; i < half; i += LANES) {
    const int count = in_block(half, i / LANES);
    Vec a = load_part(x + i, count), b = load_part(x + half + i, count), c = load_part(cosine + i, count), s = load_part(sine + i, count);
    store_part(x + i, count, (a * c - b * s) * set1(scale));
    store_part(x + half + i, count, (a * s + b * c) * set1(scale));
  }
  for (long i = 2 * half; i < size; i++) x[i] *= scale;
}

void gelu_of(float* x, long size) {
  for (long i = 0; i < size; i += LANES) {
    int count = in_block(size, i / LANES);
    if (count == LANES) store(x + i, gelu(load(x + i)));
    else store_part(x + i, count, gelu(load_part(x + i, count)));
  }
}

// e^x for x ≤ 0, within 2 units in the last place: 2^n e^r with |r| ≤ ln 2 / 2, e^r by its Taylor series
INLINE double exp_f64(double x) {
  x = x < -745.0 ? -745.0 : x;
  double n = (x * 1.4426950408889634 + 6755399441055744.0) - 6755399441055744.0;
  double r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10, sum = 1.0 / 6227020800.0;
  const double coefficients[] = {1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
                            1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      0.5,         1.0,        1.0};
  for (double a : coefficients) sum = sum * r + a;
  long half = (long)n / 2, rest = (long)n - half;  // in two factors, so that subnormal results are reached
  unsigned long a = (unsigned long)(half + 1023) << 52, b = (unsigned long)(rest + 1023) << 52;
  double first, second;
  __builtin_memcpy(&first, &a, 8), __builtin_memcpy(&second, &b, 8);
  return sum * first * second;
}
bool softmax_numerators(const float* scores, long size, double temperature, double* y) {
  double best = -__builtin_inf();
  bool nan = false;
  for (long i = 0; i < size; i++) best = scores[i] > best ? scores[i] : best, nan = nan || scores[i] != scores[i];
  if (nan || best == -__builtin_inf() || best == __builtin_inf()) return false;
  for (long i = 0; i < size; i++) y[i] = scores[i] == -__builtin_inff() ? 0 : exp_f64((scores[i] - best) / temperature);
  return true;
}

// ------------------------------------------------------------------------------------------------------------ softmax

void softmax_row(const float* x, long size, float* y) {
  const float minus_infinity = -__builtin_inff();
  float highest = minus_infinity;
  bool excluded = false;
  for (long i = 0; i < size; i++) {
    highest = x[i] > highest || x[i] != x[i] ? x[i] : highest;
    excluded = excluded || x[i] == minus_infinity;
  }
  Vec sum = zero();
  for (long i = 0; i < size; i += LANES) {
    int count = in_block(size, i / LANES);
    Vec e = exp(load_part(x + i, count) - set1(highest));
    alignas(64) float lane[LANES];
    store(lane, e);
    if (excluded)  // exp is clamped above zero, but exp(-∞) must be 0
      for (int k = 0; k < count; k++) lane[k] = x[i + k] == minus_infinity && highest != minus_infinity ? 0 : lane[k];
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

// For queries `from … to` of B · queries: weights = softmax(v · tanh(q + k)), or softmax(q · k) if v, the `score`, is null;
// context = weights · memory. Rows of length 0 get zeros.
//   query [B, queries, width], keys [B, items, width], memory [B, items, memory_width]
void attend(const float* query, const float* keys, const float* memory, const int64_t* length, const float* score, long from,
            long to, long queries, long items, long width, long memory_width, float* context, float* weights) {
  for (long n = from; n < to; n++) {
    long b = n / queries, count = length[b];
    float* weight = weights + n * items;
    for (long s = 0; s < count; s++) {
      Vec sum = zero();
      for (long a = 0; a < width; a += LANES) {
        int wide = in_block(width, a / LANES);
        Vec q = load_part(query + n * width + a, wide), k = load_part(keys + (b * items + s) * width + a, wide);
        sum = score ? fma(tanh(q + k), load_part(score + a, wide), sum) : fma(q, k, sum);
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

// Independent multiply-adds in registers, the peak of this instruction set; returns the floating-point operations done.
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

}  // namespace

#define STRING_(x) #x
#define STRING(x) STRING_(x)
extern const Kernels KERNELS;
constexpr Kernels KERNELS = {STRING(ISA), LANES, linear_floats, linear_pack,
                         linear,      layer_norm, tanh_of, softmax_numerators, softmax, attend, attend_back,
                         head_floats, head_scan, heads_step, rotate, gelu_of, cross_entropy, dropout,
                         column_floats, pack_columns, linear_back_inputs, linear_back_weights, &PROGRAM_KERNELS, peak};

}  // namespace ISA
}  // namespace stepscan
