// SPDX-License-Identifier: BSD-2-Clause
#include "capture_file.hh"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "pcapng_interfaces.hh"

namespace unetmap::parts {
namespace {

constexpr size_t kLimitAt = 16, kRecordHead = 16;  // of a pcap file; what is in front of each record's bytes
constexpr uint32_t kMostLimit = 262144;            // as libpcap has it for Ethernet

// How many bytes of check sequence each frame of a pcap file ends with.
uint32_t check_bytes_of(pcap_t* file) {
  const uint32_t extension = uint32_t(pcap_datalink_ext(file));
  return LT_FCS_LENGTH_PRESENT(extension) ? LT_FCS_LENGTH(extension) * 2 : 0;
}

}  // namespace

Result<Capture> Capture::open(const std::string& path) {
  const FileKind kind = kind_of_capture(path);
  PcapngFacts facts;
  if (kind == FileKind::kPcapng) facts = pcapng_facts(path);
  if (!facts.mixed.empty()) return Error{EINVAL, fmt::format("capture {}: {}", path, facts.mixed)};
  char reason[PCAP_ERRBUF_SIZE] = "";
  pcap_t* file = pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, reason);
  if (!file) {
    // libpcap names the file in some of its messages.
    std::string cause = reason;
    if (cause.starts_with(path + ": ")) cause.erase(0, path.size() + 2);
    return Error{EINVAL, fmt::format("capture {}: {}; give a pcap or pcapng file", path, cause)};
  }
  const bool has_limit = kind == FileKind::kPcapMicro || kind == FileKind::kPcapNano;
  if (kind != FileKind::kPcapng) facts.check_bytes = check_bytes_of(file);
  Capture out(file, path, kind != FileKind::kPcapMicro, has_limit, facts.check_bytes);
  if (facts.packets_tell) out.packet_checks_.emplace(path, facts.check_bytes);
  return out;
}

// Of a record that is longer than the file's header says (findings/openvswitch-capture-limit.sh) libpcap gives the
// beginning, and reads over the rest: this fetches it. `before`: where the record began.
bool Capture::read_rest(Record& record, off_t before) {
  FILE* const file = pcap_file(file_.get());
  const off_t after = ftello(file);
  if (before < 0 || after < before) return true;
  const size_t given = record.bytes.size(), stored = size_t(after - before) - kRecordHead;
  if (stored <= given || stored > record.header.len || stored > kMostLimit) return true;
  whole_.resize(stored);
  memcpy(whole_.data(), record.bytes.data(), given);
  const size_t rest = stored - given;
  if (fseeko(file, -off_t(rest), SEEK_CUR) != 0 || fread(&whole_[given], 1, rest, file) != rest) return false;
  record.bytes = whole_;
  record.header.caplen = bpf_u_int32(stored);
  return true;
}

Result<std::optional<Capture::Record>> Capture::next() {
  pcap_pkthdr* header;
  const u_char* bytes;
  const off_t before = has_limit_ ? ftello(pcap_file(file_.get())) : -1;
  int got = pcap_next_ex(file_.get(), &header, &bytes);
  if (got == PCAP_ERROR_BREAK) return std::optional<Record>();
  records_++;
  if (got != 1)
    return Error{EINVAL, fmt::format("capture {}: record {}: {}", path_, records_, pcap_geterr(file_.get()))};
  Record record{*header, {bytes, header->caplen}};
  const bool cut = has_limit_ && header->caplen < header->len && int(header->caplen) == snapshot_bytes();
  if (cut && !read_rest(record, before))
    return Error{EIO, fmt::format("capture {}: record {}: {}", path_, records_, strerror(errno))};
  const uint32_t check_bytes = packet_checks_ ? packet_checks_->next() : check_bytes_;
  if (record.header.len > check_bytes) record.header.len -= check_bytes;
  record.header.caplen = std::min(record.header.caplen, record.header.len);
  record.bytes = record.bytes.first(record.header.caplen);
  return std::optional<Record>(record);
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
  return CaptureWriter(file, path, like.has_nanoseconds(), uint32_t(like.snapshot_bytes()));
}

bool CaptureWriter::write(pcap_pkthdr header, std::span<const uint8_t> bytes) {
  // libpcap would write the last 32 bits.
  if (const int64_t seconds = header.ts.tv_sec; seconds != int64_t(uint32_t(seconds))) {
    if (!unwritten_seconds_) unwritten_seconds_ = seconds;
    return false;
  }
  if (!nanoseconds_) header.ts.tv_usec /= 1000;
  longest_ = std::max(longest_, header.caplen);
  pcap_dump(reinterpret_cast<u_char*>(file_.get()), &header, bytes.data());
  return !ferror(pcap_dump_file(file_.get()));
}

Result<void> CaptureWriter::finish() {
  FILE* const file = pcap_dump_file(file_.get());
  // Else who reads it gets the beginnings only. What cannot be gone back in, such as a pipe, keeps its header.
  if (longest_ > limit_ && fseeko(file, kLimitAt, SEEK_SET) == 0) {
    fwrite(&kMostLimit, sizeof kMostLimit, 1, file);
    fseeko(file, 0, SEEK_END);
  }
  bool failed = pcap_dump_flush(file_.get()) != 0 || ferror(pcap_dump_file(file_.get()));
  file_.reset();
  if (unwritten_seconds_)
    return Error{ERANGE, fmt::format("capture {}: a packet is of {} s after 1970, and pcap has times from 1970 to 2106 "
                                     "alone; shift them, as by editcap -t",
                                     path_, *unwritten_seconds_)};
  if (failed) return Error{EIO, fmt::format("capture {}: could not be written in full; is the disk full?", path_)};
  return {};
}

}  // namespace unetmap::parts
