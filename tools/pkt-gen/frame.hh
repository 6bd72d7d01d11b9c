// SPDX-License-Identifier: BSD-2-Clause
// The UDP frame pkt-gen sends: built once, then altered in place from one packet to the next with its checksums kept
// right.
#pragma once

#include <cstdint>
#include <vector>

#include "address.hh"

namespace unetmap::pktgen {

inline constexpr uint32_t kMinFrameBytes = 16;
inline constexpr uint32_t kMaxFrameBytes = 65535;
inline constexpr uint32_t kMaxVnetHeader = 12;
// Sequence number (4 bytes, big endian), seconds and nanoseconds (4 bytes each, native order) open the payload of
// txseq and ping packets, at the places where netmap's own tools look for them.
inline constexpr uint32_t kStampBytes = 12;

struct FrameSpec {
  MacRange source_mac;
  MacRange destination_mac;
  IpRange source;
  IpRange destination;  // of the same family as `source`
  bool random_source = false;
  bool random_destination = false;
  uint32_t bytes = 60;       // without CRC and without virtio-net header
  uint32_t vnet_header = 0;  // 0, 10 or 12 zero bytes in front
  uint64_t seed = 1;
};

// Not thread safe; each sending thread owns one.
class Frame {
 public:
  explicit Frame(const FrameSpec& spec);

  // What goes on the wire, the virtio-net header included. Readable for 64 bytes past size().
  const uint8_t* data() const { return bytes_.data(); }
  uint32_t size() const { return spec_.vnet_header + size_; }
  // No method but resize() alters anything past this many bytes of data().
  uint32_t changing_bytes() const { return spec_.vnet_header + payload_ + kStampBytes; }
  // Where the UDP payload starts, counted from the Ethernet header.
  uint32_t payload_offset() const { return payload_; }
  static uint32_t payload_offset(Family family) { return family == Family::v4 ? 42 : 62; }

  // Whether step() does anything.
  bool varies() const { return varies_; }
  // Goes on to the next addresses: source port, then source address, then destination port, then destination address,
  // each starting again when its range is through. Random sides take any value. MAC ranges advance by one every time.
  void step();
  // Makes the frame `bytes` long, with lengths and checksums to match. From kMinFrameBytes to FrameSpec::bytes.
  void resize(uint32_t bytes);
  void put_sequence(uint32_t number);
  void put_time(uint64_t ns);

 private:
  uint8_t* frame() { return bytes_.data() + spec_.vnet_header; }
  void build();
  void write_lengths();
  void write_checksums();
  // Replaces the word at `offset` of the frame, updating the UDP checksum and, where told, the IP one.
  void replace(uint32_t offset, uint16_t word, bool in_ip_header);
  void put_address(uint32_t offset, IpNumber address);
  void put_mac(uint32_t offset, uint64_t mac);
  uint64_t random();
  bool step_side(const IpRange& range, bool random, IpNumber& address, uint16_t& port, uint32_t address_offset,
                 uint32_t port_offset);

  FrameSpec spec_;
  bool v4_;
  uint32_t size_;
  uint32_t payload_;  // offset in the frame
  bool varies_;
  IpNumber source_, destination_;
  uint16_t source_port_, destination_port_;
  uint64_t source_mac_, destination_mac_;
  uint64_t random_state_;
  std::vector<uint8_t> bytes_;
  std::vector<uint32_t> payload_sums_;  // [n]: folded sum of n words past the stamp; made by the first resize()
};

}  // namespace unetmap::pktgen
