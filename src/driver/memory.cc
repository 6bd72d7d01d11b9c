// SPDX-License-Identifier: BSD-2-Clause
#include "driver/memory.hh"

#include <algorithm>

namespace unetmap::driver {
namespace {

// Parts of so many pages, one behind the other, wherever there are that many neighbours. False: too few.
bool place_runs(std::span<const uint64_t> addresses, uint32_t pages, std::span<uint32_t> part_page) {
  size_t at = 0;
  for (uint32_t& part : part_page) {
    for (uint32_t run = 1; run < pages; at++) {
      if (at + 1 >= addresses.size()) return false;
      run = addresses[at + 1] == addresses[at] + kPageBytes ? run + 1 : 1;
    }
    if (at >= addresses.size()) return false;
    part = uint32_t(at + 1 - pages);
    at++;
  }
  return true;
}

}  // namespace

uint32_t place_parts(std::span<const uint64_t> addresses, std::span<uint32_t> part_page) {
  if (place_runs(addresses, kPartPages, part_page)) return kMostDescriptors;
  for (size_t i = 0; i < part_page.size(); i++) part_page[i] = uint32_t(i);
  return kDescriptorsOfPage;
}

}  // namespace unetmap::driver
