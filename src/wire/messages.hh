// SPDX-License-Identifier: BSD-2-Clause
// Messages between an application and the daemon, one per datagram of the descriptor's SOCK_SEQPACKET connection.
//
// A request carries a descriptor to reply to: the far end of a socket pair made for this request. So any number of
// processes and threads may share a netmap descriptor, in whatever blocking mode, and none reads another's reply.
// Structures are in host byte order and never leave the machine. See docs/wire.md.
#pragma once

#include <cstdint>

#include "net/netmap.h"
#include "ring/layout.hh"

namespace unetmap::wire {

constexpr uint32_t kMagic = 0x6d70756e;  // "nupm"
constexpr uint16_t kVersion = 3;
constexpr uint32_t kMaxRequest = 8192;    // bytes
constexpr uint32_t kMaxReply = 65536;     // bytes; longer texts (kQuery) come as a memfd
constexpr uint32_t kMaxFds = 40;  // a NIC has one for each of its queues

enum class Op : uint16_t {
  kControl = 1,   // a netmap request: body is a flattened nmreq_header (see control.hh). Reply: the same, updated, then
                  // BindInfo when the descriptor is now registered; descriptors in the order of BindFds
  kDescribe = 2,  // what is this descriptor? Reply: BindInfo, if it is registered
  kResolve = 3,   // how to deliver to a port of my switch: body ResolveRequest. Reply: DestInfo, the exchange memfd
  kDoorbell = 4,  // body u32 file id. Reply: its eventfd
  kRing = 5,      // wakes all sleepers of a port; body ResolveRequest. No reply wanted
  kAudit = 6,     // somebody died in the middle of a sync of this descriptor's rings (a fork's other half): have the
                  // rings that it could write checked. No reply wanted
  kGoodbye = 7,   // the last process that uses this descriptor is closing it, outside of any sync. No reply wanted
  kQuery = 8,     // body: JSON {"what": "ports"|"stats"|"fdb"|"daemon", ...}. Reply: memfd with JSON
  kSet = 9,       // body: JSON {"port": NAME, "lossless": bool, fences}. Reply: empty
  kPlug = 10,     // body: JSON {"port": NAME, "kind": KIND, parameters of that kind}. Reply: empty, once it serves
  kUnplug = 11,   // body: JSON {"port": NAME}. Reply: empty, once its worker has ended
  kUnbind = 12,   // what this descriptor was registered for is of no use to its program, which may register it for
                  // something else. Reply: empty
};
constexpr uint16_t kLastOp = 12;

struct RequestHead {
  uint32_t magic;
  uint16_t version;
  uint16_t op;
  uint32_t body_bytes;  // that follow
  uint32_t reserved;    // 0
};
static_assert(sizeof(RequestHead) == 16);

// text: what failed, on which object, why, what to do; empty on success.
struct ReplyHead {
  uint32_t magic;
  uint16_t version;
  uint16_t op;
  int32_t error;        // errno value, 0 on success
  uint32_t body_bytes;  // that follow
  uint32_t text_bytes;  // that follow the body
  uint32_t has_bind;    // 1: the body ends with a BindInfo
};
static_assert(sizeof(ReplyHead) == 24);

struct ResolveRequest {
  uint32_t generation;  // as read from the port table; another one gives ESTALE
  uint16_t port;
  uint16_t reserved;
};
static_assert(sizeof(ResolveRequest) == 8);

enum class PortKind : uint16_t { kVale = 1, kPipe = 2, kMonitor = 3, kPersistent = 4, kNic = 5, kNull = 6 };

// As people are told.
constexpr const char* kind_name(PortKind kind) {
  switch (kind) {
    case PortKind::kVale: return "vale";
    case PortKind::kPipe: return "pipe";
    case PortKind::kMonitor: return "monitor";
    case PortKind::kPersistent: return "persistent";
    case PortKind::kNic: return "nic";
    case PortKind::kNull: return "null";
  }
  return "?";
}

// Memory of a region. private memfd: [0, app_bytes) netmap_if and rings, then krings up to private_bytes.
// exchange memfd: [0, exchange_bytes) exchanges, then nbufs * buf_size bytes of buffers, buffer 0 first.
// The application sees app_bytes of the first, directly followed by the buffers. In the region of the NICs those pieces
// are chunks of an AF_XDP UMEM, and a buffer begins where the kernel puts a received frame.
struct RegionInfo {
  uint32_t id;  // nr_mem_id
  uint32_t unique;  // never used twice in the life of a daemon
  uint32_t nbufs;
  uint32_t buf_size;
  uint64_t app_bytes;       // page-aligned
  uint64_t private_bytes;   // page-aligned
  uint64_t exchange_bytes;  // page-aligned
  uint32_t buf_headroom;    // buffers begin so far into their piece of the memfd; the last piece is then nobody's
  uint32_t device;          // not 0: the second file is a device's memory and no memfd; the buffers' part of it alone
};
static_assert(sizeof(RegionInfo) == 48);

// Where the parts of a port are. *_ofs of rings and krings: bytes in the private memfd; of exchanges: in the exchange
// memfd. Element i of an array is at ofs + i * stride. Ring counts include host rings, which come last.
struct PortInfo {
  uint32_t generation;  // in the port table of its switch
  uint16_t index;       // in that table; kNoPort for a port that is on none (pipes)
  uint16_t kind;        // PortKind
  uint16_t tx_rings, rx_rings;
  uint16_t host_tx_rings, host_rx_rings;  // of those
  uint32_t tx_slots, rx_slots;
  uint64_t tx_ring_ofs, tx_ring_stride;
  uint64_t rx_ring_ofs, rx_ring_stride;
  uint64_t tx_kring_ofs, rx_kring_ofs;  // TxKring[tx_rings], RxKring[rx_rings]
  uint64_t rx_state_ofs, rx_state_stride;  // per rx ring: u32 cell_of[rx_slots], then u32 own[rx_slots]; zero at first.
                                           // Of NIC ports, per queue: NicState
  uint64_t exchange_ofs, exchange_stride;  // RxExchange and what follows, per rx ring; 0 for pipes
  uint32_t rx_base_buf, rx_base_stride;    // buffer of cell 0 of rx ring i: rx_base_buf + i * rx_base_stride
  uint64_t offset_mask;                    // 0 unless registered with offsets
  uint32_t header_len;                     // as of now, bytes
  uint32_t flags;                          // PortFlags as of now
};
static_assert(sizeof(PortInfo) == 128);

// A NIC port's sockets, made by its keeper. kXdp: one AF_XDP socket for each queue, mapped and synced by who is bound to
// it; kPacket: one AF_PACKET socket; kDriver: the device itself. There the memory BAR stands for the socket, and behind
// the tap come its memory (driver/memory.hh), two descriptors that keep memory in its place, and those of its interrupts.
enum class NicKind : uint32_t { kNone = 0, kXdp = 1, kPacket = 2, kDriver = 3 };
struct NicInfo {
  NicKind kind;
  uint32_t ifindex;
  uint16_t first_queue, sockets;  // that come with this, behind BindFds: of queues first_queue and following; then the tap
  uint16_t packet_slots;          // descriptors that the kernel takes a packet in: more it would not send
  uint16_t straight;              // behind the tap come an XDP program and its stage (wire/tx_stage.h)
  uint32_t rx_entries, tx_entries, fill_entries, completion_entries;  // powers of two
  uint32_t interrupts;  // kDriver: so many descriptors more, see KeeperReply::interrupts
  uint32_t reserved;
};
static_assert(sizeof(NicInfo) == 40);

// What a registered descriptor is bound to.
struct BindInfo {
  char name[64];       // full port name
  uint32_t file_id;    // names this descriptor in wait lists; never 0, never used twice
  uint32_t mode;       // NR_REG_*
  uint64_t reg_flags;  // NR_* of nr_flags
  uint64_t if_offset;  // of its netmap_if: nr_offset
  uint64_t memsize;    // nr_memsize: app_bytes + buffers
  uint16_t tx_first, tx_end;  // rings bound, [first, end), host rings included in the numbering
  uint16_t rx_first, rx_end;
  uint32_t exclusive;
  uint32_t reserved;
  RegionInfo region;
  PortInfo port;
  PortInfo peer;  // of a pipe: the other end (same region); else zero
  NicInfo nic;    // of a NIC port
};
static_assert(sizeof(BindInfo) == 64 + 48 + 48 + 2 * 128 + 40);

// Descriptors that come with a BindInfo, in this order. A port on no switch comes with the memory of its own that
// has the same layout (monitors of pipes find their ports there).
enum BindFds { kPrivateFd = 0, kExchangeFd = 1, kSwitchFd = 2, kDoorbellFd = 3, kBindFds = 4 };

struct DestInfo {
  PortInfo port;
  RegionInfo region;
};

}  // namespace unetmap::wire
