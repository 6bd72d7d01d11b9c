// SPDX-License-Identifier: BSD-2-Clause
// Channel between the daemon and a keeper (unetmap-keeper): the privileged process that changed one network interface
// and undoes the change when the channel hangs up.
//
// A SOCK_SEQPACKET socket, descriptor 3 of the keeper. Each datagram is one JSON object, descriptors ride along.
// The keeper takes one set-up operation in its life (bind, tap, attach or restore), answers it with a Reply, and may
// send an Event at any time after a good one. Requests are answered one by one, in their order. A failed set-up has
// undone itself; the keeper then ends. Either side treats anything malformed as the other's failure and hangs up.
//
// Descriptors:
//   bind    with the request: the memfd that holds the UMEM. With the reply: one AF_XDP socket for each of the queues
//           bound, in their order - in mode packet a single AF_PACKET socket, whatever the number of queues - and then,
//           if host was asked for, the host tap; and then, if the reply says straight, the XDP program and its stage
//           (wire/tx_stage.h). In mode driver: the memory BAR of the device, once for each pair of its queues, the
//           tap in its place, its memory (driver/memory.hh), and two descriptors that keep that and the UMEM where they
//           are.
//   restore with the request, if it names a device: the memory of that.
//   tap     reply: the tap.
//   attach  with the request, if it names a member: the switch's table (wire/fast_table.h), for frames that need not go
//           through the taps.
//           reply: the NIC side's tap, and then, if host was asked for, the host stack's.
//
// AF_XDP sockets (bind): bound and running, with rx, tx, fill and completion rings of Reply::rx_ring ... entries, all
// empty: whoever syncs maps them (XDP_MMAP_OFFSETS), needs no privilege, and fills the fill ring first. Descriptor and
// fill addresses are offsets into the UMEM, that is relative to UmemPlace::offset of the memfd. Descriptor addresses of
// received frames are chunk start + 256; bind_flags of the copy mode need sendto() (or poll) to start transmission.
// XDP_STATISTICS tells the drops. When the interface goes, SO_ERROR is ENETDOWN and transmission fails with ENXIO, but
// poll says nothing of it: an Event does. As long as anybody holds one of the sockets, its queue cannot be bound again.
//
// AF_PACKET socket (bind, mode packet): SOCK_RAW, non-blocking, bound to the interface; sees received frames only
// (PACKET_IGNORE_OUTGOING, not those that we hand to the stack), sends past the queueing discipline. PACKET_AUXDATA is
// on: a received VLAN tag is in tp_vlan_tci (TP_STATUS_VLAN_VALID), not in the frame; TP_STATUS_CSUMNOTREADY marks a
// frame whose transport checksum its sender left to the hardware. Statistics by PACKET_STATISTICS.
//
// Host tap (bind): frames without any header; what the stack sends on the interface is read from it, complete
// (segmented, with checksums), and what is written to it the stack receives as from the interface.
// Taps of attach, and of tap with vnet_hdr: 12 bytes of virtio_net_hdr_v1 before each frame, which may be as large as
// 65535 bytes (TSO and checksum left to the receiver, both directions). NIC side: read what the wire sent, write what
// shall go out. Host side: read what the stack sent on the interface, write what it shall receive.
// All taps are non-blocking, and live until the last copy of their descriptor is closed.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/fd.hh"
#include "base/result.hh"
#include "wire/device_ways.hh"

namespace unetmap::wire {

constexpr int kKeeperChannelFd = 3;
constexpr uint32_t kMaxKeeperBytes = 32768;  // of a datagram
constexpr uint32_t kMaxKeeperQueues = 32;
constexpr uint32_t kDriverFds = 3;  // behind the tap, in mode driver; then Reply::interrupts
constexpr uint32_t kMaxKeeperSlots = 16384;
constexpr uint32_t kUmemChunk = 2048;
constexpr uint32_t kUmemHeadroom = 256;  // XDP_PACKET_HEADROOM: received frames start so far into their chunk

using MacAddress = std::array<uint8_t, 6>;
Result<MacAddress> parse_mac(std::string_view text);
std::string mac_text(const MacAddress& mac);

enum class NicMode { kAuto, kNativeZeroCopy, kNative, kGeneric, kPacket, kDriver };
// How interfaces are to be bound: one by one, and all others.
struct NicModes {
  NicMode others = NicMode::kAuto;
  std::map<std::string, NicMode> of;

  NicMode for_interface(const std::string& name) const {
    auto found = of.find(name);
    return found == of.end() ? others : found->second;
  }
  bool any(NicMode mode) const;
  // What such a name as "native" means.
  static std::optional<NicMode> named(const std::string& name);
  // "MODE", or "INTERFACE=MODE". False: it is neither.
  bool add(const std::string& text);
};
// As in messages and in `unetmap ports`: auto, native-zerocopy, native, generic, packet, driver.
const char* mode_name(NicMode mode);

// Where the UMEM is in the memfd: whole chunks. offset is a multiple of the page size.
struct UmemPlace {
  uint64_t offset = 0;  // bytes
  uint64_t bytes = 0;
  uint32_t chunk = kUmemChunk;  // bytes: 2048 or 4096
};

// What the stack knows of an interface: its addresses and routes as the kernel's netlink messages, in hexadecimal digits.
constexpr size_t kMaxLinkMessages = 128, kMaxLinkBytes = 16384;
struct LinkState {
  std::string interface;
  MacAddress mac{};
  uint32_t mtu = 0;
  bool up = false, promiscuous = false;
  std::vector<std::string> messages;
};

// A PCI function that a keeper took from its kernel driver, and what is to be done when it goes back there.
struct TakenDevice {
  std::string address;  // as in 0000:00:03.0
  std::string driver;   // of the kernel
  LinkState link;
  uint32_t tap_index = 0;  // the tap in the interface's place; 0: none
  DeviceWay way = DeviceWay::kSysfs;  // how it is had
};

// Takes the interface away from the stack. All values of the wire form are required unless said otherwise.
struct BindRequest {
  std::string interface;
  NicMode mode = NicMode::kAuto;  // kAuto: the best that is to be had; else that one or a failure
  std::vector<uint32_t> queues;   // empty ("all" on the wire): all; frames of others are dropped
  UmemPlace umem;
  uint32_t rx_slots = 0, tx_slots = 0;  // of a ring, at least; AF_XDP rings are the next power of two
  bool host = false;                    // with a host tap
  bool multi_buffer = false;  // optional: packets over several chunks (XDP_USE_SG) where the kernel can; see Reply
  bool promiscuous = false;   // optional: while bound
  bool straight = false;      // optional: offer straight sending where the interface has it; see Reply
};

// A tap network interface for a persistent port; it is created up only if its owner brings it up, goes with the keeper.
struct TapRequest {
  std::string name;
  std::optional<MacAddress> mac;  // optional
  bool vnet_hdr = true;
};

// Puts an interface on a switch: what the wire sends goes to a tap instead of the stack.
struct AttachRequest {
  std::string interface;
  bool host = false;               // the stack's side goes to a tap of its own; without it the stack is cut off
  bool promiscuous = true;         // optional: while attached, as a bridge's ports are
  std::optional<uint32_t> member;  // optional: which of the table's this interface is to be
};

// Gives an interface back what a killed keeper could not: Reply::undo of its bind, or the whole device, Reply::taken. The
// keeper then ends.
struct RestoreRequest {
  std::string interface;
  uint32_t ifindex = 0;  // as in the reply; with the address it tells the interface from others of its name
  MacAddress mac{};
  std::vector<std::string> features;
  std::optional<TakenDevice> taken;  // optional
};

using KeeperRequest = std::variant<BindRequest, TapRequest, AttachRequest, RestoreRequest>;

// Packet buffers in the memory of a device: of the file that is the reply's first descriptor.
struct DeviceBuffers {
  uint64_t offset = 0;  // of buffer 0, a multiple of the page size
  uint32_t count = 0;   // with the two that nobody has
  uint32_t size = 0;    // bytes of each
};

struct KeeperReply {
  // Failure: an errno value (not 0) and a sentence for the user; nothing else counts.
  int error = 0;
  std::string text;
  // Success.
  NicMode mode = NicMode::kAuto;  // bind: the one taken, never kAuto; else kAuto
  std::vector<std::string> why;   // a sentence for each better mode that could not be had
  std::vector<std::string> said;  // what was switched off and the like, for the user
  std::vector<std::string>
      undo;  // features switched off (names of ethtool -k): for RestoreRequest if the keeper is killed
  std::vector<uint32_t> queues;   // bind: those bound, in the order of their descriptors; mode packet: just 0
  uint32_t interface_queues = 0;  // bind: receive queues that the interface has
  std::string interface;          // its name (of tap: as it was made)
  MacAddress mac{};
  uint32_t mtu = 0;
  uint32_t ifindex = 0;
  bool up = false;                                                        // administratively
  bool multi_buffer = false;                                              // bind: XDP_USE_SG is on
  // bind: frames can be sent by running the XDP program (BPF_PROG_TEST_RUN with live frames; takes no privilege). They
  // arrive at the other end of a veth pair only while that has an XDP program, and are lost otherwise: so it is for the
  // client to know. `program`: the one of this interface; `peer_program`: that of the other end then, or 0.
  bool straight = false;
  uint32_t program = 0, peer_program = 0;
  std::optional<TakenDevice> taken;  // bind: in mode driver
  // bind, in mode driver: so many descriptors more, behind all others: of each pair of rings one that is readable at its
  // next interrupt, and for a line one by which that is let through again. 0: it has none.
  uint32_t interrupts = 0;
  std::optional<DeviceBuffers> device_buffers;  // bind: of a passed-through port, which has no others
  uint32_t pid = 0;                                                       // of the keeper, for people and tests
  uint32_t rx_ring = 0, tx_ring = 0, fill_ring = 0, completion_ring = 0;  // bind with AF_XDP: entries
};

struct KeeperEvent {
  enum class Kind { kDown, kUp, kRenamed, kGone, kQueues };
  Kind kind = Kind::kDown;
  std::string interface;  // its name now
  std::string text;       // a sentence for the user
  uint32_t queues = 0;    // kQueues: how many there are now
};
const char* event_name(KeeperEvent::Kind kind);

using KeeperMessage = std::variant<KeeperReply, KeeperEvent>;

std::string encode(const KeeperRequest& request);
std::string encode(const KeeperMessage& message);
// EPROTO with a sentence on anything malformed; unknown members are ignored.
Result<KeeperRequest> parse_keeper_request(std::string_view text);
Result<KeeperMessage> parse_keeper_message(std::string_view text);

// One datagram out. `fds` stay the caller's. `flags` as in sendmsg.
Result<void> send_keeper(int channel, const KeeperRequest& request, const std::vector<int>& fds = {}, int flags = 0);
Result<void> send_keeper(int channel, const KeeperMessage& message, const std::vector<int>& fds = {}, int flags = 0);

struct ReceivedKeeperRequest {
  KeeperRequest request;
  std::vector<UniqueFd> fds;  // as many as the request calls for: checked
};
struct ReceivedKeeperMessage {
  KeeperMessage message;
  std::vector<UniqueFd> fds;  // of a good bind: queues.size() or that and the host tap; of others not checked
};
// One datagram in. ECONNRESET: the other side is gone. MSG_DONTWAIT in `flags`: EAGAIN when there is none.
Result<ReceivedKeeperRequest> receive_keeper_request(int channel, int flags = 0);
Result<ReceivedKeeperMessage> receive_keeper_message(int channel, int flags = 0);

// Whether the kernel takes it for the name of an interface: 1 to 15 bytes without blanks, '/', ':' and other than . and
// ..
bool interface_name_ok(std::string_view name);

}  // namespace unetmap::wire
