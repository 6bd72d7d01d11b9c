// SPDX-License-Identifier: BSD-2-Clause
// `unetmap trace`: the way of each packet over a switch, and where it ended.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/command_line.hh"
#include "parts/json_report.hh"
#include "parts/packet_filter.hh"
#include "switch_tap.hh"

namespace unetmap::cli {

class TraceCommand {
 public:
  explicit TraceCommand(Command& app);
  bool chosen() const;
  // The exit status.
  int run();

 private:
  Result<void> trace();
  bool matches(const TapRecord& record);
  void show(const TapRecord& record);
  Json in_json(const TapRecord& record);
  void count(const TapRecord& record);
  void summary();
  std::string name(uint16_t index, uint32_t generation) { return tap_->name_of(index, generation); }

  Command trace_;
  std::string what_, duration_;
  std::vector<std::string> filter_words_;
  uint64_t limit_ = 0;
  bool json_ = false;

  TapTarget target_;
  parts::PacketFilter filter_;
  std::optional<SwitchTap> tap_;
  uint64_t frames_ = 0, arrived_ = 0;
  std::map<TapCause, uint64_t> fates_;  // frames by what became of them, at some destination at least
};

}  // namespace unetmap::cli
