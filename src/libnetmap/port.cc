// SPDX-License-Identifier: BSD-2-Clause
// A port's steps but registration: making, parsing, combining, cloning, undoing.
#include <cstring>

#include "libnetmap/internal.hh"

namespace {

using libnetmap::fail;
using libnetmap::KeepErrno;

nmport_d* new_port(nmctx* ctx) {
  auto* port = static_cast<nmport_d*>(nmctx_malloc(ctx, sizeof(nmport_d)));
  if (port == nullptr) {
    fail(ctx, ENOMEM, "no memory for a port descriptor of %zu bytes", sizeof(nmport_d));
    return nullptr;
  }
  *port = {};
  port->ctx = ctx;
  port->fd = -1;
  nmreq_header_init(&port->hdr, NETMAP_REQ_REGISTER, &port->reg);
  return port;
}

// Undoes cleanups down to, and without, a remembered one.
void pop_down_to(nmport_d* port, const nmport_cleanup_d* mark) {
  while (port->clist != mark) libnetmap::pop_cleanup(port);
}

}  // namespace

extern "C" {

nmport_d* nmport_new(void) noexcept { return new_port(nmctx_get()); }

void nmport_delete(nmport_d* port) noexcept {
  const KeepErrno keep;
  if (port != nullptr) nmctx_free(port->ctx, port);
}

int nmport_parse(nmport_d* port, const char* portspec) noexcept {
  if (port->register_done != 0) {
    return fail(port->ctx, EINVAL, "%s: %s is registered already: undo that first", portspec, port->hdr.nr_name);
  }
  const nmport_cleanup_d* mark = port->clist;
  const nmreq_register old_reg = port->reg;
  char old_name[NETMAP_REQ_IFNAMSIZ];
  std::memcpy(old_name, port->hdr.nr_name, sizeof(old_name));

  const char* scan = portspec;
  if (nmreq_header_decode(&scan, &port->hdr, port->ctx) == 0 &&
      nmreq_register_decode(&scan, &port->reg, port->ctx) == 0 &&
      nmreq_options_decode(scan, libnetmap::port_option_parsers(), port, port->ctx) == 0) {
    return 0;
  }
  const KeepErrno keep;
  pop_down_to(port, mark);
  port->reg = old_reg;
  std::memcpy(port->hdr.nr_name, old_name, sizeof(old_name));
  return -1;
}

void nmport_undo_parse(nmport_d* port) noexcept {
  if (port == nullptr) return;
  const KeepErrno keep;
  pop_down_to(port, nullptr);
  port->reg = {};
  nmreq_header_init(&port->hdr, NETMAP_REQ_REGISTER, &port->reg);
}

nmport_d* nmport_prepare(const char* portspec) noexcept {
  nmport_d* port = nmport_new();
  if (port == nullptr) return nullptr;
  if (nmport_parse(port, portspec) == 0) return port;
  nmport_delete(port);
  return nullptr;
}

void nmport_undo_prepare(nmport_d* port) noexcept {
  nmport_undo_parse(port);
  nmport_delete(port);
}

int nmport_open_desc(nmport_d* port) noexcept {
  if (nmport_register(port) < 0) return -1;
  if (nmport_mmap(port) == 0) return 0;
  nmport_undo_register(port);
  return -1;
}

void nmport_undo_open_desc(nmport_d* port) noexcept {
  nmport_undo_mmap(port);
  nmport_undo_register(port);
}

nmport_d* nmport_open(const char* portspec) noexcept {
  nmport_d* port = nmport_prepare(portspec);
  if (port == nullptr) return nullptr;
  if (nmport_open_desc(port) == 0) return port;
  nmport_close(port);
  return nullptr;
}

void nmport_close(nmport_d* port) noexcept {
  if (port == nullptr) return;
  nmport_undo_open_desc(port);
  nmport_undo_prepare(port);
}

nmport_d* nmport_clone(nmport_d* port) noexcept {
  if (port->extmem != nullptr && port->register_done == 0) {
    fail(port->ctx, EINVAL, "%s: the memory region of a port with extmem is known only once it is registered",
         port->hdr.nr_name);
    return nullptr;
  }
  nmport_d* clone = new_port(port->ctx);
  if (clone == nullptr) return nullptr;
  clone->reg = port->reg;
  std::memcpy(clone->hdr.nr_name, port->hdr.nr_name, sizeof(clone->hdr.nr_name));
  return clone;
}

}  // extern "C"
