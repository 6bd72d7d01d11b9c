// SPDX-License-Identifier: BSD-2-Clause
// Packets of a pcap or pcapng file in order, and a pcap file to write packets to.
#pragma once

#include <pcap/pcap.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.hh"

namespace unetmap::parts {

class Capture {
 public:
  static Result<Capture> open(const std::string& path);

  struct Record {
    pcap_pkthdr header;              // caplen bytes were stored of len that the packet had
    std::span<const uint8_t> bytes;  // valid until the next call
  };
  // The next one; no value at the end of the file.
  Result<std::optional<Record>> next();

  // Such as "EN10MB"; DLT_* number.
  std::string link_type_name() const;
  int link_type() const { return pcap_datalink(file_.get()); }
  int snapshot_bytes() const { return pcap_snapshot(file_.get()); }

 private:
  struct Close {
    void operator()(pcap_t* file) const { pcap_close(file); }
  };
  explicit Capture(pcap_t* file, std::string path) : file_(file), path_(std::move(path)) {}

  std::unique_ptr<pcap_t, Close> file_;
  std::string path_;
  uint64_t records_ = 0;
};

class CaptureWriter {
 public:
  // A pcap file with the link type and the snapshot length of `like`.
  static Result<CaptureWriter> create(const std::string& path, const Capture& like);
  void write(const pcap_pkthdr& header, std::span<const uint8_t> bytes);
  Result<void> finish();

 private:
  struct Close {
    void operator()(pcap_dumper_t* file) const { pcap_dump_close(file); }
  };
  CaptureWriter(pcap_dumper_t* file, std::string path) : file_(file), path_(std::move(path)) {}

  std::unique_ptr<pcap_dumper_t, Close> file_;
  std::string path_;
};

}  // namespace unetmap::parts
