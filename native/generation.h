// Text generation without Python in the loop: embedding, layers, output layer, and sampling of the next symbol.
#pragma once
#include "layers.h"
#include "stream.h"

namespace stepscan {

// How the next symbol is sampled; as stepscan.decoding's Sampler does, applied in this order.
struct SamplingOptions {
  double temperature;   // 0: the most probable, the first one of equals
  long top_k;           // 0: all
  double top_p, min_p;  // 1 and 0: all
};

// What one of several texts needs for its next symbol.
struct NextSymbol {
  Stream* stream;            // the state of its layers
  SamplingOptions options;
  const uint8_t* excluded;   // [V]: symbols that are never sampled
  double uniform;            // in [0, 1)
  bool measured;             // whether `probability` is wanted
  int64_t symbol = -1;       // out: -1 if the scores are not finite, or all symbols are excluded
  float probability = 0;     // out: that of the symbol before temperature and restrictions, if it is wanted
};

class TokenGenerator {
 public:
  // embedding [V, E]; projection (may be null) and head are applied to the layer's output
  TokenGenerator(const float* embedding, long symbols, LayerPointer layer, std::shared_ptr<const Linear> projection, std::shared_ptr<const Linear> head);

  // Samples a symbol from the layer's output y [output] with uniforms[0], feeds it back, samples the next one, …; updates state
  // [layer.state + capacity · layer.cache], with room for what is read, and y, which are those after the last generated symbol. `excluded` [V]: symbols that are never sampled.
  // Returns how many ids were written to `to`: fewer than `length` only if scores are not finite, or all symbols are excluded.
  long generate(float* state, long capacity, float* y, long length, const SamplingOptions&, const uint8_t* excluded, const double* uniforms, int64_t* to, int threads) const;
  // One symbol of each of n texts together, with the same bits as each text alone: samples it from y [n, output], and feeds it back.
  // Updates the streams and y; those of a text without a symbol are of no use afterwards.
  void generate_each(std::vector<NextSymbol>& texts, float* y, int threads) const;
  const long symbols;

 private:
  Input embed(int64_t symbol) const;
  std::vector<float> embedding_;
  Buffer table_;  // [V][table_floats]: what the layer's steps make of each symbol alone, if it is little
  long table_floats_ = 0;
  LayerPointer layer_;
  std::shared_ptr<const Linear> projection_, head_;
};

}  // namespace stepscan
