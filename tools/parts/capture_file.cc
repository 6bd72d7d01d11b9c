// SPDX-License-Identifier: BSD-2-Clause
#include "capture_file.hh"

#include <fmt/core.h>

#include "pcapng_interfaces.hh"

namespace unetmap::parts {

Result<Capture> Capture::open(const std::string& path) {
  const FileKind kind = kind_of_capture(path);
  if (kind == FileKind::kPcapng) {
    if (std::string mixed = mixed_interfaces(path); !mixed.empty())
      return Error{EINVAL, fmt::format("capture {}: {}", path, mixed)};
  }
  char reason[PCAP_ERRBUF_SIZE] = "";
  pcap_t* file = pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, reason);
  if (!file) {
    // libpcap names the file in some of its messages.
    std::string cause = reason;
    if (cause.starts_with(path + ": ")) cause.erase(0, path.size() + 2);
    return Error{EINVAL, fmt::format("capture {}: {}; give a pcap or pcapng file", path, cause)};
  }
  return Capture(file, path, kind != FileKind::kPcapMicro);
}

Result<std::optional<Capture::Record>> Capture::next() {
  pcap_pkthdr* header;
  const u_char* bytes;
  int got = pcap_next_ex(file_.get(), &header, &bytes);
  if (got == PCAP_ERROR_BREAK) return std::optional<Record>();
  records_++;
  if (got != 1)
    return Error{EINVAL, fmt::format("capture {}: record {}: {}", path_, records_, pcap_geterr(file_.get()))};
  return std::optional<Record>(Record{*header, {bytes, header->caplen}});
}

std::string shortened_note(uint64_t packets) {
  return fmt::format("{} packets are shortened in the capture: filled up with zeroes to their length", packets);
}

std::string Capture::link_type_name() const {
  const char* name = pcap_datalink_val_to_name(link_type());
  return name ? name : fmt::format("link type {}", link_type());
}

Result<CaptureWriter> CaptureWriter::create(const std::string& path, const Capture& like) {
  const unsigned unit = like.has_nanoseconds() ? PCAP_TSTAMP_PRECISION_NANO : PCAP_TSTAMP_PRECISION_MICRO;
  std::unique_ptr<pcap_t, decltype(&pcap_close)> type(
      pcap_open_dead_with_tstamp_precision(like.link_type(), like.snapshot_bytes(), unit), pcap_close);
  pcap_dumper_t* file = pcap_dump_open(type.get(), path.c_str());
  if (!file) return Error{EIO, fmt::format("capture {}; name a file that can be written", pcap_geterr(type.get()))};
  return CaptureWriter(file, path, like.has_nanoseconds());
}

bool CaptureWriter::write(pcap_pkthdr header, std::span<const uint8_t> bytes) {
  if (!nanoseconds_) header.ts.tv_usec /= 1000;
  pcap_dump(reinterpret_cast<u_char*>(file_.get()), &header, bytes.data());
  return !ferror(pcap_dump_file(file_.get()));
}

Result<void> CaptureWriter::finish() {
  bool failed = pcap_dump_flush(file_.get()) != 0 || ferror(pcap_dump_file(file_.get()));
  file_.reset();
  if (failed) return Error{EIO, fmt::format("capture {}: could not be written in full; is the disk full?", path_)};
  return {};
}

}  // namespace unetmap::parts
