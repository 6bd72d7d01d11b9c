// SPDX-License-Identifier: BSD-2-Clause
#include "worker/switch_port.hh"

#include <cstdlib>

namespace unetmap::worker {
namespace {

std::string& message() {
  static std::string text;
  return text;
}

nmctx* context() {
  static nmctx ctx = [] {
    nmctx out{};
    out.verbose = 1;
    out.error = [](nmctx*, const char* text) { message() = text; };
    out.malloc = [](nmctx*, size_t size) { return ::malloc(size); };
    out.free = [](nmctx*, void* memory) { ::free(memory); };
    return out;
  }();
  return &ctx;
}

}  // namespace

SwitchPort::~SwitchPort() { nmport_close(port_); }

Result<SwitchPort> SwitchPort::open(const std::string& name, uint32_t header_len) {
  message().clear();
  nmport_d* port = nmport_new();
  if (!port) return Error::from_errno(errno, name);
  SwitchPort out(port);
  port->ctx = context();
  // The host stack's side of an interface is called vale0:eth0^, which is no port specification.
  if (nmport_parse(port, "vale:x") < 0) return Error{errno, message()};
  memset(port->hdr.nr_name, 0, sizeof port->hdr.nr_name);
  name.copy(port->hdr.nr_name, sizeof port->hdr.nr_name - 1);
  // Nobody else's while something is plugged in.
  port->reg.nr_flags |= NR_ACCEPT_VNET_HDR | NR_EXCLUSIVE;
  if (nmport_open_desc(port) < 0) return Error{errno, message()};
  if (name.find_first_of("{}") != std::string::npos) return out;  // pipes carry frames as they are
  nmreq_header header{};
  nmreq_port_hdr body{};
  header.nr_version = NETMAP_API;
  header.nr_reqtype = NETMAP_REQ_PORT_HDR_SET;
  memcpy(header.nr_name, port->hdr.nr_name, sizeof header.nr_name);
  header.nr_body = reinterpret_cast<uintptr_t>(&body);
  body.nr_hdr_len = header_len;
  if (ioctl(port->fd, NIOCCTRL, &header) < 0) return Error::from_errno(errno, name + ": virtio-net headers");
  return out;
}

}  // namespace unetmap::worker
