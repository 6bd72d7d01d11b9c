// SPDX-License-Identifier: BSD-2-Clause
// Binding a port to the device and mapping its region.
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "libnetmap/internal.hh"

namespace {

using libnetmap::fail;

struct Interval {
  uint16_t first = 1;  // first > last: empty
  uint16_t last = 0;
};

// The rings of one direction that a registration bound; the host's come after the NIC's.
Interval bound_rings(const nmreq_register& reg, uint32_t rings, uint32_t host_rings, bool bound) {
  uint32_t begin = 0;
  uint32_t end = 0;
  switch (reg.nr_mode) {
    case NR_REG_ALL_NIC:
      end = rings;
      break;
    case NR_REG_SW:
      begin = rings;
      end = rings + host_rings;
      break;
    case NR_REG_NIC_SW:
      end = rings + host_rings;
      break;
    case NR_REG_ONE_NIC:
      begin = reg.nr_ringid;
      end = begin + 1;
      break;
    case NR_REG_ONE_SW:
      begin = rings + reg.nr_ringid;
      end = begin + 1;
      break;
    case NR_REG_PIPE_MASTER:
    case NR_REG_PIPE_SLAVE:
      end = 1;
      break;
    default:
      break;
  }
  if (!bound || begin >= end || end > rings + host_rings) return {};
  return {static_cast<uint16_t>(begin), static_cast<uint16_t>(end - 1)};
}

// Those whose rings can be reached through netmap_if, which says it exactly: where one direction has fewer rings than a
// number, its first one is bound.
Interval reachable_rings(const ssize_t* ring_ofs, uint32_t rings) {
  uint32_t begin = 0;
  while (begin < rings && ring_ofs[begin] == 0) ++begin;
  uint32_t end = begin;
  while (end < rings && ring_ofs[end] != 0) ++end;
  if (rings == 0) return {};
  return {static_cast<uint16_t>(begin), static_cast<uint16_t>(end - 1)};
}

void use(nmport_d* port, const Interval& tx, const Interval& rx) {
  port->first_tx_ring = port->cur_tx_ring = tx.first;
  port->last_tx_ring = tx.last;
  port->first_rx_ring = port->cur_rx_ring = rx.first;
  port->last_rx_ring = rx.last;
}

void set_ring_intervals(nmport_d* port) {
  const nmreq_register& reg = port->reg;
  const Interval tx = bound_rings(reg, reg.nr_tx_rings, reg.nr_host_tx_rings, (reg.nr_flags & NR_RX_RINGS_ONLY) == 0);
  const Interval rx = bound_rings(reg, reg.nr_rx_rings, reg.nr_host_rx_rings, (reg.nr_flags & NR_TX_RINGS_ONLY) == 0);
  use(port, tx, rx);
}

// The option that made a registration fail, if one did.
const nmreq_option* refused_option(nmport_d* port) {
  nmreq_option* option;
  nmreq_foreach_option(&port->hdr, option) {
    if (option->nro_status != 0 && option->nro_status != libnetmap::kNotLookedAt) return option;
  }
  return nullptr;
}

int registration_failed(nmport_d* port, int error) {
  const char* name = port->hdr.nr_name;
  if (const nmreq_option* option = refused_option(port)) {
    return fail(port->ctx, error, "%s: option '%s' is refused: %s: leave it out or change it", name,
                nmreq_option_name(option->nro_reqtype), std::strerror(static_cast<int>(option->nro_status)));
  }
  return libnetmap::call_failed(port->ctx, error, name, "cannot register");
}

// The region a port is in, if a port of the context has it mapped. Holds the context's lock.
nmem_d* find_mem(nmctx* ctx, const nmport_d& port) {
  nmem_d* const head = ctx->mem_descs;
  nmem_d* mem = head;
  while (mem != nullptr) {
    if (mem->mem_id == port.reg.nr_mem_id && mem->size >= port.reg.nr_memsize) return mem;
    mem = mem->next == head ? nullptr : mem->next;
  }
  return nullptr;
}

void link_mem(nmctx* ctx, nmem_d* mem) {
  nmem_d* head = ctx->mem_descs;
  if (head == nullptr) {
    mem->next = mem->prev = mem;
    ctx->mem_descs = mem;
    return;
  }
  mem->next = head;
  mem->prev = head->prev;
  head->prev->next = mem;
  head->prev = mem;
}

void unlink_mem(nmctx* ctx, nmem_d* mem) {
  if (mem->next == mem) {
    ctx->mem_descs = nullptr;
    return;
  }
  mem->prev->next = mem->next;
  mem->next->prev = mem->prev;
  if (ctx->mem_descs == mem) ctx->mem_descs = mem->next;
}

// A region nobody in the context has yet. Holds the context's lock; null with errno and the context told.
nmem_d* map_mem(nmctx* ctx, const nmport_d& port) {
  auto* mem = static_cast<nmem_d*>(nmctx_malloc(ctx, sizeof(nmem_d)));
  if (mem == nullptr) {
    fail(ctx, ENOMEM, "%s: no memory to describe its region", port.hdr.nr_name);
    return nullptr;
  }
  *mem = {};
  mem->mem_id = port.reg.nr_mem_id;
  mem->size = port.reg.nr_memsize;
  if (port.extmem != nullptr) {
    mem->mem = reinterpret_cast<void*>(static_cast<uintptr_t>(port.extmem->nro_usrptr));
    mem->is_extmem = 1;
  } else {
    mem->mem = ::mmap(nullptr, mem->size, PROT_READ | PROT_WRITE, MAP_SHARED, port.fd, 0);
    if (mem->mem == MAP_FAILED) {
      const int error = errno;
      if (error == ENOMEM)
        fail(ctx, error,
             "%s: no room in this program's memory for the %zu MiB of its region; raise the limit (ulimit -v)",
             port.hdr.nr_name, mem->size >> 20);
      else
        libnetmap::call_failed(ctx, error, port.hdr.nr_name, "cannot map its region");
      nmctx_free(ctx, mem);
      errno = error;
      return nullptr;
    }
  }
  link_mem(ctx, mem);
  return mem;
}

}  // namespace

extern "C" {

int nmport_register(nmport_d* port) noexcept {
  if (port->register_done != 0) {
    return fail(port->ctx, EINVAL, "%s: registered already: undo that first", port->hdr.nr_name);
  }
  const int fd = libnetmap::open_device(port->ctx, 0);
  if (fd < 0) return -1;

  // The port may have been moved since it was made.
  port->hdr.nr_body = reinterpret_cast<uintptr_t>(&port->reg);
  nmreq_option* option;
  nmreq_foreach_option(&port->hdr, option) { option->nro_status = libnetmap::kNotLookedAt; }

  const nmreq_register asked = port->reg;
  const uint16_t version = port->hdr.nr_version;
  if (::ioctl(fd, NIOCCTRL, &port->hdr) < 0) {
    const int error = errno;
    ::close(fd);
    port->reg = asked;
    port->hdr.nr_version = version;  // the service wrote its own
    return registration_failed(port, error);
  }
  port->fd = fd;
  port->register_done = 1;
  set_ring_intervals(port);
  return 0;
}

void nmport_undo_register(nmport_d* port) noexcept {
  if (port == nullptr || port->register_done == 0) return;
  const libnetmap::KeepErrno keep;
  ::close(port->fd);
  port->fd = -1;
  port->register_done = 0;
}

int nmport_mmap(nmport_d* port) noexcept {
  nmctx* ctx = port->ctx;
  if (port->mmap_done != 0) return fail(ctx, EINVAL, "%s: mapped already: undo that first", port->hdr.nr_name);
  if (port->register_done == 0) {
    return fail(ctx, EINVAL, "%s: not registered: call nmport_register first", port->hdr.nr_name);
  }
  nmctx_lock(ctx);
  nmem_d* mem = find_mem(ctx, *port);
  if (mem == nullptr) mem = map_mem(ctx, *port);
  if (mem != nullptr) ++mem->refcount;
  const int error = errno;
  nmctx_unlock(ctx);
  if (mem == nullptr) {
    errno = error;
    return -1;
  }
  port->mem = mem;
  port->nifp = NETMAP_IF(mem->mem, port->reg.nr_offset);
  port->mmap_done = 1;
  const uint32_t tx_rings = port->nifp->ni_tx_rings + port->nifp->ni_host_tx_rings;
  const uint32_t rx_rings = port->nifp->ni_rx_rings + port->nifp->ni_host_rx_rings;
  use(port, reachable_rings(port->nifp->ring_ofs, tx_rings),
      reachable_rings(port->nifp->ring_ofs + tx_rings, rx_rings));
  return 0;
}

void nmport_undo_mmap(nmport_d* port) noexcept {
  if (port == nullptr || port->mmap_done == 0) return;
  const libnetmap::KeepErrno keep;
  nmctx* ctx = port->ctx;
  nmem_d* mem = port->mem;
  nmctx_lock(ctx);
  if (--mem->refcount == 0) {
    unlink_mem(ctx, mem);
    if (mem->is_extmem == 0) ::munmap(mem->mem, mem->size);
    nmctx_free(ctx, mem);
  }
  nmctx_unlock(ctx);
  port->mem = nullptr;
  port->nifp = nullptr;
  port->mmap_done = 0;
  use(port, {0, 0}, {0, 0});
}

}  // extern "C"
