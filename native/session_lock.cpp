#include "session_lock.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace stepscan {
namespace {

struct Monitor {
  std::mutex mutex;
  std::condition_variable released;
  int waiting = 0;
  unsigned generation = 1;  // of this process: 1 more than its parent's
};
Monitor* monitor = new Monitor;  // never destroyed: a thread may release its locks while the process exits

// A child starts with a new monitor: the parent's threads, one of which may have held the mutex, do not exist there.
void replace_in_child() {
  Monitor* fresh = new Monitor;
  fresh->generation = monitor->generation + 1;
  monitor = fresh;
}
const int fork_handlers = pthread_atfork(nullptr, nullptr, replace_in_child);

}  // namespace

bool SessionLocks::acquire(std::chrono::milliseconds timeout) {
  Monitor& here = *monitor;
  std::unique_lock<std::mutex> lock(here.mutex);
  auto all_free = [&] {
    return std::all_of(locks_.begin(), locks_.end(), [&](SessionLock* one) { return one->owner_ != here.generation; });
  };
  if (!all_free()) {
    here.waiting++;
    bool free = here.released.wait_for(lock, timeout, all_free);
    here.waiting--;
    if (!free) return false;
  }
  for (SessionLock* one : locks_) one->owner_ = here.generation;
  return true;
}

void SessionLocks::release() const {
  Monitor& here = *monitor;
  std::lock_guard<std::mutex> lock(here.mutex);
  for (SessionLock* one : locks_) one->owner_ = 0;
  if (here.waiting) here.released.notify_all();
}

}  // namespace stepscan
