// SPDX-License-Identifier: BSD-2-Clause
#include "wire/control.hh"

namespace unetmap::wire {
namespace {

constexpr size_t kMaxName = 64, kMaxOptions = 64, kMaxBytes = 8000;

struct FlatHead {
  uint16_t version, type;
  uint32_t body_bytes, options, reserved;
  char name[kMaxName];
};
struct FlatOption {
  uint32_t type, status, bytes, reserved;
};

// Returns where the next one goes.
uint8_t* put(uint8_t* to, const void* from, size_t bytes) {
  if (bytes) memcpy(to, from, bytes);
  return to + bytes;
}

}  // namespace

int body_size(uint16_t type) {
  switch (type) {
    case NETMAP_REQ_REGISTER: return sizeof(nmreq_register);
    case NETMAP_REQ_PORT_INFO_GET: return sizeof(nmreq_port_info_get);
    case NETMAP_REQ_VALE_ATTACH: return sizeof(nmreq_vale_attach);
    case NETMAP_REQ_VALE_DETACH: return sizeof(nmreq_vale_detach);
    case NETMAP_REQ_VALE_LIST: return sizeof(nmreq_vale_list);
    case NETMAP_REQ_PORT_HDR_SET:
    case NETMAP_REQ_PORT_HDR_GET: return sizeof(nmreq_port_hdr);
    case NETMAP_REQ_VALE_NEWIF: return sizeof(nmreq_vale_newif);
    case NETMAP_REQ_VALE_POLLING_ENABLE:
    case NETMAP_REQ_VALE_POLLING_DISABLE: return sizeof(nmreq_vale_polling);
    case NETMAP_REQ_POOLS_INFO_GET: return sizeof(nmreq_pools_info);
    case NETMAP_REQ_SYNC_KLOOP_START: return sizeof(nmreq_sync_kloop_start);
    case NETMAP_REQ_VALE_DELIF:
    case NETMAP_REQ_SYNC_KLOOP_STOP:
    case NETMAP_REQ_CSB_ENABLE: return 0;
    default: return -1;
  }
}

int option_size(uint32_t type) {
  constexpr int head = sizeof(nmreq_option);
  switch (type) {
    case NETMAP_REQ_OPT_EXTMEM: return int(sizeof(nmreq_opt_extmem)) - head;
    case NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS: return 0;
    case NETMAP_REQ_OPT_CSB: return int(sizeof(nmreq_opt_csb)) - head;
    case NETMAP_REQ_OPT_SYNC_KLOOP_MODE: return int(sizeof(nmreq_opt_sync_kloop_mode)) - head;
    case NETMAP_REQ_OPT_OFFSETS: return int(sizeof(nmreq_opt_offsets)) - head;
    default: return -1;
  }
}

std::vector<uint8_t> flatten(const ControlRequest& request) {
  size_t bytes = sizeof(FlatHead) + request.body.size();
  for (const ControlOption& option : request.options) bytes += sizeof(FlatOption) + option.payload.size();
  std::vector<uint8_t> out(bytes);
  FlatHead head{request.version, request.type, uint32_t(request.body.size()), uint32_t(request.options.size()), 0, {}};
  memcpy(head.name, request.name.data(), std::min(request.name.size(), kMaxName - 1));
  uint8_t* to = put(out.data(), &head, sizeof head);
  to = put(to, request.body.data(), request.body.size());
  for (const ControlOption& option : request.options) {
    FlatOption flat{option.type, option.status, uint32_t(option.payload.size()), 0};
    to = put(to, &flat, sizeof flat);
    to = put(to, option.payload.data(), option.payload.size());
  }
  return out;
}

Result<ControlRequest> parse(std::span<const uint8_t> bytes) {
  FlatHead head;
  if (bytes.size() < sizeof head) return Error{EINVAL, "request: shorter than its header"};
  if (bytes.size() > kMaxBytes) return Error{EMSGSIZE, "request: longer than 8000 bytes"};
  memcpy(&head, bytes.data(), sizeof head);
  bytes = bytes.subspan(sizeof head);
  ControlRequest out;
  out.version = head.version;
  out.type = head.type;
  size_t name_bytes = strnlen(head.name, kMaxName);
  if (name_bytes == kMaxName) return Error{EINVAL, "request: name without an end"};
  out.name.assign(head.name, name_bytes);
  if (head.body_bytes > bytes.size()) return Error{EINVAL, "request: body longer than the message"};
  int want = body_size(head.type);
  if (want >= 0 && uint32_t(want) != head.body_bytes) return Error{EINVAL, "request: body of the wrong size"};
  out.body.assign(bytes.begin(), bytes.begin() + head.body_bytes);
  bytes = bytes.subspan(head.body_bytes);
  if (head.options > kMaxOptions) return Error{EINVAL, "request: more than 64 options"};
  for (uint32_t i = 0; i < head.options; i++) {
    FlatOption flat;
    if (bytes.size() < sizeof flat) return Error{EINVAL, "request: option cut short"};
    memcpy(&flat, bytes.data(), sizeof flat);
    bytes = bytes.subspan(sizeof flat);
    if (flat.bytes > bytes.size()) return Error{EINVAL, "request: option longer than the message"};
    out.options.push_back({flat.type, flat.status, {bytes.begin(), bytes.begin() + flat.bytes}});
    bytes = bytes.subspan(flat.bytes);
  }
  if (!bytes.empty()) return Error{EINVAL, "request: bytes after the last option"};
  return out;
}

}  // namespace unetmap::wire
