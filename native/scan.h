// A cell over time: the input product, the recurrence and their backward pass. A cell provides only its elementwise arithmetic.
//
// A block is LANES hidden units. A cell is a struct:
//   gates                  vectors per block in the input product and in the recurrent product
//   saved, back            vectors per block that forward saves for backward; and of gradients that backward computes
//   in_slot, rec_slot      where in `back` the gradients of the two products start (`gates` vectors each)
//   in_order, rec_order    the gate of PyTorch's weights that each of these vectors is
//   units                  0: panels of as many blocks as fit (one gate); 1: one block with its gates
//   has_c, carries         whether the state has a second leaf c; what gradient, besides the recurrent product's, flows to the
//                          previous step: none, c's or h's
//   forward<save>(rec, gates, h_prev, c_prev, c) -> h      one block of one row
//       rec [gates][LANES]    recurrent product, including its bias
//       gates [saved][LANES]  in: the input product, including its bias, from vector 0 on; out: what backward needs
//       h_prev, c_prev, c     [LANES]; c may alias c_prev
//   backward(dh, gates, h_prev, c_prev, c, d_carry, d)     the same block
//       dh                    the whole gradient of h_t;  d_carry [LANES] in: from the next step, out: to the previous step
//       d [back][LANES]       out: gradients of the products
// Cells that need a whole row at once (`whole_rows`) have forward_row and backward_row instead: see layer_norm_lstm.h.
#pragma once
#include "buffer.h"
#include "gemm.h"
#include "kernels.h"
#include "math.h"
#include "matrix.h"
#include "team.h"

namespace stepscan {
namespace ISA {

enum Carries { CARRIES_NOTHING, CARRIES_C, CARRIES_H };

constexpr long CHUNK = 256;   // items whose input products are computed at a time
constexpr long TOKENS = 96;   // items per work item of dx
constexpr long DEPTH = 128;   // items per block of a weight gradient's sum
constexpr long GROUP = 128;   // rows of a weight gradient per work item, so that d is read once from L3 (measured: docs/performance.md)

// Sizes and addresses of one shard's buffers; n is its number of items.
template <class Cell>
struct Buffers {
  const PackedWeights& w;
  const Shard& shard;
  long blocks, vectors, padded;  // blocks of H; vectors per panel of a product; blocks including the padding of panels
  // saved for backward:
  float* gates;        // [panels][n (without saving: a chunk)][units · saved][LANES]
  float* cells;        // [padded][rows + n (without saving: rows)][LANES]: c; if saved, the first `rows` are c0
  float* saved_stats;  // [n (without saving: a chunk)][Cell::saved_stats]
  // used by forward only:
  float* h[2];         // [rows][padded · LANES]: h before and after a step, alternating
  float* product;      // [rows][panels][vectors][LANES], if the cell needs whole rows
  // used by backward only:
  float* d;            // [panels][n][units · back][LANES]
  float* d_carry;      // [padded][rows][LANES]
  float* dh;           // [rows][padded · LANES], if the cell needs whole rows
  float* d_extras;     // [d_extras_vectors(blocks)][LANES]: gradients of the cell's extras, if it has any

  Buffers(const PackedWeights& weights, const Shard& rows) : w(weights), shard(rows) {
    blocks = blocks_of(w.hidden), vectors = w.units * Cell::gates, padded = w.panels * w.units;
  }
  long chunk() const {  // the maximum number of items of a chunk
    long most = CHUNK;
    for (long t = 0; t < shard.steps; t++)
      if (shard.active[t] > most) most = shard.active[t];
    return most < shard.tokens ? most : shard.tokens;
  }
  void allocate_saved(ArenaLayout& arena, bool save) {
    long n = save ? shard.tokens : chunk();
    gates = arena.allocate(w.panels * n * w.units * Cell::saved * LANES);
    cells = Cell::has_c ? arena.allocate(padded * (shard.rows + (save ? shard.tokens : 0)) * LANES) : nullptr;
    saved_stats = arena.allocate(n * Cell::saved_stats);
  }
  void allocate_forward(ArenaLayout& arena) {
    h[0] = arena.allocate(shard.rows * padded * LANES);
    h[1] = arena.allocate(shard.rows * padded * LANES);
    product = Cell::whole_rows ? arena.allocate(shard.rows * w.panels * vectors * LANES) : nullptr;
  }
  void allocate_backward(ArenaLayout& arena) {
    d = arena.allocate(w.panels * shard.tokens * w.units * Cell::back * LANES);
    d_carry = arena.allocate(padded * shard.rows * LANES);
    dh = Cell::whole_rows ? arena.allocate(shard.rows * w.hidden_panels * w.hidden_width * LANES) : nullptr;
    d_extras = arena.allocate(Cell::d_extras_vectors(blocks) * LANES);
  }
};

INLINE void thread_range(long total, int member, int members, long* from, long* to) {
  *from = total * member / members, *to = total * (member + 1) / members;
}

template <class Cell>
struct Recurrent {
  typedef Buffers<Cell> B;

  // ------------------------------------------------------------------------------------------------------------ weights

  static void shape(PackedWeights* w) {
    long blocks = blocks_of(w->hidden);
    w->units = Cell::units ? Cell::units : best_width(blocks);
    w->panels = (blocks + w->units - 1) / w->units;
    w->in_width = best_width(blocks_of(w->input)), w->hidden_width = best_width(blocks);
    w->in_panels = (blocks_of(w->input) + w->in_width - 1) / w->in_width;
    w->hidden_panels = (blocks + w->hidden_width - 1) / w->hidden_width;
  }
  static void allocate(PackedWeights* w, ArenaLayout& arena, bool backward) {
    long vectors = w->units * Cell::gates, outputs = w->panels * vectors * LANES;
    w->in = {effective_format(w->format, w->input), (int)vectors, w->input, w->panels, nullptr, nullptr, nullptr, nullptr};
    w->rec = {effective_format(w->format, w->hidden), (int)vectors, w->hidden, w->panels, nullptr, nullptr, nullptr, nullptr};
    ISA::allocate(&w->in, arena), ISA::allocate(&w->rec, arena);
    w->in_back = backward ? arena.allocate(outputs * w->in_panels * w->in_width * LANES) : nullptr;
    w->rec_back = backward ? arena.allocate(outputs * w->hidden_panels * w->hidden_width * LANES) : nullptr;
    Cell::allocate_extras(w, blocks_of(w->hidden), arena);
  }
  static size_t weight_floats(const PackedWeights* w, bool backward) {
    PackedWeights copy = *w;
    ArenaLayout arena{nullptr};
    allocate(&copy, arena, backward);
    return arena.used;
  }
  static void lay_out(PackedWeights* w, float* memory, bool backward) {
    ArenaLayout arena{memory};
    allocate(w, arena, backward);
  }
  static void pack(const PackedWeights* packed, const Parameters* p, const Group& group) {
    const PackedWeights& w = *packed;
    pack_side(w, p->in, p->bias_in, Cell::in_order, w.in, group);
    pack_side(w, p->rec, p->bias_rec, Cell::rec_order, w.rec, group);
    if (w.in_back) {
      pack_transposed(w, p->in, w.input, Cell::in_order, w.in_width, w.in_panels, w.in_back, group);
      pack_transposed(w, p->rec, w.hidden, Cell::rec_order, w.hidden_width, w.hidden_panels, w.rec_back, group);
    }
    if (group.member == 0) Cell::pack_extras(w, *p);
  }
  static void pack_side(const PackedWeights& w, const float* W, const float* bias, const int* order, const Matrix& to, const Group& group) {
    long from, last;
    thread_range(w.panels * w.units, group.member, group.members, &from, &last);
    for (long block = from; block < last; block++)
      for (int g = 0; g < Cell::gates; g++) {
        const float* gate_bias = bias ? bias + order[g] * w.hidden : nullptr;
        pack_vector(to, block / w.units, (int)(block % w.units) * Cell::gates + g, W + order[g] * w.hidden * to.K, block * LANES,
                    in_block(w.hidden, block), gate_bias);
      }
  }
  static void pack_transposed(const PackedWeights& w, const float* W, long columns, const int* order, int width, long panels, float* to, const Group& group) {
    long from_panel, to_panel;
    thread_range(panels, group.member, group.members, &from_panel, &to_panel);
    for (long q = from_panel; q < to_panel; q++) {
      float* out = to + q * w.panels * w.units * Cell::gates * LANES * width * LANES;
      for (long block = 0; block < w.panels * w.units; block++)
        for (int g = 0; g < Cell::gates; g++)
          for (int lane = 0; lane < LANES; lane++, out += width * LANES) {
            const float* from = W + (order[g] * w.hidden + block * LANES + lane) * columns + q * width * LANES;
            bool exists = lane < in_block(w.hidden, block);
            for (int n = 0; n < width; n++) {
              int count = in_block(columns, q * width + n);
              store(out + n * LANES, !exists || !count ? zero() : count == LANES ? load(from + n * LANES) : load_part(from + n * LANES, count));
            }
          }
    }
  }

  // ------------------------------------------------------------------------------------------------------------ forward

  static size_t saved_floats(const PackedWeights* w, const Shard* shard) {
    B b(*w, *shard);
    ArenaLayout arena{nullptr};
    b.allocate_saved(arena, true);
    return arena.used;
  }
  static size_t scratch_floats(const PackedWeights* w, const Shard* shard, bool save) {
    B b(*w, *shard);
    ArenaLayout arena{nullptr};
    if (!save) b.allocate_saved(arena, false);
    b.allocate_forward(arena);
    return arena.used;
  }

  static void forward(const ScanArgs* scan, const Shard* shard, float* saved, float* scratch, const Group& group) {
    B b(*scan->weights, *shard);
    ArenaLayout scratch_arena{scratch}, saved_arena{saved};
    b.allocate_saved(saved ? saved_arena : scratch_arena, saved != nullptr);
    b.allocate_forward(scratch_arena);
    if (saved) run<true>(*scan, b, group);
    else run<false>(*scan, b, group);
  }

  template <bool save>
  static void run(const ScanArgs& s, B& b, const Group& group) {
    const PackedWeights& w = b.w;
    const Shard& shard = b.shard;
    int member = group.member, members = group.members;
    long from, to, in_cells = shard.rows + (save ? shard.tokens : 0), capacity = save ? shard.tokens : b.chunk();
    thread_range(w.panels, member, members, &from, &to);
    start(s, b, in_cells, member, members);
    group.wait();
    for (long t0 = 0, t1; t0 < shard.steps; t0 = t1) {
      for (t1 = t0 + 1; t1 < shard.steps && shard.offset[t1 + 1] - shard.offset[t0] <= CHUNK; t1++) {}
      long base = save ? 0 : shard.offset[t0];
      input_products(s, b, shard.offset[t0], shard.offset[t1], base, capacity, from, to);
      for (long t = t0; t < t1; t++) {
        step<save>(s, b, t, base, capacity, in_cells, from, to);
        group.wait();
      }
    }
    finish<save>(s, b, in_cells, member, members);
  }

  static void start(const ScanArgs& s, B& b, long in_cells, int member, int members) {
    long H = b.w.hidden, wide = b.padded * LANES;
    for (long r = member; r < b.shard.rows; r += members) {
      long row = b.shard.row[r];
      __builtin_memset(b.h[0] + r * wide, 0, wide * 4), __builtin_memset(b.h[1] + r * wide, 0, wide * 4);
      if (s.h0) __builtin_memcpy(b.h[0] + r * wide, s.h0 + row * H, H * 4);
      if (Cell::has_c)
        for (long j = 0; j < b.padded; j++) {
          int count = in_block(H, j);
          store(b.cells + (j * in_cells + r) * LANES, s.c0 && count ? load_part(s.c0 + row * H + j * LANES, count) : zero());
        }
    }
  }

  // gates = W x + b of items `first … last`; item `base` is the first one in the buffer
  static void input_products(const ScanArgs& s, B& b, long first, long last, long base, long capacity, long from, long to) {
    const PackedWeights& w = b.w;
    long row_floats = w.units * Cell::saved * LANES;
    multiply(w.in, first, last, from, to, [&](long n) { return s.x + b.shard.item[n] * w.input; }, [](long, long, int) {},
             [&](long p, long n, int count, const float* out) {
               for (int m = 0; m < count; m++) copy_gates(w, out + m * b.vectors * LANES, b.gates + (p * capacity + n + m - base) * row_floats);
             });
  }
  // copies a panel's input products [units · gates][LANES] to the cell's layout [units · saved][LANES]
  INLINE void copy_gates(const PackedWeights& w, const float* product, float* gates) {
    for (int u = 0; u < w.units; u++)
      for (int g = 0; g < Cell::gates; g++)
        store(gates + (u * Cell::saved + g) * LANES, load(product + (u * Cell::gates + g) * LANES));
  }

  template <bool save>
  static void step(const ScanArgs& s, B& b, long t, long base, long capacity, long in_cells, long from, long to) {
    const PackedWeights& w = b.w;
    const Shard& shard = b.shard;
    long H = w.hidden, wide = b.padded * LANES, row_floats = w.units * Cell::saved * LANES, here = shard.offset[t] - base;
    const float* h_prev = b.h[t & 1];
    float* h_next = b.h[(t + 1) & 1];
    long now = save ? shard.rows + shard.offset[t] : 0;  // index in `cells`
    long before = save && t ? shard.rows + shard.offset[t - 1] : 0;
    auto gates_of = [&](long p, long r) { return b.gates + (p * capacity + here + r) * row_floats; };
    multiply(w.rec, 0, shard.active[t], from, to, [&](long r) { return h_prev + r * wide; },
             [&](long p, long r, int count) {
               for (long k = 0; k < count * row_floats; k += 16) __builtin_prefetch(gates_of(p, r) + k, 1);
             },
             [&](long p, long r, int count, const float* out) {
               for (int m = 0; m < count; m++, r++, out += b.vectors * LANES) {
                 if constexpr (Cell::whole_rows) {
                   __builtin_memcpy(b.product + (r * w.panels + p) * b.vectors * LANES, out, b.vectors * LANES * 4);
                 } else {
                   for (long u = 0, j = p * w.units; u < w.units && j < b.blocks; u++, j++) {
                     float* c = Cell::has_c ? b.cells + (j * in_cells + now + r) * LANES : nullptr;
                     const float* c_prev = Cell::has_c ? b.cells + (j * in_cells + before + r) * LANES : nullptr;
                     Vec h = Cell::template forward<save>(out + u * Cell::gates * LANES, gates_of(p, r) + u * Cell::saved * LANES,
                                                          h_prev + r * wide + j * LANES, c_prev, c);
                     store(h_next + r * wide + j * LANES, h);
                     store_output(s, b, t, r, j, h);
                   }
                 }
               }
             });
    if constexpr (Cell::whole_rows)
      for (long r = 0; r < shard.active[t]; r++) {
        float* h = h_next + r * wide;
        Cell::template forward_row<save>(w, b.blocks, b.product + r * w.panels * b.vectors * LANES, b.gates + (here + r) * row_floats,
                                         capacity * row_floats, b.cells + (before + r) * LANES, b.cells + (now + r) * LANES,
                                         in_cells * LANES, b.saved_stats + (here + r) * Cell::saved_stats, h);
        __builtin_memcpy(s.y + shard.item[shard.offset[t] + r] * s.y_stride, h, H * 4);
      }
  }
  INLINE void store_output(const ScanArgs& s, const B& b, long t, long r, long j, Vec h) {
    float* y = s.y + b.shard.item[b.shard.offset[t] + r] * s.y_stride + j * LANES;
    int count = in_block(b.w.hidden, j);
    if (count == LANES) store(y, h);
    else store_part(y, count, h);
  }

  // final states, and zeros in the padding
  template <bool save>
  static void finish(const ScanArgs& s, B& b, long in_cells, int member, int members) {
    const Shard& shard = b.shard;
    long H = b.w.hidden, wide = b.padded * LANES;
    for (long r = member; r < shard.rows; r += members) {
      long row = shard.row[r], length = shard.length[r];
      if (s.h_end) __builtin_memcpy(s.h_end + row * H, b.h[length & 1] + r * wide, H * 4);
      if (Cell::has_c && s.c_end) {
        long index = save && length ? shard.rows + shard.offset[length - 1] + r : r;
        for (long j = 0; j < b.blocks; j++)
          store_part(s.c_end + row * H + j * LANES, in_block(H, j), load(b.cells + (j * in_cells + index) * LANES));
      }
      for (long t = length; t < s.steps; t++) __builtin_memset(s.y + (row * s.steps + t) * s.y_stride, 0, H * 4);
    }
  }

  // ------------------------------------------------------------------------------------- one step of rows anywhere in memory

  // scratch: input products [panels][rows][units · saved][LANES]; if the cell needs whole rows, also recurrent products
  // [rows][panels][units · gates][LANES], and c, h and saved_stats of one row
  static size_t step_floats(const PackedWeights* w, long rows) {
    size_t row = (size_t)(w->panels * w->units * LANES);
    return rows * row * Cell::saved + (Cell::whole_rows ? rows * row * Cell::gates + 2 * row + Cell::saved_stats : 0);
  }
  static size_t product_floats(const PackedWeights* w) { return (size_t)(w->panels * w->units * Cell::saved * LANES); }
  static void products(const PackedWeights* w, const float* x, float* to) {
    multiply(w->in, 0, 1, 0, w->panels, [&](long) { return x; }, [](long, long, int) {},
             [&](long p, long, int, const float* out) { copy_gates(*w, out, to + p * w->units * Cell::saved * LANES); });
  }
  static void step_rows(const PackedWeights* packed, const StepArgs* args, float* scratch, const Group& group) {
    const PackedWeights& w = *packed;
    const StepArgs& rows = *args;
    const long row_floats = w.units * Cell::saved * LANES, vectors = w.units * Cell::gates, blocks = blocks_of(w.hidden), n = rows.count;
    float* product = scratch + w.panels * n * row_floats;  // if the cell needs whole rows
    long from, to;
    thread_range(w.panels, group.member, group.members, &from, &to);
    auto no_prefetch = [](long, long, int) {};
    auto gates_of = [&](long p, long r) {
      return rows.multiplied && !Cell::whole_rows ? rows.x.at(r) + p * row_floats : scratch + (p * n + r) * row_floats;
    };
    if (!rows.multiplied)
      multiply(w.in, 0, n, from, to, [&](long r) { return rows.x.at(r); }, no_prefetch, [&](long p, long r, int count, const float* out) {
        for (int m = 0; m < count; m++) copy_gates(w, out + m * vectors * LANES, gates_of(p, r + m));
      });
    else if (Cell::whole_rows)
      for (long p = from; p < to; p++)
        for (long r = 0; r < n; r++) __builtin_memcpy(gates_of(p, r), rows.x.at(r) + p * row_floats, row_floats * 4);
    multiply(w.rec, 0, n, from, to, [&](long r) { return rows.h.at(r); }, no_prefetch, [&](long p, long r, int count, const float* out) {
      for (int m = 0; m < count; m++, r++, out += vectors * LANES) {
        if constexpr (Cell::whole_rows) __builtin_memcpy(product + (r * w.panels + p) * vectors * LANES, out, vectors * LANES * 4);
        else for (long u = 0, j = p * w.units; u < w.units && j < blocks; u++, j++) {
          const int wide = in_block(w.hidden, j);
          alignas(64) float h[LANES], c[LANES];
          store(h, load_part(rows.h.at(r) + j * LANES, wide));
          if (Cell::has_c) store(c, load_part(rows.c.at(r) + j * LANES, wide));
          Vec next = Cell::template forward<false>(out + u * Cell::gates * LANES, gates_of(p, r) + u * Cell::saved * LANES, h, c, c);
          store_part(rows.h_next.at(r) + j * LANES, wide, next);
          if (Cell::has_c) store_part(rows.c_next.at(r) + j * LANES, wide, load(c));
        }
      }
    });
    if constexpr (Cell::whole_rows) {
      group.wait();
      float *c = product + n * w.panels * vectors * LANES, *h = c + blocks * LANES, *saved_stats = h + blocks * LANES;
      for (long r = 0; r < n && group.member == 0; r++) {
        for (long j = 0; j < blocks; j++) store(c + j * LANES, load_part(rows.c.at(r) + j * LANES, in_block(w.hidden, j)));
        Cell::template forward_row<false>(w, blocks, product + r * w.panels * vectors * LANES, gates_of(0, r), n * row_floats, c, c, LANES,
                                          saved_stats, h);
        __builtin_memcpy(rows.h_next.at(r), h, w.hidden * 4), __builtin_memcpy(rows.c_next.at(r), c, w.hidden * 4);
      }
    }
  }

  // ----------------------------------------------------------------------------------------------------------- backward

  static size_t back_floats(const PackedWeights* w, const Shard* shard) {
    B b(*w, *shard);
    ArenaLayout arena{nullptr};
    b.allocate_backward(arena);
    return arena.used;
  }

  static void backward(const ScanArgs* scan, const ScanGradients* back, const Shard* rows, const float* saved, float* memory,
                       const Group& group) {
    const ScanArgs& s = *scan;
    const Shard& shard = *rows;
    B b(*s.weights, shard);
    ArenaLayout saved_arena{const_cast<float*>(saved)}, back_arena{memory};
    b.allocate_saved(saved_arena, true), b.allocate_backward(back_arena);
    const PackedWeights& w = b.w;
    long from, to, H = w.hidden, wide_back = w.units * Cell::back * LANES;
    int member = group.member, members = group.members;
    thread_range(w.hidden_panels, member, members, &from, &to);
    if (!member) __builtin_memset(b.d_extras, 0, Cell::d_extras_vectors(b.blocks) * LANES * 4);
    for (long j = member; j < b.padded; j += members)
      for (long r = 0; r < shard.rows; r++) {
        int count = in_block(H, j);
        bool has_dc_end = Cell::carries == CARRIES_C && back->dc_end && count;
        store(b.d_carry + (j * shard.rows + r) * LANES, has_dc_end ? load_part(back->dc_end + shard.row[r] * H + j * LANES, count) : zero());
      }
    for (long j = b.blocks + member; j < b.padded; j += members)  // the padding of the last panel
      for (long n = 0; n < shard.tokens; n++)
        __builtin_memset(b.d + ((j / w.units) * shard.tokens + n) * wide_back + (j % w.units) * Cell::back * LANES, 0, Cell::back * LANES * 4);
    group.wait();
    for (long t = shard.steps - 1; t >= 0; t--) {
      backward_step(s, *back, b, t, from, to);
      group.wait();
    }
    initial_gradients(*back, b, from, to);
    if (Cell::has_c && back->dc0)
      for (long r = member; r < shard.rows; r += members)
        for (long j = 0; j < b.blocks; j++)
          store_part(back->dc0 + shard.row[r] * H + j * LANES, in_block(H, j), load(b.d_carry + (j * shard.rows + r) * LANES));
    if (back->dx && !back->add)
      for (long r = member; r < shard.rows; r += members)
        __builtin_memset(back->dx + (shard.row[r] * s.steps + shard.length[r]) * w.input, 0, (s.steps - shard.length[r]) * w.input * 4);
  }

  // Calls f(r, j, dh) for rows `first … last`: dh [LANES] is the gradient of block j of h_{t−1} from step t's recurrent product
  template <class F>
  static void recurrent_gradients(B& b, long t, long first, long last, long from, long to, F f) {
    const PackedWeights& w = b.w;
    const Shard& shard = b.shard;
    long wide_back = w.units * Cell::back * LANES, K = w.panels * b.vectors * LANES;
    for (long q = from; q < to; q++)
      for_tiles(first, last, w.hidden_width, [&](long r, int count, int tile) {
        const float* rows[MAX_ROWS];
        alignas(64) float out[TILE_FLOATS];
        for (int m = 0; m < count; m++) rows[m] = b.d + (shard.offset[t] + r + m) * wide_back + Cell::rec_slot * LANES;
        const float* B = w.rec_back + q * K * w.hidden_width * LANES;
        TILES[w.hidden_width - 1][count - 1](rows, w.panels, b.vectors * LANES, shard.tokens * wide_back, B, nullptr, out,
                                             fetch_ahead(B, K, w.hidden_width, q, q + 1, to, tile));
        for (int m = 0; m < count; m++)
          for (int u = 0; u < w.hidden_width && q * w.hidden_width + u < b.blocks; u++)
            f(r + m, q * w.hidden_width + u, load(out + (m * w.hidden_width + u) * LANES));
      });
  }

  static void backward_step(const ScanArgs& s, const ScanGradients& back, B& b, long t, long from, long to) {
    const PackedWeights& w = b.w;
    const Shard& shard = b.shard;
    long H = w.hidden, wide = b.padded * LANES, n = shard.active[t], next = shard.active[t + 1];
    long row_floats = w.units * Cell::saved * LANES, wide_back = w.units * Cell::back * LANES, in_cells = shard.rows + shard.tokens;
    long before = t ? shard.rows + shard.offset[t - 1] : 0, now = shard.rows + shard.offset[t];
    auto add_gradient = [&](long r, long j, Vec dh) {
      int count = in_block(H, j);
      const float* dy = back.dy + shard.item[shard.offset[t] + r] * s.y_stride + j * LANES;
      dh = dh + (count == LANES ? load(dy) : load_part(dy, count));
      if constexpr (Cell::whole_rows) {
        store(b.dh + r * wide + j * LANES, dh);
        return;
      } else {
        float* d_carry = b.d_carry + (j * shard.rows + r) * LANES;
        if (Cell::carries == CARRIES_H) dh = dh + load(d_carry);
        const float* h = previous_hidden(s, b, t, r);
        Vec h_prev = !h ? zero() : count == LANES ? load(h + j * LANES) : load_part(h + j * LANES, count);
        long panel = j / w.units, u = j % w.units;
        Cell::backward(dh, b.gates + (panel * shard.tokens + shard.offset[t] + r) * row_floats + u * Cell::saved * LANES, h_prev,
                       Cell::has_c ? b.cells + (j * in_cells + before + r) * LANES : nullptr,
                       Cell::has_c ? b.cells + (j * in_cells + now + r) * LANES : nullptr, d_carry,
                       b.d + (panel * shard.tokens + shard.offset[t] + r) * wide_back + u * Cell::back * LANES);
      }
    };
    if (next) recurrent_gradients(b, t + 1, 0, next, from, to, add_gradient);
    for (long r = next; r < n; r++)
      for (long j = from * w.hidden_width; j < to * w.hidden_width && j < b.blocks; j++) add_gradient(r, j, final_gradient(back, b, r, j));
    if constexpr (Cell::whole_rows)
      for (long r = 0; r < n; r++)
        Cell::backward_row(w, b.blocks, b.dh + r * wide, b.gates + (shard.offset[t] + r) * row_floats, shard.tokens * row_floats,
                           b.cells + (before + r) * LANES, b.cells + (now + r) * LANES, in_cells * LANES,
                           b.saved_stats + (shard.offset[t] + r) * Cell::saved_stats, b.d_carry + r * LANES, shard.rows * LANES,
                           b.d + (shard.offset[t] + r) * wide_back, shard.tokens * wide_back, b.d_extras);
  }
  INLINE Vec final_gradient(const ScanGradients& back, const B& b, long r, long j) {
    return back.dh_end ? load_part(back.dh_end + b.shard.row[r] * b.w.hidden + j * LANES, in_block(b.w.hidden, j)) : zero();
  }
  // h_{t−1} of a row: its previous output, or the initial state; null for zeros
  INLINE const float* previous_hidden(const ScanArgs& s, const B& b, long t, long r) {
    if (t) return s.y + b.shard.item[b.shard.offset[t - 1] + r] * s.y_stride;
    return s.h0 ? s.h0 + b.shard.row[r] * b.w.hidden : nullptr;
  }

  static void initial_gradients(const ScanGradients& back, B& b, long from, long to) {
    if (!back.dh0) return;
    const Shard& shard = b.shard;
    long H = b.w.hidden, n = shard.steps ? shard.active[0] : 0;
    auto add_gradient = [&](long r, long j, Vec dh) {
      if (Cell::carries == CARRIES_H) dh = dh + load(b.d_carry + (j * shard.rows + r) * LANES);
      store_part(back.dh0 + shard.row[r] * H + j * LANES, in_block(H, j), dh);
    };
    if (n) recurrent_gradients(b, 0, 0, n, from, to, add_gradient);
    for (long r = n; r < shard.rows; r++)
      for (long j = from * b.w.hidden_width; j < to * b.w.hidden_width && j < b.blocks; j++) add_gradient(r, j, final_gradient(back, b, r, j));
  }

  // ------------------------------------------------------------- work items after the backward recurrence, in any order

  static long items(const PackedWeights* w, const Shard* shards, long count, int phase) {
    if (phase == 1) return groups(*w) * (w->in_panels + w->hidden_panels) + (Cell::extras > 0);
    long chunks = 0;
    for (long i = 0; i < count; i++) chunks += (shards[i].tokens + TOKENS - 1) / TOKENS;
    return chunks * w->in_panels;
  }
  static void item(const ScanArgs* scan, const ScanGradients* back, const Shard* shards, long count, const float* const* saved,
                   float* const* memory, int phase, long index) {
    const PackedWeights& w = *scan->weights;
    if (phase == 0) return inputs(*scan, *back, shards, memory, index);
    (void)saved;
    long each = w.in_panels + w.hidden_panels, group = index / each, q = index % each;
    if (group == groups(w)) return extras(*scan, *back, shards, count, memory);
    long first = group * group_panels(w), last = first + group_panels(w) < w.panels ? first + group_panels(w) : w.panels;
    if (q < w.in_panels) weights(*scan, *back, shards, count, memory, false, q, first, last);
    else weights(*scan, *back, shards, count, memory, true, q - w.in_panels, first, last);
    for (; q == 0 && first < last; first++) biases(*scan, *back, shards, count, memory, first);
  }

  // Gradients of weights are computed for a group of panels at a time, whose d fits into a core's L2 cache.
  static long group_panels(const PackedWeights& w) {
    long panels = GROUP / (w.units * Cell::gates * LANES);
    return panels > 1 ? panels : 1;
  }
  static long groups(const PackedWeights& w) { return (w.panels + group_panels(w) - 1) / group_panels(w); }

  // dx of one panel of inputs, of up to TOKENS items
  static void inputs(const ScanArgs& s, const ScanGradients& back, const Shard* shards, float* const* memory, long index) {
    const PackedWeights& w = *s.weights;
    long chunk = index / w.in_panels, q = index % w.in_panels, i = 0;
    for (; chunk >= (shards[i].tokens + TOKENS - 1) / TOKENS; i++) chunk -= (shards[i].tokens + TOKENS - 1) / TOKENS;
    const Shard& shard = shards[i];
    B b(w, shard);
    ArenaLayout arena{memory[i]};
    b.allocate_backward(arena);
    long last = (chunk + 1) * TOKENS < shard.tokens ? (chunk + 1) * TOKENS : shard.tokens;
    long wide_back = w.units * Cell::back * LANES, K = w.panels * b.vectors * LANES;
    for_tiles(chunk * TOKENS, last, w.in_width, [&](long n, int height, int) {
      const float* rows[MAX_ROWS];
      alignas(64) float out[TILE_FLOATS];
      for (int m = 0; m < height; m++) rows[m] = b.d + (n + m) * wide_back + Cell::in_slot * LANES;
      const float* B = w.in_back + q * K * w.in_width * LANES;
      TILES[w.in_width - 1][height - 1](rows, w.panels, b.vectors * LANES, shard.tokens * wide_back, B, nullptr, out, B);
      for (int m = 0; m < height; m++)
        for (int v = 0; v < w.in_width; v++) {
          int wide = in_block(w.input, q * w.in_width + v);
          if (!wide) break;
          float* dx = back.dx + shard.item[n + m] * w.input + (q * w.in_width + v) * LANES;
          Vec value = load(out + (m * w.in_width + v) * LANES);
          if (wide == LANES) store(dx, back.add ? load(dx) + value : value);
          else store_part(dx, wide, back.add ? load_part(dx, wide) + value : value);
        }
    });
  }

  // Gradient of one panel of columns of W_in (or W_rec), for the rows of panels `first … last`: Σ over items of d ⊗ x (or h_{t−1})
  static void weights(const ScanArgs& s, const ScanGradients& back, const Shard* shards, long count, float* const* memory, bool rec, long q,
                      long first_panel, long last_panel) {
    const PackedWeights& w = *s.weights;
    long columns = rec ? w.hidden : w.input, H = w.hidden;
    int width = rec ? w.hidden_width : w.in_width, slot = rec ? Cell::rec_slot : Cell::in_slot;
    const int* order = rec ? Cell::rec_order : Cell::in_order;
    float* to = rec ? back.to.rec : back.to.in;
    long first = q * width * LANES, left = columns - first;
    int here = left < width * LANES ? (int)left : width * LANES;
    long from_block = first_panel * w.units, to_block = last_panel * w.units;
    for (int g = 0; g < Cell::gates; g++)
      for (long r = from_block * LANES; r < to_block * LANES && r < H; r++) __builtin_memset(to + (g * H + r) * columns + first, 0, here * 4);
    alignas(64) float block[DEPTH * MAX_WIDTH * LANES];  // [items][width][LANES] of x or h_{t−1}
    for (long i = 0; i < count; i++) {
      const Shard& shard = shards[i];
      B b(w, shard);
      ArenaLayout arena{memory[i]};
      b.allocate_backward(arena);
      long wide_back = w.units * Cell::back * LANES, t = 0;
      for (long n0 = 0; n0 < shard.tokens; n0 += DEPTH) {
        long depth = shard.tokens - n0 < DEPTH ? shard.tokens - n0 : DEPTH;
        for (long n = n0; n < n0 + depth; n++) {
          while (n >= shard.offset[t + 1]) t++;
          const float* from = rec ? previous_hidden(s, b, t, n - shard.offset[t]) : s.x + shard.item[n] * columns;
          float* line = block + (n - n0) * width * LANES;
          for (int v = 0; v < width; v++) {
            int wide = in_block(columns, q * width + v);
            store(line + v * LANES, !from || !wide ? zero() : wide == LANES ? load(from + first + v * LANES) : load_part(from + first + v * LANES, wide));
          }
        }
        for (long j = from_block; j < to_block && j < b.blocks; j++)
          for (int g = 0; g < Cell::gates; g++) {
            const float* d = b.d + ((j / w.units) * shard.tokens + n0) * wide_back + ((j % w.units) * Cell::back + slot + g) * LANES;
            for_tiles(0, in_block(H, j), width, [&](long m, int tall, int) {
              OUTERS[width - 1][tall - 1](d + m, wide_back, depth, block, to + (order[g] * H + j * LANES + m) * columns + first, columns, here);
            });
          }
      }
    }
  }

  static void biases(const ScanArgs& s, const ScanGradients& back, const Shard* shards, long count, float* const* memory, long panel) {
    const PackedWeights& w = *s.weights;
    long wide_back = w.units * Cell::back * LANES;
    if (!back.to.bias_in) return;
    Vec sum[MAX_WIDTH * 2];
    for (Vec& v : sum) v = zero();
    int vectors = w.units * Cell::back;
    for (long i = 0; i < count; i++) {
      B b(w, shards[i]);
      ArenaLayout arena{memory[i]};
      b.allocate_backward(arena);
      const float* d = b.d + panel * shards[i].tokens * wide_back;
      for (long n = 0; n < shards[i].tokens; n++, d += wide_back)
        for (int v = 0; v < vectors; v++) sum[v] = sum[v] + load(d + v * LANES);
    }
    for (int u = 0; u < w.units; u++)
      for (int g = 0; g < Cell::gates; g++) {
        long j = panel * w.units + u;
        int wide = in_block(w.hidden, j);
        if (!wide) continue;
        store_part(back.to.bias_in + Cell::in_order[g] * w.hidden + j * LANES, wide, sum[u * Cell::back + Cell::in_slot + g]);
        if (back.to.bias_rec) store_part(back.to.bias_rec + Cell::rec_order[g] * w.hidden + j * LANES, wide, sum[u * Cell::back + Cell::rec_slot + g]);
      }
  }

  static void extras(const ScanArgs& s, const ScanGradients& back, const Shard* shards, long count, float* const* memory) {
    for (long i = 0; i < count; i++) {
      B b(*s.weights, shards[i]);
      ArenaLayout arena{memory[i]};
      b.allocate_backward(arena);
      Cell::add_extras(*s.weights, b.blocks, b.d_extras, back.to, i == 0);
    }
  }

  // A constant, so that no code of this instruction set runs when the library is loaded: the processor may not have it.
  static constexpr CellKernels kernels(const char* name) {
    return {name,      Cell::gates, Cell::has_c ? 2 : 1, Cell::extras,   Cell::whole_rows, shape,    weight_floats, lay_out, pack,
            step_rows, step_floats, product_floats, products, saved_floats,        scratch_floats, back_floats,      forward,  backward,      items, item};
  }
};

// Defaults for cells without parameters beyond weights and biases.
struct NoExtras {
  static constexpr bool whole_rows = false;
  static constexpr int extras = 0, saved_stats = 0;
  static long d_extras_vectors(long) { return 0; }
  static void allocate_extras(PackedWeights*, long, ArenaLayout&) {}
  static void pack_extras(const PackedWeights&, const Parameters&) {}
  static void add_extras(const PackedWeights&, long, const float*, const Gradients&, bool) {}
};

}  // namespace ISA
}  // namespace stepscan
