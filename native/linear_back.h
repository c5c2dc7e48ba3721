// The gradients of a linear map y = x Wᵀ + b: dx = dy W, dW = dyᵀ x, db = Σ dy.
#pragma once
#include "gemm.h"
#include "kernels.h"

namespace stepscan {
namespace ISA {

constexpr long OUTPUTS_AT_ONCE = 512;  // products per pass of dx: the weights of a panel for so many fit into an L2 cache
constexpr long BAND = 48;              // outputs between which the same cache lines of dy are read, of dW

INLINE long column_panels(long columns, int* width) {
  *width = best_width(blocks_of(columns));
  return (blocks_of(columns) + *width - 1) / *width;
}
static size_t column_floats(long rows, long columns) {
  int width;
  return (size_t)(column_panels(columns, &width) * width * LANES * rows);
}

// Packs rows `from … to` of a matrix [rows, columns] into panels of columns: [panels][rows][width][LANES], zeros past the last.
static void pack_columns(const float* from_rows, long rows, long columns, long from, long to, float* out) {
  int width;
  const long panels = column_panels(columns, &width), step = width * LANES;
  for (long p = 0; p < panels; p++)
    for (long r = from; r < to; r++)
      for (int v = 0; v < width; v++) {
        const int count = in_block(columns, p * width + v);
        store(out + (p * rows + r) * step + v * LANES, count ? load_part(from_rows + r * columns + p * step + v * LANES, count) : zero());
      }
}

// dx of rows `from … to`; a.weights are the packed columns of W [outputs, inputs].
static void linear_back_inputs(const LinearBackArgs& a, long from, long to) {
  int width;
  const long panels = column_panels(a.inputs, &width), step = width * LANES;
  alignas(64) float out[TILE_FLOATS];
  for (long first = 0; first < a.outputs; first += OUTPUTS_AT_ONCE) {
    const long count = a.outputs - first < OUTPUTS_AT_ONCE ? a.outputs - first : OUTPUTS_AT_ONCE;
    for (long p = 0; p < panels; p++) {
      const float* B = a.weights + (p * a.outputs + first) * step;
      for_tiles(from, to, width, [&](long r, int height, int) {
        const float* rows[MAX_ROWS];
        for (int m = 0; m < height; m++) rows[m] = a.dy + (r + m) * a.dy_stride + first;
        TILES[width - 1][height - 1](rows, 1, count, 0, B, nullptr, out, B);
        for (int m = 0; m < height; m++)
          for (int v = 0; v < width; v++) {
            const int wide = in_block(a.inputs, p * width + v);
            float* to_x = a.dx + (r + m) * a.inputs + p * step + v * LANES;
            Vec sum = load(out + (m * width + v) * LANES);
            if (wide) store_part(to_x, wide, first ? load_part(to_x, wide) + sum : sum);
          }
      });
    }
  }
}

// Adds to dW and db of outputs `from … to`; a.x are the packed columns of x [rows, inputs].
static void linear_back_weights(const LinearBackArgs& a, long from, long to) {
  int width;
  const long panels = column_panels(a.inputs, &width), step = width * LANES;
  for (long band = from; band < to; band += BAND) {
    const long end = band + BAND < to ? band + BAND : to;
    for (long p = 0; p < panels; p++)
      for_tiles(band, end, width, [&](long j, int height, int) {
        OUTERS[width - 1][height - 1](a.dy + j, a.dy_stride, a.rows, a.x + p * a.rows * step, a.dW + j * a.inputs + p * step, a.inputs,
                                      (int)(a.inputs - p * step));
      });
    for (long j = band; j < end; j += LANES) {
      const int count = end - j < LANES ? (int)(end - j) : LANES;
      Vec sum = zero();
      for (long r = 0; r < a.rows; r++) sum = sum + load_part(a.dy + r * a.dy_stride + j, count);
      store_part(a.db + j, count, load_part(a.db + j, count) + sum);
    }
  }
}

}  // namespace ISA
}  // namespace stepscan
