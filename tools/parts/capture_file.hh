// SPDX-License-Identifier: BSD-2-Clause
// Packets of a pcap or pcapng file in order, and a pcap file to write packets to.
#pragma once

#include <pcap/pcap.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hh"
#include "pcapng_interfaces.hh"

namespace unetmap::parts {

// Longer than any port takes: what a file says a packet's length was is not believed beyond it.
constexpr uint32_t kLongestPacket = 64 * 2112;

class Capture {
 public:
  // All interfaces of a pcapng file must be of one kind, so that no file ends in the middle for another one's sake.
  static Result<Capture> open(const std::string& path);

  // A check sequence (FCS) that the file says its frames, or this one, end with is left out.
  struct Record {
    pcap_pkthdr header;              // caplen bytes were stored of len that the packet had; ts.tv_usec are nanoseconds
    std::span<const uint8_t> bytes;  // valid until the next call
  };
  // The next one; no value at the end of the file.
  Result<std::optional<Record>> next();

  // Such as "EN10MB"; DLT_* number.
  std::string link_type_name() const;
  int link_type() const { return pcap_datalink(file_.get()); }
  int snapshot_bytes() const { return pcap_snapshot(file_.get()); }
  // Whether its stamps may be finer than microseconds.
  bool has_nanoseconds() const { return nanoseconds_; }

 private:
  struct Close {
    void operator()(pcap_t* file) const { pcap_close(file); }
  };
  Capture(pcap_t* file, std::string path, bool nanoseconds, bool has_limit, uint32_t check_bytes)
      : file_(file),
        path_(std::move(path)),
        nanoseconds_(nanoseconds),
        has_limit_(has_limit),
        check_bytes_(check_bytes) {}
  bool read_rest(Record& record, off_t before);

  std::unique_ptr<pcap_t, Close> file_;
  std::string path_;
  bool nanoseconds_;
  bool has_limit_;        // a pcap file, at whose snapshot length libpcap cuts records that are longer
  uint32_t check_bytes_;  // that each frame ends with
  std::optional<PacketChecks> packet_checks_;  // where packets say that by themselves
  uint64_t records_ = 0;
  std::vector<uint8_t> whole_;
};

// A record's time, and its bytes as all programs here send them: as many as the packet had, zeroes where the file has
// its beginning only.
inline uint64_t stamp_ns(const pcap_pkthdr& header) {
  return uint64_t(header.ts.tv_sec) * 1'000'000'000 + uint64_t(header.ts.tv_usec);
}
inline size_t full_bytes(const Capture::Record& record) {
  return record.header.len > record.bytes.size() ? record.header.len : record.bytes.size();
}
// What is said of packets that were filled up so.
std::string shortened_note(uint64_t packets);

class CaptureWriter {
 public:
  // A pcap file with the link type, the unit of stamps and, where no record is longer, the snapshot length of `like`.
  static Result<CaptureWriter> create(const std::string& path, const Capture& like);
  // `header` as a Record has it; false, once the file cannot be written any more, or where pcap has no room for the
  // time: finish() says which.
  bool write(pcap_pkthdr header, std::span<const uint8_t> bytes);
  Result<void> finish();

 private:
  struct Close {
    void operator()(pcap_dumper_t* file) const { pcap_dump_close(file); }
  };
  CaptureWriter(pcap_dumper_t* file, std::string path, bool nanoseconds, uint32_t limit)
      : file_(file), path_(std::move(path)), nanoseconds_(nanoseconds), limit_(limit) {}

  std::unique_ptr<pcap_dumper_t, Close> file_;
  std::string path_;
  bool nanoseconds_;
  uint32_t limit_;  // as the file's header says it
  uint32_t longest_ = 0;
  std::optional<int64_t> unwritten_seconds_;  // of the first packet whose time is before 1970 or after 2106
};

}  // namespace unetmap::parts
