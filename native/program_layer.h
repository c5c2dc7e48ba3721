// A cell that is a program, as a layer of a tree. A row's state is its leaves, one after the other.
#pragma once
#include <memory>
#include <vector>

#include "layers.h"
#include "program_engine.h"

namespace stepscan {

// The states of such a cell: before the first item, and those that a vector sets.
struct ProgramStates {
  std::vector<float> initial;      // [state]
  std::vector<float> conditioned;  // [state]: with what a vector does not set
  std::vector<long> slice;         // for each leaf, the element of the vector that its first number is; −1 for none
  int readout;                     // the leaf that holds the last output
};
// Throws ProgramFault if the states do not fit the program.
LayerPointer make_program_layer(std::shared_ptr<const ProgramWeights> weights, ProgramStates states);

}  // namespace stepscan
