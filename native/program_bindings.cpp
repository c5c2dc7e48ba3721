// Programs for Python: see program_engine.h. Callers check shapes and keep the memory whose addresses they pass.
#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "engine.h"
#include "program_engine.h"
#include "program_layer.h"

namespace nb = nanobind;

namespace stepscan {

void bind_programs(nb::module_& m);

namespace {

typedef uintptr_t Address;
template <class T = float>
std::vector<T*> pointers(const std::vector<Address>& addresses) {
  std::vector<T*> result;
  for (Address a : addresses) result.push_back((T*)a);
  return result;
}
void check_count(const std::vector<Address>& given, size_t expected, const char* what) {
  if (given.size() != expected) throw nb::value_error((std::string("expected ") + std::to_string(expected) + " " + what + ", got " + std::to_string(given.size())).c_str());
}

std::unique_ptr<ProgramScan> forward(std::shared_ptr<const ProgramWeights> weights, Address x, Address lengths, long batch, long steps, bool reverse,
                                     const std::vector<Address>& start, Address y, const std::vector<Address>& end, bool save, int threads) {
  check_count(start, weights->program->data.leaves, "leaves"), check_count(end, weights->program->data.leaves, "leaves");
  if (save && !weights->program->data.trains) throw nb::value_error("expected a program for training");
  nb::gil_scoped_release release;
  auto scan = std::make_unique<ProgramScan>(std::move(weights), (const int64_t*)lengths, batch, steps, reverse, save, threads);
  scan->forward((const float*)x, pointers<const float>(start), (float*)y, scan->output(), pointers(end), threads);
  return scan;
}
void backward(ProgramScan& scan, Address x, Address y, Address dy, const std::vector<Address>& d_end, const std::vector<Address>& d_start, Address dx,
              const std::vector<Address>& weights, int threads) {
  const ProgramData& data = scan.data();
  check_count(d_end, data.leaves, "leaves"), check_count(d_start, data.leaves, "leaves");
  if (!weights.empty()) check_count(weights, data.weights, "weights");
  nb::gil_scoped_release release;
  scan.backward((const float*)x, (const float*)y, {(const float*)dy, pointers<const float>(d_end), pointers(d_start), (float*)dx, pointers(weights)}, threads);
}
// Addresses of states [state]: the initial one, and one with what a vector does not set
LayerPointer layer(std::shared_ptr<const ProgramWeights> weights, Address initial, Address conditioned, const std::vector<long>& slices, int readout) {
  const ProgramData& data = weights->program->data;
  long size = 0;
  for (int k = 0; k < data.leaves; k++) size += data.leaf_width[k];
  auto numbers = [&](Address from) { return std::vector<float>((const float*)from, (const float*)from + size); };
  return make_program_layer(std::move(weights), {numbers(initial), numbers(conditioned), slices, readout});
}

}  // namespace

void bind_programs(nb::module_& m) {
  nb::class_<Program>(m, "Program")
      .def("__init__", [](Program* self, const std::vector<int64_t>& numbers) { new (self) Program(numbers.data(), numbers.size()); })
      .def_prop_ro("trains", [](const Program& program) { return program.data.trains; });
  nb::class_<ProgramWeights>(m, "ProgramWeights")
      .def("__init__", [](ProgramWeights* self, std::shared_ptr<const Program> program, const std::vector<Address>& addresses, int format, int threads) {
        check_count(addresses, program->data.weights, "weights");
        nb::gil_scoped_release release;
        new (self) ProgramWeights(std::move(program), pointers<const float>(addresses), (Format)format, threads);
      }, nb::arg("program"), nb::arg("addresses"), nb::arg("format") = 0, nb::arg("threads") = 1);
  nb::class_<ProgramScan>(m, "ProgramScan");
  // addresses of leaves [B, width] may be 0: a state of zeros, and none wanted
  m.def("program_forward", &forward);
  // those of weights' gradients may be 0, or none at all be given
  m.def("program_backward", &backward);
  m.def("make_program_layer", &layer);
  m.def("program_operations", [] {
#define STEPSCAN_NAME(name, arity) #name,
    return std::vector<std::string>{STEPSCAN_OPERATIONS(STEPSCAN_NAME)};
#undef STEPSCAN_NAME
  });
}

}  // namespace stepscan
