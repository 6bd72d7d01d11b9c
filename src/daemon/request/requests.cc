// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/request/requests.hh"

#include <string>

#include "daemon/request/options.hh"

namespace unetmap::daemon {
namespace {

constexpr uint16_t kOldestApi = 14, kNewestApi = 15;

}  // namespace

Result<void> Requests::control(File& file, wire::ControlRequest& request, const Origin& origin) {
  if (request.version < kOldestApi || request.version > kNewestApi)
    return Error{EINVAL, "netmap API " + std::to_string(request.version) +
                             ": not supported; compile the program for version " + std::to_string(NETMAP_API)};
  int bytes = wire::body_size(request.type);
  if (bytes < 0)
    return Error{EINVAL, "request " + std::to_string(request.type) + ": unknown; see NETMAP_REQ_* in net/netmap.h"};
  if (request.body.size() != size_t(bytes))
    return Error{EINVAL, "request " + std::to_string(request.type) + ": its body has the wrong size; see net/netmap.h"};
  if (auto good = check_options(request); !good) return good;
  switch (request.type) {
    case NETMAP_REQ_REGISTER:
      return register_.carry_out(file, request, origin);
    case NETMAP_REQ_PORT_INFO_GET:
      return info_.port(request, origin);
    case NETMAP_REQ_VALE_ATTACH:
      return vale_.attach(request, origin);
    case NETMAP_REQ_VALE_DETACH:
      return vale_.detach(request);
    case NETMAP_REQ_VALE_LIST:
      return vale_.list(request);
    case NETMAP_REQ_PORT_HDR_SET:
      return vale_.header(file, request, true, origin);
    case NETMAP_REQ_PORT_HDR_GET:
      return vale_.header(file, request, false, origin);
    case NETMAP_REQ_VALE_NEWIF:
      return vale_.newif(request, origin);
    case NETMAP_REQ_VALE_DELIF:
      return vale_.delif(request, origin);
    case NETMAP_REQ_VALE_POLLING_ENABLE:
    case NETMAP_REQ_VALE_POLLING_DISABLE:
      return vale_.polling(request);
    case NETMAP_REQ_POOLS_INFO_GET:
      return info_.pools(request, origin);
    default:
      return Error{EINVAL, "request " + std::to_string(request.type) +
                               ": is for the library in the program itself; run the program with unetmap run"};
  }
}

}  // namespace unetmap::daemon
