// Whose turn it is: a lock on a session of Python's that an exception at any moment leaves as it should be.
#pragma once
#include <chrono>
#include <utility>
#include <vector>

namespace stepscan {

// One thread at a time has it. In a child of fork() nobody has it, since the threads that had it are not there.
class Turn {
 private:
  friend class Turns;
  unsigned taken_ = 0;  // the life of the process in which it was taken; 0 is free
};

// Several turns, each there once, taken all together or not at all, so that no two callers wait for each other.
class Turns {
 public:
  explicit Turns(std::vector<Turn*> turns) : turns_(std::move(turns)) {}
  bool take(std::chrono::milliseconds patience);
  void give() const;

 private:
  std::vector<Turn*> turns_;
};

}  // namespace stepscan
