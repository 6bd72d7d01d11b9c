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

#include <atomic>
#include <cstddef>
#include <cstdint>

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

// Sleepers to be woken through their doorbell (an eventfd of the daemon's making), named by their file id. A sleeper
// adds itself, looks once more at what it waits for and only then sleeps; a waker publishes first, then takes the list.
struct WaitList {
  static constexpr uint32_t kEntries = 6;
  std::atomic<uint32_t> any;       // 0: nobody sleeps. Set last by a sleeper, cleared first by a waker
  std::atomic<uint32_t> overflow;  // more sleepers than entries: ask the daemon to ring for the whole port
  std::atomic<uint32_t> file[kEntries];
};
static_assert(sizeof(WaitList) == 32);

// A cell is the ticket for one free buffer of a receive ring. It is in exactly one place: the free ring, a sender's
// hands, the delivery stack, or the receiver's ring. Senders own the words of the cells in their hands.
struct Cell {
  // buffer index (32, XORed with its initial value) | length (16) | slot flags (16)
  std::atomic<uint64_t> packet;
  // next cell of the chain + 1 (24) | first cell of the chain delivered before + 1 (24) | offset in the buffer (16)
  std::atomic<uint64_t> chain;
};
static_assert(sizeof(Cell) == 16);

// One per receive ring. Senders pop free cells with one compare-and-swap, fill the buffers with no lock held, and
// push the whole chain with one compare-and-swap: killed or stopped at any instruction they have either delivered or
// not, and block nobody. The receiver takes the stack whole.
struct RxExchange {
  alignas(128) std::atomic<uint64_t> stack;      // count (32) | first cell of the newest chain + 1 (32)
  alignas(128) std::atomic<uint64_t> free_head;  // position of the next free cell; moved by senders
  alignas(128) std::atomic<uint64_t> free_tail;  // end of the free cells, less the initial number; moved by the receiver
  std::atomic<uint32_t> receiver_cpu;            // where the receiver last ran, + 1; a hint for spinning
  std::atomic<uint32_t> sender_cpu;
  alignas(128) WaitList readers;                 // sleep until something is delivered
  WaitList writers;                              // of a lossless port: sleep until cells are free
  std::atomic<uint32_t> reset_wanted;            // another value by the daemon when somebody who had mapped this is gone
  std::atomic<uint32_t> spoiled;                 // by whoever sees that cells are doubled: all is to be made anew
  alignas(128) std::atomic<uint64_t> lost_full;  // packets for which no cell was free
  std::atomic<uint64_t> lost_oversize;           // packets of more buffers than the ring can ever hold
};
static_assert(sizeof(RxExchange) == 640);

// State of a ring that upstream keeps in the kernel. Written by whoever holds the lock; in private memory.
struct alignas(128) TxKring {
  std::atomic<uint64_t> lock;
  std::atomic<uint32_t> hwcur;   // first slot not yet taken
  std::atomic<uint32_t> hwtail;  // the application may fill up to here
  std::atomic<uint64_t> packets, bytes, syncs;
  std::atomic<uint64_t> lost_malformed;  // shorter than 14 bytes, broken chains
  std::atomic<uint64_t> lost_buffer;     // buffer index outside the region, length or offset outside the buffer
  std::atomic<uint64_t> lost_full;       // no room at some destination
  std::atomic<uint64_t> lost_indirect;   // NS_INDIRECT with an address that cannot be read
  std::atomic<uint64_t> lost_noport;     // nobody to deliver to
  std::atomic<uint64_t> lost_convert;    // no valid form without its virtio-net header, or the other way round
  std::atomic<uint64_t> reinits;         // illegal moves of head or cur
  std::atomic<uint64_t> lost_spoofed;    // a source address that the port's fence does not allow
  std::atomic<uint64_t> lost_isolated;   // for a port of the same isolated group
  std::atomic<uint64_t> lost_rate;       // above the port's rate
};
static_assert(sizeof(TxKring) == 128);

struct alignas(128) RxKring {
  std::atomic<uint64_t> lock;
  std::atomic<uint32_t> hwcur;   // first slot not yet given back by the application
  std::atomic<uint32_t> hwtail;  // end of what was received
  std::atomic<uint64_t> packets, bytes, syncs;
  std::atomic<uint64_t> lost_corrupt;  // cells refused: index, length or chain cannot be
  std::atomic<uint64_t> reinits;
  std::atomic<uint32_t> reset_done;     // RxExchange::reset_wanted as of the last finished reset
  std::atomic<uint16_t> receiver_cpu;   // pipes: where each last ran, + 1; hints for spinning
  std::atomic<uint16_t> sender_cpu;
  WaitList readers;                     // pipes only, whose receive rings have no exchange
  WaitList writers;
};
static_assert(sizeof(RxKring) == 128);

// What is known of an interface's queue beside its krings, by who holds the lock of the ring in question: for rings whose
// other side is the kernel. Behind it: u32 in_flight[tx_slots], buffer + 1 of each slot whose transmission is not over.
struct alignas(128) NicState {
  // What the last step was about to make of the socket's ring and of ours. If the socket's has that value, the step
  // happened, even if its process died before it told.
  std::atomic<uint32_t> tx_producer, tx_hwcur;
  std::atomic<uint32_t> fill_producer, fill_next;  // next slot whose buffer goes to the kernel
  std::atomic<uint32_t> rx_consumer, rx_hwtail;
  std::atomic<uint32_t> filled;  // slots before this one are with the kernel
  // Buffers of two slots change places: to be done again if `swapping`.
  std::atomic<uint32_t> swapping, slot_a, slot_b, buf_a, buf_b;
  // Slots that are being sent straight to the other end; how many of them went is told by the stage. 0: none.
  std::atomic<uint32_t> straight_slots, straight_from;
};
static_assert(sizeof(NicState) == 128);

// One port of a switch. What the daemon writes here it also has in records of its own, and restores.
struct PortEntry {
  // Odd while the port exists; a new value for each port that ever used the index.
  std::atomic<uint32_t> generation;
  std::atomic<uint16_t> rx_rings;
  std::atomic<uint16_t> header_len;  // virtio-net header in front of each frame: 0, 10 or 12
  std::atomic<uint32_t> flags;       // kPort*
  std::atomic<uint16_t> monitors[kMaxMonitors];  // indices of monitor ports + 1
  std::atomic<uint32_t> group;       // isolated: ports of one group do not reach each other; 0: none
  std::atomic<uint32_t> reserved[7];
  std::atomic<uint64_t> counters[8];
  // Odd while a sync of that transmit ring is under way: who waits until all that were odd have changed knows that
  // nobody holds a cell any more that was free before. From kMaxRings on: odd while a receive ring hands packets to
  // the port's monitors.
  std::atomic<uint32_t> tx_seq[kMaxRings + kRxSeqs];
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
  kPortStraight = 128,    // a NIC whose other end is a port of ours too: frames may go straight there
};

// What a port may send (vale/fence.hh packs and unpacks it).
struct FenceEntry {
  std::atomic<uint64_t> word[32];
};
static_assert(sizeof(FenceEntry) == 256);

struct FdbBucket {
  static constexpr uint32_t kWays = 4;
  std::atomic<uint64_t> key[kWays];    // address (48) << 16 | port index; 0: empty
  std::atomic<uint64_t> stamp[kWays];  // port generation (32) | check of the key (16) | time last seen, seconds (16)
};
static_assert(sizeof(FdbBucket) == 64);
constexpr uint32_t kFdbBuckets = 32768;

struct SwitchShared {
  std::atomic<uint32_t> topology;     // bumped with each port that comes or goes
  std::atomic<uint32_t> port_limit;   // one more than the highest port index in use
  std::atomic<uint32_t> flood_count;  // entries of flood[]
  std::atomic<uint64_t> fdb_seed;
  std::atomic<uint32_t> fdb_age_s;
  std::atomic<uint32_t> lossless_ports;  // how many ports have kPortLossless
  std::atomic<uint16_t> flood[kMaxPorts];
  alignas(4096) PortEntry port[kMaxPorts];
  alignas(4096) FdbBucket fdb[kFdbBuckets];
  alignas(4096) FenceEntry fence[kMaxPorts];
};

}  // namespace unetmap
