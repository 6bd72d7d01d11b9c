// SPDX-License-Identifier: BSD-2-Clause
// What processes share, beside the netmap structures that the application itself sees.
//
// Three kinds of memfd, all sealed against resizing:
//   private   of a region: netmap_if and rings (the application's view), then the krings. Mapped by those who opened
//             a port of the region, by nobody else: what an application trusts cannot be written by its peers.
//   exchange  of a region: one RxExchange per receive ring, then the packet buffers. Mapped besides by every process
//             that sends to a port of the region.
//   switch    the port table and the forwarding table. Mapped by everyone on the switch.
// Whatever is read from an exchange or a switch is foreign input: loaded once, checked against values that came from
// the daemon over the socket, and only the copy used. A fresh, all-zero page is a valid initial state of the big
// arrays (entries are stored XORed with their position), so memory costs nothing before it is used.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/atomic.hh"
#include "ring/wait_list.hh"

namespace unetmap {

constexpr uint32_t kMaxPorts = 32768;      // of a switch; index 0xffff is never a port
constexpr uint32_t kMaxRings = 64;         // of a port and direction, host rings included
constexpr uint32_t kMaxSlots = 65536;      // of a ring
constexpr uint32_t kMaxMonitors = 8;       // of a port
constexpr uint32_t kRxSeqs = 32;           // of a port; receive rings share them by number
constexpr uint16_t kNoPort = 0xffff;
constexpr uint32_t kDefaultBufSize = 2048;
// Of the private regions of switch ports: an odd number of cache lines, so that the first lines of all buffers, which is
// where short packets are, spread over all sets of a cache and not over a 32nd of them.
constexpr uint32_t kPrivateBufSize = 2112;

// A cell is the ticket for one free buffer of a receive ring. It is in exactly one place: the free ring, a sender's
// hands, the delivery stack, or the receiver's ring. Senders own the words of the cells in their hands. Each cell has
// two, in an array each: that of its packet, which has the form of a slot's first half, and that of its chain, which is
// written for those alone whose successor is not the cell behind them.
struct CellWord {
  // buffer index (32, XORed with its initial value) | length (16) << 32 | slot flags (16) << 48
  static constexpr uint32_t kLengthAt = 32, kFlagsAt = 48;
  // Of the flags: the chain goes on with the cell of the next higher number. What slots have there never comes here.
  static constexpr uint64_t kNext = uint64_t{1} << kFlagsAt;
  // Chain: next cell + 1 (24) | first cell of the chain delivered before + 1 (24) | offset in the buffer (16)
  static constexpr uint64_t kCellMask = 0xffffff;
  static constexpr uint32_t kBeforeAt = 24, kOffsetAt = 48;
};

// One per receive ring. Senders pop free cells with one compare-and-swap, fill the buffers with no lock held, and
// push the whole chain with one compare-and-swap: killed or stopped at any instruction they have either delivered or
// not, and block nobody. The receiver takes the stack whole.
struct RxExchange {
  alignas(128) Atomic<uint64_t> stack;      // count (32) | first cell of the newest chain + 1 (32)
  alignas(128) Atomic<uint64_t> free_head;  // position of the next free cell; moved by senders
  alignas(128) Atomic<uint64_t> free_tail;  // end of the free cells, less the initial number; moved by the receiver
  Atomic<uint32_t> receiver_cpu;            // where the receiver last ran, + 1; a hint for spinning
  Atomic<uint32_t> sender_cpu;
  alignas(128) WaitList readers;                 // sleep until something is delivered
  WaitList writers;                              // of a lossless port: sleep until cells are free
  Atomic<uint32_t> reset_wanted;            // another value by the daemon when somebody who had mapped this is gone
  Atomic<uint32_t> spoiled;                 // by whoever sees that cells are doubled: all is to be made anew
  Atomic<uint64_t> sleeps;                  // times that somebody went to sleep until something is delivered
  Atomic<uint64_t> rung_ns;                 // CLOCK_REALTIME when readers were last woken, as whoever woke them says
  alignas(128) Atomic<uint64_t> lost_full;  // packets for which no cell was free
  Atomic<uint64_t> lost_oversize;           // packets of more buffers than the ring can ever hold
};
static_assert(sizeof(RxExchange) == 640);

// State of a ring that upstream keeps in the kernel. Written by whoever holds the lock; in private memory.
struct alignas(128) TxKring {
  Atomic<uint64_t> lock;
  Atomic<uint32_t> hwcur;   // first slot not yet taken
  Atomic<uint32_t> hwtail;  // the application may fill up to here
  Atomic<uint64_t> packets, bytes, syncs;
  Atomic<uint64_t> lost_malformed;  // shorter than 14 bytes, broken chains
  Atomic<uint64_t> lost_buffer;     // buffer index outside the region, length or offset outside the buffer
  Atomic<uint64_t> lost_full;       // no room at some destination
  Atomic<uint64_t> lost_indirect;   // NS_INDIRECT with an address that cannot be read
  Atomic<uint64_t> lost_noport;     // nobody to deliver to
  Atomic<uint64_t> lost_convert;    // no valid form without its virtio-net header, or the other way round
  Atomic<uint64_t> reinits;         // illegal moves of head or cur
  Atomic<uint64_t> lost_spoofed;    // a source address that the port's fence does not allow
  Atomic<uint64_t> lost_isolated;   // for a port of the same isolated group
  Atomic<uint64_t> lost_rate;       // above the port's rate
  Atomic<uint64_t> lost_vlan;       // of a VLAN that the port is not in
  Atomic<uint64_t> lost_acl;        // that an access list of the sender's or of the destination's denies
  Atomic<uint64_t> lost_link_local; // to 01:80:c2:00:00:0x, where a port has a rule against it
};
static_assert(sizeof(TxKring) == 256);

struct alignas(128) RxKring {
  Atomic<uint64_t> lock;
  Atomic<uint32_t> hwcur;   // first slot not yet given back by the application
  Atomic<uint32_t> hwtail;  // end of what was received
  Atomic<uint64_t> packets, bytes, syncs;
  Atomic<uint64_t> lost_corrupt;  // cells refused: index, length or chain cannot be
  Atomic<uint64_t> reinits;
  Atomic<uint32_t> reset_done;     // RxExchange::reset_wanted as of the last finished reset
  Atomic<uint16_t> receiver_cpu;   // pipes: where each last ran, + 1; hints for spinning
  Atomic<uint16_t> sender_cpu;
  WaitList readers;                     // pipes only, whose receive rings have no exchange
  WaitList writers;
};
static_assert(sizeof(RxKring) == 256);

// What is known of an interface's queue beside its krings, by who holds the lock of the ring in question: for rings whose
// other side is the kernel. Behind it: u32 in_flight[tx_slots], buffer + 1 of each slot whose transmission is not over.
struct alignas(128) NicState {
  // What the last step was about to make of the socket's ring and of ours. If the socket's has that value, the step
  // happened, even if its process died before it told.
  Atomic<uint32_t> tx_producer, tx_hwcur;
  Atomic<uint32_t> fill_producer, fill_next;  // next slot whose buffer goes to the kernel
  Atomic<uint32_t> rx_consumer, rx_hwtail;
  Atomic<uint32_t> filled;  // slots before this one are with the kernel
  // Buffers of two slots change places: to be done again if `swapping`.
  Atomic<uint32_t> swapping, slot_a, slot_b, buf_a, buf_b;
  // Slots that are being sent straight to the other end; how many of them went is told by the stage. 0: none.
  Atomic<uint32_t> straight_slots, straight_from;
  // Of rings whose frames go through system calls; what the kernel does with the others' it counts itself.
  alignas(8) Atomic<uint64_t> tx_lost_refused;  // the kernel takes no such frame, too long for instance
  Atomic<uint64_t> rx_lost_full;                // longer than a buffer, and too few slots for all of it
  Atomic<uint64_t> rx_lost_oversize;            // more slots than the ring can ever hold
  Atomic<uint64_t> rx_lost_forward;             // NS_FORWARD, and the other side took it not
};
static_assert(sizeof(NicState) == 128);

// One port of a switch. What the daemon writes here it also has in records of its own, and restores.
struct PortEntry {
  // Odd while the port exists; a new value for each port that ever used the index.
  Atomic<uint32_t> generation;
  Atomic<uint16_t> rx_rings;
  Atomic<uint16_t> header_len;  // virtio-net header in front of each frame: 0, 10 or 12
  Atomic<uint32_t> flags;       // kPort*
  Atomic<uint16_t> monitors[kMaxMonitors];  // indices of monitor ports + 1
  Atomic<uint32_t> group;       // isolated: ports of one group do not reach each other; 0: none
  Atomic<uint32_t> reserved[7];
  Atomic<uint64_t> counters[8];
  // Odd while a sync of that transmit ring is under way: who waits until all that were odd have changed knows that
  // nobody holds a cell any more that was free before. From kMaxRings on: odd while a receive ring hands packets to
  // the port's monitors.
  Atomic<uint32_t> tx_seq[kMaxRings + kRxSeqs];
};
static_assert(offsetof(PortEntry, tx_seq) == 128 && sizeof(PortEntry) == 512);

enum PortFlags : uint32_t {
  kPortFlood = 1,         // takes part in flooding and learning
  kPortLossless = 2,      // senders wait for room
  kPortMonitorTx = 4,     // a monitor of what its target sends
  kPortMonitorRx = 8,
  kPortZeroCopy = 16,     // a monitor that takes buffers over
  kPortFenced = 64,       // what it sends is checked by its FenceEntry
  kPortFailed = 32,       // a NIC that is gone, or not what it was when it was opened
  kPortSide = 256,        // monitors of it are shown what is for everybody at another port: the host stack's side
  kPortTap = 512,         // what is told of all packets of the switch
  kPortRuled = 1024,      // has a RulesEntry
  kPortExchanges = 2048,  // of what it sends and receives buffers change hands where both ends have this, and one region
  kPortGone = 4096,       // a NIC whose keeper has ended, or a monitor whose port was closed: it does not come back
  kPortDeaf = 8192,       // no program has a receive ring of it open: what is sent there is sent to nobody
  kPortStraight = 128,    // a NIC whose other end is a port of ours too: frames may go straight there
};

// What a port may send (vale/fence.hh packs and unpacks it).
struct FenceEntry {
  Atomic<uint64_t> word[32];
};
static_assert(sizeof(FenceEntry) == 256);

// VLANs, access lists and what is stopped of link-local frames, of a port (vale/rules packs and unpacks it).
struct RulesEntry {
  Atomic<uint32_t> version;     // another one with each change; 0 in the middle of one
  Atomic<uint32_t> vlan;        // mode (16) | VID (16)
  Atomic<uint32_t> link_local;  // a bit for each of 01:80:c2:00:00:0x that does not pass
  Atomic<uint32_t> acl_at[2];   // in and out: the first word in SwitchShared::acl, and how many
  Atomic<uint32_t> acl_words[2];
  Atomic<uint32_t> reserved;
  Atomic<uint64_t> vlans[64];  // of a trunk: a bit each
};
static_assert(sizeof(RulesEntry) == 544);
constexpr uint32_t kAclWords = 131072;

// SwitchShared::rules: what of it some port of the switch has.
enum SwitchRules : uint32_t {
  kRulesVlan = 1,
  kRulesAcl = 2,
  kRulesAclOut = 4,
  kRulesLinkLocal = 8,
};

struct FdbBucket {
  static constexpr uint32_t kWays = 4;
  Atomic<uint64_t> key[kWays];    // address (48) << 16 | port index; 0: empty
  Atomic<uint64_t> stamp[kWays];  // port generation (32) | check of key and VLAN (16) | last seen, seconds (16)
};
static_assert(sizeof(FdbBucket) == 64);
constexpr uint32_t kFdbBuckets = 32768;

struct SwitchShared {
  Atomic<uint32_t> topology;     // bumped with each port that comes or goes
  Atomic<uint32_t> port_limit;   // one more than the highest port index in use
  Atomic<uint32_t> flood_count;  // entries of flood[]
  Atomic<uint32_t> tap;          // index + 1 of the port that is told of all packets (tap_record.hh); 0: none
  Atomic<uint64_t> fdb_seed;
  Atomic<uint32_t> fdb_age_s;
  Atomic<uint32_t> lossless_ports;  // how many ports have kPortLossless
  Atomic<uint32_t> rules;           // SwitchRules
  Atomic<uint32_t> reserved;
  Atomic<uint16_t> flood[kMaxPorts];
  alignas(4096) PortEntry port[kMaxPorts];
  alignas(4096) FdbBucket fdb[kFdbBuckets];
  alignas(4096) FenceEntry fence[kMaxPorts];
  alignas(4096) RulesEntry ruled[kMaxPorts];
  alignas(4096) Atomic<uint64_t> acl[kAclWords];
};

}  // namespace unetmap
