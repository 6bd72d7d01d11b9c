// SPDX-License-Identifier: BSD-2-Clause
// Where a capture's packets go: one pcapng file, or one after the other, each whole in itself.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.hh"
#include "base/result.hh"
#include "parts/pcapng_writer.hh"

namespace unetmap::cli {

// When the next file begins: after so many bytes or so long, counted from its first packet. 0: not for that reason.
struct Rotation {
  uint64_t bytes = 0;
  uint64_t period_ns = 0;
  uint32_t keep = 0;  // files; older ones are removed. 0: all
  bool any() const { return bytes != 0 || period_ns != 0; }
};

// A size such as 100M or 64KB, or a time such as 30s, 500ms or 10m: `m` are minutes, `M` is a million bytes.
Result<Rotation> parse_rotation(const std::string& text);
// capture.pcapng, 3: capture-00003.pcapng.
std::string numbered(const std::string& file, uint32_t number);

// Of a capture so far.
struct Counts {
  uint64_t captured = 0;  // written
  uint64_t received = 0;  // before the filter
  uint64_t lost = 0;      // because this program was too slow
};

class CaptureOutput {
 public:
  using Origin = parts::PcapngWriter::Origin;
  // `open` is asked for each file by its name. `counts` are the caller's, and counted up after each write().
  CaptureOutput(std::string file, Rotation rotation, std::function<Result<UniqueFd>(const std::string&)> open,
                const Counts& counts)
      : file_(std::move(file)), rotation_(rotation), open_(std::move(open)), counts_(counts) {}

  Result<void> begin(const Origin& origin, uint64_t now_ns);
  // `interface`: of the file's interfaces other than the origin's, by name; empty: the origin's.
  Result<void> write(parts::PcapngWriter::Packet packet, std::string_view interface = {});
  Result<void> flush() { return told(writer_->flush()); }
  bool anything_pending() const { return writer_->anything_pending(); }
  // The end of the last file.
  Result<void> finish(uint64_t now_ns);
  uint32_t files() const { return number_; }

 private:
  Result<void> next(uint64_t now_ns);
  Result<void> told(Result<void> result) const;
  std::string name() const { return rotation_.any() ? numbered(file_, number_) : file_; }

  const std::string file_;
  const Rotation rotation_;
  const std::function<Result<UniqueFd>(const std::string&)> open_;
  const Counts& counts_;
  Origin origin_;
  std::optional<parts::PcapngWriter> writer_;
  std::map<std::string, uint32_t, std::less<>> interfaces_;  // of this file
  Counts before_;                                            // this file
  uint64_t started_ns_ = 0, first_ns_ = 0;                   // the file; its first packet, 0: none yet
  uint32_t number_ = 0;
};

}  // namespace unetmap::cli
