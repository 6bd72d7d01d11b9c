// SPDX-License-Identifier: BSD-2-Clause
// Everything that exists - switches, ports, regions, descriptors - and what the netmap requests do to it. Knows no
// sockets: the server feeds it.
//
// Lifetimes. A switch lives with its ports, a region with its ports. A port lives while a file is bound to it, a pipe
// or monitor hangs on it, or it is attached; both ends of a pipe come and go together. A persistent port
// (NETMAP_REQ_VALE_NEWIF) is only a name and a shape until it is opened or attached.
#pragma once

#include <ctime>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "daemon/interface/interfaces.hh"
#include "daemon/port/port.hh"
#include "daemon/port/counters.hh"
#include "daemon/port/port_name.hh"
#include "daemon/plug/service.hh"
#include "daemon/switch/settings.hh"
#include "daemon/interface/shortcuts.hh"
#include "wire/control.hh"
#include "wire/messages.hh"
#include "wire/worker.hh"

namespace unetmap::daemon {

class Registry {
 public:
  static constexpr uint32_t kMaxSwitches = 256;
  static constexpr uint32_t kMaxRegionId = 0xffff;  // nr_mem_id has 16 bits
  static constexpr uint32_t kNicBuffers = 32768;    // of the region that interfaces share; pinned while one is bound

  Registry() = default;
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // Where the numbers of memory regions begin; any value will do. Programs tell regions of one process apart by their
  // number, also those of two daemons, so each daemon begins elsewhere.
  void number_regions_from(uint32_t any) { last_region_ = kGlobalRegion + any % (kMaxRegionId - kGlobalRegion); }

  // The daemon ends: programs that still use its ports keep the memory they have mapped as it is.
  void leave_memory();

  // --- descriptors ---
  File* open_file(pid_t pid);
  // The last copy of the descriptor is gone. Without File::goodbye its holder may have died in the middle of a sync.
  void close_file(File* file);
  // As before it was registered.
  void unbind(File& file);
  // A process that used this descriptor died in the middle of a sync; the descriptor lives on.
  void audit(File& file);
  // Does the rest of close_file() and audit(), once for many of them: what dead processes could write is put right.
  void settle();

  // --- requests ---
  // Where a request comes from: for names of network interfaces. Without it, from our own network namespace.
  struct Origin {
    UniqueFd name_space;
    UniqueFd probe;    // a socket made there
    UniqueFd channel;  // to a keeper that the client started there
  };
  // Carries a netmap request out; body and options are updated, also on failure. EINPROGRESS: to be tried again when
  // Interfaces::on_settled is called. EREMOTE: to be asked again with a keeper of the client's.
  Result<void> control(File& file, wire::ControlRequest& request, const Origin& origin);
  Result<void> control(File& file, wire::ControlRequest& request) { return control(file, request, Origin{}); }
  // Lets go of interfaces that were got ready for somebody who is not there any more.
  void release_unclaimed();
  // Why the port of a registered file is of no use any more; code 0: it is.
  Error failure(const File& file) const;
  // What a registered file is bound to; its descriptors in the order of wire::BindFds.
  wire::BindInfo bind_info(const File& file) const;
  std::vector<int> bind_fds(const File& file) const;

  struct Destination {
    wire::DestInfo info;
    int exchange_fd;
  };
  Result<Destination> resolve(File& file, const wire::ResolveRequest& request);
  // The doorbell of another file of the same switch.
  Result<int> doorbell(const File& file, uint32_t file_id) const;
  // Wakes everyone who is bound to that port of the file's switch, and if it is the file's own, who sends there.
  void ring(const File& file, const wire::ResolveRequest& request) const;

  // --- queries ---
  // JSON to JSON, see docs/wire.md.
  Result<std::string> query(const std::string& json);
  Result<void> set(const std::string& json);

  // --- what is wanted of ports before they are there: awaited.cc ---
  // Settings of Op::kSet for a name that has no port: made when it gets one. `keep`: each time that it gets one, or no
  // longer so; without it as it was.
  Result<void> await_settings(const std::string& name, const Json& wanted, std::optional<bool> keep);
  // The same of a port that is there and has `settings`.
  Result<void> keep_settings(const std::string& name, const Json& settings, std::optional<bool> keep);
  bool keeps_settings(const std::string& name) const { return kept_.contains(name); }
  // {"switch":NAME} with "flush":true, or "pin":ADDRESS and "port":NAME or null: of its forwarding table.
  Result<void> set_switch(const Json& wanted);
  Json awaited_json() const;
  // Pinned addresses of a switch with the names of their ports, which need not be there.
  std::map<uint64_t, std::string> pins_of(const std::string& sw) const;
  Json pins_json() const;

  // --- ports without a program of their own (plug/plugs.hh) ---
  // Makes the port, of the rings and slots that the plug's parameters ask for. EBUSY when it is there.
  Result<void> reserve_plug(const wire::Plug& plug);
  void release_plug(const std::string& port);
  void show_plug(const std::string& port, PlugView view);
  Json plug_json(const std::string& port) const;

  // Who serves the ports of attached interfaces; without it none are attached.
  void use_service(Service& service) { service_ = &service; }
  // Something of a keeper or a worker has changed: takes attachments on. Before requests that wait are looked at again.
  void advance_attachments();
  // Has the kernel's shortcuts between attached interfaces agree with what the switches have learned: to be called
  // again and again while has_shortcuts(), and when something is set on a port. Once no frame has come for some seconds
  // there are none, until wake_shortcuts().
  static constexpr uint32_t kShortcutRest_s = 5;
  void refresh_shortcuts();
  bool has_shortcuts() const;
  void wake_shortcuts() { shortcuts_rest_ = false; }

  // Without it there are no ports on interfaces. `modes`: for those that are bound from now on. `drives`: whether the
  // daemon has the rights for mode `driver`.
  void use_interfaces(Interfaces& interfaces, wire::NicModes modes, uint32_t buffers, bool drives) {
    interfaces_ = &interfaces;
    nic_modes_ = std::move(modes);
    nic_buffers_ = buffers;
    drives_ = drives;
  }
  // {"nic_mode": "driver"}, or null for the daemon's own choice: when the interface is opened next.
  Result<void> set_nic_mode(const std::string& interface, const Json& wanted);

  // For query(): where the daemon listens.
  void set_socket_path(std::string path) { socket_path_ = std::move(path); }

  // Nothing here that would be missed.
  bool idle() const {
    return files_.empty() && persistent_.empty() && ports_.empty() && awaited_.empty() && kept_.empty() &&
           pins_.empty();
  }
  const Port* find_port(const std::string& name) const;
  size_t port_count() const { return ports_.size(); }
  size_t switch_count() const { return switches_.size(); }
  size_t file_count() const { return files_.size(); }
  size_t region_count() const;

 private:
  struct Persistent {
    PortShape shape;
    std::shared_ptr<Region> region;  // its memory, open or not; none if it is made for a pipe
    uint16_t header_len = 0;         // while nobody has it open
    bool autodelete = false;         // made for a pipe, goes with its port
    std::string port;                // name of its Port while it has one
    std::string keeper;              // key of its network interface's; empty: it has none
    uint64_t name_space = 0;         // inode of its interface's network namespace, where that is not the daemon's
    std::string why;                 // it has no interface
  };
  // A network interface on a switch: NETMAP_REQ_VALE_ATTACH.
  struct Attachment {
    // kFailed and kGone: until somebody is told.
    enum class State { kKeeper, kServing, kAttached, kFailed, kLeaving, kGone };
    State state = State::kKeeper;
    std::string interface, keeper;  // its name, and the key of its keeper
    std::vector<std::string>
        ports;  // that workers serve: the wire's side first; of a persistent port the stack's alone
    bool host = false, persistent = false;
    bool claimed = false;  // who asked for it was told
    bool polling = false;
    bool fails = false;  // kLeaving: with `error`
    Error error{EIO, ""};
    int workers = 0;      // that have yet to end
    std::string table;    // key of its shortcuts, if it takes part in some
    uint32_t member = 0;  // which it is there
  };
  // How a port that does not exist yet is to be made.
  struct Recipe {
    PortShape shape;
    uint32_t extra_bufs = 0;
    uint16_t host_tx_rings = 1, host_rx_rings = 1;  // of an interface
    uint16_t mem_id = 0;
    std::shared_ptr<Region> region;  // given: nothing else counts
  };

  // What programs are told about memory.
  struct Memory {
    uint32_t id;
    RegionShape shape;
  };

  // registry/registry.cc: making and unmaking
  Port* port_named(const std::string& name);
  Result<std::shared_ptr<Switch>> switch_named(const std::string& name);
  uint32_t next_region_id() const;  // 0: there is none
  Result<std::shared_ptr<Region>> make_region(const RegionShape& shape);
  Result<std::shared_ptr<Region>> region_by_id(uint32_t id);
  Result<std::shared_ptr<Region>> region_for(const Recipe& recipe);
  Result<Port*> make_port(std::string name, wire::PortKind kind, std::shared_ptr<Switch> sw,
                          std::shared_ptr<Region> region, const PortShape& shape, uint32_t flags, uint16_t lowest = 0);
  void note_made(Port& port);
  void pin(Switch& sw, uint64_t address, const std::string& port);
  void restore_pins();
  void drop_if_unused(Port* port);
  void destroy(Port* port);
  void remember(const Port& port);
  Result<Port*> renew(Port* port, const PortShape& shape);
  void note_users(Port& port);
  std::vector<const wire::PortInfo*> others_in_region(const Port& port) const;
  void forget_switch(std::shared_ptr<Switch>& sw);
  void suspect(const File& file);
  static void settle_sequences(Switch& sw);
  static void wake_users(const Port& port);

  // request/register.cc
  Result<void> do_register(File& file, wire::ControlRequest& request);
  Result<void> use_extmem(File& file, wire::ControlRequest& request, Recipe& recipe);
  void follow_alias(PortName& name) const;
  Port* port_of_interface(const PortName& name);
  Result<Port*> base_port(const PortName& name, const Recipe& recipe, bool for_pipe);
  Result<Port*> make_base_port(const PortName& name, const Recipe& recipe, bool is_persistent);
  Result<Port*> pipe_port(const PortName& name, const nmreq_register& body, const Recipe& recipe);
  Result<Port*> monitor_port(const PortName& name, const nmreq_register& body, const Recipe& recipe);
  Result<Port*> tap_port(const std::string& name, const Recipe& recipe);
  Result<Port*> null_port(const nmreq_register& body, const Recipe& recipe);
  Result<void> bind(File& file, Port& port, nmreq_register& body);

  // attach/nic_port.cc
  bool in_own_namespace() const;
  bool is_interface(const std::string& name) const;
  bool is_passed_through(const std::string& name) const;
  std::string interface_name(const std::string& name) const;
  uint16_t interface_queues(const std::string& name) const;
  void localise(PortName& name) const;
  static PortShape nic_shape(uint16_t queues, uint32_t slots, uint16_t host_tx_rings, uint16_t host_rx_rings);
  static uint16_t host_rings(uint16_t wanted);
  uint32_t nic_slots(const PortName& name, uint32_t wanted) const;
  Result<Port*> nic_port(const PortName& name, const Recipe& recipe);
  Result<Port*> make_nic_port(const PortName& name, const Recipe& recipe, Interfaces::Held& held);
  Result<void> begin_binding(const PortName& name, const Recipe& recipe);
  void note_change(uint64_t unique);
  void pair_up();
  static wire::NicInfo nic_info(const Port& port, const File& file);

  // request/vale.cc
  Result<void> vale_attach(wire::ControlRequest& request);
  Result<void> vale_detach(wire::ControlRequest& request);
  Result<void> vale_list(wire::ControlRequest& request);
  Result<void> vale_newif(wire::ControlRequest& request);
  Result<void> vale_delif(wire::ControlRequest& request);
  Result<void> port_header(const File& file, wire::ControlRequest& request, bool set);
  Result<uint32_t> header_len_of(const std::string& name) const;
  Result<void> check_header_change(const File& file, const Port& port, uint32_t header_len) const;
  Result<void> polling(wire::ControlRequest& request);

  // attach/attach.cc
  std::string keeper_key(const char* what, const std::string& interface) const;
  Result<UniqueFd> keeper_channel(const std::string& interface);
  Result<void> attach_interface(const PortName& name, wire::ControlRequest& request);
  Result<void> begin_attachment(const PortName& name, bool host);
  void advance(const std::string& name, Attachment& attachment);
  Result<Port*> served_port(const std::string& name, const Attachment& attachment, size_t side);
  Result<void> serve_attachment(const std::string& name, Attachment& attachment, Interfaces::Held& held);
  Port* stack_side(const Port& port);
  Result<void> apply(const PortSettings& settings, Port& port);
  static Result<void> check_unused(const Port& port);
  void leave(const std::string& name, Attachment& attachment);
  void join_shortcuts(const PortName& name, Attachment& attachment);
  void leave_shortcuts(Attachment& attachment);
  void note_attached(const std::string& name);
  void fill_attached(const Port& port, wire::ControlRequest& request) const;
  Result<void> detach_interface(const std::string& name, wire::ControlRequest& request);
  // Makes the interface of a persistent port, or says in `made` why it has none.
  Result<void> make_interface(const std::string& name, Persistent& made);

  // request/info.cc
  Result<void> port_info(wire::ControlRequest& request);
  Result<void> pools_info(wire::ControlRequest& request);
  Result<Memory> memory_of(const PortName& name, const PortShape& shape, uint32_t asked);
  Result<PortShape> expected_shape(const PortName& name, const nmreq_port_info_get& wishes) const;

  std::map<std::string, std::unique_ptr<Port>> ports_;
  std::unordered_map<uint64_t, Port*> by_unique_;
  std::map<std::string, std::shared_ptr<Switch>> switches_;  // named ones
  std::map<std::string, Persistent> persistent_;
  std::unordered_map<uint32_t, std::weak_ptr<Region>> regions_;
  std::unordered_map<uint32_t, std::unique_ptr<File>> files_;
  std::unordered_map<const Region*, std::set<Port*>> ports_in_;

  struct ExtmemKey {
    pid_t pid;
    uint64_t address, bytes;
    auto operator<=>(const ExtmemKey&) const = default;
  };
  std::map<ExtmemKey, std::weak_ptr<Region>> extmem_;

  std::map<std::string, Json> awaited_;                    // by the port's name; kept_ has no such
  std::map<std::string, Json> kept_;                       // likewise, and for all its lives
  std::map<std::string, std::map<uint64_t, std::string>> pins_;  // by the switch's name

  friend class Query;

  // The ports that went last, the newest first: for people who look when something has died.
  static constexpr size_t kDeparted = 64;
  std::deque<Departed> departed_;

  std::set<uint64_t> to_reset_;  // ports whose exchanges somebody may have spoiled
  std::set<std::shared_ptr<Switch>> to_restore_;
  uint32_t last_file_ = 0, last_region_ = kGlobalRegion, last_region_unique_ = 0;
  uint64_t last_port_ = 0;
  uint32_t nic_buffers_ = kNicBuffers;
  wire::NicModes nic_modes_;
  bool drives_ = false;
  Interfaces* interfaces_ = nullptr;
  const Origin* origin_ = nullptr;                          // of the request under way
  std::map<std::string, std::shared_ptr<Region>> binding_;  // what interfaces were bound to, by key
  Service* service_ = nullptr;
  std::map<std::string, Attachment> attachments_;                // by the wire side's port
  std::map<std::string, std::unique_ptr<Shortcuts>> shortcuts_;  // by switch and namespace
  bool shortcuts_rest_ = true;
  std::map<std::string, std::string>
      removed_;  // persistent ports whose interfaces are going, until who asked is told: their keepers
  std::string socket_path_;
  time_t started_ = time(nullptr);
};

}  // namespace unetmap::daemon
