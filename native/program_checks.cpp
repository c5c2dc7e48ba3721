// What a decoded program must be, so that running it touches only its own memory and reads nothing that was not written.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "program_engine.h"

namespace stepscan {
namespace {

constexpr long MOST_NUMBERS = 1L << 26;   // of a row in all arrays, and of packed matrices
constexpr long MOST_TEMPORARY = 1L << 14;  // values of a tile in all arrays: a thread has memory for all of them

#define STEPSCAN_ARITY(name, arity) arity,
constexpr int ARITY[] = {STEPSCAN_OPERATIONS(STEPSCAN_ARITY)};
#undef STEPSCAN_ARITY
const char* const PROGRAM_NAMES[] = {"items", "step", "step back", "items back", "last step back"};

class Checker {
 public:
  explicit Checker(const ProgramData& data) : d_(data) {}
  void check() {
    for (int i = 0; i < d_.arrays; i++) check_array(i);
    for (int i = 0; i < d_.matrices; i++) check_matrix(i);
    for (program_ = 0; program_ < PROGRAMS; program_++) check_stages();
    where_ = "program";
    check_states();
    for (int i = 0; i < d_.gradients; i++) check_gradient(i);
  }

 private:
  typedef std::pair<int, int> Slot;  // of an array

  void expect(bool right, const char* what) const {
    if (!right) throw ProgramFault(where_ + ": expected " + what);
  }
  const ProgramArray& array(const Stage& s, int operand) const { return d_.array[s.operand[operand].array]; }

  // ------------------------------------------------------------------------------------------- arrays, matrices, gradients

  void check_array(int index) {
    const ProgramArray& a = d_.array[index];
    where_ = "program, array " + std::to_string(index);
    const bool rows = a.kind == KEPT || a.kind == STATE || a.kind == ROWS;
    expect(!a.row_major || (rows && a.slots == 1), "rows of one value only in arrays of items, states or rows");
    expect(a.kind == TEMPORARY || a.kind == KEPT || a.kind == GRADIENT || a.kind == ROWS || a.slots == 1, "one slot");
    numbers_ += a.width * a.slots, temporary_ += a.kind == TEMPORARY ? a.slots : 0;
    expect(numbers_ <= MOST_NUMBERS && temporary_ <= MOST_TEMPORARY, "fewer numbers in all arrays");
    if (a.kind == STATE || a.kind == CARRY) {
      expect(a.of >= 0 && a.of < d_.leaves, "a leaf of the state");
      expect(a.offset + a.width <= d_.leaf_width[a.of], "a part of its leaf");
    } else if (a.kind == ITEMS) {
      expect(a.of >= 0 && a.of <= X_GRADIENT, "x, y or a gradient of these");
      expect(a.offset + a.width <= (a.of == X || a.of == X_GRADIENT ? d_.input : d_.output), "a part of an item");
    } else if (a.kind == VECTOR || a.kind == SUM) {
      expect(a.of >= 0 && a.of < d_.weights, "a weight");
      expect(a.offset + a.width <= d_.weight_size[a.of], "a part of its weight");
    } else if (a.kind == CONSTANT) expect(a.width == 1, "one number");
  }
  void check_parts(const WeightPart* part, int parts, long width, long inputs, long heads) {
    expect(width % heads == 0 && inputs % heads == 0, "sizes that are multiples of the number of blocks");
    for (int k = 0; k < parts; k++) {
      const WeightPart& w = part[k];
      expect(w.ld >= inputs / heads, "rows at least as long as what is read of them");
      expect(w.offset <= d_.weight_size[w.weight] && (width - 1) <= d_.weight_size[w.weight] / w.ld &&
             w.offset + (width - 1) * w.ld + inputs / heads <= d_.weight_size[w.weight], "a part of its weight");
      expect(w.bias < 0 || w.bias_offset + width <= d_.weight_size[w.bias], "a part of its bias");
    }
  }
  void check_matrix(int index) {
    const ProgramMatrix& m = d_.matrix[index];
    where_ = "program, matrix " + std::to_string(index);
    check_parts(m.part, m.parts, m.width, m.inputs, m.heads);
    packed_ += (m.width + 64) * (m.inputs / m.heads + 64) * m.parts * (m.heads > 1 ? 4 : 1);
    expect(packed_ <= 16 * MOST_NUMBERS, "smaller matrices");
  }
  void check_gradient(int index) {
    const WeightGradient& g = d_.gradient[index];
    where_ = "program, gradient " + std::to_string(index);
    const ProgramArray &in = d_.array[g.in.array], &d = d_.array[g.gradient];
    expect(in.kind == KEPT || in.kind == STATE || (in.kind == ITEMS && in.of == X), "an input that was kept");
    expect(in.kind == ITEMS || in.row_major || (in.width == 1 && in.slots == 1), "an input whose rows are contiguous");
    expect(in.width == g.inputs && (!g.in.shift || in.kind == STATE), "an input of its size");
    if (in.kind != ITEMS) expect(written_.count({g.in.array, 0}), "an input that was written");
    expect(d.kind == GRADIENT && d.width == g.width && g.slot + g.parts <= d.slots, "gradients of its size");
    for (int k = 0; k < g.parts; k++) expect(written_.count({g.gradient, g.slot + k}), "gradients that were written");
    check_parts(g.part, g.parts, g.width, g.inputs, g.heads);
  }

  // ---------------------------------------------------------------------------------------------------------------- stages

  void check_stages() {
    if (program_ == STEP_BACK) found_gradients();
    for (int i = 0; i < d_.program[program_].count; i++) {
      const Stage& s = d_.program[program_].stage[i];
      where_ = std::string("program, ") + PROGRAM_NAMES[program_] + ", stage " + std::to_string(i);
      before_ = written_;
      expect(!s.only_x || program_ == ITEMS_BACK, "stages for x alone only in items back");
      for (int k = 0; k < s.operands; k++) check_operand(s, k);
      for (int k = 0; k < s.products; k++) check_product(s, s.product[k]);
      for (int k = 0; k < s.operations; k++) check_operation(s, s.operation[k]);
      drop(TEMPORARY);
      for (int k = 0; k < s.operations; k++) forget_unfinished(s, s.operation[k], false);
    }
    drop(ROWS);
  }
  // Arrays that STEP_BACK writes, which the step before it may read
  void found_gradients() {
    for (int i = 0; i < d_.program[STEP_BACK].count; i++) {
      const Stage& s = d_.program[STEP_BACK].stage[i];
      for (int k = 0; k < s.operations; k++) later_.insert(slot(s, s.operation[k].to));
      for (int k = 0; k < s.products; k++)
        for (int q = 0; q < s.product[k].outputs; q++) later_.insert(slot(s, s.product[k].output[q]));
    }
  }
  void drop(int kind) {
    for (auto i = written_.begin(); i != written_.end();) i = d_.array[i->first].kind == kind ? written_.erase(i) : std::next(i);
  }
  static Slot slot(const Stage& s, int operand) { return {s.operand[operand].array, s.operand[operand].slot}; }

  void check_operand(const Stage& s, int k) {
    const Operand& o = s.operand[k];
    const ProgramArray& a = d_.array[o.array];
    expect(a.width == s.width || a.width == 1, "operands of the stage's width, or 1");
    expect(a.kind != TEMPORARY || a.width == s.width, "temporaries of the stage's width");
    expect(!o.shift || a.kind == STATE || a.kind == CARRY, "a shift only of the state and of what is carried");
    const bool step = program_ == STEP || program_ == STEP_BACK, back = program_ >= STEP_BACK;
    if (a.kind == STATE) expect(step, "the state only in steps");
    if (a.kind == CARRY) expect(program_ == STEP_BACK || program_ == LAST_BACK, "what is carried only in steps back");
    if (a.kind == GRADIENT || a.kind == SUM) expect(program_ == STEP_BACK || program_ == ITEMS_BACK, "gradients only going back");
    if (a.kind == KEPT) expect(program_ != LAST_BACK, "no items in the last step back");
    if (a.kind == ITEMS) {
      const bool right = a.of == X ? program_ != LAST_BACK : a.of == Y ? step : a.of == Y_GRADIENT ? program_ == STEP_BACK || program_ == ITEMS_BACK : program_ == ITEMS_BACK;
      expect(right, "items where there are some");
    }
    if (back && program_ == LAST_BACK) expect(a.kind != SUM && a.kind != GRADIENT, "no gradients of items in the last step back");
  }
  bool readable(const Stage& s, int operand, const std::set<Slot>& written) const {
    const ProgramArray& a = array(s, operand);
    const Operand& o = s.operand[operand];
    switch (a.kind) {
      case VECTOR: case CONSTANT: return true;
      case STATE: return o.shift || program_ == STEP_BACK || written.count(slot(s, operand));
      case CARRY: return !o.shift;
      case TEMPORARY: case KEPT: case ROWS: case GRADIENT: return written.count(slot(s, operand));
      default: return false;
    }
  }
  bool writable(const Stage& s, int operand) const {
    const ProgramArray& a = array(s, operand);
    switch (a.kind) {
      case TEMPORARY: case ROWS: return true;
      case KEPT: return program_ == ITEMS_FORWARD || program_ == STEP;
      case STATE: return program_ == STEP && !s.operand[operand].shift;
      case GRADIENT: return program_ == STEP_BACK || program_ == ITEMS_BACK;
      case CARRY: return s.operand[operand].shift;
      default: return false;
    }
  }
  void write(const Stage& s, int operand) {
    expect(writable(s, operand), "to write to what a program of this kind may");
    written_.insert(slot(s, operand));
    if (array(s, operand).kind == CARRY) carried_[program_].insert(s.operand[operand].array);
  }

  void check_product(const Stage& s, const Product& p) {
    const ProgramMatrix& m = d_.matrix[p.matrix];
    const ProgramArray& in = d_.array[p.in.array];
    expect((m.back ? m.inputs : m.width) == s.width, "products of the stage's width");
    expect(p.outputs == (m.back ? 1 : m.parts), "an output for each part of a matrix");
    expect(p.late == (m.back && (p.in.shift || program_ == LAST_BACK)), "late products of a later step's gradients");
    expect(!p.late || program_ == STEP_BACK || program_ == LAST_BACK, "late products in steps back");
    expect(p.leaf_part < 0 || (p.late && d_.array[p.leaf_part].kind == STATE && d_.array[p.leaf_part].width == s.width), "a part of a leaf");
    if (m.back) {
      expect(in.kind == GRADIENT && in.width == m.width && p.in.slot + m.parts <= in.slots, "gradients of a matrix's outputs");
      expect(program_ >= STEP_BACK, "transposed products going back");
      for (int k = 0; k < m.parts; k++)
        expect((p.late ? later_ : before_).count({p.in.array, p.in.slot + k}), "gradients that an earlier stage made");
      expect(!p.late || p.in.shift, "late products of a later step's gradients");
    } else {
      expect(program_ <= STEP, "products going forward");
      expect(in.width == m.inputs && (in.row_major || in.kind == ITEMS || (in.width == 1 && in.slots == 1)), "contiguous inputs of a matrix's size");
      expect(in.kind == KEPT || in.kind == ROWS || (in.kind == ITEMS && in.of == X) || (in.kind == STATE && program_ == STEP), "inputs of items, states or rows");
      expect(!p.in.shift || in.kind == STATE, "a shift of the state only");
      expect(in.kind == ITEMS || p.in.shift || before_.count({p.in.array, 0}), "inputs that an earlier stage made");
    }
    std::set<Slot> outputs;
    for (int k = 0; k < p.outputs; k++) {
      const ProgramArray& a = array(s, p.output[k]);
      expect(a.width == s.width && a.kind != CARRY, "outputs of the stage's width");
      expect(outputs.insert(slot(s, p.output[k])).second, "an output once");
      write(s, p.output[k]);
    }
  }

  void check_operation(const Stage& s, const Operation& o) {
    const int operands[] = {o.a, o.b, o.c, o.d};
    for (int k = 0; k < 4; k++) expect((operands[k] >= 0) == (k < ARITY[o.code]), "as many operands as an operation has");
    const ProgramArray &to = array(s, o.to), &a = array(s, o.a);
    if (o.code == CODE_load) {
      expect(a.kind == ITEMS && a.of != X_GRADIENT && a.width == s.width && to.width == s.width, "to load an item of the stage's width");
      expect(a.of != Y, "to load x or the gradient of y");
      return write(s, o.to);
    }
    for (int k = 0; k < ARITY[o.code]; k++) expect(readable(s, operands[k], written_), "operands that were written before");
    if (o.code == CODE_store) {
      expect(to.kind == ITEMS && to.width == s.width && a.width == s.width && (to.of == Y ? program_ == STEP : to.of == X_GRADIENT), "to store an output");
      stored_[to.of].insert(s.operand[o.to].array);
    } else if (o.code == CODE_accumulate) expect(to.kind == SUM && to.width == s.width, "to sum into a vector of the stage's width");
    else if (is_reduction(o.code)) {
      expect(to.width == 1 && (to.kind == ROWS || to.kind == KEPT || to.kind == GRADIENT), "to reduce rows into an array of width 1");
      expect(o.code != CODE_squares || array(s, o.b).width == 1, "a mean of width 1");
      forget_unfinished(s, o, true);
    } else {
      expect(to.width == s.width, "results of the stage's width");
      write(s, o.to);
    }
  }
  // What rows are reduced to may be read by later stages only
  void forget_unfinished(const Stage& s, const Operation& o, bool begins) {
    if (!is_reduction(o.code)) return;
    expect(writable(s, o.to), "to write to what a program of this kind may");
    if (begins) written_.erase(slot(s, o.to));
    else written_.insert(slot(s, o.to));
  }

  // ---------------------------------------------------------------------------------- what callers read is written entirely

  void check_cover(const std::set<int>& arrays, long width, const char* what) const {
    std::vector<std::pair<long, long>> parts;
    for (int i : arrays) parts.push_back({d_.array[i].offset, d_.array[i].width});
    std::sort(parts.begin(), parts.end());
    long at = 0;
    for (auto& part : parts) {
      expect(part.first <= at, what);
      at = std::max(at, part.first + part.second);
    }
    expect(at == width, what);
  }
  void check_states() {
    check_cover(stored_[Y], d_.output, "to store all of y");
    for (int leaf = 0; leaf < d_.leaves; leaf++) {
      std::set<int> states, carries;
      for (int i = 0; i < d_.arrays; i++) {
        if (d_.array[i].of != leaf) continue;
        if (d_.array[i].kind == STATE) states.insert(i);
        if (d_.array[i].kind == CARRY) carries.insert(i);
      }
      for (int i : states) expect(written_.count({i, 0}), "to write all of the state");
      check_cover(states, d_.leaf_width[leaf], "all of each leaf in arrays of the state");
      if (!d_.trains) continue;
      for (int i : carries) expect(carried_[LAST_BACK].count(i), "to make all gradients of the state");
      check_cover(carries, d_.leaf_width[leaf], "the gradient of all of each leaf");
    }
    if (d_.trains) check_cover(stored_[X_GRADIENT], d_.input, "to store all of the gradient of x");
  }

  const ProgramData& d_;
  std::string where_;
  int program_ = 0;
  long numbers_ = 0, temporary_ = 0, packed_ = 0;
  std::set<Slot> written_, before_, later_;
  std::map<int, std::set<int>> stored_, carried_;
};

}  // namespace

void check_program(const ProgramData& data) { Checker(data).check(); }

}  // namespace stepscan
