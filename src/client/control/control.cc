// SPDX-License-Identifier: BSD-2-Clause
// The ioctls. NIOCTXSYNC and NIOCRXSYNC are done here; NIOCCTRL requests are copied out of the application's memory,
// flattened and sent to the daemon, whose answer is copied back. The requests of old are translated first (legacy.cc).
#include "client/control/control.hh"

#include <algorithm>
#include <cstring>

#include "client/descriptor/calls.hh"
#include "client/descriptor/csb.hh"
#include "client/kloop/kloop.hh"
#include "client/link/errors.hh"
#include "client/link/rpc.hh"
#include "client/memory/user_memory.hh"
#include "ring/extra_run.hh"
#include "wire/control.hh"

namespace unetmap::client {
namespace {

const char* request_name(uint16_t type) {
  static const char* const names[] = {"",
                                      "REGISTER",
                                      "PORT_INFO_GET",
                                      "VALE_ATTACH",
                                      "VALE_DETACH",
                                      "VALE_LIST",
                                      "PORT_HDR_SET",
                                      "PORT_HDR_GET",
                                      "VALE_NEWIF",
                                      "VALE_DELIF",
                                      "VALE_POLLING_ENABLE",
                                      "VALE_POLLING_DISABLE",
                                      "POOLS_INFO_GET",
                                      "SYNC_KLOOP_START",
                                      "SYNC_KLOOP_STOP",
                                      "CSB_ENABLE"};
  return type < sizeof names / sizeof *names ? names[type] : "unknown request";
}

// Questions that programs ask about everything there is, to see what has an answer: that some have none is no news.
bool only_asks(uint16_t type) {
  return type == NETMAP_REQ_PORT_INFO_GET || type == NETMAP_REQ_PORT_HDR_GET || type == NETMAP_REQ_POOLS_INFO_GET ||
         type == NETMAP_REQ_VALE_LIST;
}

// A request as it is under way, and where its parts are in the application's memory.
struct Caller {
  nmreq_header& header;
  wire::ControlRequest request;
  std::vector<uint64_t> places;  // of the options

  int fail(int code, const std::string& text) const {
    // The daemon names the port itself where it has more to say of it.
    const bool named = request.name.empty() || text.starts_with(request.name + ":");
    std::string line = std::string(request_name(header.nr_reqtype)) + " " + (named ? text : request.name + ": " + text);
    if (only_asks(header.nr_reqtype))
      note_error(line.c_str());
    else
      report_error(line.c_str());
    errno = code;
    return -1;
  }
  Error fault(const char* part) const {
    return {EFAULT, std::string("its ") + part + " is at an address where there is no memory; see to the pointer"};
  }

  Result<void> load();
  Result<void> load_options();
  Result<void> judge_options();
  int give_back(int result);
};

// Bytes of an option behind its struct nmreq_option. Of one that is unknown there are none, as far as we know.
size_t payload_bytes(const nmreq_option& option) {
  if (option.nro_reqtype == NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS)
    return option.nro_size > sizeof option ? option.nro_size - sizeof option : 0;
  int known = wire::option_size(option.nro_reqtype);
  return known < 0 ? 0 : size_t(known);
}

Result<void> Caller::load() {
  header.nr_name[sizeof header.nr_name - 1] = 0;
  request.version = header.nr_version;
  request.type = header.nr_reqtype;
  request.name = header.nr_name;
  int bytes = wire::body_size(header.nr_reqtype);
  if (bytes < 0)
    return Error{EINVAL, "there is no request of type " + std::to_string(header.nr_reqtype) +
                             "; see NETMAP_REQ_* in net/netmap.h"};
  if ((bytes != 0) != (header.nr_body != 0))
    return Error{EINVAL, bytes ? "its body is missing; point nr_body to one" : "has no body; leave nr_body 0"};
  if (auto loaded = load_options(); !loaded) return loaded;
  request.body.resize(size_t(bytes));
  if (load_user(header.nr_body, request.body.data(), request.body.size()) != 0) return fault("body");
  return {};
}

Result<void> Caller::load_options() {
  size_t total = request.type ? size_t(wire::body_size(request.type)) : 0;
  nmreq_option option;
  for (uint64_t at = header.nr_options; at; at = option.nro_next) {
    if (load_user(at, option) != 0) return fault("list of options");
    size_t bytes = payload_bytes(option);
    if (bytes > NETMAP_REQ_MAXSIZE || (total += sizeof option + bytes) > NETMAP_REQ_MAXSIZE)
      return Error{EMSGSIZE,
                   "is longer than " + std::to_string(NETMAP_REQ_MAXSIZE) + " bytes with its options; give fewer"};
    wire::ControlOption copy{option.nro_reqtype, EOPNOTSUPP, std::vector<uint8_t>(bytes)};
    if (load_user(at + sizeof option, copy.payload.data(), bytes) != 0) return fault("option");
    request.options.push_back(std::move(copy));
    places.push_back(at);
  }
  return {};
}

// What is wrong with options whatever the request: types that there are not, and one given twice.
Result<void> Caller::judge_options() {
  Result<void> out;
  for (size_t i = 0; i < request.options.size(); i++) {
    wire::ControlOption& option = request.options[i];
    std::string which = "option " + std::to_string(option.type);
    if (option.type >= NETMAP_REQ_OPT_MAX) {
      out = Error{EOPNOTSUPP, which + " is unknown; leave it out"};
    } else if (option.type == 0) {
      option.status = EINVAL;
      out = Error{EINVAL, "an option is of type 0, which none is; see NETMAP_REQ_OPT_* in net/netmap.h"};
    } else if (wire::ControlOption* first = request.option(option.type); first != &option) {
      option.status = first->status = EINVAL;
      out = Error{EINVAL, which + " is given twice; give it once"};
    }
  }
  return out;
}

// The answer, as far as there is one, into the application's memory. -1 with errno if that is not to be had there.
int Caller::give_back(int result) {
  int saved = errno;
  bool bad = false;
  if (result == 0 && header.nr_body) bad |= store_user(header.nr_body, request.body.data(), request.body.size()) != 0;
  if (header.nr_reqtype == NETMAP_REQ_VALE_LIST && result == 0) {
    memset(header.nr_name, 0, sizeof header.nr_name);
    memcpy(header.nr_name, request.name.data(), std::min(request.name.size(), sizeof header.nr_name - 1));
  }
  for (size_t i = 0; i < places.size(); i++) {
    const wire::ControlOption& option = request.options[i];
    bad |= store_user(places[i] + offsetof(nmreq_option, nro_status), option.status) != 0;
    if (result == 0 && option.status == 0)
      bad |= store_user(places[i] + sizeof(nmreq_option), option.payload.data(), option.payload.size()) != 0;
  }
  errno = saved;
  if (!bad) return result;
  return fail(EFAULT, "its answer cannot be stored: an address of the request is of memory that cannot be written");
}

// Over to the caller's copy: what the daemon said about the body and the options. It keeps their sizes.
void take_over(const wire::ControlRequest& reply, wire::ControlRequest& request, bool success) {
  if (success && reply.body.size() == request.body.size()) request.body = reply.body;
  if (success) request.name = reply.name;
  for (size_t i = 0; i < request.options.size() && i < reply.options.size(); i++) {
    request.options[i].status = reply.options[i].status;
    if (reply.options[i].payload.size() == request.options[i].payload.size())
      request.options[i].payload = reply.options[i].payload;
  }
}

void link_extra_buffers(Bound& bound, const nmreq_register& body) {
  const wire::RegionInfo& region = bound.info.region;
  if (body.nr_offset > region.app_bytes - std::min<uint64_t>(region.app_bytes, sizeof(netmap_if))) return;
  const uint32_t head = reinterpret_cast<const netmap_if*>(bound.privates() + body.nr_offset)->ni_bufs_head;
  unetmap::link_extra_buffers(bound.region->bufs(), region.buf_size, region.nbufs, head, body.nr_extra_bufs);
}

// The daemon has bound the descriptor: so do we, and enter what of the options is our part. An error: it is to be
// unbound.
Result<void> bind_here(Descriptor& d, const Reply& reply, std::vector<UniqueFd>& fds, wire::ControlRequest& request) {
  wire::ControlOption* csb = request.option(NETMAP_REQ_OPT_CSB);
  auto csb_result = [&](int error) -> Result<void> {
    csb->status = uint32_t(error);
    if (error == 0) return {};
    return Error{error, "CSB mode: " + csb_refusal(error)};
  };
  if (csb) {
    const wire::BindInfo& info = reply.bind;
    size_t rings = size_t(info.tx_end - info.tx_first) + size_t(info.rx_end - info.rx_first);
    if (int error = check_csb(csb->payload, info.reg_flags, rings)) return csb_result(error);
  }
  auto bound = d.bind(reply.bind, fds);
  if (!bound) return bound.error();
  if (request.type == NETMAP_REQ_REGISTER)
    if (auto body = request.body_as<nmreq_register>(); body.nr_extra_bufs) link_extra_buffers(**bound, body);
  if (wire::ControlOption* external = request.option(NETMAP_REQ_OPT_EXTMEM))
    if (int error = map_external(d, request)) {
      external->status = uint32_t(error);
      return Error{error, error == EFAULT ? "external memory: not all of nr_memsize is memory that the program may write; map it first"
                                          : "external memory cannot be replaced by the region; it begins with a page"};
    }
  if (csb) return csb_result(enable_csb(**bound, csb->payload));
  return {};
}

int ask_daemon(Descriptor& d, Caller& caller) {
  wire::ControlRequest& request = caller.request;
  if (request.type == NETMAP_REQ_REGISTER && d.bound(false))
    return caller.fail(EBUSY, "this descriptor is bound already; open another one");
  std::vector<uint8_t> refused;
  auto reply = ask_from_here(d.fd(), wire::flatten(request), &refused);
  if (!reply) {
    // The statuses of options come back with a refusal too.
    if (auto parsed = wire::parse(refused)) take_over(*parsed, request, false);
    if (reply.error().code == ENXIO && !d.daemon_alive()) d.mark_dead();
    return caller.fail(reply.error().code, reply.error().text);
  }
  try {
    auto parsed = wire::parse(reply->body);
    if (!parsed) return caller.fail(EPROTO, parsed.error().text);
    take_over(*parsed, request, true);
    if (!reply->has_bind) return 0;
    auto bound = bind_here(d, *reply, reply->fds, request);
    if (bound) return 0;
    d.unbind();
    return caller.fail(bound.error().code, bound.error().text);
  } catch (const std::bad_alloc&) {
    if (reply->has_bind) d.unbind();
    throw;
  }
}

int carry_out(Descriptor& d, Caller& caller) {
  if (auto good = caller.judge_options(); !good) return caller.fail(good.error().code, good.error().text);
  switch (caller.request.type) {
    case NETMAP_REQ_SYNC_KLOOP_START:
    case NETMAP_REQ_SYNC_KLOOP_STOP:
    case NETMAP_REQ_CSB_ENABLE:
      return kloop_request(d, caller.request);
    default:
      return ask_daemon(d, caller);
  }
}

}  // namespace

int control_request(Descriptor& d, nmreq_header& header) {
  if (header.nr_version < NETMAP_MIN_API || header.nr_version > NETMAP_MAX_API)
    return fail(EINVAL, "netmap request: API version " + std::to_string(header.nr_version) +
                            " is not spoken here; build the program against version 14");
  if (header.nr_reserved != 0) return fail(EINVAL, "netmap request: nr_reserved is not 0; clear the header first");
  Caller caller{header, {}, {}};
  if (auto loaded = caller.load(); !loaded) return caller.fail(loaded.error().code, loaded.error().text);
  return caller.give_back(carry_out(d, caller));
}

namespace {

// An application that moved head or cur where they cannot be finds both where the service is, and poll tells POLLERR;
// the call itself succeeds.
template <class Rings>
int sync_all(Descriptor& d, Rings Bound::*rings) {
  Bound* bound = d.bound_now();
  if (!bound) bound = d.bound(true);
  if (!d.daemon_alive()) return errno = ENXIO, -1;
  if (!bound) return errno = ENXIO, -1;
  if (in_csb_mode(*bound)) return errno = EBUSY, -1;
  int first_error = 0;
  for (auto& ring : bound->*rings)
    if (int error = ring->sync(); error && error != EINVAL && error != EIO && !first_error) first_error = error;
  if (first_error) return errno = first_error, -1;
  return 0;
}

// A request whose argument is a T, copied in and, whatever came of it, back.
template <class T, class Do>
int with_copy(void* argument, Do&& act) {
  const auto at = uint64_t(reinterpret_cast<uintptr_t>(argument));
  T copy;
  if (at == 0) return fail(EINVAL, "netmap request: without an argument; give the address of one");
  if (load_user(at, copy) != 0)
    return fail(EFAULT, "netmap request: its argument is at an address where there is no memory; see to the pointer");
  int result = act(copy);
  int saved = errno;
  if (store_user(at, copy) != 0)
    return fail(EFAULT, "netmap request: its argument is in memory that cannot be written, so it is not answered");
  errno = saved;
  return result;
}

int answer(Descriptor& d, unsigned long request, void* argument) {
  switch (request) {
    case NIOCTXSYNC:
      return sync_all(d, &Bound::tx);
    case NIOCRXSYNC:
      return sync_all(d, &Bound::rx);
    case NIOCCTRL:
      return with_copy<nmreq_header>(argument, [&](nmreq_header& header) { return control_request(d, header); });
    case NIOCREGIF:
      return with_copy<nmreq>(argument, [&](nmreq& old) { return legacy_register(d, old); });
    case NIOCGINFO:
      return with_copy<nmreq>(argument, [&](nmreq& old) { return legacy_info(d, old); });
    case NIOCCONFIG:
      return with_copy<nm_ifreq>(argument, [](nm_ifreq&) {
        return fail(EINVAL,
                    "NIOCCONFIG: a switch here learns, and has no forwarding module to configure; see unetmap-vale(4)");
      });
    default:
      return errno = EOPNOTSUPP, -1;
  }
}

}  // namespace

int control(Descriptor& d, unsigned long request, void* argument) noexcept {
  return unless_no_memory(-1, [&] { return answer(d, request, argument); });
}

}  // namespace unetmap::client
