// SPDX-License-Identifier: BSD-2-Clause
// The command line of pkt-gen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "address.hh"
#include "base/result.hh"
#include "frame.hh"

namespace unetmap::pktgen {

enum class Function { rx, tx, ping, pong, txseq, rxseq };
enum class Backend { netmap, tap, pcap, null };

// Bits of -o, with netmap's values.
enum Feature : uint32_t {
  kPrefetch = 1,
  kAccess = 2,
  kCopy = 4,
  kMemcpy = 8,
  kTimestamp = 16,
  kIndirect = 32,
  kDump = 64,
  kRubbish = 256,
  kRandomSource = 512,
  kRandomDestination = 1024,
  kRateStatistics = 2048,
  kUpdateChecksum = 4096,
};

struct RingShape {  // of -C; 0 is the port's choice
  uint32_t tx_slots = 0, rx_slots = 0;
  uint16_t tx_rings = 0, rx_rings = 0;
};

struct Options {
  Function function = Function::rx;
  Backend backend = Backend::netmap;
  std::string interface;  // as given
  std::string device;     // what the back-end opens
  uint64_t count = 0;     // 0: without end
  uint32_t bytes = 60;
  uint32_t min_bytes = 0;  // 0: all packets have `bytes`
  uint32_t burst = 0;      // set by finish()
  std::optional<Family> family;
  std::optional<IpRange> source, destination;  // always set after parsing
  std::optional<MacRange> source_mac;          // empty: the interface's own
  std::optional<MacRange> destination_mac;     // always set after parsing
  std::optional<uint32_t> first_cpu;
  std::optional<uint32_t> cpus;  // 0: all
  uint32_t threads = 1;
  uint32_t report_ms = 1000;
  std::optional<uint32_t> wait_s;
  bool exit_when_idle = false;
  uint64_t rate = 0;  // packets a second; 0: no limit
  std::optional<uint32_t> vnet_header;
  std::string packet_file;
  std::string write_file;
  bool once = false;
  uint32_t fragments = 1;
  uint32_t fragment_bytes = 0;  // 0: the buffer size
  uint32_t features = 0;        // Feature bits
  bool normalize = true;
  bool framing = false;
  uint32_t verbosity = 0;
  std::optional<RingShape> rings;
  uint32_t extra_buffers = 0;
  bool busy = false;
  bool json = false;
  bool help = false;
  bool version = false;
  std::vector<std::string> notes;  // about options that were accepted without effect

  bool has(Feature feature) const { return features & feature; }
  bool sends() const { return function == Function::tx || function == Function::txseq; }
  bool receives() const { return function == Function::rx || function == Function::rxseq; }
};

const char* name_of(Function function);

// Errors are one sentence without a full stop. With help or version set, nothing else is checked.
Result<Options> parse_options(int argc, char* const argv[]);

std::string usage_text();

// "1000", "14.88M", "250Kpps": a count or rate with an optional decimal suffix.
Result<uint64_t> parse_scaled(const std::string& text);

}  // namespace unetmap::pktgen
