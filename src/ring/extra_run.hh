// SPDX-License-Identifier: BSD-2-Clause
// How the daemon tells the library of who asked for extra buffers which ones there are, and the library makes the list
// of them that a program finds: ni_bufs_head names the first, the first word of each the next one, 0 ends it.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/copy_once.hh"

namespace unetmap {

// In the first of a row of extra buffers, until the list is made.
struct ExtraRun {
  uint32_t next;   // the first of another row; 0: there is none
  uint32_t magic;  // kExtraRunMagic
  uint32_t count;
  uint32_t reserved;
};
constexpr uint32_t kExtraRunMagic = 0x72617765;

// Of `count` buffers, those at `head` and on. The memory is the switch's too, so what stands there is checked: a list
// that was spoiled ends where it makes no sense.
inline void link_extra_buffers(uint8_t* bufs, uint32_t buf_size, uint32_t nbufs, uint32_t head, uint32_t count) {
  auto at = [&](uint32_t index) { return bufs + uint64_t{index} * buf_size; };
  for (uint32_t done = 0; head >= 2 && head < nbufs;) {
    auto run = copy_once<ExtraRun>(at(head));
    if (run.magic != kExtraRunMagic || run.count == 0 || run.count > count - done || run.count > nbufs - head) return;
    done += run.count;
    if (done == count) run.next = 0;
    for (uint32_t i = run.count - 1; i > 0; i--) {
      const uint32_t next = i + 1 == run.count ? run.next : head + i + 1;
      memcpy(at(head + i), &next, sizeof next);
    }
    const ExtraRun first{run.count == 1 ? run.next : head + 1, 0, 0, 0};
    memcpy(at(head), &first, sizeof first);
    if (done == count) return;
    head = run.next;
  }
}

}  // namespace unetmap
