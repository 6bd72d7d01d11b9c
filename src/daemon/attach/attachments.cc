// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/attach/attachments.hh"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "daemon/process/log.hh"
#include "daemon/setting/apply.hh"

namespace unetmap::daemon {

const Attachment* Attachments::find(const std::string& port) const {
  auto found = attachments_.find(port);
  return found == attachments_.end() ? nullptr : &found->second;
}

void Attachments::forget_gone(const std::string& name) {
  if (const Attachment* attachment = find(name); attachment && attachment->state == Attachment::State::kGone)
    attachments_.erase(name);
}

void Attachments::forget_untold() {
  using State = Attachment::State;
  std::erase_if(attachments_,
                [](auto& entry) { return entry.second.state == State::kFailed || entry.second.state == State::kGone; });
}

bool Attachments::has_interface(const Persistent& kept) const {
  const Interfaces::Held* held = kept.keeper.empty() ? nullptr : interfaces_->find(kept.keeper);
  return held && held->error.code == 0;
}

Result<void> Attachments::check_unused(const Port& port) {
  if (port.users.empty() && port.dependents == 0) return {};
  return Error{EBUSY, port.name + ": is in use" +
                          (port.users.empty() ? "" : " by process " + std::to_string(port.users.front()->pid)) +
                          "; close it there first"};
}

void Attachments::note_users(Port& port) {
  const bool switched = port.kind() == wire::PortKind::kVale || port.kind() == wire::PortKind::kPersistent;
  if (switched && !port.attached && !port.plug)
    port.sw->set_flag(
        port.info.index, kPortDeaf,
        std::all_of(port.users.begin(), port.users.end(), [](const File* user) { return user->rx.empty(); }));
  if (!port.attached || port.plug) return;
  bool open = !port.users.empty();
  port.sw->set_flood(port.info.index, open);
  if (Port* side = stack_side(port)) side->sw->set_flag(side->info.index, kPortSide, open);
  if (open) return;
  if (!stack_side(port)) ports_.orphan_monitors(port);
  for (auto& [name, kept] : persistent_)
    if (kept.port == port.name) port.sw->set_header_len(port.info.index, kept.header_len);
}

void Attachments::fill(const Port& port, wire::ControlRequest& request) {
  auto body = request.body_as<nmreq_vale_attach>();
  const wire::PortInfo& info = port.info;
  body.port_index = info.index;
  body.reg.nr_tx_rings = info.tx_rings;
  body.reg.nr_rx_rings = info.rx_rings;
  body.reg.nr_tx_slots = info.tx_slots;
  body.reg.nr_rx_slots = info.rx_slots;
  body.reg.nr_mem_id = uint16_t(port.region->info().id);
  request.set_body(body);
}

Result<void> Attachments::attach(const PortName& name, wire::ControlRequest& request, const Origin& origin) {
  using State = Attachment::State;
  if (!interfaces_ || !service_) return Error{ENXIO, name.base + ": this daemon serves no network interfaces"};
  auto body = request.body_as<nmreq_vale_attach>();
  auto found = attachments_.find(name.base);
  if (found == attachments_.end()) {
    if (auto begun = begin(name, body.reg.nr_mode == NR_REG_NIC_SW, origin); !begun) {
      attachments_.erase(name.base);
      return begun;
    }
    return Error{EINPROGRESS, name.base + ": is being attached"};
  }
  Attachment& attachment = found->second;
  if (attachment.state == State::kFailed) {
    Error why = attachment.error;
    attachments_.erase(found);
    return why;
  }
  if (attachment.state != State::kAttached) return Error{EINPROGRESS, name.base + ": is being attached"};
  if (attachment.claimed) return Error{EBUSY, name.base + ": is attached already"};
  attachment.claimed = true;
  fill(*ports_.find(name.base), request);
  return {};
}

Result<void> Attachments::begin(const PortName& name, bool host, const Origin& origin) {
  Attachment attachment;
  attachment.interface = name.port_name;
  if (std::string own = persistent_.count(name.port_name) ? "" : origin.interface_name(name.port_name); !own.empty())
    attachment.interface = own;
  attachment.host = host;
  auto kept = persistent_.find(name.port_name);
  if (kept != persistent_.end()) {
    attachment.persistent = true;
    attachment.keeper = kept->second.keeper;
    auto& made = attachments_[name.base] = std::move(attachment);
    advance(name.base, made);
    return {};
  }
  attachment.keeper = origin.keeper_key("attach", attachment.interface);
  // One that is just being let go of is waited for.
  auto in_use = [&](const std::string& key, std::string text) {
    Interfaces::Held* held = interfaces_->find(key);
    if (!held) return Result<void>{};
    bool leaving = held->state == Interfaces::Held::State::kClosing;
    return Result<void>(Error{leaving ? EINPROGRESS : EBUSY, std::move(text)});
  };
  if (auto free =
          in_use(attachment.keeper, attachment.interface + ": is attached to a switch already; detach it there first");
      !free)
    return free;
  if (auto free =
          in_use(attachment.keeper.substr(sizeof "attach"),
                 attachment.interface + ": is open as netmap:" + attachment.interface + "; close it there first");
      !free)
    return free;
  auto channel = origin.keeper_channel(*interfaces_, attachment.interface);
  if (!channel) return channel.error();
  wire::AttachRequest request;
  request.interface = attachment.interface;
  request.host = host;
  attachment.shortcuts = shortcuts_.join(origin.keeper_key(name.switch_name, ""));
  std::vector<int> fds;
  if (!attachment.shortcuts.table.empty()) {
    request.member = attachment.shortcuts.member;
    fds.push_back(shortcuts_.fd(attachment.shortcuts));
  }
  if (auto asked = interfaces_->ask(attachment.keeper, std::move(*channel), request, fds); !asked) {
    leave_shortcuts(attachment);
    return asked;
  }
  attachments_[name.base] = std::move(attachment);
  return {};
}

void Attachments::advance() {
  std::vector<std::string> names;
  for (auto& [name, attachment] : attachments_) names.push_back(name);
  for (const std::string& name : names)
    if (auto found = attachments_.find(name); found != attachments_.end()) advance(name, found->second);
}

// One step on, if it can be taken.
void Attachments::advance(const std::string& name, Attachment& attachment) {
  using State = Attachment::State;
  auto failed = [&](const Error& why) {
    attachment.error = why;
    attachment.fails = true;
    leave(name, attachment);
  };
  if (attachment.state == State::kKeeper) {
    Interfaces::Held* held = interfaces_->find(attachment.keeper);
    if (!held) return failed({ENXIO, attachment.interface + ": its keeper is gone; try again"});
    if (held->state == Interfaces::Held::State::kStarting) return;
    if (held->state != Interfaces::Held::State::kReady) return failed(held->error);
    if (held->error.code != 0) return failed(held->error);
    if (auto served = serve(name, attachment, *held); !served) return failed(served.error());
    attachment.state = State::kServing;
  }
  if (attachment.state == State::kServing) {
    for (const std::string& port : attachment.ports) {
      auto served = service_->served(port);
      if (!served && served.error().code == EINPROGRESS) return;
      if (!served) return failed(served.error());
    }
    attachment.state = State::kAttached;
    refresh_shortcuts();
  }
}

// The port for one side of an attachment: that of a persistent port is the host stack's, beside the port itself, which
// is its programs'.
Result<Port*> Attachments::served_port(const std::string& name, const Attachment& attachment, size_t side) {
  auto parsed = parse_port_name(name);
  if (!parsed) return parsed.error();
  if (side > 0 || attachment.persistent) parsed->base += "^";
  if (ports_.find(parsed->base)) return Error{EBUSY, parsed->base + ": is open already; close it first"};
  Recipe recipe;
  recipe.shape.hidden = attachment.persistent;
  auto port = ports_.make(*parsed, recipe, false);
  if (!port) return port;
  (*port)->attached = true;
  (*port)->plug = PlugView{attachment.persistent ? "persistent" : side == 0 ? "interface" : "host", "starting"};
  (*port)->sw->set_header_len((*port)->info.index, kTapHeaderBytes);
  if (Port* own = attachment.persistent ? ports_.find(name) : nullptr) {
    if (auto done = apply_settings(own->record()->settings(), **port, pins_, files_); !done) return done.error();
  }
  return port;
}

Port* Attachments::stack_side(const Port& port) {
  auto found = attachments_.find(port.name);
  if (found == attachments_.end() || !found->second.persistent || found->second.ports.empty()) return nullptr;
  return ports_.find(found->second.ports.front());
}

Port* Attachments::port_of_interface(const PortName& name) {
  if (name.on_switch()) return nullptr;
  for (auto& [port, attachment] : attachments_)
    if (!attachment.persistent && attachment.keeper == "attach " + name.base) return ports_.find(port);
  return nullptr;
}

// Makes the ports, and has workers move the packets.
Result<void> Attachments::serve(const std::string& name, Attachment& attachment, Interfaces::Held& held) {
  for (size_t i = 0; i < held.fds.size(); i++) {
    auto made = served_port(name, attachment, i);
    if (!made) return made.error();
    Port& port = **made;
    attachment.ports.push_back(port.name);
    std::vector<UniqueFd> fds;
    fds.emplace_back(fcntl(held.fds[i].get(), F_DUPFD_CLOEXEC, 3));
    if (!fds[0]) return Error::from_errno(errno, port.name);
    wire::Plug plug{port.name, "tap", Json::object()};
    if (auto served = service_->serve(std::move(plug), port.plug->kind, std::move(fds)); !served) return served;
  }
  if (attachment.persistent)
    if (Port* own = ports_.find(name)) note_users(*own);
  held.changed = [this, name] { note_attached(name); };
  return {};
}

// The interface of an attachment went down or up, or is gone.
void Attachments::note_attached(const std::string& name) {
  auto found = attachments_.find(name);
  if (found == attachments_.end() || found->second.state != Attachment::State::kAttached) return;
  Interfaces::Held* held = interfaces_->find(found->second.keeper);
  if (held && held->error.code == 0) return;
  log(name + ": is detached, because its interface is not what it was");
  leave(name, found->second);
}

// Undoes what there is of it. It is kFailed or kGone when all of that is done.
void Attachments::leave(const std::string& name, Attachment& attachment) {
  using State = Attachment::State;
  if (attachment.state == State::kLeaving) return;
  attachment.state = State::kLeaving;
  leave_shortcuts(attachment);
  attachment.workers = int(attachment.ports.size());
  if (attachment.workers == 0) return finish_leaving(name);
  std::vector<std::string> ports = attachment.ports;
  for (const std::string& port : ports)
    service_->end(port, [this, name] {
      auto found = attachments_.find(name);
      if (found != attachments_.end() && --found->second.workers == 0) finish_leaving(name);
    });
}

// Its workers have ended.
void Attachments::finish_leaving(const std::string& name) {
  using State = Attachment::State;
  auto found = attachments_.find(name);
  if (found == attachments_.end() || found->second.state != State::kLeaving) return;
  Attachment& a = found->second;
  for (auto port = a.ports.rbegin(); port != a.ports.rend(); ++port)
    if (Port* p = ports_.find(*port)) {
      p->plug.reset();
      p->attached = false;
      ports_.drop_if_unused(p);
    }
  if (Port* own = a.persistent ? ports_.find(name) : nullptr) {
    own->attached = false;
    own->sw->set_flood(own->info.index, true);
    ports_.drop_if_unused(own);
  }
  auto done = [this, name] {
    auto it = attachments_.find(name);
    if (it == attachments_.end() || it->second.state != State::kLeaving) return;
    it->second.state = it->second.fails ? State::kFailed : State::kGone;
    if (interfaces_->on_settled) interfaces_->on_settled();
  };
  Interfaces::Held* held = interfaces_->find(a.keeper);
  if (held) held->changed = nullptr;
  if (a.persistent || !held)
    done();
  else
    interfaces_->release(a.keeper, done);
}

void Attachments::leave_shortcuts(Attachment& attachment) {
  if (attachment.shortcuts.table.empty()) return;
  const ShortcutTables::Place place = std::exchange(attachment.shortcuts, {});
  shortcuts_.leave(place);
  refresh_shortcuts();
}

void Attachments::refresh_shortcuts() {
  std::vector<ShortcutTables::Member> members;
  for (auto& [name, attachment] : attachments_)
    if (const Port* port = ports_.find(name);
        port && attachment.state == Attachment::State::kAttached && !attachment.shortcuts.table.empty())
      members.push_back({attachment.shortcuts, port});
  shortcuts_.refresh(members);
}

Result<void> Attachments::detach(const std::string& name, wire::ControlRequest& request) {
  using State = Attachment::State;
  Attachment& attachment = attachments_.find(name)->second;
  if (attachment.state == State::kGone || attachment.state == State::kFailed) {
    attachments_.erase(name);
    return {};
  }
  if (attachment.state == State::kAttached) {
    for (const std::string& each : attachment.ports)
      if (Port* port = ports_.find(each); port && port->dependents != 0)
        return Error{EBUSY, each + ": has monitors; close them first"};
    if (attachment.polling) return Error{EBUSY, name + ": is polled; stop that first (vale-ctl -P " + name + ")"};
    if (Port* own = attachment.persistent ? ports_.find(name) : nullptr)
      if (auto idle = check_unused(*own); !idle) return idle;
    auto body = request.body_as<nmreq_vale_detach>();
    if (Port* port = ports_.find(name)) body.port_index = port->info.index;
    request.set_body(body);
    leave(name, attachment);
  }
  return Error{EINPROGRESS, name + ": is being detached"};
}

Result<void> Attachments::make_interface(const std::string& name, Persistent& made, const Origin& origin) {
  using State = Interfaces::Held::State;
  if (!interfaces_) return {};
  std::string key = origin.keeper_key("tap", name);
  Interfaces::Held* held = interfaces_->find(key);
  auto without = [&](const Error& why) {
    made.why = why.text;
    log(name + ": a port without a network interface: " + why.text);
  };
  if (!held) {
    auto channel = origin.keeper_channel(*interfaces_, name);
    if (!channel && channel.error().code == EREMOTE) return channel.error();
    wire::TapRequest request;
    request.name = name;
    auto asked = channel ? interfaces_->ask(key, std::move(*channel), request, {}) : Result<void>(channel.error());
    if (asked) return Error{EINPROGRESS, name + ": its interface is being made"};
    without(asked.error());
    return {};
  }
  if (held->state == State::kStarting || held->state == State::kClosing)
    return Error{EINPROGRESS, name + ": its interface is being made"};
  if (held->state == State::kReady) {
    made.keeper = key;
    made.name_space = origin.inode();
    return {};
  }
  Error why = held->error;
  interfaces_->release(key);
  if (why.code == EEXIST || why.code == EINVAL) return why;
  without(why);
  return {};
}

Result<void> Attachments::poll(wire::ControlRequest& request) {
  auto body = request.body_as<nmreq_vale_polling>();
  if (!ports_.find(request.name))
    return Error{ENXIO, request.name + ": no such port; attach a network interface first"};
  auto found = attachments_.find(request.name);
  if (found == attachments_.end() || found->second.state != Attachment::State::kAttached || found->second.persistent)
    return Error{EOPNOTSUPP, request.name +
                                 ": is no attached network interface, so there is nothing to poll; its users send "
                                 "and receive by themselves"};
  bool on = request.type == NETMAP_REQ_VALE_POLLING_ENABLE;
  if (on == found->second.polling)
    return Error{EFAULT, request.name + (on ? ": is polled already" : ": is not polled")};
  if (on && body.nr_mode != NETMAP_POLLING_MODE_SINGLE_CPU && body.nr_mode != NETMAP_POLLING_MODE_MULTI_CPU)
    return Error{EINVAL, request.name + ": polling mode " + std::to_string(body.nr_mode) + " is unknown; use 1 or 2"};
  if (on && (body.nr_num_polling_cpus == 0 ||
             (body.nr_mode == NETMAP_POLLING_MODE_SINGLE_CPU && body.nr_num_polling_cpus != 1)))
    return Error{EINVAL, request.name + ": cannot be polled by " + std::to_string(body.nr_num_polling_cpus) +
                             " CPUs in this mode; one of them polls all rings in mode 1, one or more in mode 2"};
  Json wanted{{"polling", on}};
  if (on) wanted["cpu"] = body.nr_first_cpu_id;
  for (const std::string& port : found->second.ports) service_->tell(port, wanted);
  found->second.polling = on;
  return {};
}

}  // namespace unetmap::daemon
