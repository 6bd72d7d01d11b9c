// SPDX-License-Identifier: BSD-2-Clause
#include "unetmap/tx_memory.h"

#include <cerrno>

#include "client/descriptor/calls.hh"
#include "client/descriptor/descriptor.hh"

using namespace unetmap::client;

extern "C" int unetmap_tx_memory(int fd, unsigned tx_ring, const netmap_slot* slots, const void* memory,
                                 uint32_t buffers, uint32_t buf_size) {
  Descriptor* d = peek(fd);
  Bound* bound = d ? d->bound_now() : nullptr;
  int error = bound ? EINVAL : ENXIO;
  if (bound)
    for (auto& ring : bound->tx)
      if (ring->index() == tx_ring)
        error = ring->use_memory({slots, static_cast<const uint8_t*>(memory), buffers, buf_size});
  errno = error ? error : errno;
  return error ? -1 : 0;
}
