// SPDX-License-Identifier: BSD-2-Clause
#include "capture_file.hh"

#include <fmt/core.h>
#include <pcap/pcap.h>

#include <algorithm>

namespace unetmap::pktgen {

Result<Capture> Capture::read(const std::string& path, uint32_t prefix) {
  char reason[PCAP_ERRBUF_SIZE] = "";
  std::unique_ptr<pcap_t, decltype(&pcap_close)> file(pcap_open_offline(path.c_str(), reason), pcap_close);
  if (!file) return Error{EINVAL, fmt::format("capture file {}: {}; give a pcap or pcapng file", path, reason)};
  if (pcap_datalink(file.get()) != DLT_EN10MB) {
    return Error{
        EINVAL,
        fmt::format("capture file {}: its packets are not Ethernet frames, which are all a port can send", path)};
  }
  Capture capture;
  pcap_pkthdr* header;
  const u_char* data;
  int got;
  while ((got = pcap_next_ex(file.get(), &header, &data)) == 1) {
    capture.bytes_.insert(capture.bytes_.end(), prefix, 0);
    capture.bytes_.insert(capture.bytes_.end(), data, data + header->caplen);
    capture.ends_.push_back(capture.bytes_.size());
    capture.largest_ = std::max(capture.largest_, header->caplen + prefix);
  }
  if (got != PCAP_ERROR_BREAK) {
    return Error{EINVAL,
                 fmt::format("capture file {}: packet {}: {}", path, capture.count() + 1, pcap_geterr(file.get()))};
  }
  if (capture.count() == 0) return Error{EINVAL, fmt::format("capture file {}: it holds no packet", path)};
  capture.bytes_.resize(capture.bytes_.size() + 64);  // copies work in whole cache lines
  return capture;
}

struct CaptureWriter::Handles {
  pcap_t* type = nullptr;
  pcap_dumper_t* dumper = nullptr;
};

void CaptureWriter::Free::operator()(Handles* handles) const {
  if (handles->dumper) pcap_dump_close(handles->dumper);
  if (handles->type) pcap_close(handles->type);
  delete handles;
}

Result<CaptureWriter> CaptureWriter::create(const std::string& path) {
  CaptureWriter writer;
  writer.path_ = path;
  writer.handles_.reset(new Handles);
  writer.handles_->type = pcap_open_dead(DLT_EN10MB, 262144);
  writer.handles_->dumper = pcap_dump_open(writer.handles_->type, path.c_str());
  if (!writer.handles_->dumper) {
    return Error{EIO, fmt::format("capture file {}", pcap_geterr(writer.handles_->type))};
  }
  return writer;
}

void CaptureWriter::write(const timeval& when, const uint8_t* data, uint32_t bytes) {
  pcap_pkthdr header{when, bytes, bytes};
  pcap_dump(reinterpret_cast<u_char*>(handles_->dumper), &header, data);
}

Result<void> CaptureWriter::finish() {
  bool failed = pcap_dump_flush(handles_->dumper) != 0 || ferror(pcap_dump_file(handles_->dumper));
  handles_.reset();
  if (failed) return Error{EIO, fmt::format("capture file {}: could not be written in full; is the disk full?", path_)};
  return {};
}

}  // namespace unetmap::pktgen
