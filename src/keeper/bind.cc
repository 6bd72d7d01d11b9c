// SPDX-License-Identifier: BSD-2-Clause
// Taking an interface away from the stack.
//
// Modes from the best down: XDP in the driver with zero-copy sockets, the same with copies, generic XDP, and where
// there is no XDP to be had, a packet socket with a tc program that drops what it has seen. In each mode the stack's
// side is the same: what the stack sends is redirected to the host tap (or dropped), what is written there is given to
// the stack.
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <optional>

#include <nic.skel.h>
#include "keeper/device.hh"
#include "keeper/features.hh"
#include "keeper/held.hh"
#include "keeper/hook.hh"
#include "keeper/peer.hh"
#include "keeper/programs.hh"
#include "keeper/sockets.hh"
#include "keeper/tap.hh"
#include "wire/driven_devices.hh"

namespace unetmap::keeper {
namespace {

using wire::NicMode;

// Ends from the last member to the first: hooks, sockets, tap, and last the features.
class Binding : public Held {
 public:
  explicit Binding(FeaturesOff features) : features(std::move(features)) {}
  std::vector<int> descriptors() const override {
    std::vector<int> out = xdp_sockets ? xdp_sockets->descriptors() : std::vector<int>{packet_socket.get()};
    if (host_tap) out.push_back(host_tap->fd.get());
    if (straight) {
      out.push_back(bpf_program__fd(programs->progs.to_socket_or_peer));
      out.push_back(bpf_map__fd(programs->maps.stage));
    }
    return out;
  }
  bool needs_admin() const override { return !features.names().empty() || (hooks && !hooks->all_links()); }

  bpf_program* to_socket() const { return straight ? programs->progs.to_socket_or_peer : programs->progs.to_socket; }

  FeaturesOff features;
  UniqueFd promiscuous;
  std::optional<Tap> host_tap;
  uint32_t mark = random_mark();
  bool straight = false;  // the XDP program also sends
  Programs<nic, nic::destroy> programs;
  std::optional<XdpSockets> xdp_sockets;
  UniqueFd packet_socket;
  UniqueFd xdp_link;
  std::unique_ptr<TcHooks> hooks, tap_hooks;
};

struct Wanted {
  const wire::BindRequest& request;
  const Interface& interface;
  int memfd;
  std::vector<uint32_t> queues;
  uint32_t rx_ring, tx_ring;
  bool straight;
};

// Where frames that the XDP program sends keep their order among themselves and with those of the socket, and are with
// the receiver at once: a veth of one queue.
bool can_go_straight(const wire::BindRequest& request, uint32_t interface_queues) {
  return request.straight && interface_queues == 1 && driver_of(request.interface) == "veth";
}

Result<void> load(Binding& binding, const Wanted& wanted, NicMode mode, bool multi_buffer) {
  binding.programs.reset(nic::open());
  if (!binding.programs) return load_error(errno);
  nic& programs = *binding.programs;
  programs.rodata->mark = binding.mark;
  programs.rodata->interface_index = wanted.interface.index;
  programs.rodata->tap_index = binding.host_tap ? binding.host_tap->interface.index : 0;
  if (mode == NicMode::kGeneric) {
    programs.rodata->has_label = 1;
    programs.rodata->label[0] = random_label();
    programs.rodata->label[1] = random_label();
  }
  binding.straight = wanted.straight && mode == NicMode::kNative;
  if (!binding.straight) {
    bpf_program__set_autoload(programs.progs.to_socket_or_peer, false);
    bpf_map__set_autocreate(programs.maps.stage, false);
    bpf_map__set_autocreate(programs.maps.outward, false);
  }
  if (mode == NicMode::kPacket || binding.straight) bpf_program__set_autoload(programs.progs.to_socket, false);
  if (mode == NicMode::kPacket) {
    bpf_map__set_autocreate(programs.maps.sockets, false);
  } else {
    uint32_t last = *std::max_element(wanted.queues.begin(), wanted.queues.end());
    bpf_map__set_max_entries(programs.maps.sockets, last + 1);
  }
  if (multi_buffer) bpf_program__set_flags(binding.to_socket(), BPF_F_XDP_HAS_FRAGS);
  if (int failed = nic::load(&programs)) return load_error(-failed);
  uint32_t first = 0;
  if (binding.straight)
    if (int failed = bpf_map__update_elem(programs.maps.outward, &first, sizeof first, &wanted.interface.index,
                                          sizeof wanted.interface.index, BPF_ANY))
      return Error::from_errno(-failed, "interface to send on");
  return {};
}

Result<void> hook_stack(Binding& binding, const Wanted& wanted, NicMode mode) {
  const auto& programs = binding.programs->progs;
  binding.hooks = std::make_unique<TcHooks>(wanted.interface.index);
  if (auto done = binding.hooks->add(Direction::kEgress, bpf_program__fd(programs.from_stack)); !done) return done;
  if (binding.host_tap) {
    binding.tap_hooks = std::make_unique<TcHooks>(binding.host_tap->interface.index);
    if (auto done = binding.tap_hooks->add(Direction::kIngress, bpf_program__fd(programs.from_tap)); !done) return done;
  }
  bpf_program* arriving = mode == NicMode::kPacket ? programs.only_marked : programs.unmark;
  return binding.hooks->add(Direction::kIngress, bpf_program__fd(arriving));
}

// Programs map the rings of a bound socket, which the kernels of before Linux 6.4 refuse: Debian 12's 6.1, for one.
Result<void> can_be_mapped(int xdp_socket) {
  size_t bytes = size_t(sysconf(_SC_PAGESIZE));
  void* at = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, xdp_socket, XDP_PGOFF_RX_RING);
  if (at == MAP_FAILED)
    return errno == EBUSY
               ? Error{ENOSYS, "this kernel lets nobody map the rings of a bound AF_XDP socket; it takes Linux 6.4"}
               : Error::from_errno(errno, "rings of the AF_XDP socket");
  munmap(at, bytes);
  return {};
}

Result<void> take_by_xdp(Binding& binding, const Wanted& wanted, NicMode mode, bool multi_buffer) {
  if (auto done = load(binding, wanted, mode, multi_buffer); !done) return done;
  auto link = attach_xdp(wanted.interface.index, bpf_program__fd(binding.to_socket()),
                         mode == NicMode::kGeneric ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
  if (!link) return link.error();
  binding.xdp_link = std::move(*link);
  auto sockets = XdpSockets::open(wanted.interface, {wanted.queues, wanted.memfd, wanted.request.umem, wanted.rx_ring,
                                                     wanted.tx_ring, mode == NicMode::kNativeZeroCopy, multi_buffer});
  if (!sockets) return sockets.error();
  std::vector<int> descriptors = sockets->descriptors();
  if (auto mapped = can_be_mapped(descriptors.front()); !mapped) return mapped;
  for (size_t i = 0; i < descriptors.size(); i++)
    if (int failed = bpf_map__update_elem(binding.programs->maps.sockets, &wanted.queues[i], sizeof(uint32_t),
                                          &descriptors[i], sizeof(int), BPF_ANY))
      return Error::from_errno(-failed, "queue " + std::to_string(wanted.queues[i]));
  binding.xdp_sockets.emplace(std::move(*sockets));
  return hook_stack(binding, wanted, mode);
}

Result<void> take_by_packets(Binding& binding, const Wanted& wanted) {
  if (auto done = load(binding, wanted, NicMode::kPacket, false); !done) return done;
  auto socket = open_packet_socket(wanted.interface, binding.mark, wanted.rx_ring);
  if (!socket) return socket.error();
  binding.packet_socket = std::move(*socket);
  return hook_stack(binding, wanted, NicMode::kPacket);
}

// What one attempt left, except features and tap.
void undo_attempt(Binding& binding) {
  binding.tap_hooks.reset();
  binding.hooks.reset();
  binding.xdp_link.reset();
  binding.xdp_sockets.reset();
  binding.packet_socket.reset();
  binding.programs.reset();
}

Result<void> take(Binding& binding, const Wanted& wanted, NicMode mode, wire::KeeperReply& reply) {
  if (mode == NicMode::kPacket) {
    auto done = take_by_packets(binding, wanted);
    if (!done) undo_attempt(binding);
    return done;
  }
  Result<void> done;
  // Several chunks a packet where kernel and driver can, else one.
  for (bool multi_buffer : {true, false}) {
    if (multi_buffer && !wanted.request.multi_buffer) continue;
    done = take_by_xdp(binding, wanted, mode, multi_buffer);
    reply.multi_buffer = done && multi_buffer;
    if (done) return done;
    undo_attempt(binding);
  }
  return done;
}

Result<NicMode> take_best(Binding& binding, const Wanted& wanted, wire::KeeperReply& reply) {
  Error last;
  for (NicMode mode : {NicMode::kNativeZeroCopy, NicMode::kNative, NicMode::kGeneric, NicMode::kPacket}) {
    if (wanted.request.mode != NicMode::kAuto && wanted.request.mode != mode) continue;
    auto done = take(binding, wanted, mode, reply);
    if (done) return mode;
    last = done.error();
    last.text = std::string(mode_name(mode)) + ": " + last.text;
    if (last.code == EOPNOTSUPP) last.text += " by driver " + driver_of(wanted.interface.name);
    if (last.code == EBUSY || last.code == EEXIST)
      last.text += "; another program has an XDP program or a socket there";
    reply.why.push_back(last.text);
  }
  if (!reply.why.empty()) {
    last.text.clear();
    for (const std::string& each : reply.why) last.text += (last.text.empty() ? "" : "; ") + each;
  }
  return last;
}

Result<std::vector<uint32_t>> queues_of(const wire::BindRequest& request, uint32_t there_are) {
  std::vector<uint32_t> out = request.queues;
  for (uint32_t queue : out)
    if (queue >= there_are)
      return Error{EINVAL,
                   "queue " + std::to_string(queue) + ": there are " + std::to_string(there_are) + ", counted from 0"};
  if (out.empty())
    for (uint32_t queue = 0; queue < there_are; queue++) out.push_back(queue);
  if (out.size() > wire::kMaxKeeperQueues)
    return Error{E2BIG, std::to_string(out.size()) + " queues, more than " + std::to_string(wire::kMaxKeeperQueues) +
                            "; reduce them: ethtool -L " + request.interface + " combined 32"};
  return out;
}

}  // namespace

Result<SetUp> bind(const wire::BindRequest& request, int memfd) {
  if (auto number = wire::passed_number(request.interface);
      number && request.mode == NicMode::kDriver && *number < wire::passed_functions().size())
    return bind_passed(request, *number);
  auto interface = look_up(request.interface);
  if (!interface) return interface.error();
  if (!interface->ethernet) return Error{EOPNOTSUPP, request.interface + ": no Ethernet interface"};
  if (request.mode == NicMode::kDriver) return bind_device(request, *interface, memfd);
  SetUp out;
  out.reply.interface_queues = queue_count(request.interface);
  auto queues = queues_of(request, out.reply.interface_queues);
  if (!queues) return queues.error();
  auto features = FeaturesOff::apply(request.interface, interface->index);
  if (!features) return features.error();
  out.reply.undo = features->names();
  if (!out.reply.undo.empty())
    out.reply.said.push_back(request.interface + ": switched off while bound: " + in_short(out.reply.undo));

  auto binding = std::make_unique<Binding>(std::move(*features));
  if (request.promiscuous) {
    auto held = make_promiscuous(*interface);
    if (!held) return held.error();
    binding->promiscuous = std::move(*held);
  }
  if (request.host) {
    auto tap = make_tap({.name = "unmhost%d",
                         .hidden = true,
                         .mtu = interface->mtu,
                         .purpose = "unetmap: host stack of " + request.interface});
    if (!tap) return tap.error();
    binding->host_tap.emplace(std::move(*tap));
  }
  Wanted wanted{request,
                *interface,
                memfd,
                *queues,
                std::bit_ceil(request.rx_slots),
                std::bit_ceil(request.tx_slots),
                can_go_straight(request, out.reply.interface_queues)};
  auto mode = take_best(*binding, wanted, out.reply);
  if (!mode) return mode.error();

  out.reply.mode = *mode;
  out.reply.queues = *mode == NicMode::kPacket ? std::vector<uint32_t>{0} : *queues;
  out.reply.interface = interface->name;
  out.reply.mac = interface->mac;
  out.reply.mtu = interface->mtu;
  out.reply.ifindex = interface->index;
  out.reply.up = interface->up;
  if (*mode != NicMode::kPacket) {
    out.reply.rx_ring = out.reply.fill_ring = wanted.rx_ring;
    out.reply.tx_ring = out.reply.completion_ring = wanted.tx_ring;
    if (const std::string peer = peer_here(interface->index); !peer.empty() && leaves_tags_beside(peer))
      out.reply.said.push_back(request.interface + ": VLAN tags that its other end, " + peer +
                               ", leaves beside its frames are lost in this mode; ethtool -K " + peer +
                               " txvlan off tx-vlan-stag-hw-insert off keeps them in");
  }
  if (binding->straight) {
    out.reply.straight = true;
    out.reply.program = program_id(bpf_program__fd(binding->to_socket()));
    out.reply.peer_program = peer_program(interface->index);
  }
  binding->hooks->say_what_stays(request.interface, out.reply.said);
  out.held = std::move(binding);
  return out;
}

}  // namespace unetmap::keeper
