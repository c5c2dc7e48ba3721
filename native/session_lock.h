// Locks on Python's sessions that stay consistent whenever an exception interrupts the caller, and after fork().
#pragma once
#include <chrono>
#include <utility>
#include <vector>

namespace stepscan {

// Held by one thread at a time. In a child of fork() it is free, since the thread that held it does not exist there.
class SessionLock {
 private:
  friend class SessionLocks;
  unsigned owner_ = 0;  // the generation of the process in which it was acquired; 0 is free
};

// Several distinct locks, acquired all together or not at all, so that two callers cannot deadlock.
class SessionLocks {
 public:
  explicit SessionLocks(std::vector<SessionLock*> locks) : locks_(std::move(locks)) {}
  bool acquire(std::chrono::milliseconds timeout);  // false after the timeout
  void release() const;

 private:
  std::vector<SessionLock*> locks_;
};

}  // namespace stepscan
