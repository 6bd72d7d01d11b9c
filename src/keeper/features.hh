// SPDX-License-Identifier: BSD-2-Clause
// Offloads of an interface (ethtool -k) that spoil frames for who reads them raw, off while this object lives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hh"

namespace unetmap::keeper {

// Whether a feature is one of those: segmentation and its reverse, checksums, VLAN tags outside the frame.
bool spoils_frames(const std::string& feature);

// Whether it leaves VLAN tags beside the frames that it sends, for a card to put in (ethtool's txvlan).
bool leaves_tags_beside(const std::string& interface);

// A short list of them for people, as ethtool -K calls them: "tso, gso, rx and tx checksums".
std::string in_short(const std::vector<std::string>& features);

class FeaturesOff {
 public:
  // Switches off what is on and can be. An interface without features has nothing to switch off.
  static Result<FeaturesOff> apply(const std::string& interface, uint32_t index);
  FeaturesOff(FeaturesOff&& other) noexcept;
  FeaturesOff& operator=(FeaturesOff&&) = delete;
  ~FeaturesOff();

  // Those that were wanted before, and are to be wanted again.
  const std::vector<std::string>& names() const { return names_; }
  // Now instead of at the end of life. The error is for the user: what is still off.
  Result<void> restore();

 private:
  FeaturesOff(uint32_t index, std::vector<std::string> names) : index_(index), names_(std::move(names)) {}
  uint32_t index_ = 0;  // by which an interface keeps known when it is renamed
  std::vector<std::string> names_;
};

// Asks for features again, whoever switched them off.
Result<void> want_features(const std::string& interface, const std::vector<std::string>& names);

}  // namespace unetmap::keeper
