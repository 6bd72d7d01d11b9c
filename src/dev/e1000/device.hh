// SPDX-License-Identifier: BSD-2-Clause
// A model of Intel's 82540EM (PCI 8086:100e), with its paravirtual extension if asked for: what a driver sees of it in
// its registers, its configuration space and its rings, and packets in and out. Source: Intel, "PCI/PCI-X Family of
// Gigabit Ethernet Controllers Software Developer's Manual" (SDM); docs/e1000.md lists what is modelled and how.
//
// No sockets, no system calls, no clock: the caller gives the time and moves the bytes. One thread at a time. Nothing
// that a driver writes is trusted: addresses are looked up in GuestMemory only (so no DMA reaches the device itself),
// each word of memory is loaded once, and each step is bounded.
//
//   registers                         packets, in turns                         sleep
//     device.advance(now);              device.advance(now);                      if (device.arm_...()) do not sleep;
//     device.write_bar(0, at, bytes);   while ((n = device.fetch(frames)) > 0)    poll until device.deadline_ns();
//     device.read_bar(...);               device.complete(hand over(frames, n));  device.disarm();
//                                       while (packet waits)                      device.advance(now);
//                                         device.deliver(hdr, packet);
//                                       device.finish();
//   after each of these: compare device.line() with what the other side was told last, and ring device.take_vectors()
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dev/e1000/counters.hh"
#include "dev/e1000/fault.hh"
#include "guest/guest_memory.hh"
#include "vale/vnet_hdr.hh"

namespace unetmap::e1000 {

struct Config {
  std::array<uint8_t, 6> mac{};
  bool paravirt = false;   // announces and serves the paravirtual extension
  bool mitigation = true;  // false: all five interrupt timers count as 0, whatever the driver sets
  uint16_t least_itr = 0;  // units of 256 ns: ITR counts as at least this (with mitigation)
};

using Source = std::span<const uint8_t>;

inline constexpr size_t kMaxFetch = 64;                              // frames of one fetch()
inline constexpr size_t kMaxFramePieces = 64;                        // pieces of one frame
inline constexpr uint32_t kMaxFrameBytes = 65536 + 14 + 8 * 4 + 40;  // of a segment still to be cut, either way

// A frame that the guest sends. Its pieces lie in the guest's memory, where it can still write (copy, then look), or in
// the device; both until complete().
struct TxFrame {
  vale::VnetHdr hdr;               // what is still to be done to it: checked, zero where nothing is
  uint32_t bytes;                  // of the frame, kMaxFrameBytes at most, at least 14
  std::span<const Source> pieces;  // 1..kMaxFramePieces, none empty
};

enum class Delivery : uint8_t {
  kDone,
  kNoBuffers,  // nothing happened: the driver has too few; keep it (as the card's own memory would) or call missed()
  kDropped,    // counted under its cause: filtered, the receiver is off, ...
  kBroken,     // see fault()
};

enum class Bar : uint8_t { kMemory = 0, kIo = 1, kMsix = 3 };
inline constexpr uint64_t kNever = UINT64_MAX;

class Device {
 public:
  // The memory stays the caller's, and outlives the device; it may change between any two calls. When it does between
  // fetch() and complete(), the frames come again.
  Device(const Config& config, const guest::GuestMemory& memory);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // As the PCI reset line: everything but the EEPROM's contents begins anew, a fault is forgotten. Counters and the
  // cable stay as they are.
  void reset() noexcept;

  // --- Time: any monotonic clock, in nanoseconds. What falls due happens in advance().
  void advance(uint64_t now_ns) noexcept;
  // When advance() is to be called at the latest: kNever, or a time (perhaps past).
  [[nodiscard]] uint64_t deadline_ns() const noexcept;

  // --- The PCI function. All accesses are little endian; bytes beyond what there is read as 0 and are written nowhere.
  static constexpr uint32_t kConfigBytes = 256;
  [[nodiscard]] uint64_t bar_bytes(unsigned bar) const noexcept;  // 0: no such BAR
  void read_config(uint32_t offset, std::span<uint8_t> out) const noexcept;
  void write_config(uint32_t offset, std::span<const uint8_t> bytes) noexcept;
  // Registers are 32 bits wide: a longer access is several, a shorter read is a part of one, and a part of a write that
  // is not a whole register is counted and ignored (SDM 13.2).
  void read_bar(unsigned bar, uint64_t offset, std::span<uint8_t> out) noexcept;
  void write_bar(unsigned bar, uint64_t offset, std::span<const uint8_t> bytes) noexcept;
  // The driver lets the device touch memory (PCI command register). Without it nothing here does.
  [[nodiscard]] bool bus_master() const noexcept;

  // --- Interrupts. The level of INTA#: asserted while true.
  [[nodiscard]] bool line() const noexcept;
  // With the extension's MSI-X: bit N set: vector N is to be signalled, once. 0 control, 1 data.
  [[nodiscard]] uint32_t take_vectors() noexcept;
  static constexpr unsigned kVectors = 2;

  // --- From the guest. Up to kMaxFetch frames; 0: none now, or broken. Frames that come back to the guest's own
  // receive ring (loopback) are moved in here and not seen.
  [[nodiscard]] size_t fetch(std::span<TxFrame> frames) noexcept;
  // Gives the descriptors of the first `accepted` frames of the last fetch() back. The others come again.
  void complete(size_t accepted) noexcept;

  // --- To the guest. The frame lies in `pieces`, one after the other, without a CRC; hdr says what is still to be done
  // to it, which is done here where the driver does not take it so. A frame is delivered whole or not at all, but for
  // the segments of a large one, of which the driver may have too few buffers in all.
  Delivery deliver(const vale::VnetHdr& hdr, std::span<const Source> pieces) noexcept;
  // Shows what was delivered to the driver: at the end of each batch.
  void finish() noexcept;
  // The caller has thrown a frame away for which deliver() found no buffers.
  void missed(uint64_t frames = 1) noexcept;
  // Whether deliver() would look at a frame at all: receiver and link are on, nothing is broken.
  [[nodiscard]] bool receiving() const noexcept;

  // --- Sleep. arm_transmit() asks the driver to kick (to write TDT, which comes as a write_bar) when it sends more,
  // and arm_receive() to write RDT when there are more buffers, if deliver() last said kNoBuffers; with the order of
  // memory that needs. True: there is work by now, or the driver wants some more rounds of looking first: turn again,
  // do not sleep. Without the extension, or while it is off, drivers kick always.
  [[nodiscard]] bool arm_transmit() noexcept;
  [[nodiscard]] bool arm_receive() noexcept;
  void disarm() noexcept;
  // The driver shares a communication status block (CSB) with us now: rings can move without any register.
  [[nodiscard]] bool shares_block() const noexcept;

  // --- The cable. Up after a reset of the model; a change reaches the driver as on the card.
  void set_link(bool up) noexcept;

  // --- What there is to know.
  [[nodiscard]] const Counters& counters() const noexcept;
  // What broke the device: nothing moves until its driver resets it. kNone: all is well. describe() tells it in words.
  [[nodiscard]] Fault fault() const noexcept;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace unetmap::e1000
