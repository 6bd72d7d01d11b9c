// SPDX-License-Identifier: BSD-2-Clause
#include "capture_output.hh"

#include <fmt/core.h>
#include <unistd.h>

#include "parts/quantities.hh"

namespace unetmap::cli {

Result<Rotation> parse_rotation(const std::string& text) {
  Rotation out;
  if (text.ends_with('s') || text.ends_with('m')) {
    auto ns = parts::parse_time_ns(text, "s");
    if (!ns) return ns.error();
    out.period_ns = *ns;
  } else {
    auto bytes = parts::parse_scaled(text, {"B"});
    if (!bytes) return bytes.error();
    if (*bytes >= 1 && *bytes < 1e18) out.bytes = uint64_t(*bytes);
  }
  if (!out.any())
    return Error{EINVAL, fmt::format("'{}' is neither a size, such as 100M, nor a time, such as 30s", text)};
  return out;
}

std::string numbered(const std::string& file, uint32_t number) {
  const size_t slash = file.rfind('/'), dot = file.rfind('.');
  const size_t stem = slash == std::string::npos ? 0 : slash + 1;
  const size_t at = dot == std::string::npos || dot <= stem ? file.size() : dot;
  return fmt::format("{}-{:05}{}", file.substr(0, at), number, file.substr(at));
}

Result<void> CaptureOutput::begin(const Origin& origin, uint64_t now_ns) {
  origin_ = origin;
  return next(now_ns);
}

Result<void> CaptureOutput::next(uint64_t now_ns) {
  if (writer_) {
    if (auto done = finish(now_ns); !done) return done;
  }
  number_++;
  auto file = open_(name());
  if (!file) return file.error();
  writer_.emplace(std::move(*file), origin_);
  interfaces_.clear();
  before_ = counts_;
  started_ns_ = now_ns;
  first_ns_ = 0;
  if (rotation_.keep != 0 && number_ > rotation_.keep) {
    const std::string oldest = numbered(file_, number_ - rotation_.keep);
    if (unlink(oldest.c_str()) != 0 && errno != ENOENT)
      return Error::from_errno(errno, oldest + ": --keep: cannot be removed");
  }
  return {};
}

Result<void> CaptureOutput::write(parts::PcapngWriter::Packet packet, std::string_view interface) {
  const bool full = rotation_.bytes != 0 && writer_->bytes() + packet.bytes.size() > rotation_.bytes;
  const bool late = rotation_.period_ns != 0 && packet.time_ns >= first_ns_ + rotation_.period_ns;
  if (first_ns_ != 0 && (full || late))
    if (auto begun = next(packet.time_ns); !begun) return begun;
  if (first_ns_ == 0) first_ns_ = packet.time_ns;
  if (!interface.empty()) {
    auto found = interfaces_.find(interface);
    if (found == interfaces_.end()) {
      const std::string name(interface);
      found = interfaces_.emplace(name, writer_->add_interface(name, "port of the switch")).first;
    }
    packet.interface = found->second;
  }
  auto written = writer_->write(packet);
  return written ? written : told(std::move(written));
}

Result<void> CaptureOutput::finish(uint64_t now_ns) {
  return told(writer_->finish({started_ns_, now_ns, counts_.received - before_.received,
                               counts_.captured - before_.captured, counts_.lost - before_.lost}));
}

Result<void> CaptureOutput::told(Result<void> result) const {
  if (result || result.error().code != ENOSPC || file_.empty() || file_ == "-") return result;
  return Error{ENOSPC, fmt::format("{}: {}; what was written before is whole; make room, or keep fewer files "
                                   "(--rotate, --keep)",
                                   name(), result.error().text)};
}

}  // namespace unetmap::cli
