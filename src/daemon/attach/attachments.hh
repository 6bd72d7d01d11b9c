// SPDX-License-Identifier: BSD-2-Clause
// Network interfaces on switches: those that are attached (NETMAP_REQ_VALE_ATTACH), and those of persistent ports.
//
// An attachment takes a keeper, which leads the interface's frames to a tap, and a worker for each side, which moves
// them between that tap and a port of the switch. Requests answer EINPROGRESS while one of the two is at work, and are
// asked again when it has settled; the attachment goes on whether somebody still asks or not.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.hh"
#include "daemon/attach/service.hh"
#include "daemon/attach/shortcut_tables.hh"
#include "daemon/interface/interfaces.hh"
#include "daemon/interface/origin.hh"
#include "daemon/inventory/files.hh"
#include "daemon/inventory/ports.hh"
#include "daemon/setting/pins.hh"
#include "wire/control.hh"

namespace unetmap::daemon {

struct Attachment {
  // kFailed and kGone: until somebody is told.
  enum class State { kKeeper, kServing, kAttached, kFailed, kLeaving, kGone };
  State state = State::kKeeper;
  std::string interface, keeper;  // its name, and the key of its keeper
  // That workers serve: the wire's side first; of a persistent port the stack's alone.
  std::vector<std::string> ports;
  bool host = false, persistent = false;
  bool claimed = false;  // who asked for it was told
  bool polling = false;
  bool fails = false;  // kLeaving: with `error`
  Error error{EIO, ""};
  int workers = 0;  // that have yet to end
  ShortcutTables::Place shortcuts;
};

class Attachments {
 public:
  Attachments(Ports& ports, PersistentPorts& persistent, Files& files, Pins& pins)
      : ports_(ports), persistent_(persistent), files_(files), pins_(pins) {}

  // Who serves the ports of attached interfaces, and who holds those; without them none are attached.
  void use(Service& service) { service_ = &service; }
  void use(Interfaces& interfaces) { interfaces_ = &interfaces; }

  // nullptr if that port has none.
  const Attachment* find(const std::string& port) const;
  // Where the host stack's frames of a persistent port on a switch come from and go to.
  Port* stack_side(const Port& port);
  // The port of an interface that is on a switch, by the interface's own name.
  Port* port_of_interface(const PortName& name);

  Result<void> attach(const PortName& name, wire::ControlRequest& request, const Origin& origin);
  // Where find() knows one.
  Result<void> detach(const std::string& name, wire::ControlRequest& request);
  // Whoever pumps an attached interface's packets looks for them all the time, instead of sleeping until there are
  // some.
  Result<void> poll(wire::ControlRequest& request);
  // One that has ended is told of no more.
  void forget_gone(const std::string& name);
  // Something of a keeper or a worker has changed: takes attachments on. Before requests that wait are looked at again.
  void advance();
  // Forgets those that failed or ended while nobody asks any more.
  void forget_untold();

  // A port without receive rings open takes nothing. One that lives on between its users is not flooded to then, and
  // its headers are what they were before.
  void note_users(Port& port);
  // The interface of a persistent port; or says in `made` why it has none.
  Result<void> make_interface(const std::string& name, Persistent& made, const Origin& origin);
  bool has_interface(const Persistent& kept) const;

  ShortcutTables& shortcuts() { return shortcuts_; }
  const ShortcutTables& shortcuts() const { return shortcuts_; }
  // Has the kernel's shortcuts agree with what the switches have learned: see ShortcutTables.
  void refresh_shortcuts();

  // In an answer.
  static void fill(const Port& port, wire::ControlRequest& request);
  // For who wants to take it off its switch.
  static Result<void> check_unused(const Port& port);

 private:
  Result<void> begin(const PortName& name, bool host, const Origin& origin);
  void advance(const std::string& name, Attachment& attachment);
  Result<Port*> served_port(const std::string& name, const Attachment& attachment, size_t side);
  Result<void> serve(const std::string& name, Attachment& attachment, Interfaces::Held& held);
  void note_attached(const std::string& name);
  void leave(const std::string& name, Attachment& attachment);
  void finish_leaving(const std::string& name);
  void leave_shortcuts(Attachment& attachment);

  Ports& ports_;
  PersistentPorts& persistent_;
  Files& files_;
  Pins& pins_;
  ShortcutTables shortcuts_;
  Interfaces* interfaces_ = nullptr;
  Service* service_ = nullptr;
  std::map<std::string, Attachment> attachments_;  // by the wire side's port
};

}  // namespace unetmap::daemon
