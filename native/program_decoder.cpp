// From whole numbers to a program: reads every number within bounds, then has the result checked.
#include <algorithm>

#include "program_engine.h"

namespace stepscan {

constexpr int64_t PROGRAM_FORMAT = 1;
constexpr long MOST_WIDTH = 1 << 24, MOST_ELEMENTS = 0x7fffffff;
constexpr long MOST_SLOTS = 64, MOST_PARTS = 64;

class ProgramReader {
 public:
  ProgramReader(Program& to, const int64_t* numbers, size_t count) : p_(to), at_(numbers), end_(numbers + count), first_(numbers) {}
  void read() {
    if (number("format", 0, MOST_ELEMENTS) != PROGRAM_FORMAT) fail("expected a program of format 1; lower it again");
    p_.data.input = number("input", 1, MOST_WIDTH), p_.data.output = number("output", 1, MOST_WIDTH);
    p_.data.leaves = count("leaves", 1), p_.leaf_width_ = longs(p_.data.leaves, MOST_WIDTH);
    p_.data.weights = count("weights", 1), p_.weight_size_ = longs(p_.data.weights, MOST_ELEMENTS);
    p_.data.arrays = count("arrays", 7);
    for (int i = 0; i < p_.data.arrays; i++) p_.arrays_.push_back(array());
    p_.data.matrices = count("matrices", 10);
    for (int i = 0; i < p_.data.matrices; i++) p_.matrices_.push_back(matrix());
    for (int k = 0; k < PROGRAMS; k++) {
      int stages = count("stages", 5);
      for (int i = 0; i < stages; i++) p_.stages_[k].push_back(stage());
      p_.data.program[k] = {stages, p_.stages_[k].data()};
    }
    p_.data.gradients = count("gradients", 14);
    for (int i = 0; i < p_.data.gradients; i++) p_.gradients_.push_back(gradient());
    if (at_ != end_) fail("expected the program's end");
    p_.data.leaf_width = p_.leaf_width_.data(), p_.data.weight_size = p_.weight_size_.data();
    p_.data.array = p_.arrays_.data(), p_.data.matrix = p_.matrices_.data(), p_.data.gradient = p_.gradients_.data();
    p_.data.trains = p_.data.program[STEP_BACK].count > 0;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw ProgramFault("program, number " + std::to_string(at_ - first_) + ": " + what);
  }
  long number(const char* what, long least, long most) {
    if (at_ == end_) fail(std::string("expected ") + what + ", got the end");
    int64_t value = *at_;
    if (value < least || value > most)
      fail(std::string(what) + ": expected " + std::to_string(least) + " … " + std::to_string(most) + ", got " + std::to_string(value));
    at_++;
    return (long)value;
  }
  // how many follow, each of at least `size` numbers
  int count(const char* what, long size) { return (int)number(what, 0, std::min<long>((end_ - at_) / size, 65536)); }
  std::vector<long> longs(int many, long most) {
    std::vector<long> result;
    for (int i = 0; i < many; i++) result.push_back(number("size", 1, most));
    return result;
  }
  bool truth(const char* what) { return number(what, 0, 1); }
  ProgramArray array() {
    ProgramArray a{};
    a.kind = (int)number("kind of array", 0, ARRAY_KINDS - 1), a.slots = (int)number("slots", 1, MOST_SLOTS);
    a.width = number("width", 1, MOST_WIDTH), a.row_major = truth("row-major");
    a.of = number("what an array is of", INT32_MIN, INT32_MAX), a.offset = number("first", 0, MOST_ELEMENTS), a.from_end = truth("from the end");
    return a;
  }
  Operand operand() {
    Operand o{};
    o.array = (int)number("array", 0, p_.data.arrays - 1), o.slot = (int)number("slot", 0, p_.arrays_[o.array].slots - 1), o.shift = (int)number("shift", 0, 1);
    return o;
  }
  const WeightPart* parts(int many) {
    std::vector<WeightPart> parts;
    for (int i = 0; i < many; i++) {
      WeightPart w{};
      w.weight = (int)number("weight", 0, p_.data.weights - 1), w.offset = number("offset", 0, MOST_ELEMENTS), w.ld = number("row", 1, MOST_ELEMENTS);
      w.bias = (int)number("bias", -1, p_.data.weights - 1), w.bias_offset = number("offset of bias", 0, MOST_ELEMENTS);
      parts.push_back(w);
    }
    p_.parts_.push_back(std::move(parts));
    return p_.parts_.back().data();
  }
  ProgramMatrix matrix() {
    ProgramMatrix m{};
    m.back = truth("transposed"), m.width = number("outputs", 1, MOST_WIDTH), m.inputs = number("inputs", 1, MOST_WIDTH);
    m.heads = number("heads", 1, MOST_WIDTH), m.parts = (int)number("parts", 1, m.back ? MOST_PARTS : 4), m.part = parts(m.parts);
    return m;
  }
  template <class T>
  static const T* keep(std::vector<std::vector<T>>& all, std::vector<T> one) {
    all.push_back(std::move(one));
    return all.back().data();
  }
  Product product(int operands) {
    Product p{};
    p.matrix = (int)number("matrix", 0, p_.data.matrices - 1), p.in = operand(), p.late = truth("late");
    p.leaf_part = (int)number("part of a leaf", -1, p_.data.arrays - 1);
    p.outputs = (int)number("outputs", 1, 4);
    std::vector<int> outputs;
    for (int i = 0; i < p.outputs; i++) outputs.push_back((int)number("output", 0, operands - 1));
    p.output = keep(p_.outputs_, std::move(outputs));
    return p;
  }
  Stage stage() {
    Stage s{};
    s.width = number("width", 1, MOST_WIDTH), s.only_x = truth("for x alone");
    s.operands = (int)number("operands", 0, MAX_STAGE_OPERANDS);
    std::vector<Operand> operands;
    for (int i = 0; i < s.operands; i++) operands.push_back(operand());
    s.operand = keep(p_.operands_, std::move(operands));
    s.products = count("products", 8);
    std::vector<Product> products;
    for (int i = 0; i < s.products; i++) products.push_back(product(s.operands));
    s.product = keep(p_.products_, std::move(products));
    s.operations = count("operations", 6);
    std::vector<Operation> operations;
    for (int i = 0; i < s.operations; i++) {
      int n[6];
      n[0] = (int)number("operation", 0, CODES - 1);
      for (int k = 1; k < 6; k++) n[k] = (int)number("operand", k == 1 ? 0 : -1, s.operands - 1);
      operations.push_back({n[0], n[1], n[2], n[3], n[4], n[5]});
    }
    s.operation = keep(p_.operations_, std::move(operations));
    return s;
  }
  WeightGradient gradient() {
    WeightGradient g{};
    g.in = operand(), g.gradient = (int)number("array", 0, p_.data.arrays - 1), g.slot = (int)number("slot", 0, MOST_SLOTS - 1);
    g.width = number("outputs", 1, MOST_WIDTH), g.inputs = number("inputs", 1, MOST_WIDTH), g.heads = number("heads", 1, MOST_WIDTH);
    g.parts = (int)number("parts", 1, MOST_PARTS), g.part = parts(g.parts);
    return g;
  }
  Program& p_;
  const int64_t *at_, *end_, *first_;
};

namespace {

struct Rectangle {  // of a weight
  int weight;
  long offset, rows, columns, ld;
  bool meets(const Rectangle& other) const {
    if (weight != other.weight) return false;
    if (ld == other.ld && rows && other.rows) {
      long r = offset / ld, c = offset % ld, r2 = other.offset / ld, c2 = other.offset % ld;
      return r < r2 + other.rows && r2 < r + rows && c < c2 + other.columns && c2 < c + columns;
    }
    return offset < other.offset + (other.rows - 1) * other.ld + other.columns && other.offset < offset + (rows - 1) * ld + columns;
  }
};
std::vector<Rectangle> written(const WeightGradient& g) {
  std::vector<Rectangle> result;
  for (int k = 0; k < g.parts; k++) {
    result.push_back({g.part[k].weight, g.part[k].offset, g.width, g.inputs / g.heads, g.part[k].ld});
    if (g.part[k].bias >= 0) result.push_back({g.part[k].bias, g.part[k].bias_offset, 1, g.width, 1 << 30});
  }
  return result;
}

// Gradients that write to the same numbers go to different rounds; weights are covered that one product's gradient alone writes.
int divide_rounds(std::vector<WeightGradient>& gradients, const ProgramData& data, bool* covered) {
  std::vector<std::vector<Rectangle>> rounds;
  std::vector<long> area(data.weights, 0);
  std::vector<bool> shared(data.weights, false);
  for (int i = 0; i < data.arrays; i++)
    if (data.array[i].kind == SUM) shared[data.array[i].of] = true;
  for (WeightGradient& g : gradients) {
    std::vector<Rectangle> mine = written(g);
    for (g.round = 0; g.round < (int)rounds.size(); g.round++) {
      bool free = true;
      for (const Rectangle& a : rounds[g.round])
        for (const Rectangle& b : mine) free = free && !a.meets(b);
      if (free) break;
    }
    if (g.round == (int)rounds.size()) rounds.emplace_back();
    for (const Rectangle& r : mine) {
      area[r.weight] += r.rows * r.columns;
      shared[r.weight] = shared[r.weight] || g.round > 0 || g.heads > 1 || (r.rows == 1 && r.ld == 1 << 30);
      rounds[g.round].push_back(r);
    }
  }
  for (int w = 0; w < data.weights; w++) covered[w] = !shared[w] && area[w] == data.weight_size[w];
  return (int)rounds.size();
}

}  // namespace

Program::Program(const int64_t* numbers, size_t count) {
  ProgramReader(*this, numbers, count).read();
  for (int i = 0; i < data.leaves; i++) data.widest = std::max(data.widest, leaf_width_[i]);
  check_program(data);
  covered_.reset(new bool[data.weights + 1]());
  data.rounds = divide_rounds(gradients_, data, covered_.get());
  data.covered = covered_.get();
  for (const auto& program : stages_)
    for (const Stage& s : program) {
      for (int i = 0; i < s.operations; i++) data.whole_rows = data.whole_rows || is_reduction(s.operation[i].code);
      for (int i = 0; i < s.operands && &program == &stages_[ITEMS_BACK]; i++)
        rows_in_items_back = rows_in_items_back || arrays_[s.operand[i].array].kind == ROWS;
    }
}

}  // namespace stepscan
