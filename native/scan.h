// A cell over time: input product, recurrence, and back again. The cell brings only its pointwise arithmetic.
//
// A cell is a struct:
//   gates                  vectors of a unit block in the input and in the recurrent product
//   saved, back            vectors of a unit block that forward keeps for backward; gradients that backward makes
//   in_slot, rec_slot      where in `back` the gradients of the two products begin (`gates` of them each)
//   in_order, rec_order    which gate of PyTorch's weights each of these vectors is
//   units                  0: panels of as many blocks as fit (one gate); 1: one block with its gates
//   has_c, carries         whether there is a second leaf c; what goes to the step before beside the product: nothing, c or h
//   forward<save>(rec, gates, h_prev, c_prev, c) -> h      one block of one row
//       rec [gates][LANES]    recurrent product, its bias in it
//       gates [saved][LANES]  in: the input product, its bias in it, from vector 0 on; out: what backward needs
//       h_prev, c_prev, c     [LANES]; c may be c_prev
//   backward(dh, gates, h_prev, c_prev, c, carry, d)       the same block, back
//       dh                    all that flows into h_t;  carry [LANES] in: from the step after, out: to the step before
//       d [back][LANES]       out: gradients of the products' sums
// Cells that look at a whole row at once (`whole_rows`) have forward_row and backward_row instead: see layer_norm_lstm.h.
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

constexpr long CHUNK = 256;       // items whose input products are made at a time
constexpr long TOKENS = 96;       // items of a piece of dx
constexpr long DEPTH = 128;       // items of a block of a weight gradient
constexpr long GROUP = 128;       // rows of a weight gradient that are made together

// Sizes and addresses of one part's buffers. `n` is the number of items.
template <class Cell>
struct Buffers {
  const Packed& w;
  const Part& part;
  long blocks, vectors, padded;  // blocks of H; vectors a panel's product has; blocks with those that fill up the panels
  // kept for backward:
  float* gates;   // [panels][n (or a chunk)][units · saved][LANES]
  float* cells;   // [padded][rows + n (or rows)][LANES]: c; in backward's order, the first `rows` are c0
  float* notes;   // [n (or a chunk)][Cell::notes]
  // of forward only:
  float* h[2];    // [rows][padded · LANES]: h before and after a step, by turns
  float* product; // [rows][panels][vectors][LANES], where a cell looks at whole rows
  // of backward only:
  float* d;       // [panels][n][units · back][LANES]
  float* carry;   // [padded][rows][LANES]
  float* dh;      // [rows][padded · LANES], where a cell looks at whole rows
  float* own;     // gradients of the cell's extras, where it has them: [own_vectors(w)][LANES]

  Buffers(const Packed& weights, const Part& p) : w(weights), part(p) {
    blocks = blocks_of(w.hidden), vectors = w.units * Cell::gates, padded = w.panels * w.units;
  }
  long chunk() const {  // items a chunk may hold at most
    long most = CHUNK;
    for (long t = 0; t < part.steps; t++)
      if (part.active[t] > most) most = part.active[t];
    return most < part.tokens ? most : part.tokens;
  }
  void keep(Carver& c, bool save) {
    long n = save ? part.tokens : chunk();
    gates = c.take(w.panels * n * w.units * Cell::saved * LANES);
    cells = Cell::has_c ? c.take(padded * (part.rows + (save ? part.tokens : 0)) * LANES) : nullptr;
    notes = c.take(n * Cell::notes);
  }
  void forward(Carver& c) {
    h[0] = c.take(part.rows * padded * LANES);
    h[1] = c.take(part.rows * padded * LANES);
    product = Cell::whole_rows ? c.take(part.rows * w.panels * vectors * LANES) : nullptr;
  }
  void backward(Carver& c) {
    d = c.take(w.panels * part.tokens * w.units * Cell::back * LANES);
    carry = c.take(padded * part.rows * LANES);
    dh = Cell::whole_rows ? c.take(part.rows * w.hidden_panels * w.hidden_width * LANES) : nullptr;
    own = c.take(Cell::own_vectors(blocks) * LANES);
  }
};

INLINE void share(long total, int member, int members, long* from, long* to) {
  *from = total * member / members, *to = total * (member + 1) / members;
}
INLINE void copy_row(const float* from, float* to, long size) { if (from) __builtin_memcpy(to, from, size * 4); else __builtin_memset(to, 0, size * 4); }

template <class Cell>
struct Recurrent {
  typedef Buffers<Cell> B;

  // ------------------------------------------------------------------------------------------------------------ weights

  static void shape(Packed* w) {
    long blocks = blocks_of(w->hidden);
    w->units = Cell::units ? Cell::units : best_width(blocks);
    w->panels = (blocks + w->units - 1) / w->units;
    w->in_width = best_width(blocks_of(w->input)), w->hidden_width = best_width(blocks);
    w->in_panels = (blocks_of(w->input) + w->in_width - 1) / w->in_width;
    w->hidden_panels = (blocks + w->hidden_width - 1) / w->hidden_width;
  }
  static void carve(Packed* w, Carver& c, bool backward) {
    long vectors = w->units * Cell::gates, outputs = w->panels * vectors * LANES;
    w->in = {fitting(w->format, w->input), (int)vectors, w->input, w->panels, nullptr, nullptr, nullptr, nullptr};
    w->rec = {fitting(w->format, w->hidden), (int)vectors, w->hidden, w->panels, nullptr, nullptr, nullptr, nullptr};
    ISA::carve(&w->in, c), ISA::carve(&w->rec, c);
    w->in_back = backward ? c.take(outputs * w->in_panels * w->in_width * LANES) : nullptr;
    w->rec_back = backward ? c.take(outputs * w->hidden_panels * w->hidden_width * LANES) : nullptr;
    Cell::carve_extras(w, blocks_of(w->hidden), c);
  }
  static size_t weight_floats(const Packed* w, bool backward) {
    Packed copy = *w;
    Carver c{nullptr};
    carve(&copy, c, backward);
    return c.used;
  }
  static void lay_out(Packed* w, float* memory, bool backward) {
    Carver c{memory};
    carve(w, c, backward);
  }
  static void pack(const Packed* packed, const Parameters* p, const Group& group) {
    const Packed& w = *packed;
    pack_side(w, p->in, p->bias_in, Cell::in_order, w.in, group);
    pack_side(w, p->rec, p->bias_rec, Cell::rec_order, w.rec, group);
    if (w.in_back) {
      pack_back(w, p->in, w.input, Cell::in_order, w.in_width, w.in_panels, w.in_back, group);
      pack_back(w, p->rec, w.hidden, Cell::rec_order, w.hidden_width, w.hidden_panels, w.rec_back, group);
    }
    if (group.member == 0) Cell::pack_extras(w, *p);
  }
  static void pack_side(const Packed& w, const float* W, const float* bias, const int* order, const Matrix& to, const Group& group) {
    long from, last;
    share(w.panels * w.units, group.member, group.members, &from, &last);
    for (long block = from; block < last; block++)
      for (int g = 0; g < Cell::gates; g++) {
        const float* own = bias ? bias + order[g] * w.hidden : nullptr;
        pack_vector(to, block / w.units, (int)(block % w.units) * Cell::gates + g, W + order[g] * w.hidden * to.K, block * LANES,
                    in_block(w.hidden, block), own);
      }
  }
  static void pack_back(const Packed& w, const float* W, long columns, const int* order, int width, long panels, float* to, const Group& group) {
    long from_panel, to_panel;
    share(panels, group.member, group.members, &from_panel, &to_panel);
    for (long q = from_panel; q < to_panel; q++) {
      float* out = to + q * w.panels * w.units * Cell::gates * LANES * width * LANES;
      for (long block = 0; block < w.panels * w.units; block++)
        for (int g = 0; g < Cell::gates; g++)
          for (int lane = 0; lane < LANES; lane++, out += width * LANES) {
            const float* from = W + (order[g] * w.hidden + block * LANES + lane) * columns + q * width * LANES;
            bool there = lane < in_block(w.hidden, block);
            for (int n = 0; n < width; n++) {
              int count = in_block(columns, q * width + n);
              store(out + n * LANES, !there || !count ? zero() : count == LANES ? load(from + n * LANES) : load_part(from + n * LANES, count));
            }
          }
    }
  }

  // ------------------------------------------------------------------------------------------------------------ forward

  static size_t saved_floats(const Packed* w, const Part* part) {
    B b(*w, *part);
    Carver c{nullptr};
    b.keep(c, true);
    return c.used;
  }
  static size_t scratch_floats(const Packed* w, const Part* part, bool save) {
    B b(*w, *part);
    Carver c{nullptr};
    if (!save) b.keep(c, false);
    b.forward(c);
    return c.used;
  }

  static void forward(const Scan* scan, const Part* part, float* saved, float* scratch, const Group& group) {
    B b(*scan->weights, *part);
    Carver of_scratch{scratch}, of_saved{saved};
    b.keep(saved ? of_saved : of_scratch, saved != nullptr);
    b.forward(of_scratch);
    if (saved) run<true>(*scan, b, group);
    else run<false>(*scan, b, group);
  }

  template <bool save>
  static void run(const Scan& s, B& b, const Group& group) {
    const Packed& w = b.w;
    const Part& part = b.part;
    int member = group.member, members = group.members;
    long from, to, in_cells = part.rows + (save ? part.tokens : 0), capacity = save ? part.tokens : b.chunk();
    share(w.panels, member, members, &from, &to);
    start(s, b, in_cells, member, members);
    group.wait();
    for (long t0 = 0, t1; t0 < part.steps; t0 = t1) {
      for (t1 = t0 + 1; t1 < part.steps && part.offset[t1 + 1] - part.offset[t0] <= CHUNK; t1++) {}
      long base = save ? 0 : part.offset[t0];
      from_inputs(s, b, part.offset[t0], part.offset[t1], base, capacity, from, to);
      for (long t = t0; t < t1; t++) {
        step<save>(s, b, t, base, capacity, in_cells, from, to);
        group.wait();
      }
    }
    finish<save>(s, b, in_cells, member, members);
  }

  static void start(const Scan& s, B& b, long in_cells, int member, int members) {
    long H = b.w.hidden, wide = b.padded * LANES;
    for (long r = member; r < b.part.rows; r += members) {
      long row = b.part.row[r];
      __builtin_memset(b.h[0] + r * wide, 0, wide * 4), __builtin_memset(b.h[1] + r * wide, 0, wide * 4);
      if (s.h0) __builtin_memcpy(b.h[0] + r * wide, s.h0 + row * H, H * 4);
      if (Cell::has_c)
        for (long j = 0; j < b.padded; j++) {
          int count = in_block(H, j);
          store(b.cells + (j * in_cells + r) * LANES, s.c0 && count ? load_part(s.c0 + row * H + j * LANES, count) : zero());
        }
    }
  }

  // gates = W x + b of items `first … last`, of which `base` is the first in the buffer
  static void from_inputs(const Scan& s, B& b, long first, long last, long base, long capacity, long from, long to) {
    const Packed& w = b.w;
    long row_floats = w.units * Cell::saved * LANES;
    multiply(w.in, first, last, from, to, [&](long n) { return s.x + b.part.item[n] * w.input; }, [](long, long, int) {},
             [&](long p, long n, int count, const float* out) {
               for (int m = 0; m < count; m++) spread(w, out + m * b.vectors * LANES, b.gates + (p * capacity + n + m - base) * row_floats);
             });
  }
  // a panel's input products [units · gates][LANES] to where its cell wants them, [units · saved][LANES]
  INLINE void spread(const Packed& w, const float* product, float* gates) {
    for (int u = 0; u < w.units; u++)
      for (int g = 0; g < Cell::gates; g++)
        store(gates + (u * Cell::saved + g) * LANES, load(product + (u * Cell::gates + g) * LANES));
  }

  template <bool save>
  static void step(const Scan& s, B& b, long t, long base, long capacity, long in_cells, long from, long to) {
    const Packed& w = b.w;
    const Part& part = b.part;
    long H = w.hidden, wide = b.padded * LANES, row_floats = w.units * Cell::saved * LANES, here = part.offset[t] - base;
    const float* h_prev = b.h[t & 1];
    float* h_next = b.h[(t + 1) & 1];
    long now = save ? part.rows + part.offset[t] : 0;                        // in cells
    long before = save && t ? part.rows + part.offset[t - 1] : 0;
    auto gates_of = [&](long p, long r) { return b.gates + (p * capacity + here + r) * row_floats; };
    multiply(w.rec, 0, part.active[t], from, to, [&](long r) { return h_prev + r * wide; },
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
                     put(s, b, t, r, j, h);
                   }
                 }
               }
             });
    if constexpr (Cell::whole_rows)
      for (long r = 0; r < part.active[t]; r++) {
        float* h = h_next + r * wide;
        Cell::template forward_row<save>(w, b.blocks, b.product + r * w.panels * b.vectors * LANES, b.gates + (here + r) * row_floats,
                                         capacity * row_floats, b.cells + (before + r) * LANES, b.cells + (now + r) * LANES,
                                         in_cells * LANES, b.notes + (here + r) * Cell::notes, h);
        __builtin_memcpy(s.y + part.item[part.offset[t] + r] * s.y_stride, h, H * 4);
      }
  }
  INLINE void put(const Scan& s, const B& b, long t, long r, long j, Vec h) {
    float* y = s.y + b.part.item[b.part.offset[t] + r] * s.y_stride + j * LANES;
    int count = in_block(b.w.hidden, j);
    if (count == LANES) store(y, h);
    else store_part(y, count, h);
  }

  // final states, and zeros in the padding
  template <bool save>
  static void finish(const Scan& s, B& b, long in_cells, int member, int members) {
    const Part& part = b.part;
    long H = b.w.hidden, wide = b.padded * LANES;
    for (long r = member; r < part.rows; r += members) {
      long row = part.row[r], length = part.length[r];
      if (s.h_end) __builtin_memcpy(s.h_end + row * H, b.h[length & 1] + r * wide, H * 4);
      if (Cell::has_c && s.c_end) {
        long place = save && length ? part.rows + part.offset[length - 1] + r : r;
        for (long j = 0; j < b.blocks; j++)
          store_part(s.c_end + row * H + j * LANES, in_block(H, j), load(b.cells + (j * in_cells + place) * LANES));
      }
      for (long t = length; t < s.steps; t++) __builtin_memset(s.y + (row * s.steps + t) * s.y_stride, 0, H * 4);
    }
  }

  // --------------------------------------------------------------------------------- one item of rows that lie anywhere

  // scratch: input products [panels][rows][units · saved][LANES]; where a cell looks at whole rows, also recurrent products
  // [rows][panels][units · gates][LANES], and c, h and notes of one row
  static size_t step_floats(const Packed* w, long rows) {
    size_t row = (size_t)(w->panels * w->units * LANES);
    return rows * row * Cell::saved + (Cell::whole_rows ? rows * row * Cell::gates + 2 * row + Cell::notes : 0);
  }
  static size_t product_floats(const Packed* w) { return (size_t)(w->panels * w->units * Cell::saved * LANES); }
  static void products(const Packed* w, const float* x, float* to) {
    multiply(w->in, 0, 1, 0, w->panels, [&](long) { return x; }, [](long, long, int) {},
             [&](long p, long, int, const float* out) { spread(*w, out, to + p * w->units * Cell::saved * LANES); });
  }
  static void step_rows(const Packed* packed, const Rows* given, float* scratch, const Group& group) {
    const Packed& w = *packed;
    const Rows& rows = *given;
    const long row_floats = w.units * Cell::saved * LANES, vectors = w.units * Cell::gates, blocks = blocks_of(w.hidden), n = rows.count;
    float* product = scratch + w.panels * n * row_floats;  // of whole rows
    long from, to;
    share(w.panels, group.member, group.members, &from, &to);
    auto nothing = [](long, long, int) {};
    auto gates_of = [&](long p, long r) {
      return rows.multiplied && !Cell::whole_rows ? rows.x.at(r) + p * row_floats : scratch + (p * n + r) * row_floats;
    };
    if (!rows.multiplied)
      multiply(w.in, 0, n, from, to, [&](long r) { return rows.x.at(r); }, nothing, [&](long p, long r, int count, const float* out) {
        for (int m = 0; m < count; m++) spread(w, out + m * vectors * LANES, gates_of(p, r + m));
      });
    else if (Cell::whole_rows)
      for (long p = from; p < to; p++)
        for (long r = 0; r < n; r++) __builtin_memcpy(gates_of(p, r), rows.x.at(r) + p * row_floats, row_floats * 4);
    multiply(w.rec, 0, n, from, to, [&](long r) { return rows.h.at(r); }, nothing, [&](long p, long r, int count, const float* out) {
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
      float *c = product + n * w.panels * vectors * LANES, *h = c + blocks * LANES, *notes = h + blocks * LANES;
      for (long r = 0; r < n && group.member == 0; r++) {
        for (long j = 0; j < blocks; j++) store(c + j * LANES, load_part(rows.c.at(r) + j * LANES, in_block(w.hidden, j)));
        Cell::template forward_row<false>(w, blocks, product + r * w.panels * vectors * LANES, gates_of(0, r), n * row_floats, c, c, LANES,
                                          notes, h);
        __builtin_memcpy(rows.h_next.at(r), h, w.hidden * 4), __builtin_memcpy(rows.c_next.at(r), c, w.hidden * 4);
      }
    }
  }

  // ----------------------------------------------------------------------------------------------------------- backward

  static size_t back_floats(const Packed* w, const Part* part) {
    B b(*w, *part);
    Carver c{nullptr};
    b.backward(c);
    return c.used;
  }

  static void backward(const Scan* scan, const ScanBack* back, const Part* the_part, const float* saved, float* memory,
                       const Group& group) {
    const Scan& s = *scan;
    const Part& part = *the_part;
    B b(*s.weights, part);
    Carver of_saved{const_cast<float*>(saved)}, of_back{memory};
    b.keep(of_saved, true), b.backward(of_back);
    const Packed& w = b.w;
    long from, to, H = w.hidden, wide_back = w.units * Cell::back * LANES;
    int member = group.member, members = group.members;
    share(w.hidden_panels, member, members, &from, &to);
    if (!member) __builtin_memset(b.own, 0, Cell::own_vectors(b.blocks) * LANES * 4);
    for (long j = member; j < b.padded; j += members)
      for (long r = 0; r < part.rows; r++) {
        int count = in_block(H, j);
        bool given = Cell::carries == CARRIES_C && back->dc_end && count;
        store(b.carry + (j * part.rows + r) * LANES, given ? load_part(back->dc_end + part.row[r] * H + j * LANES, count) : zero());
      }
    for (long j = b.blocks + member; j < b.padded; j += members)  // blocks that only fill up the last panel
      for (long n = 0; n < part.tokens; n++)
        __builtin_memset(b.d + ((j / w.units) * part.tokens + n) * wide_back + (j % w.units) * Cell::back * LANES, 0, Cell::back * LANES * 4);
    group.wait();
    for (long t = part.steps - 1; t >= 0; t--) {
      back_step(s, *back, b, t, from, to);
      group.wait();
    }
    to_start(*back, b, from, to);
    if (Cell::has_c && back->dc0)
      for (long r = member; r < part.rows; r += members)
        for (long j = 0; j < b.blocks; j++)
          store_part(back->dc0 + part.row[r] * H + j * LANES, in_block(H, j), load(b.carry + (j * part.rows + r) * LANES));
    if (back->dx && !back->add)
      for (long r = member; r < part.rows; r += members)
        __builtin_memset(back->dx + (part.row[r] * s.steps + part.length[r]) * w.input, 0, (s.steps - part.length[r]) * w.input * 4);
  }

  // f(r, j, dh) for rows `first … last`: dh [LANES] that flows to h_{t−1} of block j out of step t's gradients
  template <class F>
  static void from_next(B& b, long t, long first, long last, long from, long to, F f) {
    const Packed& w = b.w;
    const Part& part = b.part;
    long wide_back = w.units * Cell::back * LANES, K = w.panels * b.vectors * LANES;
    for (long q = from; q < to; q++)
      by_tiles(first, last, w.hidden_width, [&](long r, int count, int number) {
        const float* rows[TALLEST];
        alignas(64) float out[TILE_FLOATS];
        for (int m = 0; m < count; m++) rows[m] = b.d + (part.offset[t] + r + m) * wide_back + Cell::rec_slot * LANES;
        const float* B = w.rec_back + q * K * w.hidden_width * LANES;
        TILES[w.hidden_width - 1][count - 1](rows, w.panels, b.vectors * LANES, part.tokens * wide_back, B, nullptr, out,
                                             fetch_ahead(B, K, w.hidden_width, q, to, number));
        for (int m = 0; m < count; m++)
          for (int u = 0; u < w.hidden_width && q * w.hidden_width + u < b.blocks; u++)
            f(r + m, q * w.hidden_width + u, load(out + (m * w.hidden_width + u) * LANES));
      });
  }

  static void back_step(const Scan& s, const ScanBack& back, B& b, long t, long from, long to) {
    const Packed& w = b.w;
    const Part& part = b.part;
    long H = w.hidden, wide = b.padded * LANES, n = part.active[t], next = part.active[t + 1];
    long row_floats = w.units * Cell::saved * LANES, wide_back = w.units * Cell::back * LANES, in_cells = part.rows + part.tokens;
    long before = t ? part.rows + part.offset[t - 1] : 0, now = part.rows + part.offset[t];
    auto arrive = [&](long r, long j, Vec dh) {
      int count = in_block(H, j);
      const float* dy = back.dy + part.item[part.offset[t] + r] * s.y_stride + j * LANES;
      dh = dh + (count == LANES ? load(dy) : load_part(dy, count));
      if constexpr (Cell::whole_rows) {
        store(b.dh + r * wide + j * LANES, dh);
        return;
      } else {
        float* carry = b.carry + (j * part.rows + r) * LANES;
        if (Cell::carries == CARRIES_H) dh = dh + load(carry);
        const float* h = previous(s, b, t, r);
        Vec h_prev = !h ? zero() : count == LANES ? load(h + j * LANES) : load_part(h + j * LANES, count);
        long panel = j / w.units, u = j % w.units;
        Cell::backward(dh, b.gates + (panel * part.tokens + part.offset[t] + r) * row_floats + u * Cell::saved * LANES, h_prev,
                       Cell::has_c ? b.cells + (j * in_cells + before + r) * LANES : nullptr,
                       Cell::has_c ? b.cells + (j * in_cells + now + r) * LANES : nullptr, carry,
                       b.d + (panel * part.tokens + part.offset[t] + r) * wide_back + u * Cell::back * LANES);
      }
    };
    if (next) from_next(b, t + 1, 0, next, from, to, arrive);
    for (long r = next; r < n; r++)
      for (long j = from * w.hidden_width; j < to * w.hidden_width && j < b.blocks; j++) arrive(r, j, at_end(back, b, r, j));
    if constexpr (Cell::whole_rows)
      for (long r = 0; r < n; r++)
        Cell::backward_row(w, b.blocks, b.dh + r * wide, b.gates + (part.offset[t] + r) * row_floats, part.tokens * row_floats,
                           b.cells + (before + r) * LANES, b.cells + (now + r) * LANES, in_cells * LANES,
                           b.notes + (part.offset[t] + r) * Cell::notes, b.carry + r * LANES, part.rows * LANES,
                           b.d + (part.offset[t] + r) * wide_back, part.tokens * wide_back, b.own);
  }
  INLINE Vec at_end(const ScanBack& back, const B& b, long r, long j) {
    return back.dh_end ? load_part(back.dh_end + b.part.row[r] * b.w.hidden + j * LANES, in_block(b.w.hidden, j)) : zero();
  }
  // h_{t−1} of a row: its output before, or where it began; null for zeros
  INLINE const float* previous(const Scan& s, const B& b, long t, long r) {
    if (t) return s.y + b.part.item[b.part.offset[t - 1] + r] * s.y_stride;
    return s.h0 ? s.h0 + b.part.row[r] * b.w.hidden : nullptr;
  }

  static void to_start(const ScanBack& back, B& b, long from, long to) {
    if (!back.dh0) return;
    const Part& part = b.part;
    long H = b.w.hidden, n = part.steps ? part.active[0] : 0;
    auto arrive = [&](long r, long j, Vec dh) {
      if (Cell::carries == CARRIES_H) dh = dh + load(b.carry + (j * part.rows + r) * LANES);
      store_part(back.dh0 + part.row[r] * H + j * LANES, in_block(H, j), dh);
    };
    if (n) from_next(b, 0, 0, n, from, to, arrive);
    for (long r = n; r < part.rows; r++)
      for (long j = from * b.w.hidden_width; j < to * b.w.hidden_width && j < b.blocks; j++) arrive(r, j, at_end(back, b, r, j));
  }

  // ------------------------------------------------------------------- pieces of work after backward, in any order

  static long items(const Packed* w, const Part* parts, long count, int phase) {
    if (phase == 1) return groups(*w) * (w->in_panels + w->hidden_panels) + (Cell::extras > 0);
    long pieces = 0;
    for (long i = 0; i < count; i++) pieces += (parts[i].tokens + TOKENS - 1) / TOKENS;
    return pieces * w->in_panels;
  }
  static void item(const Scan* scan, const ScanBack* back, const Part* parts, long count, const float* const* saved,
                   float* const* memory, int phase, long number) {
    const Packed& w = *scan->weights;
    if (phase == 0) return inputs(*scan, *back, parts, memory, number);
    (void)saved;
    long each = w.in_panels + w.hidden_panels, group = number / each, q = number % each;
    if (group == groups(w)) return extras(*scan, *back, parts, count, memory);
    long first = group * group_panels(w), last = first + group_panels(w) < w.panels ? first + group_panels(w) : w.panels;
    if (q < w.in_panels) weights(*scan, *back, parts, count, memory, false, q, first, last);
    else weights(*scan, *back, parts, count, memory, true, q - w.in_panels, first, last);
    for (; q == 0 && first < last; first++) biases(*scan, *back, parts, count, memory, first);
  }

  // Gradients of weights are made for a group of panels at a time, whose d stays in a core's second cache.
  static long group_panels(const Packed& w) {
    long panels = GROUP / (w.units * Cell::gates * LANES);
    return panels > 1 ? panels : 1;
  }
  static long groups(const Packed& w) { return (w.panels + group_panels(w) - 1) / group_panels(w); }

  // dx of one panel of inputs, of up to TOKENS items
  static void inputs(const Scan& s, const ScanBack& back, const Part* parts, float* const* memory, long number) {
    const Packed& w = *s.weights;
    long piece = number / w.in_panels, q = number % w.in_panels, i = 0;
    for (; piece >= (parts[i].tokens + TOKENS - 1) / TOKENS; i++) piece -= (parts[i].tokens + TOKENS - 1) / TOKENS;
    const Part& part = parts[i];
    B b(w, part);
    Carver c{memory[i]};
    b.backward(c);
    long last = (piece + 1) * TOKENS < part.tokens ? (piece + 1) * TOKENS : part.tokens;
    long wide_back = w.units * Cell::back * LANES, K = w.panels * b.vectors * LANES;
    by_tiles(piece * TOKENS, last, w.in_width, [&](long n, int rows_here, int) {
      const float* rows[TALLEST];
      alignas(64) float out[TILE_FLOATS];
      for (int m = 0; m < rows_here; m++) rows[m] = b.d + (n + m) * wide_back + Cell::in_slot * LANES;
      const float* B = w.in_back + q * K * w.in_width * LANES;
      TILES[w.in_width - 1][rows_here - 1](rows, w.panels, b.vectors * LANES, part.tokens * wide_back, B, nullptr, out, B);
      for (int m = 0; m < rows_here; m++)
        for (int v = 0; v < w.in_width; v++) {
          int wide = in_block(w.input, q * w.in_width + v);
          if (!wide) break;
          float* dx = back.dx + part.item[n + m] * w.input + (q * w.in_width + v) * LANES;
          Vec value = load(out + (m * w.in_width + v) * LANES);
          if (wide == LANES) store(dx, back.add ? load(dx) + value : value);
          else store_part(dx, wide, back.add ? load_part(dx, wide) + value : value);
        }
    });
  }

  // Gradient of one panel of columns of W_in (or W_rec), of the rows of panels `first … last`: Σ over items of d ⊗ x (or h_{t−1})
  static void weights(const Scan& s, const ScanBack& back, const Part* parts, long count, float* const* memory, bool rec, long q,
                      long first_panel, long last_panel) {
    const Packed& w = *s.weights;
    long columns = rec ? w.hidden : w.input, H = w.hidden;
    int width = rec ? w.hidden_width : w.in_width, slot = rec ? Cell::rec_slot : Cell::in_slot;
    const int* order = rec ? Cell::rec_order : Cell::in_order;
    float* to = rec ? back.to.rec : back.to.in;
    long first = q * width * LANES, left = columns - first;
    int here = left < width * LANES ? (int)left : width * LANES;
    long from_block = first_panel * w.units, to_block = last_panel * w.units;
    for (int g = 0; g < Cell::gates; g++)
      for (long r = from_block * LANES; r < to_block * LANES && r < H; r++) __builtin_memset(to + (g * H + r) * columns + first, 0, here * 4);
    alignas(64) float block[DEPTH * WIDEST * LANES];  // [items][width][LANES] of x or h_{t−1}
    for (long i = 0; i < count; i++) {
      const Part& part = parts[i];
      B b(w, part);
      Carver c{memory[i]};
      b.backward(c);
      long wide_back = w.units * Cell::back * LANES, t = 0;
      for (long n0 = 0; n0 < part.tokens; n0 += DEPTH) {
        long depth = part.tokens - n0 < DEPTH ? part.tokens - n0 : DEPTH;
        for (long n = n0; n < n0 + depth; n++) {
          while (n >= part.offset[t + 1]) t++;
          const float* from = rec ? previous(s, b, t, n - part.offset[t]) : s.x + part.item[n] * columns;
          float* line = block + (n - n0) * width * LANES;
          for (int v = 0; v < width; v++) {
            int wide = in_block(columns, q * width + v);
            store(line + v * LANES, !from || !wide ? zero() : wide == LANES ? load(from + first + v * LANES) : load_part(from + first + v * LANES, wide));
          }
        }
        for (long j = from_block; j < to_block && j < b.blocks; j++)
          for (int g = 0; g < Cell::gates; g++) {
            const float* d = b.d + ((j / w.units) * part.tokens + n0) * wide_back + ((j % w.units) * Cell::back + slot + g) * LANES;
            by_tiles(0, in_block(H, j), width, [&](long m, int tall, int) {
              OUTERS[width - 1][tall - 1](d + m, wide_back, depth, block, to + (order[g] * H + j * LANES + m) * columns + first, columns, here);
            });
          }
      }
    }
  }

  static void biases(const Scan& s, const ScanBack& back, const Part* parts, long count, float* const* memory, long panel) {
    const Packed& w = *s.weights;
    long wide_back = w.units * Cell::back * LANES;
    if (!back.to.bias_in) return;
    Vec sum[WIDEST * 2];
    for (Vec& v : sum) v = zero();
    int many = w.units * Cell::back;
    for (long i = 0; i < count; i++) {
      B b(w, parts[i]);
      Carver c{memory[i]};
      b.backward(c);
      const float* d = b.d + panel * parts[i].tokens * wide_back;
      for (long n = 0; n < parts[i].tokens; n++, d += wide_back)
        for (int v = 0; v < many; v++) sum[v] = sum[v] + load(d + v * LANES);
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

  static void extras(const Scan& s, const ScanBack& back, const Part* parts, long count, float* const* memory) {
    for (long i = 0; i < count; i++) {
      B b(*s.weights, parts[i]);
      Carver c{memory[i]};
      b.backward(c);
      Cell::add_extras(*s.weights, b.blocks, b.own, back.to, i == 0);
    }
  }

  // Constant, so that no code of this instruction set runs while the library is loaded: the processor may lack it.
  static constexpr CellKernels kernels(const char* name) {
    return {name,      Cell::gates, Cell::has_c ? 2 : 1, Cell::extras,   Cell::whole_rows, shape,    weight_floats, lay_out, pack,
            step_rows, step_floats, product_floats, products, saved_floats,        scratch_floats, back_floats,      forward,  backward,      items, item};
  }
};

// What a cell has that has nothing beside the four weights.
struct NoExtras {
  static constexpr bool whole_rows = false;
  static constexpr int extras = 0, notes = 0;
  static long own_vectors(long) { return 0; }
  static void carve_extras(Packed*, long, Carver&) {}
  static void pack_extras(const Packed&, const Parameters&) {}
  static void add_extras(const Packed&, long, const float*, const Gradients&, bool) {}
};

}  // namespace ISA
}  // namespace stepscan
