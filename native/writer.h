// A generator that writes on its own: embedding, layers, output and the choice of the next symbol, with no Python between.
#pragma once
#include "layers.h"

namespace stepscan {

// How the next symbol is chosen; as stepscan.decoding's Sampler, in this order.
struct Choice {
  double temperature;  // 0: the most probable, of equals the first
  long top_k;          // 0: all
  double top_p, min_p; // 1 and 0: all
};

class Writer {
 public:
  // embedding [V, E]; projection (may be null) and head after the layer
  Writer(const float* embedding, long symbols, LayerPointer layer, std::shared_ptr<const Linear> projection, std::shared_ptr<const Linear> head);

  // Chooses a symbol after the layer's output y [output] with uniforms[0], reads it, chooses the next, …; state [layer.state]
  // and y are those after what was read last, all that is written. `never` [V]: symbols that are not chosen. Returns how
  // many were written to `to`; fewer than `length` only where scores are no finite numbers, or all are forbidden.
  long write(float* state, float* y, long length, const Choice&, const uint8_t* never, const double* uniforms, int64_t* to, int threads) const;
  const long symbols;

 private:
  Input read(int64_t symbol) const;
  std::vector<float> embedding_;
  Buffer products_;  // [V][product_floats]: what the first cell makes of each symbol, where there are few
  long product_floats_ = 0;
  LayerPointer layer_;
  std::shared_ptr<const Linear> projection_, head_;
};

}  // namespace stepscan
