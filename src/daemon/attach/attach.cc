// SPDX-License-Identifier: BSD-2-Clause
// Network interfaces on switches: those that are attached (NETMAP_REQ_VALE_ATTACH), and those of persistent ports.
//
// An attachment takes a keeper, which leads the interface's frames to a tap, and a worker for each side, which moves
// them between that tap and a port of the switch. Requests answer EINPROGRESS while one of the two is at work, and are
// asked again when it has settled; the attachment goes on whether somebody still asks or not.
#include <fcntl.h>

#include <algorithm>

#include "daemon/process/log.hh"
#include "daemon/registry/registry.hh"
#include "vale/fdb.hh"

namespace unetmap::daemon {
namespace {

constexpr uint32_t kHeaderBytes = 12;  // virtio-net, in front of every frame of a tap

}  // namespace

// Another namespace's interface may have the name of one of ours.
std::string Registry::keeper_key(const char* what, const std::string& interface) const {
  std::string key = std::string(what) + " " + interface;
  if (in_own_namespace()) return key;
  auto theirs = Namespace::of(origin_->name_space.get());
  return theirs ? key + "@" + std::to_string(theirs->inode) : key;
}

// Of a keeper in the asker's network namespace.
Result<UniqueFd> Registry::keeper_channel(const std::string& interface) {
  if (in_own_namespace()) return interfaces_->start();
  if (origin_->channel) return UniqueFd(fcntl(origin_->channel.get(), F_DUPFD_CLOEXEC, 3));
  return Error{EREMOTE,
               interface + ": is in another network namespace than the daemon, which takes a keeper started there"};
}

void Registry::fill_attached(const Port& port, wire::ControlRequest& request) const {
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

Result<void> Registry::attach_interface(const PortName& name, wire::ControlRequest& request) {
  using State = Attachment::State;
  if (!interfaces_ || !service_) return Error{ENXIO, name.base + ": this daemon serves no network interfaces"};
  auto body = request.body_as<nmreq_vale_attach>();
  auto found = attachments_.find(name.base);
  if (found == attachments_.end()) {
    if (auto begun = begin_attachment(name, body.reg.nr_mode == NR_REG_NIC_SW); !begun) {
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
  fill_attached(*port_named(name.base), request);
  return {};
}

Result<void> Registry::begin_attachment(const PortName& name, bool host) {
  Attachment attachment;
  attachment.interface = name.port_name;
  if (std::string own = persistent_.count(name.port_name) ? "" : interface_name(name.port_name); !own.empty())
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
  attachment.keeper = keeper_key("attach", attachment.interface);
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
  if (auto free = in_use(attachment.keeper.substr(sizeof "attach"),
                         attachment.interface + ": is open as netmap:" + attachment.interface + "; close it there first");
      !free)
    return free;
  auto channel = keeper_channel(attachment.interface);
  if (!channel) return channel.error();
  wire::AttachRequest request;
  request.interface = attachment.interface;
  request.host = host;
  join_shortcuts(name, attachment);
  std::vector<int> fds;
  if (!attachment.table.empty()) {
    request.member = attachment.member;
    fds.push_back(shortcuts_[attachment.table]->fd());
  }
  if (auto asked = interfaces_->ask(attachment.keeper, std::move(*channel), request, fds); !asked) {
    leave_shortcuts(attachment);
    return asked;
  }
  attachments_[name.base] = std::move(attachment);
  return {};
}

void Registry::advance_attachments() {
  std::vector<std::string> names;
  for (auto& [name, attachment] : attachments_) names.push_back(name);
  for (const std::string& name : names)
    if (auto found = attachments_.find(name); found != attachments_.end()) advance(name, found->second);
}

// One step on, if it can be taken.
void Registry::advance(const std::string& name, Attachment& attachment) {
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
    if (auto served = serve_attachment(name, attachment, *held); !served) return failed(served.error());
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
Result<Port*> Registry::served_port(const std::string& name, const Attachment& attachment, size_t side) {
  auto parsed = parse_port_name(name);
  if (!parsed) return parsed.error();
  if (side > 0 || attachment.persistent) parsed->base += "^";
  if (port_named(parsed->base)) return Error{EBUSY, parsed->base + ": is open already; close it first"};
  Recipe recipe;
  recipe.shape.hidden = attachment.persistent;
  auto port = make_base_port(*parsed, recipe, false);
  if (!port) return port;
  (*port)->attached = true;
  (*port)->plug = PlugView{attachment.persistent ? "persistent" : side == 0 ? "interface" : "host", "starting"};
  (*port)->sw->set_header_len((*port)->info.index, kHeaderBytes);
  if (Port* own = attachment.persistent ? port_named(name) : nullptr) {
    if (auto done = apply(own->record()->settings(), **port); !done) return done.error();
  }
  return port;
}

// Where the host stack's frames of a persistent port on a switch come from and go to.
Port* Registry::stack_side(const Port& port) {
  auto found = attachments_.find(port.name);
  if (found == attachments_.end() || !found->second.persistent || found->second.ports.empty()) return nullptr;
  return port_named(found->second.ports.front());
}

// The port of an interface that is on a switch, by the interface's own name.
Port* Registry::port_of_interface(const PortName& name) {
  if (name.on_switch()) return nullptr;
  for (auto& [port, attachment] : attachments_)
    if (!attachment.persistent && attachment.keeper == "attach " + name.base) return port_named(port);
  return nullptr;
}

// Makes the ports, and has workers move the packets.
Result<void> Registry::serve_attachment(const std::string& name, Attachment& attachment, Interfaces::Held& held) {
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
    if (Port* own = port_named(name)) note_users(*own);
  held.changed = [this, name] { note_attached(name); };
  return {};
}

// The interface of an attachment went down or up, or is gone.
void Registry::note_attached(const std::string& name) {
  auto found = attachments_.find(name);
  if (found == attachments_.end() || found->second.state != Attachment::State::kAttached) return;
  Interfaces::Held* held = interfaces_->find(found->second.keeper);
  if (held && held->error.code == 0) return;
  log(name + ": is detached, because its interface is not what it was");
  leave(name, found->second);
}

// Undoes what there is of it. It is kFailed or kGone when all of that is done.
void Registry::leave(const std::string& name, Attachment& attachment) {
  using State = Attachment::State;
  if (attachment.state == State::kLeaving) return;
  attachment.state = State::kLeaving;
  leave_shortcuts(attachment);
  auto finish = [this, name] {
    auto found = attachments_.find(name);
    if (found == attachments_.end() || found->second.state != State::kLeaving) return;
    Attachment& a = found->second;
    for (auto port = a.ports.rbegin(); port != a.ports.rend(); ++port)
      if (Port* p = port_named(*port)) {
        p->plug.reset();
        p->attached = false;
        drop_if_unused(p);
      }
    if (Port* own = a.persistent ? port_named(name) : nullptr) {
      own->attached = false;
      own->sw->set_flood(own->info.index, true);
      drop_if_unused(own);
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
  };
  attachment.workers = int(attachment.ports.size());
  if (attachment.workers == 0) return finish();
  std::vector<std::string> ports = attachment.ports;
  for (const std::string& port : ports)
    service_->end(port, [this, name, finish] {
      auto found = attachments_.find(name);
      if (found != attachments_.end() && --found->second.workers == 0) finish();
    });
}

// Where there can be none, all frames go by the switch.
void Registry::join_shortcuts(const PortName& name, Attachment& attachment) {
  std::string key = keeper_key(name.switch_name.c_str(), "");
  auto& table = shortcuts_[key];
  if (!table) {
    auto made = Shortcuts::create();
    if (!made) {
      shortcuts_.erase(key);
      return;
    }
    table = std::move(*made);
  }
  if (auto member = table->take_member()) {
    attachment.table = key;
    attachment.member = *member;
  }
}

void Registry::leave_shortcuts(Attachment& attachment) {
  if (attachment.table.empty()) return;
  auto found = shortcuts_.find(attachment.table);
  attachment.table.clear();
  found->second->free_member(attachment.member);
  refresh_shortcuts();
  if (found->second->members() == 0) shortcuts_.erase(found);
}

bool Registry::has_shortcuts() const {
  return !shortcuts_rest_ &&
         std::any_of(shortcuts_.begin(), shortcuts_.end(), [](auto& entry) { return entry.second->members() > 1; });
}

// Frames that take a shortcut are seen by no monitor, tap, fence or rule: ports that have any take none.
void Registry::refresh_shortcuts() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  const auto now_s = uint32_t(t.tv_sec);
  shortcuts_rest_ = true;
  for (auto& [key, table] : shortcuts_) {
    std::shared_ptr<Switch> sw;
    std::unordered_map<uint16_t, uint32_t> members;  // by port
    std::vector<uint16_t> busy;
    for (auto& [name, attachment] : attachments_) {
      if (attachment.table != key || attachment.state != Attachment::State::kAttached) continue;
      const Port* port = find_port(name);
      if (!port) continue;
      const Switch::Record& record = *port->record();
      bool watched =
          port->sw->tap() ||
          std::any_of(std::begin(record.monitors), std::end(record.monitors), [](uint16_t m) { return m != 0; });
      if (watched || port->sw->shared().rules.load(std::memory_order_relaxed) != 0 || record.group != 0 || record.flags & (kPortFenced | kPortLossless) ||
          record.header_len != kHeaderBytes)
        continue;
      sw = port->sw;
      members[port->info.index] = attachment.member;
      if (table->busy(attachment.member)) busy.push_back(port->info.index);
    }
    std::vector<Shortcuts::Station> stations;
    bool rest = true;
    if (members.size() > 1) {
      vale::Fdb fdb(&sw->shared());
      std::vector<std::pair<uint64_t, uint16_t>> heard;
      fdb.each(now_s, [&](uint64_t address, uint16_t port, uint32_t age_s, uint16_t) {
        auto member = members.find(port);
        if (member == members.end()) return;
        stations.push_back({address, member->second});
        bool passing = std::count(busy.begin(), busy.end(), port) != 0;
        if (passing) heard.emplace_back(address, port);
        if (passing || age_s < kShortcutRest_s) rest = false;
      });
      // The switch does not hear them any more, and shall not forget them.
      for (auto& [address, port] : heard)
        if (const Switch::Record* record = sw->find(port); record && fdb.lookup(address, now_s) == port)
          fdb.learn(address, port, record->generation, now_s);
    }
    // Then the next frame goes by its worker, which says so.
    if (rest) stations.clear();
    shortcuts_rest_ = shortcuts_rest_ && rest;
    table->fill(stations);
  }
}

Result<void> Registry::detach_interface(const std::string& name, wire::ControlRequest& request) {
  using State = Attachment::State;
  Attachment& attachment = attachments_.find(name)->second;
  if (attachment.state == State::kGone || attachment.state == State::kFailed) {
    attachments_.erase(name);
    return {};
  }
  if (attachment.state == State::kAttached) {
    for (const std::string& each : attachment.ports)
      if (Port* port = port_named(each); port && port->dependents != 0)
        return Error{EBUSY, each + ": has monitors; close them first"};
    if (attachment.polling) return Error{EBUSY, name + ": is polled; stop that first (vale-ctl -P " + name + ")"};
    if (Port* own = attachment.persistent ? port_named(name) : nullptr)
      if (auto idle = check_unused(*own); !idle) return idle;
    auto body = request.body_as<nmreq_vale_detach>();
    if (Port* port = port_named(name)) body.port_index = port->info.index;
    request.set_body(body);
    leave(name, attachment);
  }
  return Error{EINPROGRESS, name + ": is being detached"};
}

Result<void> Registry::make_interface(const std::string& name, Persistent& made) {
  using State = Interfaces::Held::State;
  if (!interfaces_) return {};
  std::string key = keeper_key("tap", name);
  Interfaces::Held* held = interfaces_->find(key);
  auto without = [&](const Error& why) {
    made.why = why.text;
    log(name + ": a port without a network interface: " + why.text);
  };
  if (!held) {
    auto channel = keeper_channel(name);
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
    if (!in_own_namespace())
      if (auto theirs = Namespace::of(origin_->name_space.get())) made.name_space = theirs->inode;
    return {};
  }
  Error why = held->error;
  interfaces_->release(key);
  if (why.code == EEXIST || why.code == EINVAL) return why;
  without(why);
  return {};
}

}  // namespace unetmap::daemon
