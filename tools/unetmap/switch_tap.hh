// SPDX-License-Identifier: BSD-2-Clause
// The tap of a switch, opened: a record of each packet that is sent there (ring/tap_record.hh), with names.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <libnetmap.h>

#include "base/result.hh"
#include "daemon_link.hh"
#include "ring/tap_record.hh"

namespace unetmap::cli {

// What is traced: a switch, perhaps one port of it.
struct TapTarget {
  std::string switch_name;
  std::string port;  // empty: all
};

// From what people write: vale0, vale0:1, or eth0 that is attached to a switch.
Result<TapTarget> tap_target(const std::string& given);
// Whether that is the name of a switch, not of a port.
bool is_switch_name(const std::string& given);

class SwitchTap {
 public:
  static Result<SwitchTap> open(const std::string& switch_name);

  int fd() const { return port_->fd; }
  // f(record) for each that has come, until it answers false or an error. `time_ns` of a record is since 1970 then.
  Result<void> take(const std::function<Result<bool>(const TapRecord&)>& f);
  // Of a port of the switch, also of one that has just gone.
  std::string name_of(uint16_t index, uint32_t generation);
  // Records that did not fit, or were none.
  uint64_t lost() const;

 private:
  struct Close {
    void operator()(nmport_d* port) const { nmport_close(port); }
  };
  explicit SwitchTap(nmport_d* port, std::string switch_name) : switch_name_(std::move(switch_name)), port_(port) {}
  void learn_names();

  std::string switch_name_;
  std::unique_ptr<nmport_d, Close> port_;
  std::optional<DaemonLink> link_;
  std::map<std::pair<uint16_t, uint32_t>, std::string> names_;  // by index and generation
  uint64_t asked_ns_ = 0;
  uint64_t garbled_ = 0;
  std::unique_ptr<std::array<uint8_t, 65536 * 3>> joined_ = std::make_unique<std::array<uint8_t, 65536 * 3>>();
};

}  // namespace unetmap::cli
