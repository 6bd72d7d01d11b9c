// SPDX-License-Identifier: BSD-2-Clause
// Everything that exists - switches, ports, regions, descriptors - and what requests do to it, put together of parts
// that know only those below them. Knows no sockets: the server feeds it.
#pragma once

#include <ctime>
#include <string>

#include "base/result.hh"
#include "daemon/attach/attachments.hh"
#include "daemon/attach/nic_ports.hh"
#include "daemon/attach/plug_ports.hh"
#include "daemon/inventory/files.hh"
#include "daemon/inventory/ports.hh"
#include "daemon/inventory/regions.hh"
#include "daemon/question/changes.hh"
#include "daemon/request/requests.hh"
#include "daemon/setting/awaited.hh"
#include "daemon/setting/pins.hh"

namespace unetmap::daemon {

class Registry final : private PortEvents {
 public:
  Registry() = default;
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // Who serves the ports of attached interfaces; without it none are attached.
  void use_service(Service& service) { attachments_.use(service); }
  // Without it there are no ports on interfaces. `modes`, `buffers`: for those that are bound from now on. `drives`: whether
  // the daemon has the rights for mode `driver`.
  void use_interfaces(Interfaces& interfaces, wire::NicModes modes, uint32_t buffers, bool drives);
  // For query(): where the daemon listens.
  void set_socket_path(std::string path) { socket_path_ = std::move(path); }

  Regions& regions() { return regions_; }
  Ports& ports() { return ports_; }
  Files& files() { return files_; }
  Attachments& attachments() { return attachments_; }
  PlugPorts& plug_ports() { return plug_ports_; }

  // Carries a netmap request out: Requests::control.
  Result<void> control(File& file, wire::ControlRequest& request, const Origin& origin = {});
  // Lets go of what was got ready, or is told, to somebody who is not there any more.
  void release_unclaimed();

  // JSON to JSON, see docs/wire.md.
  Result<std::string> query(const std::string& json);
  Result<void> set(const std::string& json) { return changes_.set(json); }

  // Nothing here that would be missed.
  bool idle() const;

 private:
  void made(Port& port) override { changes_.note_made(port); }
  void going(Port& port) override;
  void release_interface(const Port& port, std::function<void()> free) override;
  void users_changed(Port& port) override { attachments_.note_users(port); }
  void restored() override { pins_.restore(); }

  Regions regions_;
  PersistentPorts persistent_;
  Ports ports_{regions_, persistent_, *this};
  Files files_{ports_, *this};
  AwaitedSettings awaited_;
  Pins pins_{ports_};
  NicPorts nics_{regions_, ports_, persistent_};
  Attachments attachments_{ports_, persistent_, files_, pins_};
  PlugPorts plug_ports_{ports_, persistent_};
  Requests requests_{regions_, ports_, persistent_, files_, nics_, attachments_, *this,
                     [this](const std::string& name) { return awaited_.wants_zero_copy(name); }};
  Changes changes_{ports_, files_, awaited_, pins_, attachments_, nics_};
  Interfaces* interfaces_ = nullptr;
  std::string socket_path_;
  time_t started_ = time(nullptr);
};

}  // namespace unetmap::daemon
