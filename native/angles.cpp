#include "angles.h"

#include <cmath>
#include <map>
#include <mutex>

namespace stepscan {
namespace {

constexpr long TABLED = 1024;  // positions whose angles are in a table

}  // namespace

Angles::Angles(long pair_count) : pairs(pair_count), rates_(pair_count) {
  for (long i = 0; i < pairs; i++) rates_[i] = std::pow(10000.0, -(double)i / (double)pairs);
  static std::mutex mutex;
  static auto* tables = new std::map<long, std::weak_ptr<const std::vector<float>>>;  // by the number of pairs: layers share them
  std::lock_guard<std::mutex> lock(mutex);
  table_ = (*tables)[pairs].lock();
  if (table_) return;
  auto table = std::make_shared<std::vector<float>>(TABLED * 2 * pairs);
  for (long position = 0; position < TABLED; position++) compute(position, table->data() + position * 2 * pairs);
  (*tables)[pairs] = table_ = table;
}
void Angles::compute(long position, float* to) const {
  for (long i = 0; i < pairs; i++) {
    double angle = (double)position * rates_[i];
    to[i] = (float)std::cos(angle), to[pairs + i] = (float)std::sin(angle);
  }
}
Angles::At Angles::at(long position, float* own) const {
  if (position < TABLED) own = const_cast<float*>(table_->data()) + position * 2 * pairs;
  else compute(position, own);
  return {own, own + pairs};
}

}  // namespace stepscan
