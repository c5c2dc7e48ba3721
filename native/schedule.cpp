#include "schedule.h"

#include <numeric>

namespace stepscan {
namespace {

ScheduledShard shard_of(const std::vector<int64_t>& rows, const int64_t* lengths, long steps, bool reverse) {
  ScheduledShard scheduled;
  Shard& shard = scheduled.shard;
  shard.rows = (long)rows.size();
  shard.steps = rows.empty() ? 0 : lengths[rows[0]];
  shard.tokens = 0;
  for (int64_t row : rows) shard.tokens += lengths[row];
  scheduled.indices.resize(2 * shard.rows + 2 * (shard.steps + 1) + shard.tokens);
  int64_t *row = scheduled.indices.data(), *length = row + shard.rows, *active = length + shard.rows, *offset = active + shard.steps + 1, *item = offset + shard.steps + 1;
  for (long r = 0; r < shard.rows; r++) row[r] = rows[r], length[r] = lengths[rows[r]];
  long n = 0, running = shard.rows;
  for (long t = 0; t <= shard.steps; t++) {
    while (running && length[running - 1] <= t) running--;
    active[t] = running, offset[t] = n;
    for (long r = 0; r < running; r++) item[n++] = row[r] * steps + (reverse ? length[r] - 1 - t : t);
  }
  shard.row = row, shard.length = length, shard.active = active, shard.offset = offset, shard.item = item;
  return scheduled;
}

}  // namespace

std::vector<ScheduledShard> schedule(const int64_t* lengths, long batch, long steps, long shards, bool reverse) {
  std::vector<int64_t> order(batch);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return lengths[a] > lengths[b]; });
  std::vector<std::vector<int64_t>> rows(shards);
  for (long r = 0; r < batch; r++) {
    long position = r % (2 * shards);  // shards 0 1 2 2 1 0 0 1 …, so that each gets about as many long rows
    rows[position < shards ? position : 2 * shards - 1 - position].push_back(order[r]);
  }
  std::vector<ScheduledShard> result;
  for (const std::vector<int64_t>& mine : rows) result.push_back(shard_of(mine, lengths, steps, reverse));
  return result;
}

}  // namespace stepscan
