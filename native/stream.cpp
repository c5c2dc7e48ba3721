#include "stream.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "layer_rows.h"

namespace stepscan {
namespace {

std::atomic<unsigned long> streams{0};

constexpr long MIN_CAPACITY = 16;
constexpr long SCAN_ITEMS = 4;  // from so many on, a layer with caches scans a block instead of stepping through it: the same bits

// Calls f(first, count) for the stretches of places of `context` that positions `from … to` lie in; all places at most once.
template <class F>
void for_places(long from, long to, long context, F f) {
  from = std::max(from, to - context);
  while (from < to) {
    long place = from % context, count = std::min(to - from, context - place);
    f(place, count);
    from += count;
  }
}

}  // namespace

Stream::Stream(LayerPointer tree) : layer(std::move(tree)), state_(layer->state), scratch_(layer->step_floats(1)), number_(++streams) {
  if (bytes()) std::memset(state(), 0, bytes());
  layer->set_initial(state());
}

void Stream::reserve(long items) {
  if (items <= capacity_) return;
  long larger = std::min(layer->context, std::max({items, 2 * capacity_, MIN_CAPACITY}));
  Buffer grown(state_floats(*layer, larger));
  std::memset(grown.data(), 0, (size_t)state_floats(*layer, larger) * sizeof(float));  // places that are never used are read too
  copy_state(*layer, state(), capacity_, grown.data(), larger);
  state_ = std::move(grown), capacity_ = larger;
}

bool Stream::push(const float* x, long T, float* y, int threads) {
  const long before = layer->items_read(state());
  if (layer->cache) reserve(items_to_hold(*layer, state(), T));
  if (layer->cache && T >= SCAN_ITEMS) {
    const int64_t length = T;
    layer->scan({&length, 1, T}, x, states(), y, layer->output, threads);
  } else {
    step_through(*layer, T, x, states(), y, scratch_.data(), threads);
  }
  return finite(y, T * layer->output) && finite_since(before);
}

bool Stream::finite_since(long before) const {
  bool all = finite(state(), layer->state);
  const float* array = state() + layer->state;
  const long read = layer->items_read(state());
  for (const auto& [width, items] : layer->caches) {
    for_places(before, read, items, [&, width = width](long place, long count) { all = all && finite(array + place * width, count * width); });
    array += capacity_ * width;
  }
  return all;
}

void Stream::copy(Stream& other) {
  if (&other == this) return;
  const bool are_twins = twin_ == other.number_ && twin_overwritten_ == other.overwritten_;
  const long read = layer->items_read(other.state()), most = std::max(read, layer->items_read(state()));
  reserve(other.items());
  if (!are_twins) copy_state(*layer, other.state(), other.capacity_, state(), capacity_);
  else {
    stepscan::copy(other.state(), state(), layer->state);
    const float* from = other.state() + layer->state;
    float* to = state() + layer->state;
    const long room = std::min(capacity_, other.capacity_);
    for (const auto& [width, items] : layer->caches) {
      for_places(common_, most, items, [&, width = width](long place, long count) {
        if (place < room) stepscan::copy(from + place * width, to + place * width, std::min(count, room - place) * width);
      });
      from += other.capacity_ * width, to += capacity_ * width;
    }
  }
  overwritten_++;
  twin_ = other.number_, twin_overwritten_ = other.overwritten_, common_ = read;
  if (other.twin_ == number_) other.twin_overwritten_ = overwritten_, other.common_ = read;
}

void Stream::read(float* to, long capacity) const { copy_state(*layer, state(), capacity_, to, capacity); }
void Stream::write(const float* from, long capacity) {
  reserve(items_to_hold(*layer, from, 0));
  copy_state(*layer, from, capacity, state(), capacity_);
  overwritten_++, twin_ = 0;
}

long push_many(const std::vector<Stream*>& streams, const float* x, float* y, int threads) {
  if (streams.empty()) return -1;
  const Layer& layer = *streams[0]->layer;
  std::vector<float*> rows;
  std::vector<long> rooms;
  for (Stream* stream : streams) {
    if (layer.cache) stream->reserve(items_to_hold(layer, stream->state(), 1));
    rows.push_back(stream->state()), rooms.push_back(stream->capacity());
  }
  States states{{rows.data(), nullptr, 0, 0}, 0, rooms.data(), layer.state, 0};
  step(layer, (long)streams.size(), RowView::strided(x, layer.input), states, RowView::strided(y, layer.output), threads);
  for (size_t r = 0; r < streams.size(); r++)
    if (!finite(y + r * layer.output, layer.output) || !streams[r]->finite_since(layer.items_read(rows[r]) - 1)) return (long)r;
  return -1;
}

}  // namespace stepscan
