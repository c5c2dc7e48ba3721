// Where the states of rows lie: each row is one contiguous array,
//   [layer.state]                  what each layer of the tree keeps, one after the other
//   [capacity · layer.cache]       the caches: of each layer that keeps items, in the same order, its arrays [capacity][width]
// so that a row is copied, moved to another row and saved as a whole, and sessions of different capacities are stepped together.
#pragma once
#include <algorithm>
#include <vector>

#include "kernels.h"

namespace stepscan {

// One array of a cache, [capacity, width]: the item at position p is in place p % items.
struct CacheArray {
  long width, items;
};
inline long total_width(const std::vector<CacheArray>& arrays) {
  long sum = 0;
  for (const CacheArray& array : arrays) sum += array.width;
  return sum;
}
inline long most_items(const std::vector<CacheArray>& arrays) {
  long most = 0;
  for (const CacheArray& array : arrays) most = std::max(most, array.items);
  return most;
}

// The states of rows, from one layer of a tree on.
struct States {
  RowView rows;            // of the layer's own floats
  long capacity;           // items that the caches have room for …
  const long* capacities;  // … in each row, unless null
  long caches;             // floats from the beginning of a row to its caches
  long before;             // floats for each item of the caches of the layers before this one
  float* at(long row) const { return rows.at(row); }
  long room(long row) const { return capacities ? capacities[row] : capacity; }
  float* cache(long row) const { return rows.at(row) - rows.offset + caches + room(row) * before; }
  // the states of what comes after a layer with so many floats of its own and in caches
  States after(long state, long cache) const { return {rows.offset_by(state), capacity, capacities, caches, before + cache}; }
};

}  // namespace stepscan
