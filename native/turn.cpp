#include "turn.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace stepscan {
namespace {

struct Desk {
  std::mutex mutex;
  std::condition_variable given;
  int waiting = 0;
  unsigned life = 1;  // of this process: 1 more than its parent's
};
Desk* desk = new Desk;  // never destroyed: a thread may give its turn back while the process ends

// What the parent's threads hold or wait for does not matter here, not even if one had the mutex itself.
void start_anew() {
  Desk* own = new Desk;
  own->life = desk->life + 1;
  desk = own;
}
const int watch_forks = pthread_atfork(nullptr, nullptr, start_anew);

}  // namespace

bool Turns::take(std::chrono::milliseconds patience) {
  Desk& here = *desk;
  std::unique_lock<std::mutex> lock(here.mutex);
  auto all_free = [&] {
    return std::all_of(turns_.begin(), turns_.end(), [&](Turn* turn) { return turn->taken_ != here.life; });
  };
  if (!all_free()) {
    here.waiting++;
    bool free = here.given.wait_for(lock, patience, all_free);
    here.waiting--;
    if (!free) return false;
  }
  for (Turn* turn : turns_) turn->taken_ = here.life;
  return true;
}

void Turns::give() const {
  Desk& here = *desk;
  std::lock_guard<std::mutex> lock(here.mutex);
  for (Turn* turn : turns_) turn->taken_ = 0;
  if (here.waiting) here.given.notify_all();
}

}  // namespace stepscan
