// SPDX-License-Identifier: BSD-2-Clause
#include "options.hh"

#include <fmt/core.h>

#include "parts/quantities.hh"

namespace unetmap::l2 {
namespace {

constexpr uint32_t kMaxBatch = 1024;

// Hexadecimal digits, two a byte.
Result<std::vector<uint8_t>> parse_pattern(std::string_view text) {
  std::vector<uint8_t> out;
  auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
  };
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) break;
    out.push_back(uint8_t(high << 4 | low));
  }
  if (out.empty() || out.size() * 2 != text.size()) {
    return Error{EINVAL, fmt::format("'{}' is not a row of bytes in hexadecimal, such as a55a", text)};
  }
  return out;
}

}  // namespace

parts::OptionTable option_table(CommandLine& line) {
  using namespace parts;
  SendOptions& send = line.send;
  return OptionTable(
      "l2send", "Sends UDP frames on the descriptor that l2open left, and prints rate and count.", "",
      {{'d', nullptr, "IP[:PORT][-IP[:PORT]]", "destination, or a range to go through (default 10.1.0.1:1234)",
        set_text(line.destination)},
       {'s', nullptr, "IP[:PORT][-IP[:PORT]]", "source, likewise (default 10.0.0.1:1234)", set_text(line.source)},
       {'D', nullptr, "MAC[-MAC]", "destination address (default broadcast)", set_text(line.destination_mac)},
       {'S', nullptr, "MAC[-MAC]", "source address (default the interface's own)", set_text(line.source_mac)},
       {'l', "length", "BYTES", "of a frame, without its CRC (default 60)",
        set_whole(send.frame.bytes, pktgen::kMinFrameBytes, pktgen::kMaxFrameBytes)},
       {'n', "count", "FRAMES", "how many (default: until interrupted)", set_count(send.count)},
       {'R', "rate", "PPS", "frames a second, such as 10K (default: as fast as possible)", set_count(send.rate)},
       {'b', "batch", "FRAMES", "a system call (default 64)", set_whole(send.batch, 1, kMaxBatch)},
       {'p', "pattern", "HEX", "bytes of the UDP payload, again and again",
        [&send](const char* text) -> Result<void> {
          auto pattern = parse_pattern(text);
          if (!pattern) return pattern.error();
          send.pattern = *pattern;
          return {};
        }},
       {'Q', "qdisc-bypass", nullptr, "hand frames to the driver past the queue discipline",
        set_flag(send.bypass_queue)},
       {0, "json", nullptr, "print JSON", set_flag(line.json)}});
}

Result<void> complete(CommandLine& line, uint64_t own_mac) {
  pktgen::FrameSpec& frame = line.send.frame;
  auto source = pktgen::parse_ip_range(line.source);
  if (!source) return source.error();
  auto destination = pktgen::parse_ip_range(line.destination);
  if (!destination) return destination.error();
  if (source->family != destination->family) {
    return Error{EINVAL, fmt::format("{} and {} are not of one IP version: give both with -s and -d", line.source,
                                     line.destination)};
  }
  auto destination_mac = pktgen::parse_mac_range(line.destination_mac);
  if (!destination_mac) return destination_mac.error();
  frame.source_mac = {own_mac, own_mac};
  if (!line.source_mac.empty()) {
    auto source_mac = pktgen::parse_mac_range(line.source_mac);
    if (!source_mac) return source_mac.error();
    frame.source_mac = *source_mac;
  }
  frame.source = *source;
  frame.destination = *destination;
  frame.destination_mac = *destination_mac;
  return {};
}

}  // namespace unetmap::l2
