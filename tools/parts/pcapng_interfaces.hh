// SPDX-License-Identifier: BSD-2-Clause
// What has to be known of a capture file before its first packet, and what libpcap tells only when it comes to it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace unetmap::parts {

enum class FileKind { kPcapMicro, kPcapNano, kPcapng, kUnknown };

// By its first bytes; kUnknown for what cannot be read twice, such as a pipe.
FileKind kind_of_capture(const std::string& path);

struct PcapngFacts {
  // libpcap reads pcapng files whose sections all have one byte order (findings/libpcap-section-byte-order.sh), and
  // whose interfaces all have one link type and one snapshot length; and whether frames end with a check sequence it
  // does not tell. Empty for such a file; else which section or interface differs from the first one, how, and what to
  // do.
  std::string mixed;
  uint32_t check_bytes = 0;  // of check sequence (if_fcslen) that frames end with where the packet says no other number
  bool packets_tell = false;  // some packet does (epb_flags)
};
PcapngFacts pcapng_facts(const std::string& path);

class PcapngWalk;

// Packet by packet, beside libpcap, which does not tell.
class PacketChecks {
 public:
  PacketChecks(const std::string& path, uint32_t usual);
  PacketChecks(PacketChecks&&) noexcept;
  PacketChecks& operator=(PacketChecks&&) noexcept;
  ~PacketChecks();
  // How many bytes of check sequence the next packet ends with.
  uint32_t next();

 private:
  std::unique_ptr<PcapngWalk> walk_;
  uint32_t usual_;
};

}  // namespace unetmap::parts
