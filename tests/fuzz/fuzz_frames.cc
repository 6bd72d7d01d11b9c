// SPDX-License-Identifier: BSD-2-Clause
// Any frames at the tools that look into them: the flow hash of lb, the router of tlem.
//
// Input: frames, each after a byte that says through which port it comes, and a byte with its length.
#include <algorithm>
#include <cstring>
#include <memory>
#include <span>

#include "parts/flow_hash.hh"
#include "require.hh"
#include "router.hh"

namespace {

using namespace unetmap;
using unetmap::fuzz::require;

// A copy of its own, so that a step past either end is seen.
struct Frame {
  explicit Frame(std::span<const uint8_t> from) : bytes(new uint8_t[from.size()]), size(from.size()) {
    if (size) std::memcpy(bytes.get(), from.data(), size);
  }
  std::span<uint8_t> span() { return {bytes.get(), size}; }
  std::unique_ptr<uint8_t[]> bytes;
  size_t size;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const tlem::Mac macs[2] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
  tlem::Router router({tlem::RouterPort{0x0a010001, 0xffffff00, 0x0a0100fe, macs[0]},
                       tlem::RouterPort{0x0a020001, 0xffffff00, std::nullopt, macs[1]}});
  uint64_t now = 1;
  while (size >= 2) {
    const size_t from = data[0] & 1, bytes = std::min<size_t>(data[1], size - 2);
    Frame frame({data + 2, bytes}), before({data + 2, bytes});
    require(parts::flow_hash(frame.span()) == parts::flow_hash(before.span()), "a frame has one hash");
    if (router.route(from, frame.span(), now)) {
      require(std::memcmp(frame.bytes.get() + 6, macs[1 - from].data(), 6) == 0,
              "what is routed comes from the router");
      require(std::memcmp(frame.bytes.get() + 12, before.bytes.get() + 12, bytes - 12) == 0, "nothing else is changed");
    } else {
      require(std::memcmp(frame.bytes.get(), before.bytes.get(), bytes) == 0, "what is dropped is not changed");
    }
    now += 300'000'000;
    data += 2 + bytes;
    size -= 2 + bytes;
  }
  for (size_t port = 0; port < 2; port++) {
    for (const auto& frame : router.take_outgoing(port)) require(frame.size() == 60, "ARP frames have the least size");
  }
  return 0;
}
