#include "transformer.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "angles.h"
#include "layer_rows.h"

namespace stepscan {
namespace {

constexpr long CHUNK = 96;            // items that go through the maps together: their 4 H numbers stay in a core's cache
constexpr long GROUP_ITEMS = 4096;    // items whose queries, keys and values are in memory together, unless one row has more
constexpr double MOST_READ = 0x1p48;  // items read are counted up to this, in two floats: exact
constexpr float COUNT_BASE = 0x1p24f;

long items_in(const float* count) {
  double low = count[0], high = count[1], read = low + high * COUNT_BASE;
  bool is_count = low >= 0 && high >= 0 && low < COUNT_BASE && read < MOST_READ && low == std::floor(low) && high == std::floor(high);
  return is_count ? (long)read : -1;
}
void count_items(long read, float* count) {
  count[0] = (float)(read % (1l << 24)), count[1] = (float)(read >> 24);
}
void add(const float* x, float* y, long size) {
  for (long i = 0; i < size; i++) y[i] += x[i];
}

// What the block and its twin share: all but attention.
class Block : public Layer {
 public:
  void readout(const float* state, float* y) const override { copy(state, y, output); }

 protected:
  Block(BlockMaps maps, NormWeights first, NormWeights second, long heads, bool is_causal, long own, std::vector<CacheArray> arrays)
      : Layer(maps.into ? maps.into->inputs : maps.output->inputs, maps.output->outputs, own, is_causal, false, std::move(arrays)),
        H(maps.output->outputs), heads_(heads), size_(H / heads), kernels_(kernels()), maps_(std::move(maps)), angles_(size_ / 2) {
    auto vector = [&](const float* from) { return std::vector<float>(from, from + H); };
    attention_gain_ = vector(first.gain), attention_bias_ = vector(first.bias);
    forward_gain_ = vector(second.gain), forward_bias_ = vector(second.bias);
  }

  // What attention needs of n items: x [I] at `positions` → the residual stream, which is `u` [n, H] or x itself, and qkv
  // [n, 3 H], turned by their positions, q scaled by 1 / √size. Scratch: normed [n, H].
  RowView before(long n, RowView x, const long* positions, float* u, float* qkv, float* normed, const Group& group) const {
    if (maps_.into) {
      maps_.into->run(x, n, RowView::strided(u, H), group);
      group.wait();
      x = RowView::strided(u, H);
    }
    ThreadRange range(n, group);
    for (long r = range.from; r < range.to; r++) kernels_.layer_norm(x.at(r), 0, 1, H, attention_gain_.data(), attention_bias_.data(), normed + r * H);
    group.wait();
    maps_.projection->run(RowView::strided(normed, H), n, RowView::strided(qkv, 3 * H), group);
    group.wait();
    const float scale = (float)(1 / std::sqrt((double)size_));
    std::vector<float> own(2 * angles_.pairs);
    for (long r = range.from; r < range.to; r++) {
      Angles::At angle = angles_.at(positions[r], own.data());
      for (long i = 0; i < 2 * heads_; i++) kernels_.rotate(qkv + r * 3 * H + i * size_, size_, angle.cosine, angle.sine, i < heads_ ? scale : 1);
    }
    return x;
  }
  // The residual stream and what attention found for n items → y. Scratch: z, normed [n, H], wide [n, 4 H].
  void after(long n, RowView u, RowView found, RowView y, float* z, float* normed, float* wide, const Group& group) const {
    maps_.output->run(found, n, RowView::strided(z, H), group);
    group.wait();
    ThreadRange range(n, group);
    for (long r = range.from; r < range.to; r++) {
      add(u.at(r), z + r * H, H);
      kernels_.layer_norm(z + r * H, 0, 1, H, forward_gain_.data(), forward_bias_.data(), normed + r * H);
    }
    group.wait();
    maps_.up->run(RowView::strided(normed, H), n, RowView::strided(wide, 4 * H), group);
    group.wait();
    ThreadRange numbers(n * 4 * H, group);
    kernels_.gelu(wide + numbers.from, numbers.to - numbers.from);
    group.wait();
    maps_.down->run(RowView::strided(wide, 4 * H), n, y, group);
    group.wait();
    for (long r = range.from; r < range.to; r++) add(z + r * H, y.at(r), H);
  }
  static constexpr long SCRATCH = 6;  // H floats of an item in the scratch of both

  HeadAttention head_of(const float* qkv, long head) const {
    HeadAttention a{};
    const float* q = qkv + head * size_;
    a.size = size_, a.q = q, a.k = q + H, a.v = q + 2 * H, a.stride = a.out_stride = 3 * H, a.out = const_cast<float*>(q);
    return a;
  }

  // The rows of a batch, as many at a time as have GROUP_ITEMS items, and a longer one in pieces of `piece` items.
  struct Rows {
    std::vector<long> row, items, offset;  // of each: its index in the batch, how many items, those of the rows before it
    std::vector<float*> x, y;              // of each item
    std::vector<long> positions;           // likewise
    void add(const RaggedBatch& batch, const Layer& layer, long b, long t, long count, long position, const float* in, float* out, long y_stride) {
      row.push_back(b), items.push_back(count), offset.push_back((long)x.size());
      for (long i = t; i < t + count; i++, position++) {
        x.push_back(const_cast<float*>(in) + (b * batch.steps + i) * layer.input), y.push_back(out + (b * batch.steps + i) * y_stride);
        positions.push_back(position);
      }
    }
  };
  // attention(rows' attention of one head, its row in the batch): completes it
  template <class Complete, class End>
  void run(const Rows& rows, int threads, Complete complete, End end) const {
    const long n = (long)rows.x.size(), chunks = (n + CHUNK - 1) / CHUNK;
    threads = (double)n * (double)H * (double)H < 1e5 ? 1 : threads;
    Buffer qkv(n * 3 * H), u(maps_.into ? n * H : 0);
    Barrier unused;
    const Group alone{&unused, 0, 1};
    std::vector<Buffer> scratch(MAX_THREADS);
    auto view = [](const std::vector<float*>& pointers, long from) { return RowView{pointers.data() + from, nullptr, 0, 0}; };
    auto for_chunks = [&](auto body) {
      parallel_for(threads, chunks, [&](long i, int thread) {
        if (!scratch[thread].data()) scratch[thread] = Buffer(SCRATCH * CHUNK * H);
        body(i * CHUNK, std::min(CHUNK, n - i * CHUNK), scratch[thread].data());
      });
    };
    for_chunks([&](long from, long count, float* normed) {
      before(count, view(rows.x, from), rows.positions.data() + from, u.data() + (maps_.into ? from * H : 0), qkv.data() + from * 3 * H, normed, alone);
    });
    std::vector<HeadAttention> parts;
    size_t most = 0;
    for (size_t r = 0; r < rows.row.size(); r++)
      for (long head = 0; head < heads_; head++) {
        parts.push_back(head_of(qkv.data() + rows.offset[r] * 3 * H, head));
        parts.back().items = rows.items[r], parts.back().first = rows.positions[rows.offset[r]];
        complete(&parts.back(), rows.row[r], head);
        most = std::max(most, kernels_.head_floats(parts.back()));
      }
    std::vector<Buffer> packed(MAX_THREADS);
    parallel_for(threads, (long)parts.size(), [&](long i, int thread) {
      if (!packed[thread].data()) packed[thread] = Buffer(most);
      kernels_.head_scan(parts[i], packed[thread].data());
    });
    for (size_t r = 0; r < rows.row.size(); r++) end(rows.row[r], rows.items[r], rows.positions[rows.offset[r]], qkv.data() + rows.offset[r] * 3 * H);
    for_chunks([&](long from, long count, float* z) {
      RowView stream = maps_.into ? RowView::strided(u.data() + from * H, H) : view(rows.x, from);
      after(count, stream, RowView::strided(qkv.data() + from * 3 * H, 3 * H), view(rows.y, from), z, z + count * H, z + 2 * count * H, alone);
    });
  }

  const long H, heads_, size_;
  const Kernels& kernels_;
  const BlockMaps maps_;
  const Angles angles_;
  std::vector<float> attention_gain_, attention_bias_, forward_gain_, forward_bias_;
};

class Transformer : public Block {
 public:
  Transformer(BlockMaps maps, NormWeights first, NormWeights second, long heads, long context)
      : Block(maps, first, second, heads, true, maps.output->outputs + 2, {{maps.output->outputs, context}, {maps.output->outputs, context}}) {}

  void scan(const RaggedBatch& batch, const float* x, const States& states, float* y, long y_stride, int threads) const override {
    for (long b = 0; b < batch.rows;) {
      Rows rows;
      for (; b < batch.rows && (rows.x.empty() || (long)rows.x.size() + batch.lengths[b] <= GROUP_ITEMS); b++) {
        long length = batch.lengths[b], t = 0;
        for (; length - t > GROUP_ITEMS; t += GROUP_ITEMS) {
          Rows piece;
          piece.add(batch, *this, b, t, GROUP_ITEMS, items_read(states.at(b)), x, y, y_stride);
          run_rows(piece, states, threads);
        }
        if (length > t) rows.add(batch, *this, b, t, length - t, items_read(states.at(b)), x, y, y_stride);
      }
      if (!rows.x.empty()) run_rows(rows, states, threads);
    }
    clear_padding(batch, y, y_stride, output);
  }
  void step(long n, Input x, const States& states, RowView y, float* scratch, const Group& group) const override {
    float *u = scratch, *normed = u + n * H, *qkv = normed + n * H, *z = qkv + n * 3 * H, *wide = z + n * H;
    std::vector<long> positions(n);
    for (long r = 0; r < n; r++) positions[r] = items_read(states.at(r));
    RowView stream = before(n, x.rows, positions.data(), u, qkv, normed, group);
    ThreadRange range(n, group);
    for (long r = range.from; r < range.to; r++) remember(states, r, positions[r], 1, qkv + r * 3 * H);
    group.wait();
    ThreadRange parts(n * heads_, group);
    for (long i = parts.from, count; i < parts.to; i += count) {
      const long row = i / heads_, head = i % heads_;
      count = std::min(heads_ - head, parts.to - i);
      HeadAttention a = head_of(qkv + row * 3 * H, head);
      a.items = 1, a.first = positions[row];
      from_cache(&a, states, row, head);
      kernels_.heads_step(a, count);
    }
    group.wait();
    after(n, stream, RowView::strided(qkv, 3 * H), y, z, normed, wide, group);
    for (long r = range.from; r < range.to; r++) {
      copy(y.at(r), states.at(r), H);
      count_items(positions[r] + 1, states.at(r) + H);
    }
    group.wait();
  }
  size_t step_floats(long n) const override { return (size_t)(n * 10 * H); }
  long condition() const override { return input; }
  void set_condition(const float* vector, const States& to) const override {
    std::vector<float> y(H);
    Buffer scratch(step_floats(1));
    Barrier unused;
    NoDenormals quiet;
    step(1, {RowView::strided(vector, 0), false}, to, RowView::strided(y.data(), 0), scratch.data(), Group{&unused, 0, 1});
  }
  long items_read(const float* state) const override { return items_in(state + H); }

 private:
  void run_rows(const Rows& rows, const States& states, int threads) const {
    run(rows, threads, [&](HeadAttention* a, long row, long head) { from_cache(a, states, row, head); },
        [&](long row, long items, long position, const float* qkv) { remember(states, row, position, items, qkv); });
    for (size_t r = 0; r < rows.row.size(); r++) {
      float* state = states.at(rows.row[r]);
      const long last = rows.offset[r] + rows.items[r] - 1;
      copy(rows.y[last], state, H);
      count_items(rows.positions[last] + 1, state + H);
    }
  }
  void from_cache(HeadAttention* a, const States& states, long row, long head) const {
    a->context = context, a->old_stride = H;
    a->old_k = states.cache(row) + head * size_, a->old_v = a->old_k + states.room(row) * H;
  }
  // Puts the keys and values of items at a position into the cache.
  void remember(const States& states, long row, long position, long items, const float* qkv) const {
    float *keys = states.cache(row), *values = keys + states.room(row) * H;
    for (long i = std::max(0l, items - context); i < items; i++) {
      long place = (position + i) % context * H;
      copy(qkv + i * 3 * H + H, keys + place, H), copy(qkv + i * 3 * H + 2 * H, values + place, H);
    }
  }
};

class BidirectionalTransformer : public Block {
 public:
  BidirectionalTransformer(BlockMaps maps, NormWeights first, NormWeights second, long heads)
      : Block(maps, first, second, heads, false, maps.output->outputs, {}) {}
  void scan(const RaggedBatch& batch, const float* x, const States& states, float* y, long y_stride, int threads) const override {
    for (long b = 0; b < batch.rows;) {
      Rows rows;
      for (; b < batch.rows && (rows.x.empty() || (long)rows.x.size() + batch.lengths[b] <= GROUP_ITEMS); b++)
        if (batch.lengths[b]) rows.add(batch, *this, b, 0, batch.lengths[b], 0, x, y, y_stride);
      if (rows.x.empty()) continue;
      run(rows, threads, [](HeadAttention*, long, long) {}, [](long, long, long, const float*) {});
      for (size_t r = 0; r < rows.row.size(); r++) copy(rows.y[rows.offset[r] + rows.items[r] - 1], states.at(rows.row[r]), H);
    }
    clear_padding(batch, y, y_stride, output);
  }
  void step(long, Input, const States&, RowView, float*, const Group&) const override {}  // not causal: never called
  size_t step_floats(long) const override { return 0; }
};

void check_heads(const BlockMaps& maps, long heads, long context) {
  const long H = maps.output->outputs;
  if (heads < 1 || H % heads) throw std::invalid_argument("heads must divide the hidden size " + std::to_string(H) + ", got " + std::to_string(heads));
  if (context < 1) throw std::invalid_argument("context: expected at least 1 item, got " + std::to_string(context));
}

}  // namespace

LayerPointer make_transformer(BlockMaps maps, NormWeights attention_norm, NormWeights forward_norm, long heads, long context) {
  check_heads(maps, heads, context);
  return std::make_shared<Transformer>(std::move(maps), attention_norm, forward_norm, heads, context);
}
LayerPointer make_bidirectional_transformer(BlockMaps maps, NormWeights attention_norm, NormWeights forward_norm, long heads) {
  check_heads(maps, heads, 1);
  return std::make_shared<BidirectionalTransformer>(std::move(maps), attention_norm, forward_norm, heads);
}

}  // namespace stepscan
