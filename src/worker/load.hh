// SPDX-License-Identifier: BSD-2-Clause
// Whether a driver sends so much that it need not wake us: then we nap, and look again by ourselves.
//
// Who sleeps asks to be woken, which costs the driver a doorbell - an exit of its machine, and a message or a system
// call - for each packet that finds us asleep. While many come, none of these packets needs to be announced: a nap ends
// by itself, soon, with all that came meanwhile. A nap is short against what fills a ring, so where packets come as
// fast as we move them there is none, and short against what a person or TCP's window notices; where few come, as in
// requests and their answers, each is waited for in the ordinary way.
#pragma once

#include <algorithm>
#include <cstdint>

namespace unetmap::worker {

class Load {
 public:
  static constexpr uint64_t kWindow_ns = 1'000'000;          // over which is judged
  static constexpr uint64_t kPackets = 16, kBytes = 50'000;  // of a window: either is enough
  static constexpr uint64_t kLongest_ns = 100'000, kShortest_ns = 50'000;
  static constexpr uint64_t kOfRing = 64;  // packets at most that come during a nap
  // After the last window with enough: a driver whose processor is taken from it for a moment goes on where it was.
  static constexpr uint64_t kLinger_ns = 4'000'000;

  // What the driver sent.
  void moved(uint64_t packets, uint64_t bytes) {
    packets_ += packets;
    bytes_ += bytes;
  }

  // Whether to nap before the next look, until until_ns(), instead of asking to be woken.
  bool nap(uint64_t now_ns) {
    judge(now_ns);
    until_ns_ = nap_ns_ > 0 ? now_ns + nap_ns_ : UINT64_MAX;
    return nap_ns_ > 0;
  }
  // UINT64_MAX: there is none.
  uint64_t until_ns() const { return until_ns_; }
  void no_nap() { until_ns_ = UINT64_MAX; }

 private:
  void judge(uint64_t now_ns) {
    const uint64_t passed = now_ns - begin_ns_;
    if (passed < kWindow_ns) return;
    const bool enough = packets_ * kWindow_ns >= kPackets * passed || bytes_ * kWindow_ns >= kBytes * passed;
    if (enough && packets_ > 0) {
      nap_ns_ = std::min(kLongest_ns, kOfRing * passed / packets_);
      if (nap_ns_ < kShortest_ns) nap_ns_ = 0;
      lingers_until_ns_ = now_ns + kLinger_ns;
    } else if (now_ns >= lingers_until_ns_) {
      nap_ns_ = 0;
    }
    begin_ns_ = now_ns;
    packets_ = bytes_ = 0;
  }

  uint64_t begin_ns_ = 0, packets_ = 0, bytes_ = 0, nap_ns_ = 0, until_ns_ = UINT64_MAX, lingers_until_ns_ = 0;
};

}  // namespace unetmap::worker
