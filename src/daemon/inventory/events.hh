// SPDX-License-Identifier: BSD-2-Clause
// What becomes of ports, for those who have a part in it: Ports and Files tell, and know nobody above them.
#pragma once

#include <functional>

#include "daemon/port/port.hh"

namespace unetmap::daemon {

class PortEvents {
 public:
  // It is in all tables, and new.
  virtual void made(Port& port) = 0;
  // It is in no table any more, and still whole.
  virtual void going(Port& port) = 0;
  // Of a port on an interface, at its end: calls `free` when the kernel has let go of its buffers.
  virtual void release_interface(const Port& port, std::function<void()> free) = 0;
  // Somebody has opened or closed it.
  virtual void users_changed(Port& port) = 0;
  // Switches were written anew, their forwarding tables perhaps emptied.
  virtual void restored() = 0;

 protected:
  ~PortEvents() = default;
};

}  // namespace unetmap::daemon
