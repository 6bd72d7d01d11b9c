// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/registry/registry.hh"

#include <utility>

#include "daemon/question/query.hh"

namespace unetmap::daemon {

Registry::~Registry() {
  files_.close_all();
  ports_.drop_all();
}

void Registry::use_interfaces(Interfaces& interfaces, wire::NicModes modes, uint32_t buffers, bool drives) {
  interfaces_ = &interfaces;
  nics_.use(interfaces, std::move(modes), drives);
  attachments_.use(interfaces);
  requests_.vale().use(interfaces);
  regions_.set_nic_buffers(buffers);
}

Result<void> Registry::control(File& file, wire::ControlRequest& request, const Origin& origin) {
  return requests_.control(file, request, origin);
}

void Registry::release_unclaimed() {
  nics_.release_unclaimed();
  attachments_.forget_untold();
  requests_.vale().forget_removed();
}

Result<std::string> Registry::query(const std::string& json) {
  return Query({ports_, persistent_, files_, attachments_, plug_ports_, awaited_, pins_, interfaces_, socket_path_,
                started_})
      .answer(json);
}

bool Registry::idle() const {
  return files_.empty() && persistent_.empty() && ports_.size() == 0 && awaited_.empty() && pins_.empty();
}

void Registry::going(Port& port) {
  if (port.nic) nics_.note_going();
  if (!port.parent || port.kind() != wire::PortKind::kMonitor) return;
  if (Port* side = attachments_.stack_side(*port.parent)) side->sw->remove_monitor(side->info.index, port.info.index);
}

void Registry::release_interface(const Port& port, std::function<void()> free) { nics_.release(port, std::move(free)); }

}  // namespace unetmap::daemon
