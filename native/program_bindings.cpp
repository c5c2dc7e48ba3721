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

typedef std::vector<std::vector<Address>> AddressLists;  // of each direction

std::unique_ptr<ProgramScans> forward(const std::vector<std::shared_ptr<const ProgramWeights>>& weights, const std::vector<bool>& reverse, Address x, Address lengths,
                                      long batch, long steps, const AddressLists& start, Address y, const AddressLists& end, bool save, int threads) {
  if (weights.empty() || reverse.size() != weights.size() || start.size() != weights.size() || end.size() != weights.size())
    throw nb::value_error("expected as many directions, states and final states as programs, at least one");
  std::vector<ProgramScans::Direction> directions;
  std::vector<std::vector<const float*>> starts;
  std::vector<std::vector<float*>> ends;
  long width = 0;
  for (size_t i = 0; i < weights.size(); i++) {
    const ProgramData& data = weights[i]->program->data;
    check_count(start[i], data.leaves, "leaves"), check_count(end[i], data.leaves, "leaves");
    if (save && !data.trains) throw nb::value_error("expected a program for training");
    directions.push_back({weights[i], reverse[i]}), starts.push_back(pointers<const float>(start[i])), ends.push_back(pointers(end[i]));
    width += data.output;
  }
  nb::gil_scoped_release release;
  auto scans = std::make_unique<ProgramScans>(directions, (const int64_t*)lengths, batch, steps, save, threads);
  scans->forward((const float*)x, starts, (float*)y, width, ends);
  return scans;
}
void backward(ProgramScans& scans, Address x, Address y, Address dy, const AddressLists& d_end, const AddressLists& d_start, Address dx, const AddressLists& weights,
              int threads) {
  if (d_end.size() != scans.size() || d_start.size() != scans.size() || weights.size() != scans.size()) throw nb::value_error("expected gradients of each direction");
  std::vector<ProgramGradients> gradients;
  for (size_t i = 0; i < scans.size(); i++) {
    const ProgramData& data = scans[i].data();
    check_count(d_end[i], data.leaves, "leaves"), check_count(d_start[i], data.leaves, "leaves");
    if (!weights[i].empty()) check_count(weights[i], data.weights, "weights");
    gradients.push_back({(const float*)dy, pointers<const float>(d_end[i]), pointers(d_start[i]), i ? nullptr : (float*)dx, pointers(weights[i])});
  }
  nb::gil_scoped_release release;
  scans.backward((const float*)x, (const float*)y, std::move(gradients), threads);
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
  nb::class_<ProgramScans>(m, "ProgramScans");
  // lists have an element for each direction; addresses of leaves [B, width] may be 0: a state of zeros, and none wanted
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
