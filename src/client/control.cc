// SPDX-License-Identifier: BSD-2-Clause
// The ioctls. NIOCTXSYNC and NIOCRXSYNC are done here; NIOCCTRL requests are copied out of the application's memory,
// flattened and sent to the daemon, whose answer is copied back. The requests of old are translated first (legacy.cc).
#include "client/control.hh"

#include <cstring>

#include "client/kloop.hh"
#include "client/rpc.hh"
#include "wire/control.hh"

namespace unetmap::client {
namespace {

int fail(int code, const std::string& text) {
  report_error(text.c_str());
  errno = code;
  return -1;
}

// Copies header, body and options into `out`; the places of the options in `places`. An errno value, 0 if fine.
int collect(const nmreq_header& header, wire::ControlRequest& out, std::vector<nmreq_option*>& places) {
  out.version = header.nr_version;
  out.type = header.nr_reqtype;
  out.name.assign(header.nr_name, strnlen(header.nr_name, sizeof header.nr_name));
  if (out.name.size() == sizeof header.nr_name) return EINVAL;
  int body = wire::body_size(header.nr_reqtype);
  if (body < 0) return EINVAL;
  if (body > 0 && header.nr_body == 0) return EINVAL;
  const auto* from = reinterpret_cast<const uint8_t*>(header.nr_body);
  if (body > 0) out.body.assign(from, from + body);
  size_t total = sizeof header + size_t(body);
  for (auto* option = reinterpret_cast<nmreq_option*>(header.nr_options); option;
       option = reinterpret_cast<nmreq_option*>(option->nro_next)) {
    size_t payload;
    int known = wire::option_size(option->nro_reqtype);
    if (option->nro_reqtype == NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS)
      payload = option->nro_size > sizeof *option ? option->nro_size - sizeof *option : 0;
    else payload = known < 0 ? 0 : size_t(known);
    total += sizeof *option + payload;
    if (total > NETMAP_REQ_MAXSIZE || places.size() >= 64) return EMSGSIZE;
    const auto* bytes = reinterpret_cast<const uint8_t*>(option + 1);
    option->nro_status = EOPNOTSUPP;
    out.options.push_back({option->nro_reqtype, EOPNOTSUPP, {bytes, bytes + payload}});
    places.push_back(option);
  }
  return 0;
}

void give_back(nmreq_header& header, const wire::ControlRequest& reply, const std::vector<nmreq_option*>& places) {
  if (header.nr_body && !reply.body.empty() && int(reply.body.size()) == wire::body_size(header.nr_reqtype))
    memcpy(reinterpret_cast<void*>(header.nr_body), reply.body.data(), reply.body.size());
  header.nr_version = reply.version;
  if (header.nr_reqtype == NETMAP_REQ_VALE_LIST) {
    memset(header.nr_name, 0, sizeof header.nr_name);
    memcpy(header.nr_name, reply.name.data(), std::min(reply.name.size(), sizeof header.nr_name - 1));
  }
  for (size_t i = 0; i < places.size() && i < reply.options.size(); i++) {
    const wire::ControlOption& option = reply.options[i];
    places[i]->nro_status = option.status;
    if (wire::option_size(option.type) > 0 && int(option.payload.size()) == wire::option_size(option.type))
      memcpy(places[i] + 1, option.payload.data(), option.payload.size());
  }
}

const char* request_name(uint16_t type) {
  static const char* const names[] = {"", "REGISTER", "PORT_INFO_GET", "VALE_ATTACH", "VALE_DETACH", "VALE_LIST",
                                      "PORT_HDR_SET", "PORT_HDR_GET", "VALE_NEWIF", "VALE_DELIF",
                                      "VALE_POLLING_ENABLE", "VALE_POLLING_DISABLE", "POOLS_INFO_GET",
                                      "SYNC_KLOOP_START", "SYNC_KLOOP_STOP", "CSB_ENABLE"};
  return type < sizeof names / sizeof *names ? names[type] : "unknown request";
}

}  // namespace

int control_request(Descriptor& d, nmreq_header& header) {
  if (header.nr_version < NETMAP_MIN_API || header.nr_version > NETMAP_MAX_API) {
    uint16_t theirs = header.nr_version;
    header.nr_version = NETMAP_API;
    return fail(EINVAL, "netmap request: API version " + std::to_string(theirs) +
                            " is not spoken here; build the program against version 14");
  }
  if (header.nr_reserved != 0) return fail(EINVAL, "netmap request: nr_reserved is not 0; clear the header first");
  wire::ControlRequest request;
  std::vector<nmreq_option*> places;
  if (int error = collect(header, request, places))
    return fail(error, error == EMSGSIZE ? "netmap request: longer than 4096 bytes with its options"
                                         : "netmap request: unknown type, missing body or name without an end");
  switch (header.nr_reqtype) {
    case NETMAP_REQ_SYNC_KLOOP_START:
    case NETMAP_REQ_SYNC_KLOOP_STOP:
    case NETMAP_REQ_CSB_ENABLE: return kloop_request(d, request, places);
    default: break;
  }
  if (header.nr_reqtype == NETMAP_REQ_REGISTER && d.bound(false))
    return fail(EBUSY, "register " + request.name + ": this descriptor is bound already; open another one");
  wire::ControlOption* extmem = nullptr;
  wire::ControlOption* csb = nullptr;
  if (header.nr_reqtype == NETMAP_REQ_REGISTER) {
    extmem = request.option(NETMAP_REQ_OPT_EXTMEM);
    csb = request.option(NETMAP_REQ_OPT_CSB);
  }
  auto csb_failed = [&](int error) {
    places[size_t(csb - request.options.data())]->nro_status = uint32_t(error);
    return fail(error, "register " + request.name + ": CSB mode: " + csb_refusal(error));
  };
  if (csb)
    if (int error = check_csb(csb->payload, request.body_as<nmreq_register>().nr_flags)) return csb_failed(error);
  auto reply = ask_from_here(d.fd(), wire::flatten(request));
  if (!reply) {
    // Option statuses and the version come back with a refusal too.
    if (auto parsed = wire::parse(take_failed_reply())) {
      parsed->body.clear();
      give_back(header, *parsed, places);
    }
    if (reply.error().code == ENXIO && !d.daemon_alive()) d.mark_dead();
    return fail(reply.error().code, std::string(request_name(header.nr_reqtype)) + " " + request.name + ": " +
                                        reply.error().text);
  }
  auto parsed = wire::parse(reply->body);
  if (!parsed) return fail(EPROTO, parsed.error().text);
  if (reply->has_bind) {
    auto bound = d.bind(reply->bind, reply->fds);
    if (!bound) return fail(bound.error().code, "register " + request.name + ": " + bound.error().text);
    if (extmem)
      if (int error = map_external(d, *parsed)) return fail(error, "register " + request.name + ": external memory cannot be replaced by the region");
    if (csb)
      if (int error = enable_csb(**bound, csb->payload)) return csb_failed(error);
  }
  give_back(header, *parsed, places);
  return 0;
}

namespace {

template <class Rings>
int sync_all(Descriptor& d, Rings Bound::* rings) {
  Bound* bound = d.bound_now();
  if (!bound) bound = d.bound(true);
  if (!d.daemon_alive()) return errno = ENXIO, -1;
  if (!bound) return errno = ENXIO, -1;
  if (in_csb_mode(*bound)) return errno = EBUSY, -1;
  int first_error = 0;
  for (auto& ring : bound->*rings)
    if (int error = ring->sync(); error && !first_error) first_error = error;
  if (first_error) return errno = first_error, -1;
  return 0;
}

}  // namespace

int control(Descriptor& d, unsigned long request, void* argument) noexcept {
  switch (request) {
    case NIOCTXSYNC: return sync_all(d, &Bound::tx);
    case NIOCRXSYNC: return sync_all(d, &Bound::rx);
    default: break;
  }
  if (request != NIOCCTRL && request != NIOCREGIF && request != NIOCGINFO && request != NIOCCONFIG)
    return errno = ENOTTY, -1;
  if (!argument) return errno = EFAULT, -1;
  if (request == NIOCCTRL) return control_request(d, *static_cast<nmreq_header*>(argument));
  if (request == NIOCREGIF) return legacy_register(d, *static_cast<nmreq*>(argument));
  if (request == NIOCGINFO) return legacy_info(d, *static_cast<nmreq*>(argument));
  return fail(EOPNOTSUPP, "NIOCCONFIG: no forwarding module is loaded here; this switch has none");
}

}  // namespace unetmap::client
