// SPDX-License-Identifier: BSD-2-Clause
// The comma-separated numbers of -C: ring geometry with -n, -a and -h, a polling layout with -p and -P.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace valectl {

/// Ring geometry; 0 leaves the choice to the port.
struct RingSpec {
  uint32_t tx_slots = 0;
  uint32_t rx_slots = 0;
  uint16_t tx_rings = 0;
  uint16_t rx_rings = 0;
};

/// Who polls a NIC's rings: one CPU for all of them, or consecutive CPUs for consecutive rings.
struct PollingSpec {
  bool cpu_per_ring = false;
  uint32_t first_cpu = 0;
  uint32_t cpus = 1;
};

/// One number, decimal, the whole of `text`, at most `max`.
inline std::optional<uint32_t> parse_number(std::string_view text, uint32_t max) {
  uint32_t value = 0;
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || value > max) return std::nullopt;
  return value;
}

/// The numbers of a specification and how many were given.
struct Numbers {
  std::array<uint32_t, 4> value{};
  size_t count = 0;
};

/// Splits `spec` into at most `max_count` numbers; on failure `why` says which one was wrong.
inline std::optional<Numbers> parse_numbers(std::string_view spec, size_t max_count, std::string& why) {
  Numbers numbers;
  while (true) {
    const size_t comma = spec.find(',');
    const std::string_view word = spec.substr(0, comma);
    if (numbers.count == max_count) {
      why = "more than " + std::to_string(max_count) + " numbers";
      return std::nullopt;
    }
    const auto number = parse_number(word, std::numeric_limits<uint32_t>::max());
    if (!number) {
      why.assign("'").append(word).append("' is not a number");
      return std::nullopt;
    }
    numbers.value[numbers.count++] = *number;
    if (comma == std::string_view::npos) return numbers;
    spec.remove_prefix(comma + 1);
  }
}

/// "x", "x,y", "x,y,z" or "x,y,z,w": slots of both directions from x unless y is given, rings likewise from z and w.
inline std::optional<RingSpec> parse_ring_spec(std::string_view spec, std::string& why) {
  const auto numbers = parse_numbers(spec, 4, why);
  if (!numbers) return std::nullopt;
  const auto& [value, count] = *numbers;
  const uint32_t tx_rings = value[2];
  const uint32_t rx_rings = count > 3 ? value[3] : value[2];
  if (tx_rings > UINT16_MAX || rx_rings > UINT16_MAX) {
    why = "a port has at most 65535 rings";
    return std::nullopt;
  }
  RingSpec out;
  out.tx_slots = value[0];
  out.rx_slots = count > 1 ? value[1] : value[0];
  out.tx_rings = static_cast<uint16_t>(tx_rings);
  out.rx_rings = static_cast<uint16_t>(rx_rings);
  return out;
}

/// "mode", "mode,first" or "mode,first,count": mode 0 polls all rings from one CPU, 1 a ring from each CPU.
inline std::optional<PollingSpec> parse_polling_spec(std::string_view spec, std::string& why) {
  const auto numbers = parse_numbers(spec, 3, why);
  if (!numbers) return std::nullopt;
  const auto& [value, count] = *numbers;
  if (value[0] > 1) {
    why = "the polling mode is 0 (one CPU for all rings) or 1 (one CPU a ring)";
    return std::nullopt;
  }
  PollingSpec out;
  out.cpu_per_ring = value[0] == 1;
  out.first_cpu = value[1];
  out.cpus = count > 2 ? value[2] : 1;
  if (out.cpus == 0) {
    why = "at least one CPU must poll";
    return std::nullopt;
  }
  if (!out.cpu_per_ring && out.cpus != 1) {
    why = "mode 0 uses exactly one CPU";
    return std::nullopt;
  }
  return out;
}

}  // namespace valectl
