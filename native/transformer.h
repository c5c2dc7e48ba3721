// The transformer block, pre-norm, with rotary positions (Su et al. 2021), and its twin that sees all items.
#pragma once
#include "layers.h"

namespace stepscan {

// The block's maps; H is the hidden size.
struct BlockMaps {
  std::shared_ptr<const Linear> into;        // I → H, or null if I = H
  std::shared_ptr<const Linear> projection;  // H → 3 H: queries, keys, values, each with the heads side by side
  std::shared_ptr<const Linear> output;      // H → H
  std::shared_ptr<const Linear> up, down;    // H → 4 H → H
};
struct NormWeights {
  const float *gain, *bias;  // [H]
};

// A causal block whose state is its last output [H], the number of items read [2], and a cache of the keys and values, [·, H]
// each, of the last `context` items.
LayerPointer make_transformer(BlockMaps maps, NormWeights attention_norm, NormWeights forward_norm, long heads, long context);
// The block in which every item sees all items of its sequence. Its state is its last output [H].
LayerPointer make_bidirectional_transformer(BlockMaps maps, NormWeights attention_norm, NormWeights forward_norm, long heads);

// Cosines and sines of the angles of a head's pairs at a position, [pairs] each: position · 10000^(−i / pairs), computed in double.
class Angles {
 public:
  explicit Angles(long pairs);
  // Of items at a position: pointers into a table or, for a late position, to `own` [2 · pairs], where they are computed.
  struct At {
    const float *cosine, *sine;
  };
  At at(long position, float* own) const;
  const long pairs;

 private:
  void compute(long position, float* to) const;
  std::vector<double> rates_;
  std::shared_ptr<const std::vector<float>> table_;  // [TABLED][cosines, sines]
};

}  // namespace stepscan
