// SPDX-License-Identifier: BSD-2-Clause
// What people set on ports and switches (Op::kSet): JSON, see docs/wire.md.
#pragma once

#include <string>

#include "base/result.hh"
#include "daemon/attach/attachments.hh"
#include "daemon/attach/nic_ports.hh"
#include "daemon/inventory/files.hh"
#include "daemon/inventory/ports.hh"
#include "daemon/setting/awaited.hh"
#include "daemon/setting/pins.hh"

namespace unetmap::daemon {

class Changes {
 public:
  Changes(Ports& ports, Files& files, AwaitedSettings& awaited, Pins& pins, Attachments& attachments,
          NicPorts& nics)
      : ports_(ports), files_(files), awaited_(awaited), pins_(pins), attachments_(attachments), nics_(nics) {}

  Result<void> set(const std::string& wanted);
  // It gets what waited for it.
  void note_made(Port& port);

 private:
  Ports& ports_;
  Files& files_;
  AwaitedSettings& awaited_;
  Pins& pins_;
  Attachments& attachments_;
  NicPorts& nics_;
};

}  // namespace unetmap::daemon
