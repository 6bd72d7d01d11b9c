// SPDX-License-Identifier: BSD-2-Clause
// The way of a netmap request: through the checks that all share, to who carries it out.
#pragma once

#include "base/result.hh"
#include "daemon/request/info.hh"
#include "daemon/request/register.hh"
#include "daemon/request/vale.hh"

namespace unetmap::daemon {

class Requests {
 public:
  Requests(Regions& regions, Ports& ports, PersistentPorts& persistent, Files& files, NicPorts& nics,
           Attachments& attachments, PortEvents& events, std::function<bool(const std::string&)> zero_copy)
      : named_(ports, persistent, nics, std::move(zero_copy)),
        register_(regions, ports, persistent, files, nics, attachments, named_, events),
        vale_(regions, ports, persistent, nics, attachments, named_),
        info_(regions, ports, persistent, nics, named_) {}

  // Body and options are updated, also on failure. EINPROGRESS: to be tried again when Interfaces::on_settled is
  // called. EREMOTE: to be asked again with a keeper of the client's.
  Result<void> control(File& file, wire::ControlRequest& request, const Origin& origin);

  ValeRequests& vale() { return vale_; }

 private:
  NamedPorts named_;
  Register register_;
  ValeRequests vale_;
  InfoRequests info_;
};

}  // namespace unetmap::daemon
