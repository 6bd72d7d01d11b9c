// SPDX-License-Identifier: BSD-2-Clause
// The command line of tlem.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "parts/link_model.hh"
#include "parts/option_table.hh"

namespace unetmap::tlem {

// What -B -D -L -R -Q say, as text: once for both ways, twice for one each.
struct ModelTexts {
  std::vector<std::string> bandwidth, delay, loss, reordering, queue;
};
using Models = std::array<parts::LinkModel, 2>;
// Changes what the texts are about in `models`.
Result<void> apply_texts(const ModelTexts& texts, Models& models);

// The most that clients of a session may ask for. Bandwidth 0 is no limit.
struct Limits {
  double bits_per_second = 0;
  uint64_t delay_ns = 0, hold_ns = 0;
};
Result<Limits> parse_limits(const std::string& text);
Limits limits_of(const Models& models);
// Whether a change stays within the limits; else says what does not.
Result<void> within(const Models& models, const Limits& limits);

struct Options {
  std::vector<std::string> ports;
  ModelTexts texts;
  std::vector<uint16_t> processors;  // none, or 4: two for each way
  uint32_t batch = 1024;
  uint32_t wait_link_s = 2;
  std::string session;
  std::optional<Limits> limits;
  bool end_session = false;
  bool route = false;
  std::vector<uint32_t> gateways;  // of the first port, then the second
  int verbose = 1;
  uint64_t seed = 1;
  uint64_t memory_bytes = 256 << 20;  // for packets under way, each way
  bool json = false;
};

parts::OptionTable option_table(Options& options);
// What cannot be said option by option.
Result<void> complete(Options& options);

}  // namespace unetmap::tlem
