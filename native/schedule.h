// Distributes the rows of a batch over shards, and shards over threads.
#pragma once
#include <algorithm>
#include <vector>

#include "kernels.h"
#include "team.h"

namespace stepscan {

struct ScheduledShard {
  Shard shard;
  std::vector<int64_t> indices;  // the shard's row, length, active, offset, item
};
// The rows of a batch, in `shards` shards of about as many items each; `lengths` [B], each 0 … steps.
std::vector<ScheduledShard> schedule(const int64_t* lengths, long batch, long steps, long shards, bool reverse);

// Calls run(shard, group, thread) for all shards: with one thread each, or several if there are fewer shards than threads.
template <class F>
void run_shards(int threads, long shards, bool split, F run) {
  std::vector<Barrier> barriers(shards);
  on_team(split ? threads : (int)std::min<long>(threads, shards), [&](int thread, int team) {
    NoDenormals quiet;
    if (team <= shards) {
      for (long i = thread; i < shards; i += team) run(i, Group{&barriers[i], 0, 1}, thread);
      return;
    }
    long shard = (long)thread * shards / team, first = (shard * team + shards - 1) / shards, next = ((shard + 1) * team + shards - 1) / shards;
    run(shard, Group{&barriers[shard], (int)(thread - first), (int)(next - first)}, thread);
  });
}

}  // namespace stepscan
