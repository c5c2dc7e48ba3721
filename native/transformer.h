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

}  // namespace stepscan
