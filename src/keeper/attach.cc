// SPDX-License-Identifier: BSD-2-Clause
// Putting an interface on a switch, whole frames as the stack and the driver have them; taps for persistent ports.
#include <port.skel.h>

#include <optional>

#include "keeper/device.hh"
#include "keeper/features.hh"
#include "keeper/held.hh"
#include "keeper/hook.hh"
#include "keeper/membership.hh"
#include "keeper/programs.hh"
#include "keeper/tap.hh"

namespace unetmap::keeper {
namespace {

// Ends from the last member to the first.
class Attachment : public Held {
 public:
  std::vector<int> descriptors() const override {
    std::vector<int> out{nic_tap->fd.get()};
    if (host_tap) out.push_back(host_tap->fd.get());
    return out;
  }
  bool needs_admin() const override { return hooks && !hooks->all_links(); }

  UniqueFd promiscuous;
  std::optional<Tap> nic_tap, host_tap;
  Programs<port, port::destroy> programs;
  Membership membership;  // ends after the interface's own hooks: until then frames may come to it
  std::unique_ptr<TcHooks> hooks, nic_hooks, host_hooks;
};

class TapHeld : public Held {
 public:
  explicit TapHeld(Tap tap) : tap_(std::move(tap)) {}
  std::vector<int> descriptors() const override { return {tap_.fd.get()}; }
  bool needs_admin() const override { return false; }

 private:
  Tap tap_;
};

void describe(const Interface& interface, wire::KeeperReply& reply) {
  reply.interface = interface.name;
  reply.mac = interface.mac;
  reply.mtu = interface.mtu;
  reply.ifindex = interface.index;
  reply.up = interface.up;
}

Result<Tap> side(const Interface& interface, const char* name, const char* what) {
  return make_tap({.name = name,
                   .vnet_hdr = true,
                   .hidden = true,
                   .mtu = interface.mtu,
                   .purpose = std::string("unetmap: ") + what + " of " + interface.name});
}

// First the ways out of the taps, then the stack's side, last what the interface receives: nothing circles meanwhile.
Result<void> hook_all(Attachment& to, const Interface& interface, const wire::AttachRequest& request, int table) {
  to.programs.reset(port::open());
  if (!to.programs) return load_error(errno);
  port& programs = *to.programs;
  uint32_t mark = random_mark();
  programs.rodata->mark = mark;
  if (request.member) {
    if (!Membership::fits(table)) return Error{EINVAL, "table of the switch: is none"};
    programs.rodata->member = *request.member;
    if (int failed = bpf_map__reuse_fd(programs.maps.table, table)) return load_error(-failed);
  }
  programs.rodata->interface_index = interface.index;
  programs.rodata->nic_tap = to.nic_tap->interface.index;
  programs.rodata->host_tap = to.host_tap ? to.host_tap->interface.index : 0;
  if (int failed = port::load(&programs)) return load_error(-failed);
  to.nic_hooks = std::make_unique<TcHooks>(to.nic_tap->interface.index);
  if (auto done = to.nic_hooks->add(Direction::kIngress, bpf_program__fd(programs.progs.to_wire)); !done) return done;
  if (to.host_tap) {
    to.host_hooks = std::make_unique<TcHooks>(to.host_tap->interface.index);
    if (auto done = to.host_hooks->add(Direction::kIngress, bpf_program__fd(programs.progs.to_stack)); !done)
      return done;
  }
  to.hooks = std::make_unique<TcHooks>(interface.index);
  if (auto done = to.hooks->add(Direction::kEgress, bpf_program__fd(programs.progs.from_stack)); !done) return done;
  if (auto done = to.hooks->add(Direction::kIngress, bpf_program__fd(programs.progs.from_wire)); !done) return done;
  if (!request.member) return {};
  return to.membership.join(table, *request.member, interface.index, mark);
}

}  // namespace

Result<SetUp> attach(const wire::AttachRequest& request, int table) {
  auto interface = look_up(request.interface);
  if (!interface) return interface.error();
  if (!interface->ethernet) return Error{EOPNOTSUPP, request.interface + ": no Ethernet interface"};
  auto attachment = std::make_unique<Attachment>();
  if (request.promiscuous) {
    auto held = make_promiscuous(*interface);
    if (!held) return held.error();
    attachment->promiscuous = std::move(*held);
  }
  auto nic_tap = side(*interface, "unmnic%d", "wire");
  if (!nic_tap) return nic_tap.error();
  attachment->nic_tap.emplace(std::move(*nic_tap));
  if (request.host) {
    auto host_tap = side(*interface, "unmhost%d", "host stack");
    if (!host_tap) return host_tap.error();
    attachment->host_tap.emplace(std::move(*host_tap));
  }
  if (auto done = hook_all(*attachment, *interface, request, table); !done) return done.error();
  SetUp out;
  describe(*interface, out.reply);
  attachment->hooks->say_what_stays(request.interface, out.reply.said);
  out.held = std::move(attachment);
  return out;
}

Result<SetUp> tap(const wire::TapRequest& request) {
  auto made = make_tap({.name = request.name, .mac = request.mac, .vnet_hdr = request.vnet_hdr});
  if (!made) return made.error();
  SetUp out;
  describe(made->interface, out.reply);
  out.held = std::make_unique<TapHeld>(std::move(*made));
  return out;
}

Result<SetUp> restore(const wire::RestoreRequest& request, int memory) {
  if (request.taken)
    if (auto done = give_back(*request.taken, memory); !done) return done.error();
  if (request.taken && request.taken->driver == kNoDriver) {  // no interface comes back
    SetUp out;
    out.reply.interface = request.interface;
    out.reply.mac = request.mac;
    out.reply.ifindex = request.ifindex;
    return out;
  }
  auto interface = look_up(request.interface);
  if (!interface) return interface.error();
  if (!request.taken && (interface->index != request.ifindex || interface->mac != request.mac))
    return Error{ENODEV, request.interface + ": is another interface by now"};
  if (auto done = want_features(request.interface, request.features); !done) return done.error();
  SetUp out;
  describe(*interface, out.reply);
  return out;
}

}  // namespace unetmap::keeper
