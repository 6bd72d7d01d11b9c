// SPDX-License-Identifier: BSD-2-Clause
// What the server of an ivshmem-doorbell device says to a client (QEMU: docs/specs/ivshmem-spec.rst): numbers of 8
// bytes, little endian, some with a descriptor. The client says nothing.
//
//   the version of the protocol, 0
//   the client's own name
//   -1, with the shared memory
//   a peer's name, once for each of its vectors, each time with an eventfd that wakes the peer: of all peers there are
//   the client's own, in the same way: by these it is interrupted
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace unetmap::ivshmem {

struct Message {
  int64_t value;
  int fd;  // -1: none
};

inline constexpr int64_t kVersion = 0, kMemory = -1;

// With one other peer. Descriptors stay the caller's.
struct Greeting {
  uint16_t own = 0, peer = 0;
  int memory = -1;
  std::span<const int> peer_vectors, own_vectors;  // as many as the device is told to have
};
std::vector<Message> messages(const Greeting& greeting);

}  // namespace unetmap::ivshmem
