// SPDX-License-Identifier: BSD-2-Clause
// The requests of netmap's older API, translated into the newer ones.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "client/control/control.hh"
#include "client/descriptor/calls.hh"
#include "client/link/errors.hh"
#include "client/memory/user_memory.hh"

namespace unetmap::client {
namespace {

nmreq_header header_for(const nmreq& old, uint16_t type, void* body) {
  nmreq_header header{};
  header.nr_version = NETMAP_API;
  header.nr_reqtype = type;
  memcpy(header.nr_name, old.nr_name, strnlen(old.nr_name, sizeof old.nr_name - 1));
  header.nr_body = reinterpret_cast<uintptr_t>(body);
  return header;
}

// From 14 on all versions ask in the same way.
bool check_version(const nmreq& old) {
  if (old.nr_version >= NETMAP_MIN_API) return true;
  std::string text = "netmap request: API version " + std::to_string(old.nr_version) +
                     " is not spoken here; build the program against version 14";
  report_error(text.c_str());
  errno = EINVAL;
  return false;
}

// Slots, rings and the memory's id, which every request that has them asks and answers under the same names.
template <class Body>
void ask_sizes(const nmreq& old, Body& body) {
  body.nr_tx_slots = old.nr_tx_slots;
  body.nr_rx_slots = old.nr_rx_slots;
  body.nr_tx_rings = old.nr_tx_rings;
  body.nr_rx_rings = old.nr_rx_rings;
  body.nr_mem_id = old.nr_arg2;
}
template <class Body>
void tell_sizes(const Body& body, nmreq& old) {
  old.nr_tx_slots = body.nr_tx_slots;
  old.nr_rx_slots = body.nr_rx_slots;
  old.nr_tx_rings = body.nr_tx_rings;
  old.nr_rx_rings = body.nr_rx_rings;
  old.nr_arg2 = body.nr_mem_id;
}

// nr_ringid and nr_flags of old to mode, ring and flags. Pipes append their number to the name. nr_arg1, which said how
// many pipes there would be, means nothing to any netmap of today.
void translate_register(const nmreq& old, nmreq_header& header, nmreq_register& body) {
  body.nr_offset = old.nr_offset;
  body.nr_memsize = old.nr_memsize;
  ask_sizes(old, body);
  body.nr_ringid = old.nr_ringid & NETMAP_RING_MASK;
  body.nr_mode = old.nr_flags & NR_REG_MASK;
  body.nr_flags = old.nr_flags & ~uint32_t{NR_REG_MASK};
  body.nr_extra_bufs = old.nr_arg3;
  if (old.nr_ringid & NETMAP_NO_TX_POLL) body.nr_flags |= NR_NO_TX_POLL;
  if (old.nr_ringid & NETMAP_DO_RX_POLL) body.nr_flags |= NR_DO_RX_POLL;
  if (body.nr_mode == NR_REG_DEFAULT)
    body.nr_mode = old.nr_ringid & NETMAP_SW_RING   ? NR_REG_SW
                   : old.nr_ringid & NETMAP_HW_RING ? NR_REG_ONE_NIC
                                                    : NR_REG_ALL_NIC;
  if (body.nr_mode == NR_REG_PIPE_MASTER || body.nr_mode == NR_REG_PIPE_SLAVE) {
    std::string name(header.nr_name, strnlen(header.nr_name, sizeof header.nr_name));
    // Already there when the name came that way. The old structure's name and a number fit in the new one's.
    if (name.find_first_of("{}") == std::string::npos)
      name += (body.nr_mode == NR_REG_PIPE_MASTER ? "{" : "}") + std::to_string(body.nr_ringid);
    memcpy(header.nr_name, name.c_str(), name.size() + 1);
    body.nr_mode = NR_REG_ALL_NIC;
    body.nr_ringid = 0;
  }
}

void answer_register(const nmreq_register& body, nmreq& old) {
  old.nr_offset = uint32_t(body.nr_offset);
  old.nr_memsize = uint32_t(body.nr_memsize);
  tell_sizes(body, old);
  old.nr_arg3 = body.nr_extra_bufs;
  old.nr_ringid = body.nr_ringid;
  if (body.nr_flags & NR_NO_TX_POLL) old.nr_ringid |= NETMAP_NO_TX_POLL;
  if (body.nr_flags & NR_DO_RX_POLL) old.nr_ringid |= NETMAP_DO_RX_POLL;
  old.nr_flags = body.nr_mode | uint32_t(body.nr_flags);
}

int do_register(Descriptor& d, nmreq& old) {
  nmreq_register body{};
  nmreq_header header = header_for(old, NETMAP_REQ_REGISTER, &body);
  translate_register(old, header, body);
  if (control_request(d, header) < 0) return -1;
  answer_register(body, old);
  return 0;
}

int attach(Descriptor& d, nmreq& old) {
  nmreq_vale_attach body{};
  nmreq_header header = header_for(old, NETMAP_REQ_VALE_ATTACH, &body);
  translate_register(old, header, body.reg);
  body.reg.nr_mode = old.nr_arg1 & NETMAP_BDG_HOST ? NR_REG_NIC_SW : NR_REG_ALL_NIC;
  if (control_request(d, header) < 0) return -1;
  answer_register(body.reg, old);
  old.nr_arg1 = body.reg.nr_mode == NR_REG_NIC_SW ? NETMAP_BDG_HOST : 0;
  return 0;
}

int detach(Descriptor& d, nmreq& old) {
  nmreq_vale_detach body{};
  nmreq_header header = header_for(old, NETMAP_REQ_VALE_DETACH, &body);
  return control_request(d, header);
}

int list(Descriptor& d, nmreq& old) {
  nmreq_vale_list body{};
  nmreq_header header = header_for(old, NETMAP_REQ_VALE_LIST, &body);
  body.nr_bridge_idx = old.nr_arg1;
  body.nr_port_idx = old.nr_arg2;
  if (control_request(d, header) < 0) return -1;
  memset(old.nr_name, 0, sizeof old.nr_name);
  memcpy(old.nr_name, header.nr_name, strnlen(header.nr_name, sizeof old.nr_name - 1));
  old.nr_arg1 = body.nr_bridge_idx;
  old.nr_arg2 = uint16_t(body.nr_port_idx);
  return 0;
}

int header_len(Descriptor& d, nmreq& old, uint16_t type) {
  nmreq_port_hdr body{};
  nmreq_header header = header_for(old, type, &body);
  body.nr_hdr_len = old.nr_arg1;
  if (control_request(d, header) < 0) return -1;
  old.nr_arg1 = uint16_t(body.nr_hdr_len);
  return 0;
}

int new_interface(Descriptor& d, nmreq& old) {
  nmreq_vale_newif body{};
  nmreq_header header = header_for(old, NETMAP_REQ_VALE_NEWIF, &body);
  ask_sizes(old, body);
  if (control_request(d, header) < 0) return -1;
  tell_sizes(body, old);
  return 0;
}

// One CPU for all rings was ALL_NIC, one for each ONE_NIC.
int polling(Descriptor& d, nmreq& old, uint16_t type) {
  nmreq_vale_polling body{};
  nmreq_header header = header_for(old, type, &body);
  uint32_t mode = old.nr_flags & NR_REG_MASK;
  body.nr_mode = mode == NR_REG_ONE_NIC   ? NETMAP_POLLING_MODE_MULTI_CPU
                 : mode == NR_REG_ALL_NIC ? NETMAP_POLLING_MODE_SINGLE_CPU
                                          : 0;
  body.nr_first_cpu_id = old.nr_ringid & NETMAP_RING_MASK;
  body.nr_num_polling_cpus = old.nr_arg1;
  if (control_request(d, header) < 0) return -1;
  old.nr_flags = body.nr_mode == NETMAP_POLLING_MODE_MULTI_CPU    ? NR_REG_ONE_NIC
                 : body.nr_mode == NETMAP_POLLING_MODE_SINGLE_CPU ? NR_REG_ALL_NIC
                                                                  : NR_REG_DEFAULT;
  old.nr_ringid = uint16_t(body.nr_first_cpu_id);
  old.nr_arg1 = uint16_t(body.nr_num_polling_cpus);
  return 0;
}

// Where nr_arg1 and what follows it hold the address of the answer.
int pools(Descriptor& d, nmreq& old) {
  nmreq_pools_info body{};
  nmreq_header header = header_for(old, NETMAP_REQ_POOLS_INFO_GET, &body);
  if (control_request(d, header) < 0) return -1;
  netmap_pools_info answer{};
  answer.memsize = body.nr_memsize;
  answer.memid = body.nr_mem_id;
  answer.if_pool_offset = uint32_t(body.nr_if_pool_offset);
  answer.if_pool_objtotal = body.nr_if_pool_objtotal;
  answer.if_pool_objsize = body.nr_if_pool_objsize;
  answer.ring_pool_offset = uint32_t(body.nr_ring_pool_offset);
  answer.ring_pool_objtotal = body.nr_ring_pool_objtotal;
  answer.ring_pool_objsize = body.nr_ring_pool_objsize;
  answer.buf_pool_offset = uint32_t(body.nr_buf_pool_offset);
  answer.buf_pool_objtotal = body.nr_buf_pool_objtotal;
  answer.buf_pool_objsize = body.nr_buf_pool_objsize;
  uint64_t to;
  static_assert(offsetof(nmreq, nr_arg1) + sizeof to == offsetof(nmreq, nr_flags));
  memcpy(&to, reinterpret_cast<const uint8_t*>(&old) + offsetof(nmreq, nr_arg1), sizeof to);
  if (store_user(to, answer) == 0) return 0;
  report_error(
      "NETMAP_POOLS_INFO_GET: nr_arg1 holds no address that can be written; put that of a netmap_pools_info there");
  return errno = EFAULT, -1;
}

}  // namespace

int legacy_register(Descriptor& d, nmreq& old) {
  if (!check_version(old)) return -1;
  old.nr_name[sizeof old.nr_name - 1] = 0;
  switch (old.nr_cmd) {
    case 0:
      return do_register(d, old);
    case NETMAP_BDG_ATTACH:
      return attach(d, old);
    case NETMAP_BDG_DETACH:
      return detach(d, old);
    case NETMAP_BDG_VNET_HDR:
      return header_len(d, old, NETMAP_REQ_PORT_HDR_SET);
    case NETMAP_VNET_HDR_GET:
      return header_len(d, old, NETMAP_REQ_PORT_HDR_GET);
    case NETMAP_BDG_NEWIF:
      return new_interface(d, old);
    case NETMAP_BDG_DELIF: {
      nmreq_header header = header_for(old, NETMAP_REQ_VALE_DELIF, nullptr);
      return control_request(d, header);
    }
    case NETMAP_BDG_POLLING_ON:
      return polling(d, old, NETMAP_REQ_VALE_POLLING_ENABLE);
    case NETMAP_BDG_POLLING_OFF:
      return polling(d, old, NETMAP_REQ_VALE_POLLING_DISABLE);
    case NETMAP_POOLS_INFO_GET:
      return pools(d, old);
    case NETMAP_PT_HOST_CREATE:
    case NETMAP_PT_HOST_DELETE:
      report_error(
          "NIOCREGIF: netmap passes ports through to virtual machines no more; plug them in (unetmap-vale(4))");
      return errno = ENOMEM, -1;
    default:
      report_error(
          ("NIOCREGIF: nr_cmd " + std::to_string(old.nr_cmd) + " is unknown; see net/netmap_legacy.h").c_str());
      return errno = EINVAL, -1;
  }
}

int legacy_info(Descriptor& d, nmreq& old) {
  if (!check_version(old)) return -1;
  old.nr_name[sizeof old.nr_name - 1] = 0;
  if (old.nr_cmd == NETMAP_BDG_LIST) return list(d, old);
  nmreq_port_info_get body{};
  nmreq_header header = header_for(old, NETMAP_REQ_PORT_INFO_GET, &body);
  ask_sizes(old, body);
  if (control_request(d, header) < 0) return -1;
  old.nr_memsize = uint32_t(body.nr_memsize);
  tell_sizes(body, old);
  return 0;
}

int map_external(Descriptor& d, const wire::ControlRequest& reply) {
  for (const wire::ControlOption& option : reply.options) {
    if (option.type != NETMAP_REQ_OPT_EXTMEM) continue;
    nmreq_opt_extmem whole{};
    memcpy(reinterpret_cast<uint8_t*>(&whole) + sizeof(nmreq_option), option.payload.data(),
           std::min(option.payload.size(), sizeof whole - sizeof(nmreq_option)));
    // The kernel takes hold of each page, to write there. What is put in their place must not come over something else.
    if (!writable_mappings(whole.nro_usrptr, whole.nro_info.nr_memsize)) return EFAULT;
    void* at = reinterpret_cast<void*>(whole.nro_usrptr);
    Bound* bound = d.bound_now();
    size_t bytes = bound->info.region.app_bytes + size_t{bound->info.region.nbufs} * bound->info.region.buf_size;
    bytes = std::min<size_t>((bytes + 4095) & ~size_t{4095}, whole.nro_info.nr_memsize & ~uint64_t{4095});
    if (map(d, at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, 0) == reinterpret_cast<void*>(-1))
      return errno;
  }
  return 0;
}

}  // namespace unetmap::client
