// SPDX-License-Identifier: BSD-2-Clause
// What is to be done when a thread ends. A thread_local with a destructor would do, but the C library ends the program
// where it finds no memory to remember it.
#pragma once

#include <pthread.h>

namespace unetmap::client {

// One for the whole program. Ended with the library, from when on threads end without it.
class AtThreadEnd {
 public:
  explicit AtThreadEnd(void (*act)(void*)) : made_(pthread_key_create(&key_, act) == 0) {}
  AtThreadEnd(const AtThreadEnd&) = delete;
  AtThreadEnd& operator=(const AtThreadEnd&) = delete;
  ~AtThreadEnd() {
    if (made_) pthread_key_delete(key_);
  }

  // Has `act` called with `what`, which is not null, when the calling thread ends. False where that cannot be
  // remembered.
  bool remember(const void* what) const noexcept { return made_ && pthread_setspecific(key_, what) == 0; }

 private:
  pthread_key_t key_ = 0;
  bool made_;
};

}  // namespace unetmap::client
