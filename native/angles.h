// Rotary positions (Su et al. 2021): the angles that pairs of numbers of a head are turned by.
#pragma once
#include <memory>
#include <vector>

namespace stepscan {

// Cosines and sines of the angles of a head's pairs at a position, [pairs] each: position · 10000^(−i / pairs), computed in double.
class Angles {
 public:
  explicit Angles(long pairs);
  // Of items at a position: pointers into a table or, for a late position, to `own` [2 · pairs], where they are computed.
  struct At {
    const float *cosine, *sine;
  };
  At at(long position, float* own) const;
  const long pairs;

 private:
  void compute(long position, float* to) const;
  std::vector<double> rates_;
  std::shared_ptr<const std::vector<float>> table_;  // [TABLED][cosines, sines]
};

}  // namespace stepscan
