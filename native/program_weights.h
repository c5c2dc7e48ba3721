// A program's weights, packed for the products, and its vectors and constants.
#pragma once
#include "program_layout.h"

namespace stepscan {
namespace ISA {

// Blocks of a panel: as many as fit, and a block-diagonal matrix's in one block of it where that is wide enough.
INLINE long panel_blocks(const ProgramMatrix& m) {
  const long outputs = m.back ? m.inputs : m.width, blocks = blocks_of(outputs), most = outputs / m.heads / LANES;
  const long many = m.back ? 1 : m.parts;
  if (many > 2) return 1;
  if (m.heads == 1) return many == 1 ? best_width(blocks) : blocks % 2 ? 1 : 2;
  long unit = 1;
  for (long u = 2; u * many <= MAX_WIDTH && u <= most; u++)
    if (most % u == 0) unit = u;
  return unit;
}

struct Band {  // what a panel of a block-diagonal matrix reads: inputs, or blocks of gradients
  long first, count;
};
INLINE Band band(const ProgramMatrix& m, long unit, long panel) {
  const long outputs = m.back ? m.inputs : m.width, inputs = m.back ? m.width : m.inputs;
  const long out = outputs / m.heads, in = inputs / m.heads;
  const long last = (panel + 1) * unit * LANES < outputs ? (panel + 1) * unit * LANES : outputs;
  const long first_head = panel * unit * LANES / out, end_head = (last - 1) / out + 1;
  long from = first_head * in, to = end_head * in;
  if (m.back) from = from / LANES, to = (to + LANES - 1) / LANES;
  return {from, to - from};
}

static void lay_out_matrix(const ProgramMatrix& m, PackedMatrix* w, Format format, ArenaLayout* arena) {
  const long outputs = m.back ? m.inputs : m.width, inputs = m.back ? m.width : m.inputs, all = m.back ? blocks_of(inputs) : inputs;
  w->unit = panel_blocks(m), w->count = (blocks_of(outputs) + w->unit - 1) / w->unit, w->first = nullptr;
  long reads = all;
  if (m.heads > 1) {
    reads = 0;
    for (long p = 0; p < w->count; p++)
      if (band(m, w->unit, p).count > reads) reads = band(m, w->unit, p).count;
    long* first = (long*)arena->allocate(2 * w->count);
    for (long p = 0; arena->base && p < w->count; p++) first[p] = band(m, w->unit, p).first < all - reads ? band(m, w->unit, p).first : all - reads;
    w->first = arena->base ? first : nullptr;
  }
  w->chunks = reads;
  if (m.back) w->back = arena->allocate(w->count * reads * m.parts * LANES * w->unit * LANES);
  else {
    w->panels = {effective_format(format, reads), (int)(w->unit * m.parts), reads, w->count, nullptr, nullptr, nullptr, nullptr};
    allocate(&w->panels, *arena);
    bool contiguous = m.heads == 1;
    for (int k = 0; k < m.parts; k++) contiguous = contiguous && m.part[k].ld == m.inputs;
    w->few = contiguous ? nullptr : arena->allocate(LANES * reads);
  }
}

static void lay_out_weights(PackedProgram* p, Format format, ArenaLayout* arena) {
  const ProgramData& data = *p->data;
  p->memory = arena->base;
  for (int i = 0; i < data.matrices; i++) lay_out_matrix(data.matrix[i], p->matrix + i, format, arena);
  for (int k = 0; k < PROGRAMS; k++) {
    for (int i = 0; i < data.program[k].count; i++) lay_out_stage(data, p->matrix, data.program[k].stage[i], p->stage[k] + i, arena);
    join_stages(data.program[k], p->stage[k]);
  }
  lay_out_arrays(p, arena);
  find_states(p, arena);
  find_table(p, arena);
}

// Up to LANES rows of a part, [LANES][K] with zeros where there is nothing: rows `row …` and inputs `first … first + K`
static void gather_rows(const ProgramMatrix& m, const WeightPart& part, const float* W, long row, long first, long K, float* to) {
  const long out = m.width / m.heads, in = m.inputs / m.heads;
  for (long i = 0; i < LANES; i++)
    for (long k = 0; k < K; k++) {
      const long r = row + i, column = first + k - r / out * in;
      to[i * K + k] = r < m.width && column >= 0 && column < in ? W[part.offset + r * part.ld + column] : 0;
    }
}

static void pack_panels(const ProgramMatrix& m, const PackedMatrix& w, const float* const* weights, const Group& group) {
  for (long q = 0; q < w.count; q++)
    for (long u = 0; u < w.unit; u++)
      for (int k = 0; k < m.parts; k++) {
        const WeightPart& part = m.part[k];
        const long row = (q * w.unit + u) * LANES;
        const int count = in_block(m.width, q * w.unit + u), v = (int)(u * m.parts + k);
        const float* bias = part.bias < 0 || !count ? nullptr : weights[part.bias] + part.bias_offset + row;
        if (part.ld == m.inputs && m.heads == 1) {
          if (q % group.members == group.member) pack_vector(w.panels, q, v, weights[part.weight] + part.offset + row * part.ld, 0, count, bias);
        } else if (!group.member) {
          gather_rows(m, part, weights[part.weight], row, w.first ? w.first[q] : 0, w.panels.K, w.few);
          pack_vector(w.panels, q, v, w.few, 0, count, bias);
        }
      }
}

// Vectors of the transposed weights: for each block of gradients, each part and each of its lanes, a row of the part
static void pack_back(const ProgramMatrix& m, const PackedMatrix& w, const float* const* weights, const Group& group) {
  const long out = m.width / m.heads, in = m.inputs / m.heads, vectors = w.unit;
  for (long q = group.member; q < w.count; q += group.members) {
    float* to = w.back + q * w.chunks * m.parts * LANES * vectors * LANES;
    for (long c = 0; c < w.chunks; c++)
      for (int k = 0; k < m.parts; k++)
        for (int lane = 0; lane < LANES; lane++, to += vectors * LANES) {
          const long row = ((w.first ? w.first[q] : 0) + c) * LANES + lane, head = row / out * in;
          const float* from = weights[m.part[k].weight] + m.part[k].offset + row * m.part[k].ld - head;
          for (long u = 0; u < vectors; u++) {
            const long column = (q * vectors + u) * LANES;
            if (row >= m.width || column >= head + in || column + LANES <= head) store(to + u * LANES, zero());
            else if (column >= head && column + LANES <= head + in) store(to + u * LANES, load(from + column));
            else
              for (long i = 0; i < LANES; i++) to[u * LANES + i] = column + i >= head && column + i < head + in ? from[column + i] : 0;
          }
        }
  }
}

static void pack(const PackedProgram* p, const float* const* weights, const Group& group) {
  const ProgramData& data = *p->data;
  for (int i = 0; i < data.matrices; i++) {
    if (data.matrix[i].back) pack_back(data.matrix[i], p->matrix[i], weights, group);
    else pack_panels(data.matrix[i], p->matrix[i], weights, group);
  }
  for (int i = 0; i < data.arrays && !group.member; i++) {
    const ProgramArray& a = data.array[i];
    float* to = p->memory + p->place[i].first;
    if (a.kind == CONSTANT) {
      const int32_t bits = (int32_t)a.of;
      float value;
      __builtin_memcpy(&value, &bits, 4);
      store(to, set1(value));
    }
    if (a.kind == VECTOR && a.width == 1) store(to, set1(weights[a.of][a.offset]));
    else if (a.kind == VECTOR)
      for (long j = 0; j < blocks_of(a.width); j++) store(to + j * LANES, load_part(weights[a.of] + a.offset + j * LANES, in_block(a.width, j)));
  }
}

}  // namespace ISA
}  // namespace stepscan
