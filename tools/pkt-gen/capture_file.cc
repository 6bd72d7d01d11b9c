// SPDX-License-Identifier: BSD-2-Clause
#include "capture_file.hh"

#include <fmt/core.h>
#include <pcap/pcap.h>

#include <algorithm>

#include "parts/capture_file.hh"

namespace unetmap::pktgen {

Result<Capture> Capture::read(const std::string& path, uint32_t prefix) {
  auto file = parts::Capture::open(path);
  if (!file) return file.error();
  if (file->link_type() != DLT_EN10MB) {
    return Error{EINVAL,
                 fmt::format("capture {}: has packets of {}; only Ethernet can be sent", path, file->link_type_name())};
  }
  Capture capture;
  for (;;) {
    auto record = file->next();
    if (!record) return record.error();
    if (!*record) break;
    const std::span<const uint8_t> stored = (*record)->bytes;
    const size_t bytes = parts::full_bytes(**record);
    if (bytes > parts::kLongestPacket) {
      return Error{
          EINVAL, fmt::format("capture {}: packet {} is of {} bytes, which is longer than any port takes; leave it out",
                              path, capture.count() + 1, bytes)};
    }
    capture.bytes_.insert(capture.bytes_.end(), prefix, 0);
    capture.bytes_.insert(capture.bytes_.end(), stored.begin(), stored.end());
    capture.bytes_.insert(capture.bytes_.end(), bytes - stored.size(), 0);
    capture.ends_.push_back(capture.bytes_.size());
    capture.largest_ = std::max(capture.largest_, uint32_t(bytes) + prefix);
    capture.shortened_ += stored.size() < bytes;
  }
  if (capture.count() == 0) return Error{EINVAL, fmt::format("capture {}: it holds no packet", path)};
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
    return Error{EIO, fmt::format("capture {}", pcap_geterr(writer.handles_->type))};
  }
  return writer;
}

bool CaptureWriter::write(const timeval& when, const uint8_t* data, uint32_t bytes) {
  pcap_pkthdr header{when, bytes, bytes};
  pcap_dump(reinterpret_cast<u_char*>(handles_->dumper), &header, data);
  return !ferror(pcap_dump_file(handles_->dumper));
}

Result<void> CaptureWriter::finish() {
  bool failed = pcap_dump_flush(handles_->dumper) != 0 || ferror(pcap_dump_file(handles_->dumper));
  handles_.reset();
  if (failed) return Error{EIO, fmt::format("capture {}: could not be written in full; is the disk full?", path_)};
  return {};
}

}  // namespace unetmap::pktgen
