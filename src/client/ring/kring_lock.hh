// SPDX-License-Identifier: BSD-2-Clause
// The lock of a kring, which guards against two syncs of one ring at once: threads, or processes that share a
// descriptor or opened one port twice. It is private memory of those who hold the port.
//
// The word holds the thread id of the holder and a tag of its pid namespace; a holder that is killed leaves it behind.
// Who finds it taken tries for a moment, then looks whether the holder lives, and takes it over if not. A holder in
// another pid namespace cannot be looked up and is given 100 ms.
#pragma once

#include <atomic>
#include <cstdint>

namespace unetmap::client {

// lock_holder_word(), remembered by each thread.
uint64_t thread_word();

class KringLock {
 public:
  explicit KringLock(std::atomic<uint64_t>& word);
  ~KringLock();
  bool held() const { return held_; }
  bool stolen() const { return stolen_; }  // from a holder that died: what it left half done has to be looked at

 private:
  std::atomic<uint64_t>& word_;
  bool held_ = false, stolen_ = false;
};

}  // namespace unetmap::client
