// SPDX-License-Identifier: BSD-2-Clause
#include "proto/ivshmem/greeting.hh"

namespace unetmap::ivshmem {

std::vector<Message> messages(const Greeting& greeting) {
  std::vector<Message> out{{kVersion, -1}, {greeting.own, -1}, {kMemory, greeting.memory}};
  for (int fd : greeting.peer_vectors) out.push_back({greeting.peer, fd});
  for (int fd : greeting.own_vectors) out.push_back({greeting.own, fd});
  return out;
}

}  // namespace unetmap::ivshmem
