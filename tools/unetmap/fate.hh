// SPDX-License-Identifier: BSD-2-Clause
// What became of a packet, in words: for `unetmap trace` and the comments of a switch's capture.
#pragma once

#include <functional>
#include <string>

#include "ring/tap_record.hh"

namespace unetmap::cli {

using NameOf = std::function<std::string(uint16_t index, uint32_t generation)>;

// In --json, and of the counters of `unetmap stats` where those count it: "lost_full".
const char* cause_name(TapCause cause);
const char* way_name(TapWay way);
// For people: "no room".
const char* cause_text(TapCause cause);

// Such as "to everybody: vale0:b delivered; vale0:c lost, no room".
std::string fate_text(const TapRecord& record, const NameOf& name_of);

// Whether it may be one of those that the port sent or that were meant for it: a list that is not whole names not all.
bool concerns(const TapRecord& record, const std::string& port, const NameOf& name_of);

}  // namespace unetmap::cli
